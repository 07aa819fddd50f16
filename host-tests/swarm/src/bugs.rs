//! Deliberate bugs: each breaks one promise, and must be caught by the check of that promise.
//!
//! A bug is put in where the filter meets its host, not into the filter's sources, so that no bug depends on how the
//! filter is written. Either the host does not do what the filter asks for: a write that is lost is one that the filter
//! forgot, a read that is answered from memory is one that the filter did not make. Or the filter is given another
//! configuration than the checks know of, and does something else than the checks expect.
//!
//! `cargo test` plays each bug until it is caught; [`hunt`](crate::hunt) shows which other checks see it. That the
//! core's own tests notice a change of any of its lines is for `cargo mutants` (`.ci/nightly`).

use host_tests::{Effect, Point, Rule};
use serde_json::Value;

use crate::checks::Invariant;

/// A deliberate bug.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// The name of the bug, a few words.
    pub name: &'static str,
    /// What the filter does wrong.
    pub what: &'static str,
    /// The promise that the bug breaks.
    pub breaks: Invariant,
    /// How the bug comes about.
    pub how: How,
}

/// How a bug comes about.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// By the host, which has this effect at this point.
    Host(Point, Effect),
    /// By the configuration: this function changes the entry of each endpoint.
    Endpoint(fn(&mut Value)),
}

impl Bug {
    /// The rule for the host, if the bug comes about by it.
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

/// Changes the value at this pointer, if there is one.
fn change(entry: &mut Value, pointer: &str, change: impl FnOnce(&Value) -> Value) {
    if let Some(value) = entry.pointer_mut(pointer) {
        *value = change(value);
    }
}

/// All bugs.
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
