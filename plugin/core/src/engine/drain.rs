//! The admin surface's requests, and those of them that wait until nothing is pending any more.

use std::rc::Rc;
use std::time::Duration;

use super::{Action, Engine, World};
use crate::admin::about::About;
use crate::admin::control::Cached;
use crate::admin::{self, Outcome, Request};
use crate::answer::{Answer, Problem};
use crate::ledger::Partition;
use crate::store::StoreError;
use crate::telemetry::notice::Notice;
use crate::time::Instant;

/// How long a drain is waited for: below the 5 minutes after which Envoy gives up an idle stream, above what a schedule
/// takes by default.
const DRAIN: Duration = Duration::from_secs(60);

/// How long what is held is waited for: what was under way when it began to be held has ended by then, with the default
/// `timeout`. It would not end, and who ends the process needs to know that while there is time.
const HELD: Duration = Duration::from_secs(10);

/// How long at least: a worker learns of the drain within [`REREAD`], and what it was taking then is kept soon after.
const LEARNT: Duration = Duration::from_secs(1);

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
            Outcome::Changed(answer, line, rolled_back) => {
                rolled_back.into_iter().for_each(|endpoint| self.note(Notice::RolledBackByOperator { endpoint }));
                (Some(answer), line)
            }
            Outcome::Drain(line) => {
                self.drains.push(Drain { stream, since: world.now.mono });
                (None, line)
            }
        };
        // This worker need not wait to learn of it.
        self.control = Cached::default();
        self.seen.clear();
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
        if self.drains.iter().all(|drain| now.since(drain.since) < LEARNT) {
            return;
        }
        let about = About::read(world.store, &self.prefix).ok().flatten().unwrap_or_default();
        let (pending, held) = match self.left(world, &about) {
            Ok(left) => left,
            Err(error) => return self.note(Notice::Store { doing: "counting what is pending", error }),
        };
        let over = self.drains.extract_if(.., |drain| {
            let waited = now.since(drain.since);
            waited >= DRAIN || (pending == 0 && waited >= if held == 0 { LEARNT } else { HELD })
        });
        for Drain { stream, .. } in over.collect::<Vec<_>>() {
            let answer = admin::drained(world.store, &self.prefix, &about, pending, held);
            self.outbox.push_back(Action::Answer { stream, answer });
        }
    }

    /// How many deliveries are pending in all partitions, and how many are held instead.
    fn left(&self, world: &mut World<'_>, about: &About) -> Result<(usize, usize), StoreError> {
        let held = about.held(world.store, &self.prefix, world.now)?;
        let (mut pending, mut waiting) = (0, 0);
        Partition::survey(world.store, &self.prefix, world.now.mono, &mut |event| {
            for delivery in event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
                *(if held.holds(delivery) { &mut waiting } else { &mut pending }) += 1;
            }
        })?;
        Ok((pending, waiting))
    }

    /// The answer to a request to the admin surface whose body is larger than [`admin::BODY_MAX`].
    pub fn refuse_operator(&self, world: &mut World<'_>) -> Answer {
        admin::named(world.store, &self.prefix, Problem::too_large(admin::BODY_MAX))
    }
}
