//! Bugs of what operators see and change.

use super::{Bug, Edit};

const CONTROL: &str = "plugin/core/src/control.rs";
const ACCEPT: &str = "plugin/core/src/engine/accept.rs";
const ENDPOINT: &str = "plugin/core/src/endpoint.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "paused ignored",
        what: "attempts leave while the gateway is paused",
        edits: &[Edit {
            file: "plugin/core/src/engine/hold.rs",
            find: "self.state() == State::Enabled && self.leads()",
            replace: "self.state() != State::Disabled && self.leads()",
        }],
    },
    Bug {
        name: "switch read once",
        what: "a worker asks only once what operators have switched",
        edits: &[Edit {
            file: CONTROL,
            find: "if self.read.is_some_and(|read| now.since(read) < REREAD) {",
            replace: "if self.read.is_some_and(|read| now >= read) {",
        }],
    },
    Bug {
        name: "off is on",
        what: "a configuration that is off delivers",
        edits: &[Edit {
            file: CONTROL,
            find: "if enabled { Self::Enabled } else { Self::Disabled }",
            replace: "if enabled { Self::Enabled } else { Self::Enabled }",
        }],
    },
    Bug {
        name: "disabled takes events",
        what: "a gateway that an operator disabled takes events as ever",
        edits: &[Edit {
            file: ACCEPT,
            find: "if self.state() == State::Disabled {",
            replace: "if !self.config.enabled {",
        }],
    },
    Bug {
        name: "drain takes events",
        what: "a gateway that is draining takes events as ever",
        edits: &[Edit {
            file: ACCEPT,
            find: "if self.control.get().draining {",
            replace: "if self.control.get().draining && self.is_closing {",
        }],
    },
    Bug {
        name: "drained too soon",
        what: "a drain is answered before all has ended",
        edits: &[
            Edit {
                file: "plugin/core/src/engine/drain.rs",
                find: "waited >= DRAIN || (pending == 0 &&",
                replace: "waited >= DRAIN || (pending != 1 &&",
            },
            Edit {
                file: "plugin/core/src/engine/drain.rs",
                find: "admin::drained(&about, pending, held)",
                replace: "admin::drained(&about, pending.min(0), held)",
            },
        ],
    },
    Bug {
        name: "disabled endpoint ignored",
        what: "attempts leave for an endpoint that an operator disabled",
        edits: &[Edit {
            file: ENDPOINT,
            find: "if shared.is_disabled(endpoint) {
            return Ok((recheck, None));",
            replace: "if endpoint.disabled || shared.is_gone(endpoint.digest) {
            return Ok((recheck, None));",
        }],
    },
    Bug {
        name: "410 ignored",
        what: "attempts leave for an endpoint that said that it is gone",
        edits: &[Edit {
            file: ENDPOINT,
            find: "unwrap_or(configured || self.is_gone(digest))",
            replace: "unwrap_or(configured)",
        }],
    },
    Bug {
        name: "redelivery twice",
        what: "a letter that is redelivered stays in the ring",
        edits: &[Edit {
            file: "plugin/core/src/admin/letters.rs",
            find: "let discarded = dead_letter::discard(self.world.store, self.prefix, &kept);",
            replace: "let discarded = dead_letter::discard(self.world.store, self.prefix, &[]);",
        }],
    },
    Bug {
        name: "status counts what has ended",
        what: "an operator sees deliveries as pending that have ended",
        edits: &[Edit {
            file: "plugin/core/src/admin/status.rs",
            find: "event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
                oldest",
            replace: "event.deliveries.iter() {
                oldest",
        }],
    },
];
