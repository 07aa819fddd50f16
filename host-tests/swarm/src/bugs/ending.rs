//! Bugs of ends: of an attempt, of a delivery, of an event.

use super::{Bug, Edit};

const SETTLE: &str = "plugin/core/src/engine/settle.rs";
const RETRY: &str = "plugin/core/src/retry.rs";
const RING: &str = "plugin/core/src/dead_letter.rs";
const PLEDGE: &str = "plugin/core/src/engine/pledge.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a stray end traps",
        what: "the end of a call that the engine has forgotten ends the VM",
        edits: &[Edit {
            file: SETTLE,
            find: "let Some(flight) = self.flights.remove(attempt) else { return };",
            replace: "let Some(flight) = self.flights.remove(attempt) else { std::process::abort() };",
        }],
    },
    Bug {
        name: "retry without delay",
        what: "a failed attempt is made again at once",
        edits: &[Edit {
            file: SETTLE,
            find: "Some(wait) => Next::Again { due: world.now.mono.plus(wait) },",
            replace: "Some(_) => Next::Again { due: world.now.mono },",
        }],
    },
    Bug {
        name: "Retry-After ignored",
        what: "a receiver that asks for a longer wait does not get it",
        edits: &[Edit {
            file: RETRY,
            find: "Some(jittered.max(retry_after.unwrap_or_default()))",
            replace: "Some(jittered.max(retry_after.and(None).unwrap_or_default()))",
        }],
    },
    Bug {
        name: "schedule off by one, short",
        what: "the wait before an attempt is that before the next, and the last is not made",
        edits: &[Edit {
            file: RETRY,
            find: "let delay = policy.delays.get(made as usize)?;",
            replace: "let delay = policy.delays.get(made as usize + 1)?;",
        }],
    },
    Bug {
        name: "schedule off by one, long",
        what: "an attempt more is made than the schedule has",
        edits: &[
            Edit {
                file: SETTLE,
                find: "retry::next_wait(&endpoint.retry, made, asked,",
                replace: "retry::next_wait(&endpoint.retry, made.min(endpoint.retry.delays.len() as u32 - 1), asked,",
            },
            Edit {
                file: "plugin/core/src/engine/send.rs",
                find: "(delivery.attempts as usize >= endpoint.retry.delays.len())",
                replace: "(delivery.attempts as usize > endpoint.retry.delays.len())",
            },
        ],
    },
    Bug {
        name: "timeouts not counted",
        what: "an attempt without an answer costs none",
        edits: &[Edit {
            file: SETTLE,
            find: "        delivery.attempts += 1;",
            replace: "        delivery.attempts += u32::from(ending.status().is_some());",
        }],
    },
    Bug {
        name: "a redirect is taken for delivered",
        what: "3xx ends a delivery as 2xx does",
        edits: &[Edit {
            file: "plugin/core/src/outcome.rs",
            find: "Self::Status(200..=299) => Verdict::Delivered,",
            replace: "Self::Status(200..=399) => Verdict::Delivered,",
        }],
    },
    Bug {
        name: "dead letter dropped",
        what: "a delivery that has failed for good ends without a letter",
        edits: &[Edit {
            file: SETTLE,
            find: "(self.keep_letter(world, &letter, &payload).is_ok(), stage)",
            replace: "(letter.attempts < u32::MAX || payload.is_empty(), stage)",
        }],
    },
    Bug {
        name: "letter without its body",
        what: "a dead letter is kept without what was to be delivered",
        edits: &[Edit {
            file: RING,
            find: "let bytes = with_payload(letter, payload)?;",
            replace: "let bytes = with_payload(letter, payload.get(..0).unwrap_or_default())?;",
        }],
    },
    Bug {
        name: "the newest letter goes",
        what: "a full ring gives up its newest letter, not its oldest",
        edits: &[Edit {
            file: RING,
            find: "let oldest = self.letters.remove(0);",
            replace: "let oldest = self.letters.remove(self.letters.len() - 1);",
        }],
    },
    Bug {
        name: "a letter too many",
        what: "the ring holds a letter more than it may",
        edits: &[Edit {
            file: RING,
            find: "self.letters.len() >= limits.dead_letters as usize",
            replace: "self.letters.len() > limits.dead_letters as usize",
        }],
    },
    Bug {
        name: "letters by number only",
        what: "the bytes of dead letters are not limited",
        edits: &[Edit {
            file: RING,
            find: " || total + size > limits.dead_letter_bytes)",
            replace: " || total + size == u64::MAX)",
        }],
    },
    Bug {
        name: "expired in flight",
        what: "a delivery grows too old while its attempt is under way, and is both delivered and dead",
        edits: &[Edit {
            file: SETTLE,
            find: "
                    && !delivery.under_way
",
            replace: "
",
        }],
    },
    Bug {
        name: "expired at half its age",
        what: "a delivery is too old at half of max_age",
        edits: &[Edit {
            file: SETTLE,
            find: "max_age.is_some_and(|max_age| now.since(event.accepted) >= max_age)",
            replace: "max_age.is_some_and(|max_age| now.since(event.accepted) >= max_age / 2)",
        }],
    },
    Bug {
        name: "a lost end is not missed",
        what: "an attempt whose end is never told is waited for for ever",
        edits: &[Edit {
            file: SETTLE,
            find: "self.flights.iter().filter(|flight| flight.overdue <= now);",
            replace: "self.flights.iter().filter(|flight| flight.overdue < flight.started);",
        }],
    },
    Bug {
        name: "endless sink",
        what: "attempts at a sink are not counted",
        edits: &[Edit {
            file: SETTLE,
            find: "let attempts = attempts + 1;",
            replace: "let attempts = attempts.min(0);",
        }],
    },
    Bug {
        name: "removed endpoint forgotten",
        what: "a delivery to an endpoint that is gone from the config is dropped without a letter",
        edits: &[Edit {
            file: "plugin/core/src/engine/hold.rs",
            find: "None => self.bury_removed(world, place, &pending, record)?,",
            replace: "None => {}",
        }],
    },
    Bug {
        name: "overflow forgotten",
        what: "a delivery that finds the queue full is dropped without a letter",
        edits: &[Edit {
            file: "plugin/core/src/engine/accept.rs",
            find: "self.keep_letter(world, &letter, payload).map_err(|_| STORE_REFUSAL)?;",
            replace: "let _ = (&letter, payload, world.now);",
        }],
    },
    Bug {
        name: "overflow without a sink forgotten",
        what: "a delivery that finds the queue full leaves a letter only where it has a sink",
        edits: &[Edit {
            file: "plugin/core/src/engine/accept.rs",
            find: "pending.deliveries.iter().filter(|delivery| !matches!(delivery.stage, Stage::Waiting { .. }))",
            replace: "pending.deliveries.iter().filter(|delivery| matches!(delivery.stage, Stage::Sinking { .. }))",
        }],
    },
    Bug {
        name: "200 for a failure",
        what: "a producer that waits is told that all is delivered when something failed",
        edits: &[Edit {
            file: PLEDGE,
            find: "} else if any(Status::Failed) {",
            replace: "} else if any(Status::Disabled) {",
        }],
    },
    Bug {
        name: "ack_timeout twice as long",
        what: "a producer that waits is answered too late",
        edits: &[Edit {
            file: "plugin/core/src/engine/accept.rs",
            find: "let deadline = world.now.mono.plus(timeout);",
            replace: "let deadline = world.now.mono.plus(timeout).plus(timeout);",
        }],
    },
    Bug {
        name: "idempotency key forgotten",
        what: "the first answer of a key is not remembered",
        edits: &[Edit {
            file: PLEDGE,
            find: "let kept = (200..300).contains(&answer.status)",
            replace: "let kept = (300..400).contains(&answer.status)",
        }],
    },
    Bug {
        name: "a key in progress is granted",
        what: "two requests of one key at a time are two events",
        edits: &[Edit {
            file: "plugin/core/src/idempotency.rs",
            find: "Progress::Claimed { until } if *until > now => Claim::InProgress,",
            replace: "Progress::Claimed { until } if *until < now => Claim::InProgress,",
        }],
    },
];
