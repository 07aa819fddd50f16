//! The plans of fleets, and that a seed tells a whole run. `cargo swarm -- --fleet` plays them.

use fastrand::Rng;
use gatepost_swarm::fleet;
use gatepost_swarm::fleet::bugs::ALL;
use gatepost_swarm::fleet::plan::FleetPlan;
use gatepost_swarm::hunt::found_in_fleets;
use gatepost_swarm::play::{cores, play_all};

use crate::batch::{gatepost, held};

const SEEDS: u64 = 150;

/// As many as show each bug more than once.
const SEEDS_OF_BUGS: u64 = 40;

#[test]
fn whatever_goes_wrong_a_fleet_keeps_its_promises() {
    let total = held(play_all(0..SEEDS, cores(), |seed| fleet::run(gatepost(), seed), |_| {}));
    assert_eq!(total.seeds, SEEDS);
    assert!(total.sum.delivered > 3000 && total.sum.dead > 100, "{:?}", total.sum);
}

#[test]
fn every_bug_of_a_fleet_is_caught_by_the_check_of_its_promise() {
    for bug in ALL {
        let found = found_in_fleets(gatepost(), bug, SEEDS_OF_BUGS);
        let is_caught = found.values().any(|broken| bug.breaks.contains(&broken.invariant));
        assert!(is_caught, "{}: {found:?}", bug.name);
    }
}

/// The same seed gives the same trace to the last byte of every gateway and of etcd.
#[test]
fn a_fleets_seed_gives_the_same_trace_again() {
    for seed in 0..6 {
        let trace = || match fleet::played(gatepost(), seed, None) {
            Ok((_, trace)) => trace,
            Err(violation) => violation.trace,
        };
        let first = trace();
        assert!(first.len() > 1000);
        assert_eq!(first, trace(), "seed {seed}");
    }
}

#[test]
fn a_quarter_of_the_plans_of_fleets_is_calm() {
    let plans: Vec<FleetPlan> = (0..1000).map(|seed| FleetPlan::new(&mut Rng::with_seed(seed))).collect();
    let calm = plans.iter().filter(|plan| plan.is_calm()).count();
    let killed = plans.iter().filter(|plan| plan.faults.kill > 0 && plan.gateways > 1).count();
    assert!((220..300).contains(&calm), "{calm}");
    assert!((180..320).contains(&killed), "{killed}");
}
