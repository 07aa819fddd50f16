//! The session of a writer: its lease is granted, renewed, lost, and given up.

use super::{CLOSE_MAX, REOPEN, Writer, WriterState};
use crate::journal::event::JournalEvent;
use crate::journal::jobs::{AGAIN, Job, JobPurpose};
use crate::journal::operation::{Operation, Outcome, WriterId};
use crate::journal::segments::Segments;
use crate::time::Instant;

impl Writer {
    pub(super) fn has_session_job(&self) -> bool {
        self.jobs.any(|job| matches!(job.purpose, JobPurpose::Session))
    }

    /// Opens, renews or closes the writer when it is time.
    pub(super) fn keep_session(&mut self, now: Instant, random: &mut dyn FnMut() -> [u8; 16]) {
        match self.state {
            WriterState::Closed(at) if self.closing.is_none() && now >= at => {
                self.forget_unused(self.id);
                (self.id, self.next_seq, self.markers) = (WriterId(random()), 0, 0);
                self.down_since.get_or_insert(now);
                self.state = WriterState::Opening;
                self.member_written = self.member.clone();
                let operation = Operation::Open { writer: self.id, member: self.member.encode() };
                self.jobs.push(now, self.id, operation, JobPurpose::Session);
            }
            WriterState::Closed(_) | WriterState::Opening => {}
            WriterState::Open(_) if self.has_session_job() => {}
            WriterState::Open(_) if self.closing.is_some_and(|since| self.may_close(now, since)) => {
                self.jobs.push(now, self.id, Operation::Close { writer: self.id }, JobPurpose::Session);
            }
            WriterState::Open(renewed) if now >= self.renewal(renewed) => {
                self.jobs.push(now, self.id, Operation::Renew { writer: self.id }, JobPurpose::Session);
            }
            WriterState::Open(_) => {}
        }
    }

    /// When a lease that was renewed at `renewed` is to be renewed again.
    pub(super) fn renewal(&self, renewed: Instant) -> Instant {
        renewed.plus(self.lease / 3).max(self.renew_after)
    }

    /// Whether nothing is left to tell the store, or there was time enough for it.
    pub(super) fn may_close(&self, now: Instant, since: Instant) -> bool {
        let is_noting = self.jobs.any(|job| matches!(job.purpose, JobPurpose::Note(_) | JobPurpose::Delete(_)));
        let has_news = self.owners().into_iter().any(|owner| self.segments.has_news(owner));
        let is_silent = self.batches.is_empty() && self.jobs.appends() == 0 && !is_noting && !has_news;
        (is_silent && !self.has_messages()) || now.since(since) >= CLOSE_MAX
    }

    pub(super) fn session_ended(&mut self, now: Instant, job: &Job, outcome: &Outcome) {
        if job.writer != self.id {
            return;
        }
        match (&job.operation, outcome) {
            (Operation::Open { .. } | Operation::Renew { .. }, Outcome::Applied | Outcome::Already) => {
                // The lease begins when etcd has the call, so not before the call left.
                self.state = WriterState::Open(job.sent);
                self.down_since = None;
            }
            (Operation::Open { .. }, _) => self.state = WriterState::Closed(now.plus(REOPEN)),
            (Operation::Renew { .. }, Outcome::Fenced) => self.lose(now),
            (Operation::Close { .. }, _) => self.lose(now),
            // The next renewal is due soon, while the lease may last; at once would be for ever where no call is sent.
            (_, _) => {
                self.renew_after = now.plus(AGAIN);
                if let WriterState::Open(renewed) = self.state
                    && now.since(renewed) >= self.lease
                {
                    self.down_since.get_or_insert(renewed.plus(self.lease));
                }
            }
        }
    }

    /// Begins anew: the lease is gone, and what this writer had is others' to deliver.
    pub(super) fn lose(&mut self, now: Instant) {
        if !matches!(self.state, WriterState::Open(_)) {
            return;
        }
        self.state = WriterState::Closed(now);
        self.down_since.get_or_insert(now);
        self.segments = Segments::default();
        self.takeover.lose();
        self.jobs.retain(|job| {
            let is_kept = matches!(
                job.purpose,
                JobPurpose::Append { .. } | JobPurpose::ClaimMessage(_) | JobPurpose::EndMessage(_)
            );
            is_kept || matches!(job.operation, Operation::Close { .. })
        });
        self.forget_unused(self.id);
        self.events.push_back(JournalEvent::Lost);
    }

    pub(super) fn forget_unused(&mut self, writer: WriterId) {
        if !self.jobs.any(|job| job.writer == writer) {
            self.journal.forget(writer);
        }
    }

    pub(super) fn forget_unused_but_current(&mut self, writer: WriterId) {
        if writer != self.id {
            self.forget_unused(writer);
        }
    }
}
