//! Bugs of attempts: what leaves, when, and how it is signed.

use super::{Bug, Edit};

const SEND: &str = "plugin/core/src/engine/send.rs";
const MESSAGE: &str = "plugin/core/src/message.rs";
const BREAKER: &str = "plugin/core/src/breaker.rs";
const ENDPOINT: &str = "plugin/core/src/endpoint.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "id changes on retry",
        what: "each attempt has an id of its own",
        edits: &[Edit {
            file: SEND,
            find: "at: now.wall, meta };",
            replace: "at: now.wall, meta: EventMeta { id: crate::message::EventId::from_random((world.random)()), ..meta } };",
        }],
    },
    Bug {
        name: "timestamp reused on a retry",
        what: "every attempt is signed with the time at which the event was accepted",
        edits: &[Edit {
            file: SEND,
            find: "at: now.wall, meta };",
            replace: "at: self.holdings.event(entry.place).map_or(now.wall, |event| event.accepted_wall), meta };",
        }],
    },
    Bug {
        name: "signature over another body",
        what: "what is signed is the body without its white space",
        edits: &[Edit {
            file: "plugin/core/src/signature/timestamped.rs",
            find: "|secret| sign(secret, attempt.at, attempt.body));",
            replace: "|secret| sign(secret, attempt.at,
                &attempt.body.iter().copied().filter(|byte| *byte > b' ').collect::<Vec<u8>>()));",
        }],
    },
    Bug {
        name: "second secret forgotten",
        what: "while secrets rotate only the first signs",
        edits: &[Edit {
            file: "plugin/core/src/signature.rs",
            find: "let others = signatures.collect::<Vec<_>>()",
            replace: "let others = signatures.take(0).collect::<Vec<_>>()",
        }],
    },
    Bug {
        name: "body re-serialised",
        what: "what leaves is the body without its white space",
        edits: &[Edit {
            file: MESSAGE,
            find: "payload: payload.unwrap_or(body),",
            replace: "payload: payload.unwrap_or_else(|| body.into_iter().filter(|byte| *byte > b' ').collect()),",
        }],
    },
    Bug {
        name: "content type lost",
        what: "the producer's content type is not kept",
        edits: &[Edit {
            file: "plugin/core/src/engine/accept.rs",
            find: "let meta = EventMeta { id, event_type, content_type, traceparent, tracestate };",
            replace: "let meta = EventMeta { id, event_type, content_type: content_type.and(None), traceparent, tracestate };",
        }],
    },
    Bug {
        name: "subscription ignored",
        what: "every endpoint gets every event",
        edits: &[Edit {
            file: "plugin/core/src/config.rs",
            find: "let mut wanting = self.subscriptions.matching(event_type);",
            replace: "let _ = event_type;
        let mut wanting: Vec<EndpointId> = (0..self.endpoints.len()).map(EndpointId).collect();",
        }],
    },
    Bug {
        name: "sent past max_age",
        what: "a delivery's age is looked at once a second only",
        edits: &[Edit {
            file: SEND,
            find: "if now.since(event.accepted) >= endpoint.max_age {",
            replace: "if now.since(event.accepted) >= endpoint.max_age.saturating_mul(2) {",
        }],
    },
    Bug {
        name: "one above max_in_flight",
        what: "an attempt more is under way than may be",
        edits: &[Edit {
            file: "plugin/core/src/engine/lane.rs",
            find: "(self.in_flight < self.max_in_flight)",
            replace: "(self.in_flight <= self.max_in_flight)",
        }],
    },
    Bug {
        name: "one above the burst",
        what: "the token bucket holds a token more",
        edits: &[Edit {
            file: "plugin/core/src/rate.rs",
            find: "interval.saturating_mul(rate.burst.saturating_sub(1))",
            replace: "interval.saturating_mul(rate.burst)",
        }],
    },
    Bug {
        name: "stale breaker cache",
        what: "a worker reads an endpoint's breaker once a second, not before each attempt",
        edits: &[
            Edit {
                file: ENDPOINT,
                find: "    breaker: String,
    rate: String,
}",
                replace: "    breaker: String,
    rate: String,
    cached: std::cell::RefCell<Option<(Instant, Shared)>>,
}",
            },
            Edit {
                file: ENDPOINT,
                find: r#"rate: format!("{prefix}/rate/{endpoint}") }"#,
                replace: r#"rate: format!("{prefix}/rate/{endpoint}"), cached: Default::default() }"#,
            },
            Edit {
                file: ENDPOINT,
                find: "let shared = self.shared(store)?;",
                replace: "let cached = self.cached.borrow().clone().filter(|(read, _)| now.since(*read) < RECHECK);
        let shared = match cached {
            Some((_, shared)) => shared,
            None => self.shared(store)?,
        };
        self.cached.borrow_mut().get_or_insert((now, shared.clone()));
        self.cached.borrow_mut().take_if(|(read, _)| now.since(*read) >= RECHECK);",
            },
        ],
    },
    Bug {
        name: "two probes in half-open",
        what: "a probe under way does not keep others back",
        edits: &[Edit {
            file: BREAKER,
            find: "State::HalfOpen { probe: Some(probe) } if probe.deadline > now =>",
            replace: "State::HalfOpen { probe: Some(probe) } if probe.deadline < now =>",
        }],
    },
    Bug {
        name: "a failed probe closes",
        what: "whatever the probe comes to, the breaker closes",
        edits: &[Edit {
            file: BREAKER,
            find: "Signal::Failure => self.open(now, policy.open),",
            replace: "Signal::Failure => self.close(),",
        }],
    },
    Bug {
        name: "an epoch for two positions",
        what: "a breaker that closes keeps its epoch, so that what was sent before counts",
        edits: &[Edit {
            file: BREAKER,
            find: "        self.epoch = self.epoch.wrapping_add(1);
        self.state = State::default();",
            replace: "        self.state = State::default();",
        }],
    },
    Bug {
        name: "late failures count",
        what: "an answer to an attempt from before the breaker opened counts after it has closed",
        edits: &[Edit {
            file: BREAKER,
            find: "Permit::Closed { epoch }) if epoch == self.epoch =>",
            replace: "Permit::Closed { epoch: _ }) =>",
        }],
    },
    Bug {
        name: "breaker opens one late",
        what: "it takes a failure more than the policy says",
        edits: &[Edit {
            file: BREAKER,
            find: "if failures.len() < policy.failures as usize {",
            replace: "if failures.len() <= policy.failures as usize {",
        }],
    },
    Bug {
        name: "breaker opens for half as long",
        what: "an open breaker lets its probe out too soon",
        edits: &[Edit {
            file: BREAKER,
            find: "self.state = State::Open { until: now.plus(open) };",
            replace: "self.state = State::Open { until: now.plus(open / 2) };",
        }],
    },
    Bug {
        name: "numbers end at 2",
        what: "the third attempt and all after it carry the number of the second",
        edits: &[Edit {
            file: SEND,
            find: "=> (delivery.attempts + 1, None),",
            replace: "=> ((delivery.attempts + 1).min(2), None),",
        }],
    },
    Bug {
        name: "letter without its reason",
        what: "a sink is not told why a delivery died",
        edits: &[Edit {
            file: MESSAGE,
            find: "        headers.push((&names.dead_letter, Cow::Borrowed(reason.as_bytes())));",
            replace: "        let _ = reason;",
        }],
    },
    Bug {
        name: "a refusal costs an attempt",
        what: "that Envoy would not send is counted as an attempt",
        edits: &[Edit {
            file: SEND,
            find: "            delivery.under_way = false;
        }
        if flight.lane.sink {",
            replace: "            delivery.under_way = false;
            delivery.attempts += 1;
        }
        if flight.lane.sink {",
        }],
    },
    Bug {
        name: "old generation sends",
        what: "roots of a configuration that was replaced go on starting attempts",
        edits: &[Edit {
            file: "plugin/core/src/engine/hold.rs",
            find: "self.generation.is_newest() && !self.is_closing",
            replace: "!self.is_closing",
        }],
    },
];
