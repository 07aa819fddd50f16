//! Deliberate bugs: each breaks one promise, and must be caught by the check of that promise.
//!
//! A bug is put in where the filter meets its host, not into its sources, so that none of it depends on how the filter is
//! written. Either the host does not do what the filter asks it for: a write that is lost is one that the filter forgot,
//! a read that is answered from memory is one that it did not make. Or the filter is given another configuration than
//! the checks know of, and does something else than it was told.
//!
//! `cargo test` plays each until it is caught; [`hunt`] shows what else sees it. That the core's own tests notice a change
//! of any of its lines is for `cargo mutants` (`.ci/nightly`).

use std::collections::BTreeMap;
use std::error::Error;

use host_tests::{Effect, Filter, Point, Rule};
use serde_json::Value;

use crate::play::{cores, survey};
use crate::{Broken, Invariant};

/// Seeds that are played for a bug.
pub const SEEDS: u64 = 200;

/// A deliberate bug.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// A few words.
    pub name: &'static str,
    /// What the filter does with it.
    pub what: &'static str,
    /// The promise that it breaks.
    pub breaks: Invariant,
    /// How it comes about.
    pub how: How,
}

/// How a bug comes about.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// The host does this there.
    Host(Point, Effect),
    /// This is changed in each endpoint's entry.
    Endpoint(fn(&mut Value)),
}

impl Bug {
    /// What the host does.
    pub(crate) fn rule(&self) -> Option<Rule> {
        match self.how {
            How::Host(point, effect) => Some(Rule::new(point, effect)),
            How::Endpoint(_) => None,
        }
    }

    /// The configuration as the filter gets it.
    pub(crate) fn config(&self, text: &str) -> String {
        let How::Endpoint(change) = self.how else { return text.to_owned() };
        let mut config: Value = serde_json::from_str(text).unwrap_or_default();
        let endpoints = config.get_mut("endpoints").and_then(Value::as_array_mut);
        endpoints.into_iter().flatten().for_each(change);
        config.to_string()
    }
}

/// Changes what is at this pointer, if something is.
fn change(entry: &mut Value, pointer: &str, change: impl FnOnce(&Value) -> Value) {
    if let Some(value) = entry.pointer_mut(pointer) {
        *value = change(value);
    }
}

/// All of them.
pub const ALL: &[Bug] = &[
    Bug {
        name: "answered before it is kept",
        what: "how an event stands is not written",
        breaks: Invariant::Kept,
        how: How::Host(Point::Write("gatepost/state/"), Effect::Drop),
    },
    Bug {
        name: "dead letter dropped",
        what: "a delivery that has failed for good leaves no letter",
        breaks: Invariant::Settled,
        how: How::Host(Point::Write("gatepost/dead/"), Effect::Drop),
    },
    Bug {
        name: "idempotency key forgotten",
        what: "neither a key in progress nor its answer is remembered",
        breaks: Invariant::OneId,
        how: How::Host(Point::Write("gatepost/idempotency/"), Effect::Drop),
    },
    Bug {
        name: "message forgotten",
        what: "what the application has taken is not remembered",
        breaks: Invariant::TakenOnce,
        how: How::Host(Point::Write("gatepost/replay/"), Effect::Drop),
    },
    Bug {
        name: "client believed",
        what: "what a client says of having been verified is not removed",
        breaks: Invariant::Verified,
        how: How::Host(Point::HostCall("proxy_remove_header_map_value"), Effect::Drop),
    },
    Bug {
        name: "lease not taken",
        what: "a worker writes a partition without holding it",
        breaks: Invariant::OneWriter,
        how: How::Host(Point::Write("gatepost/lease/"), Effect::Drop),
    },
    Bug {
        name: "drained partition not read again",
        what: "a partition that was found empty when it was adopted is given up without another look",
        breaks: Invariant::FreedEmpty,
        how: How::Host(Point::Read("gatepost/body/"), Effect::Drop),
    },
    Bug {
        name: "old generation sends",
        what: "a configuration that was replaced does not learn of it",
        breaks: Invariant::Generation,
        how: How::Host(Point::Read("gatepost/generation"), Effect::Drop),
    },
    Bug {
        name: "switch read once",
        what: "a worker does not learn what operators have switched",
        breaks: Invariant::Stopped,
        how: How::Host(Point::Read("gatepost/control"), Effect::Drop),
    },
    Bug {
        name: "stale breaker",
        what: "a worker does not learn that another has opened a breaker",
        breaks: Invariant::WhileOpen,
        how: How::Host(Point::Read("gatepost/breaker/"), Effect::Drop),
    },
    Bug {
        name: "rate of each worker",
        what: "a token that one worker takes is there for the next",
        breaks: Invariant::Rate,
        how: How::Host(Point::Write("gatepost/rate/"), Effect::Drop),
    },
    Bug {
        name: "clock read late",
        what: "an attempt leaves a while after the time that it is signed with",
        breaks: Invariant::Timestamp,
        how: How::Host(Point::HostCall("proxy_http_call"), Effect::Delay(std::time::Duration::from_millis(2))),
    },
    Bug {
        name: "an attempt too many",
        what: "the schedule goes on after its end",
        breaks: Invariant::AttemptsAtMost,
        how: How::Endpoint(|entry| {
            change(entry, "/retry/delays", |delays| {
                let mut delays = delays.as_array().cloned().unwrap_or_default();
                delays.push("0s".into());
                delays.into()
            });
        }),
    },
    Bug {
        name: "retry without delay",
        what: "a failed attempt is made again at once",
        breaks: Invariant::Delays,
        how: How::Endpoint(|entry| {
            change(entry, "/retry/delays", |delays| vec!["0s"; delays.as_array().map_or(0, Vec::len)].into());
        }),
    },
];

/// What became of a bug.
pub struct Caught {
    /// The lowest seed in which something broke.
    pub seed: u64,
    /// What broke there.
    pub first: Broken,
    /// In how many of the seeds each invariant was the first to break.
    pub by: BTreeMap<Invariant, usize>,
}

/// Plays these seeds with a bug; `None`: nothing sees it.
pub fn caught(filter: &Filter, bug: &Bug, seeds: u64) -> Option<Caught> {
    let found = survey(filter, 0..seeds, cores(), Some(bug));
    let mut by = BTreeMap::new();
    found.values().for_each(|broken| *by.entry(broken.invariant).or_default() += 1);
    found.into_iter().next().map(|(seed, first)| Caught { seed, first, by })
}

/// Plays every bug whose name holds one of these texts, all if there are none; prints a line for each. Says whether all
/// were caught by the check of the promise that they break.
///
/// # Errors
/// The filter cannot be built or loaded.
pub fn hunt(names: &[String]) -> Result<bool, Box<dyn Error>> {
    let filter = Filter::load(&gatepost_kit::artifact::wasm("gatepost")?)?;
    let is_wanted = |bug: &&Bug| names.is_empty() || names.iter().any(|name| bug.name.contains(name.as_str()));
    println!("(n): in so many of {SEEDS} seeds that invariant was the first to break.\n");
    println!("| bug | first seed | caught by | in other seeds by |\n|---|--:|---|---|");
    let mut are_caught = true;
    for bug in ALL.iter().filter(is_wanted) {
        let Some(Caught { seed, by, .. }) = caught(&filter, bug, SEEDS) else {
            println!("| {}: {} | | **nothing** | |", bug.name, bug.what);
            are_caught = false;
            continue;
        };
        let own = by.get(&bug.breaks).copied().unwrap_or_default();
        are_caught &= own > 0;
        let others = by.iter().filter(|(invariant, _)| **invariant != bug.breaks);
        let others: Vec<String> = others.map(|(invariant, count)| format!("{invariant} ({count})")).collect();
        println!("| {}: {} | {seed} | {} ({own}) | {} |", bug.name, bug.what, bug.breaks, others.join("; "));
    }
    Ok(are_caught)
}
