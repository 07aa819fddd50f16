//! Requests to the admin surface, and those of them that drain: they wait until nothing is pending any more.

use std::rc::Rc;
use std::time::Duration;

use super::Engine;
use super::action::Action;
use super::drains::Drain;
use crate::admin::about::About;
use crate::admin::{self, AdminRequest, Outcome};
use crate::answer::{Answer, Problem};
use crate::ingress::request::RequestResult;
use crate::ledger::Partition;
use crate::store::{StoreError, World};
use crate::telemetry::notice::Notice;

/// The longest that a drain request waits until nothing is pending: below the 5 minutes after which Envoy gives up an
/// idle stream, above what a schedule takes by default.
const DRAIN: Duration = Duration::from_secs(60);

/// The longest that a drain request waits when only held deliveries are left, which do not end by themselves. Attempts
/// that were under way when the endpoint was disabled have ended by then, with the default `timeout`; whoever stops the
/// process has to learn of the rest while there is time.
const HELD: Duration = Duration::from_secs(10);

/// The shortest that a drain request waits: a worker learns of the drain within a quarter of a second, and has kept by
/// then what it was accepting.
const LEARNT: Duration = Duration::from_secs(1);

impl Engine {
    /// Answers a request to the admin surface; `None`: the answer comes later, as an action.
    pub(super) fn administer(
        &mut self,
        world: &mut World<'_>,
        stream: u32,
        request: &AdminRequest<'_>,
    ) -> Option<Answer> {
        let config = Rc::clone(&self.config);
        let (answer, line) = match admin::handle(world, &self.keys, config.admin.as_ref()?, request) {
            Outcome::Answer(answer) => return Some(answer),
            Outcome::Refused(answer, refusal) => {
                self.output.note(Notice::Request(RequestResult::Admin(refusal)));
                return Some(answer);
            }
            Outcome::Changed(answer, line, rolled_back) => {
                rolled_back
                    .into_iter()
                    .for_each(|endpoint| self.output.note(Notice::RolledBackByOperator { endpoint }));
                (Some(answer), line)
            }
            Outcome::Drain(line) => {
                self.drains.push(Drain { stream, since: world.now.mono });
                (None, line)
            }
        };
        self.forget_copies(world);
        self.output.note(Notice::Changed { line });
        self.publish_changes(world);
        answer
    }

    /// Forgets a drain request whose stream is over.
    pub(super) fn operator_gone(&mut self, stream: u32) {
        self.drains.retain(|drain| drain.stream != stream);
    }

    /// Answers the drain requests for which nothing is pending any more, or which have waited long enough.
    pub(super) fn check_drains(&mut self, world: &mut World<'_>) {
        let now = world.now.mono;
        // Before `LEARNT` has passed a worker may not know yet that no event is to be accepted.
        if self.drains.iter().all(|drain| now.since(drain.since) < LEARNT) {
            return;
        }
        let about = About::read(world.store, &self.keys).ok().flatten().unwrap_or_default();
        let (pending, held) = match self.left(world, &about) {
            Ok(left) => left,
            Err(error) => return self.output.note(Notice::Store { doing: "counting what is pending", error }),
        };
        let over = self.drains.extract_if(.., |drain| {
            let waited = now.since(drain.since);
            waited >= DRAIN || (pending == 0 && waited >= if held == 0 { LEARNT } else { HELD })
        });
        for Drain { stream, .. } in over.collect::<Vec<_>>() {
            let answer = admin::drained(world.store, &self.keys, &about, pending, held);
            self.output.act(Action::Answer { stream, answer });
        }
    }

    /// How many deliveries are pending in all partitions, and how many are held instead.
    fn left(&self, world: &mut World<'_>, about: &About) -> Result<(usize, usize), StoreError> {
        let held = about.held(world.store, &self.keys, world.now)?;
        let (mut pending, mut waiting) = (0, 0);
        Partition::survey(world.store, &self.keys, world.now.mono, &mut |event| {
            for delivery in event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
                *(if held.holds(delivery) { &mut waiting } else { &mut pending }) += 1;
            }
        })?;
        Ok((pending, waiting))
    }

    /// The answer to a request to the admin surface that is refused before anybody looks at what it wants.
    pub(super) fn refuse_operator(&self, world: &mut World<'_>, problem: Problem) -> Answer {
        admin::named(world.store, &self.keys, problem)
    }
}
