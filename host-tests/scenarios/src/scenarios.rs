//! The scenarios, a file for each theme.
//!
//! The functions in these files are long and not split: each is a list of scenarios, and a scenario is read from its
//! name to its last step.

use crate::Scenario;

mod attempts;
mod breaker;
mod builds;
mod crashes;
mod dead_letters;
mod filters;
mod idempotency;
mod inbound;
mod limits;
mod messages;
mod operators;
mod payloads;
mod producers;
mod refusals;
mod replays;
mod rollouts;
mod senders;
mod updates;

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let themes = [
        attempts::all(),
        breaker::all(),
        limits::all(),
        dead_letters::all(),
        producers::all(),
        idempotency::all(),
        inbound::all(),
        replays::all(),
        senders::all(),
        messages::all(),
        operators::all(),
        refusals::all(),
        rollouts::all(),
        payloads::all(),
        filters::all(),
        updates::all(),
        builds::all(),
        crashes::all(),
    ];
    themes.into_iter().flatten().collect()
}
