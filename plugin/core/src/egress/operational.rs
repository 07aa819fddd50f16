//! Operational events: what the gateway tells of itself, as ordinary signed events.
//!
//! They go to the endpoints that ask for them by name, with a pattern whose first segment is `gatepost`; `**` is about
//! the producers' events. Each operational event is kept and delivered like any other, within the same limits, but
//! - never to the endpoint that it is about: that endpoint is down, or does not want it;
//! - not while the filter is disabled, and not where the queue is full: then the event is dropped, counted and logged;
//! - without sampling: operational events are no part of a rollout, although the rollback of an endpoint holds them
//!   back too;
//! - and none is about the delivery of another operational event: such a delivery makes no news when it becomes a dead
//!   letter, nor when it was the probe of a breaker that stays open. So two endpoints that are down do not keep each
//!   other busy for ever.
//!
//! The worker that made a transition emits the event, after the transition is written; the event of an operator's
//! command is emitted by the worker that answers the operator. Should the VM of that worker die in between, the event
//! is missing.

use serde::{Deserialize, Serialize};

use crate::answer::json;
use crate::egress::dead_letter::Letter;
use crate::egress::subscription::{EventPattern, Subscriptions};
use crate::event_type::OPERATIONAL_PREFIX;
use crate::ids::EventId;
use crate::rollout::Percent;
use crate::time::{WallTime, rfc3339};

/// The kinds of operational events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewsKind {
    /// A breaker has opened.
    BreakerOpened,
    /// A breaker has closed.
    BreakerClosed,
    /// A rollout was put to 0.
    RolledBack,
    /// A rollout has entered its next phase.
    Promoted,
    /// An endpoint was disabled.
    EndpointDisabled,
    /// A delivery became a dead letter.
    DeadLetter,
}

impl NewsKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::BreakerOpened,
        Self::BreakerClosed,
        Self::RolledBack,
        Self::Promoted,
        Self::EndpointDisabled,
        Self::DeadLetter,
    ];

    /// The event type of this kind.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::BreakerOpened => "gatepost.breaker.opened",
            Self::BreakerClosed => "gatepost.breaker.closed",
            Self::RolledBack => "gatepost.rollout.rolled_back",
            Self::Promoted => "gatepost.rollout.promoted",
            Self::EndpointDisabled => "gatepost.endpoint.disabled",
            Self::DeadLetter => "gatepost.dead_letter",
        }
    }
}

/// A set of kinds, such as an endpoint wants: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewsKinds(u8);

impl NewsKinds {
    /// The kinds that these patterns ask for by name.
    pub fn of(patterns: &[EventPattern]) -> Self {
        let mut bits = 0;
        for pattern in patterns.iter().filter(|pattern| pattern.begins_with(OPERATIONAL_PREFIX)) {
            let wanted = Subscriptions::of(std::slice::from_ref(pattern));
            for kind in NewsKind::ALL {
                bits |= u8::from(!wanted.matching(kind.event_type()).is_empty()) << kind as u8;
            }
        }
        Self(bits)
    }

    /// Whether this kind is in the set.
    pub fn contain(self, kind: NewsKind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }
}

/// A piece of news: what an operational event tells.
#[derive(Clone, Debug)]
pub struct News<'a> {
    /// The kind of the event.
    pub kind: NewsKind,
    /// The name of the endpoint that the news is about.
    pub endpoint: &'a str,
    /// Why this has happened, in a word.
    pub reason: &'a str,
    /// The facts, where the kind has any.
    pub facts: Option<Facts>,
}

/// The facts of a piece of news, by kind. They hold nothing of an event but its id.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Facts {
    /// The facts of a rollback.
    RolledBack {
        /// What was seen, in words.
        detail: String,
    },
    /// The facts of a promotion.
    Phase {
        /// The phase that has begun, counted from 1.
        phase: u32,
        /// The share of the events in that phase, in percent.
        #[serde(serialize_with = "crate::rollout::serialize_percent")]
        percent: f64,
    },
    /// The facts of a dead letter.
    Letter {
        /// The name of the delivery, as in the admin surface.
        delivery: String,
        /// The number of attempts made.
        attempts: u32,
    },
}

impl Facts {
    /// The facts of a promotion to this phase, counted from 0.
    pub fn phase(phase: u32, percent: Percent) -> Self {
        Self::Phase { phase: phase + 1, percent: percent.as_f64() }
    }
}

impl From<&Letter> for Facts {
    fn from(letter: &Letter) -> Self {
        Self::Letter { delivery: letter.delivery(), attempts: letter.attempts }
    }
}

/// The payload of an operational event.
#[derive(Serialize)]
struct NewsPayload<'a> {
    r#type: &'static str,
    endpoint: &'a str,
    reason: &'a str,
    #[serde(flatten)]
    facts: Option<&'a Facts>,
    #[serde(with = "rfc3339")]
    at: WallTime,
    instance: String,
}

impl News<'_> {
    /// Whether the news is for the endpoint of this name, which asks for the kinds `wanted`. News is never for the
    /// endpoint that it is about.
    pub fn is_for(&self, endpoint: &str, wanted: NewsKinds) -> bool {
        wanted.contain(self.kind) && endpoint != self.endpoint
    }

    /// The payload of the operational event, which happened at `at` in the Envoy process `instance`.
    pub fn payload(&self, at: WallTime, instance: Option<EventId>) -> Vec<u8> {
        json(&NewsPayload {
            r#type: self.kind.event_type(),
            endpoint: self.endpoint,
            reason: self.reason,
            facts: self.facts.as_ref(),
            at,
            instance: instance.map(|id| id.to_string()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(patterns: &[&str]) -> Vec<&'static str> {
        let patterns: Vec<EventPattern> = patterns.iter().map(|text| EventPattern::parse(text).unwrap()).collect();
        let kinds = NewsKinds::of(&patterns);
        NewsKind::ALL.into_iter().filter(|kind| kinds.contain(*kind)).map(NewsKind::event_type).collect()
    }

    /// Only a pattern whose first segment is the gateways name asks for its events.
    #[test]
    fn only_patterns_naming_the_gateway_get_its_events() {
        for pattern in ["**", "*.**", "gate*.**", "gatepost**", "*post.**", "gatepost", "gatepost*.breaker.opened"] {
            assert_eq!(wanted(&[pattern]), [""; 0], "{pattern}");
        }
        assert_eq!(wanted(&["gatepost.**"]).len(), 6);
        assert_eq!(wanted(&["**", "gatepost.breaker.*"]), ["gatepost.breaker.opened", "gatepost.breaker.closed"]);
        assert_eq!(wanted(&["gatepost.*"]), ["gatepost.dead_letter"]);
        assert_eq!(
            wanted(&["gatepost.rollout.promoted", "gatepost.dead_letter"]),
            ["gatepost.rollout.promoted", "gatepost.dead_letter"]
        );
    }

    #[test]
    fn payload_says_what_whom_why_when_and_where() {
        let facts = Some(Facts::phase(1, Percent(1250)));
        let news = News { kind: NewsKind::Promoted, endpoint: "billing", reason: "schedule", facts };
        let instance = EventId::from_random([7; 16]);
        let payload: serde_json::Value =
            serde_json::from_slice(&news.payload(WallTime::from_millis(1_795_503_000_125), Some(instance))).unwrap();
        let expected = serde_json::json!({
            "type": "gatepost.rollout.promoted", "endpoint": "billing", "reason": "schedule", "phase": 2, "percent": 12.5,
            "at": "2026-11-24T06:50:00.125Z", "instance": instance.to_string(),
        });
        assert_eq!(payload, expected);
    }
}
