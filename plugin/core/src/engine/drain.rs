//! The admin surface's requests, and those of them that wait until nothing is pending any more.

use std::rc::Rc;
use std::time::Duration;

use super::{Action, Engine, World};
use crate::about::About;
use crate::admin::{self, Outcome, Request};
use crate::answer::Answer;
use crate::control::{Cached, REREAD};
use crate::ledger::Partition;
use crate::notice::Notice;
use crate::time::Instant;

/// How long a drain is waited for: below the 5 minutes after which Envoy gives up an idle stream, above what a schedule
/// takes by default.
const DRAIN: Duration = Duration::from_secs(60);

/// A request that waits for the end of a drain.
#[derive(Debug)]
pub(super) struct Drain {
    stream: u32,
    since: Instant,
}

impl Engine {
    /// Answers a request to the admin surface; `None`: the answer comes later, as an action.
    pub fn administer(&mut self, world: &mut World<'_>, stream: u32, request: &Request<'_>) -> Option<Answer> {
        let config = Rc::clone(&self.config);
        let (answer, line) = match admin::handle(world, &self.prefix, config.admin.as_ref()?, request) {
            Outcome::Answer(answer) => return Some(answer),
            Outcome::Changed(answer, line) => (Some(answer), line),
            Outcome::Drain(line) => {
                self.drains.push(Drain { stream, since: world.now.mono });
                (None, line)
            }
        };
        // This worker need not wait to learn of it.
        self.control = Cached::default();
        self.note(Notice::Changed { line });
        answer
    }

    /// A stream that waited for the end of a drain is over.
    pub fn drain_over(&mut self, stream: u32) {
        self.drains.retain(|drain| drain.stream != stream);
    }

    /// Answers those that wait for the end of a drain, when it has come.
    pub(super) fn check_drains(&mut self, world: &mut World<'_>) {
        let now = world.now.mono;
        // Before that a worker may not know yet that nothing is to be accepted.
        if self.drains.iter().all(|drain| now.since(drain.since) < REREAD) {
            return;
        }
        let mut pending = 0;
        let surveyed = Partition::survey(world.store, &self.prefix, now, &mut |event| {
            pending += event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()).count();
        });
        if let Err(error) = surveyed {
            return self.note(Notice::Store { doing: "counting what is pending", error });
        }
        let over = self.drains.extract_if(.., |drain| {
            let waited = now.since(drain.since);
            waited >= DRAIN || (waited >= REREAD && pending == 0)
        });
        let about = About::read(world.store, &self.prefix).ok().flatten().unwrap_or_default();
        for Drain { stream, .. } in over.collect::<Vec<_>>() {
            self.outbox.push_back(Action::Answer { stream, answer: admin::drained(&about, pending) });
        }
    }
}
