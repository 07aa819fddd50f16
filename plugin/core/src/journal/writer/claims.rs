//! Takeover: a writer finds the dead ones, claims them, reads what they have left, and releases them.
//!
//! Once a second every living writer asks who is registered, who is alive and who is claimed. A claim holds as long as
//! the claimer is alive, so that what a claimer leaves undone is claimed by the next one.

use std::time::Duration;

use super::Writer;
use crate::journal::event::JournalEvent;
use crate::journal::jobs::{AGAIN, Job, JobPurpose};
use crate::journal::operation::{Operation, Outcome, SegmentId, WriterId};
use crate::journal::segments::{Left, OpenSegment};
use crate::journal::takeover::Claim;
use crate::time::Instant;

/// How often a writer asks who is alive.
const SURVEY_EVERY: Duration = Duration::from_secs(1);

/// The most dead writers that are claimed after one look: the workers of a gateway or two. The rest is left to other
/// gateways, and to the next look.
const CLAIMS_MAX: usize = 4;

/// How long a dead writer is left to others whose events need an endpoint that this gateway does not have.
const LEFT_FOR: Duration = Duration::from_secs(15);

impl Writer {
    /// Asks who is alive when it is time, and goes on with the claims.
    pub(super) fn take_over(&mut self, now: Instant) {
        if now.since(self.takeover.surveyed) >= SURVEY_EVERY
            && !self.is_asking(|job| matches!(job.purpose, JobPurpose::Survey))
        {
            self.takeover.surveyed = now;
            self.ask(now, Operation::Survey, JobPurpose::Survey);
        }
        for dead in self.takeover.claimed().collect::<Vec<_>>() {
            if !self.is_asking(|job| is_about(job, dead)) {
                self.go_on(now, dead);
            }
        }
    }

    /// Reads the next segments of a dead writer, or releases the writer when nothing is left to do here.
    fn go_on(&mut self, now: Instant, dead: WriterId) {
        let Some(claim) = self.takeover.claims.get(&dead).copied() else { return };
        if claim.is_handing || now < claim.again {
            return;
        }
        if !claim.is_read {
            if !self.takeover.is_held {
                self.ask(
                    now,
                    Operation::Page { owner: dead, after: claim.after, most: self.takeover.page },
                    JobPurpose::Takeover(dead),
                );
            }
            return;
        }
        let left = self.segments.left(dead);
        // Whoever has the letters keeps the claim: it is by the claim that they outlive this gateway, too.
        if matches!(left, Left::Here | Left::Letters) || (left == Left::ToOthers && self.segments.has_news(dead)) {
            return;
        }
        let (writer, is_done) = (self.id(), left == Left::Nothing);
        self.ask(now, Operation::Release { writer, dead, is_done }, JobPurpose::Takeover(dead));
    }

    /// Opens segments that were [taken](JournalEvent::Taken): of a dead writer all of those that were read last, of this
    /// one a segment that it had given up.
    pub fn open_taken(&mut self, owner: WriterId, segments: Vec<(SegmentId, OpenSegment)>) {
        let is_own = owner == self.id;
        match self.takeover.claims.get_mut(&owner) {
            Some(claim) => claim.is_handing = false,
            None if is_own => {}
            None => return,
        }
        for (id, mut segment) in segments {
            segment.may_come_late = is_own;
            self.segments.insert(id, segment);
        }
    }

    pub(super) fn takeover_ended(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        // A claim that may have been made is asked for until that is known: it would hide the dead writer from all
        // others as long as this one lives.
        if let (Operation::Claim { .. }, true) = (&job.operation, job.is_uncertain)
            && matches!(outcome, Outcome::Unknown | Outcome::Refused(_))
        {
            return self.jobs.put_back(now, number, job, None);
        }
        match (job.operation, outcome) {
            (Operation::Survey, Outcome::Survey(survey)) => {
                self.takeover.learn(survey, now);
                self.claim_abandoned(now);
            }
            (Operation::Claim { dead, .. }, Outcome::Applied | Outcome::Already) => {
                self.takeover.claims.insert(dead, Claim::default());
                self.takeover.count += 1;
                self.tell(JournalEvent::Claimed(dead));
            }
            (Operation::Page { owner: dead, .. }, Outcome::Page(page)) => {
                let Some(claim) = self.takeover.claims.get_mut(&dead) else { return };
                claim.after = page.segments.last().map(|segment| segment.seq).or(claim.after);
                (claim.is_read, claim.is_handing) = (!page.has_more, true);
                self.tell(JournalEvent::Taken { dead, segments: page.segments });
            }
            (Operation::Release { dead, is_done, .. }, Outcome::Applied | Outcome::Already) => {
                self.takeover.claims.remove(&dead);
                self.segments.forget(dead);
                if !is_done {
                    self.takeover.left.insert(dead, now.plus(LEFT_FOR));
                }
            }
            // The claim is gone although this writer may be alive: its lease is in doubt.
            (Operation::Release { .. }, Outcome::Fenced) => self.lose(now),
            (Operation::Page { owner: dead, .. }, _) => {
                self.takeover.page = (self.takeover.page / 2).max(1);
                self.takeover.try_again(dead, now.plus(AGAIN));
            }
            (Operation::Release { dead, .. }, _) => self.takeover.try_again(dead, now.plus(AGAIN)),
            // Asked again at the next look.
            _ => {}
        }
    }

    /// Claims dead writers that nobody has claimed, and those that this one has claimed without knowing it: a call that had
    /// no answer may be carried out late, when another's claim has ended. Which ones are tried first depends on the writer's
    /// own id, so that many living writers share many dead ones.
    fn claim_abandoned(&mut self, now: Instant) {
        self.takeover.left.retain(|_, until| *until > now);
        let fleet = &self.takeover.fleet;
        let mut dead: Vec<WriterId> = fleet.abandoned().chain(fleet.claimed_by(self.id)).collect();
        dead.retain(|dead| {
            let is_new = !self.takeover.claims.contains_key(dead) && !self.takeover.left.contains_key(dead);
            is_new && *dead != self.id() && !self.is_asking(|job| is_about(job, *dead))
        });
        if let Some(first) = usize::from(self.id().0[0]).checked_rem(dead.len()) {
            dead.rotate_left(first);
        }
        let room = CLAIMS_MAX.saturating_sub(self.takeover.claims.values().filter(|claim| !claim.is_read).count());
        let writer = self.id();
        for dead in dead.into_iter().take(room) {
            self.ask(now, Operation::Claim { writer, dead }, JobPurpose::Takeover(dead));
        }
    }
}

fn is_about(job: &Job, dead: WriterId) -> bool {
    matches!(job.purpose, JobPurpose::Takeover(about) | JobPurpose::Note(about) | JobPurpose::Delete(about) if about == dead)
}
