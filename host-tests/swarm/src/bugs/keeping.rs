//! Bugs of what is kept: leases, slots, and who takes over from whom.

use super::{Bug, Edit};

const LEDGER: &str = "plugin/core/src/ledger.rs";
const HOLD: &str = "plugin/core/src/engine/hold.rs";
const ACCEPT: &str = "plugin/core/src/engine/accept.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "lease never renewed",
        what: "a worker that lives lets its lease lapse",
        edits: &[Edit {
            file: LEDGER,
            find: "if now.since(self.heartbeat) < HEARTBEAT {",
            replace: "if now.since(self.heartbeat) < HEARTBEAT * 1000 {",
        }],
    },
    Bug {
        name: "heartbeat ignored",
        what: "a partition is taken over from a worker that lives",
        edits: &[Edit {
            file: LEDGER,
            find: "Self::Held { heartbeat, .. } => now.since(heartbeat) >= LEASE,",
            replace: "Self::Held { heartbeat, .. } => now >= heartbeat,",
        }],
    },
    Bug {
        name: "lease of half the time",
        what: "a worker is taken for dead after five seconds",
        edits: &[Edit {
            file: LEDGER,
            find: "Self::Held { heartbeat, .. } => now.since(heartbeat) >= LEASE,",
            replace: "Self::Held { heartbeat, .. } => now.since(heartbeat) >= LEASE / 2,",
        }],
    },
    Bug {
        name: "no fence",
        what: "a worker that stalled, and comes back, does not see that its partition is another's, and goes on",
        edits: &[Edit {
            file: LEDGER,
            find: "        if !Lease::is_held_by(&bytes, self.nonce) {
            return Ok(Ownership::Lost);
        }",
            replace: "        if !Lease::is_held_by(&bytes, self.nonce) {
            return Ok(Ownership::Held);
        }",
        }],
    },
    Bug {
        name: "loss not noticed",
        what: "a worker learns that its partition is another's, and does not forget what it held there",
        edits: &[Edit {
            file: HOLD,
            find: "            self.note(Notice::Lost { partition: number });
            self.forget(world, number);",
            replace: "            self.note(Notice::Lost { partition: number });",
        }],
    },
    Bug {
        name: "adoption skipped",
        what: "nobody takes over what a dead worker held",
        edits: &[Edit {
            file: "plugin/core/src/engine.rs",
            find: "if self.leads() { self.adopt(world) } else { self.hand_over_slowly(world) }",
            replace: "if !self.leads() { self.hand_over_slowly(world) }",
        }],
    },
    Bug {
        name: "answered before it is kept",
        what: "how an event stands is written with its first change, not before the 202",
        edits: &[Edit {
            file: LEDGER,
            find: ".and_then(|()| self.write(store, slot, state));",
            replace: ";
        let _ = state;",
        }],
    },
    Bug {
        name: "body freed early",
        what: "the body of an event is freed before its state says that it has ended",
        edits: &[Edit {
            file: LEDGER,
            find: "        store.set(&self.state_key(slot), &[FREED], None)?;
        store.set(&self.body_key(slot), &[FREED], None)?;",
            replace: "        store.set(&self.body_key(slot), &[FREED], None)?;
        store.set(&self.state_key(slot), &[FREED], None)?;",
        }],
    },
    Bug {
        name: "freed with the first delivery",
        what: "an event's slot is freed when one of its deliveries has ended",
        edits: &[Edit {
            file: "plugin/core/src/delivery.rs",
            find: "self.deliveries.iter().all(|delivery| delivery.stage.is_settled())",
            replace: "self.deliveries.iter().any(|delivery| delivery.stage.is_settled())",
        }],
    },
    Bug {
        name: "slot reused before freed",
        what: "a slot is used again although shared data could not be told that it is free",
        edits: &[Edit {
            file: LEDGER,
            find: "        store.set(&self.state_key(slot), &[FREED], None)?;
        store.set(&self.body_key(slot), &[FREED], None)?;
        self.freed.push(Reverse(slot));",
            replace: "        self.freed.push(Reverse(slot));
        store.set(&self.state_key(slot), &[FREED], None)?;
        store.set(&self.body_key(slot), &[FREED], None)?;",
        }],
    },
    Bug {
        name: "slots never used again",
        what: "each event has a slot of its own, so that keys grow without end",
        edits: &[Edit {
            file: LEDGER,
            find: "        self.freed.push(Reverse(slot));
        Ok(())
    }

    fn take_slot",
            replace: "        Ok(())
    }

    fn take_slot",
        }],
    },
    Bug {
        name: "a body is left behind",
        what: "the body of an event that has ended stays in shared data",
        edits: &[Edit {
            file: LEDGER,
            find: "        store.set(&self.body_key(slot), &[FREED], None)?;
        self.freed.push",
            replace: "        self.freed.push",
        }],
    },
    Bug {
        name: "given up with events in it",
        what: "a partition that is given up is anybody's, whatever is in it",
        edits: &[
            Edit {
                file: LEDGER,
                find: "let freed = is_empty && self.foreign == 0;",
                replace: "let freed = (is_empty || now_empty()) && self.foreign == 0;",
            },
            Edit {
                file: LEDGER,
                find: "fn lease_key(prefix: &str, number: u32) -> String {",
                replace: "fn now_empty() -> bool {
    true
}

fn lease_key(prefix: &str, number: u32) -> String {",
            },
        ],
    },
    Bug {
        name: "poison not counted",
        what: "an event that kills whoever attempts it kills them all, one after the other",
        edits: &[Edit {
            file: HOLD,
            find: "*trials = trials.saturating_add(1);",
            replace: "*trials = trials.saturating_add(0);",
        }],
    },
    Bug {
        name: "poison at the first death",
        what: "what a dead worker held is taken for what killed it",
        edits: &[Edit { file: HOLD, find: "const TRIALS_MAX: u8 = 3;", replace: "const TRIALS_MAX: u8 = 1;" }],
    },
    Bug {
        name: "pending bytes not limited",
        what: "the bytes of what waits are not limited",
        edits: &[Edit {
            file: ACCEPT,
            find: "|| self.bytes + bytes > limits.pending_bytes",
            replace: "|| self.bytes + bytes == u64::MAX",
        }],
    },
    Bug {
        name: "one above an endpoint's share",
        what: "an endpoint's share of the queue holds a delivery more",
        edits: &[Edit {
            file: ACCEPT,
            find: "taken.deliveries < endpoint.pending.saturating_mul(times)",
            replace: "taken.deliveries <= endpoint.pending.saturating_mul(times)",
        }],
    },
    Bug {
        name: "full buckets grow",
        what: "idempotency keys are remembered beyond their limit",
        edits: &[Edit {
            file: "plugin/core/src/idempotency.rs",
            find: "if self.entries.len() >= BUCKET {",
            replace: "if self.entries.len() >= BUCKET * 1000 {",
        }],
    },
];
