//! The swarm bites: each deliberate bug is caught by the check of the promise that it breaks.

use gatepost_swarm::bugs::ALL;
use gatepost_swarm::hunt::caught;

use crate::batch::gatepost;

/// Enough for each to be caught in several.
const SEEDS: u64 = 40;

/// Each bug is caught by the check of the promise that it breaks.
#[test]
fn each_bug_is_caught_by_the_check_of_its_promise() {
    let missed = ALL.iter().filter(|bug| {
        let caught = caught(gatepost(), bug, SEEDS);
        !caught.is_some_and(|caught| caught.by.contains_key(&bug.breaks))
    });
    let missed: Vec<&str> = missed.map(|bug| bug.name).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
