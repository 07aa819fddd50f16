//! Appends: entries become segments, and each of them is committed or refused.

use std::time::Duration;

use super::{UNKNOWN_MAX, Writer, WriterState};
use crate::journal::batches::{QueuedEntry, WAIT_MAX, segment_of};
use crate::journal::event::{CommitRefusal, JournalEvent};
use crate::journal::jobs::{Job, JobPurpose};
use crate::journal::operation::{Operation, Outcome, SegmentId, StoreRefusal};
use crate::time::Instant;

/// After so long without a lease nothing new is taken: before, the store may be back in a moment.
const DOWN_MAX: Duration = Duration::from_secs(3);

impl Writer {
    /// Why nothing new is to be given to the writer now; `None`: it takes more.
    pub fn refusal(&self, now: Instant) -> Option<CommitRefusal> {
        if self.down_for(now) >= DOWN_MAX {
            // What is refused here is not sent, whatever became of the last that was.
            let last = self.last_error.filter(|last| matches!(last, CommitRefusal::Store(_)));
            return Some(last.unwrap_or(CommitRefusal::Store(StoreRefusal::NotSent)));
        }
        self.is_full.then_some(CommitRefusal::Store(StoreRefusal::Full))
    }

    pub(super) fn append_due(&mut self, now: Instant) {
        while self.batches.due(self.jobs.appends()).is_some_and(|due| due <= now) {
            if self.batches.has_key_first() && self.keys.granted.is_none() {
                // A key that is claimed before keys last would be remembered for ever.
                return;
            }
            let entries = self.batches.take(now);
            self.append_segment(now, entries);
        }
    }

    fn append_segment(&mut self, now: Instant, entries: Vec<QueuedEntry>) {
        self.next_seq += 1;
        let segment = SegmentId { writer: self.id, seq: self.next_seq };
        let finished = self.segments.take_finished(self.id, self.journal.limits().changes);
        let key = entries.first().and_then(|entry| entry.key.clone());
        let operation = Operation::Append { segment, bytes: segment_of(&entries), finished, key };
        self.jobs.push(now, self.id, operation, JobPurpose::Append { entries });
    }

    pub(super) fn append_ended(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        let Operation::Append { segment, ref bytes, ref finished, .. } = job.operation else { return };
        let JobPurpose::Append { ref entries } = job.purpose else { return };
        let (took, len) = (now.since(job.since), bytes.len() as u64);
        let is_late = took >= UNKNOWN_MAX || (!job.is_uncertain && self.has_waited(now, entries));
        let is_own = job.writer == self.id && matches!(self.state, WriterState::Open(_));
        self.events.push_back(JournalEvent::Appended { outcome: outcome.clone(), took, entries: entries.len() });
        if !matches!(outcome, Outcome::Applied) && is_own {
            let finished = finished.clone();
            // If a late try deletes them once more, nothing changes.
            self.segments.put_back_finished(job.writer, &finished);
        }
        let writer = job.writer;
        let is_uncertain = job.is_uncertain;
        match outcome {
            Outcome::Applied | Outcome::Already => {
                self.last_error = None;
                let tickets = entries.iter().map(|entry| entry.ticket).collect();
                let (bytes, may_come_late) = (len, job.is_uncertain);
                let committed = JournalEvent::Committed { segment, tickets, bytes, may_come_late, is_ours: is_own };
                self.events.push_back(committed);
            }
            Outcome::KeyTaken { revision, bytes } => {
                for ticket in entries.iter().map(|entry| entry.ticket) {
                    let bytes = bytes.clone();
                    self.events.push_back(JournalEvent::KeyTaken { ticket, revision, bytes });
                }
            }
            Outcome::Fenced => {
                if is_own {
                    self.lose(now);
                }
                self.put_back(job);
            }
            Outcome::Refused(StoreRefusal::TooLarge) if !is_uncertain && entries.len() > 1 => self.split(now, job),
            Outcome::Refused(StoreRefusal::NotSent) | Outcome::Unknown if !is_late => {
                self.jobs.put_back(now, number, job, None);
            }
            _ => self.give_up(now, job, &outcome),
        }
        self.forget_unused_but_current(writer);
    }

    /// Makes a segment void. The marker stays as long as the writer has its id: with too many of them it takes another.
    pub(super) fn make_void(&mut self, now: Instant, segment: SegmentId, has_key: bool) {
        self.markers += 1;
        self.jobs.push(now, segment.writer, Operation::Void { segment, has_key }, JobPurpose::Void);
    }

    pub(super) fn void_ended(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        match outcome {
            // A writer without its lease need not make anything void: what comes late is refused.
            Outcome::Applied | Outcome::Already | Outcome::Fenced => {}
            // What it was appended for is taken up as if another had left it.
            Outcome::Page(page) if job.writer == self.id => {
                self.events.push_back(JournalEvent::Taken { dead: job.writer, segments: page.segments });
            }
            Outcome::Page(_) => {}
            _ => self.jobs.put_back(now, number, job, None),
        }
    }

    fn has_waited(&self, now: Instant, entries: &[QueuedEntry]) -> bool {
        entries.first().is_none_or(|entry| now.since(entry.since) >= WAIT_MAX)
    }

    /// Puts entries back that were surely not appended.
    fn put_back(&mut self, job: Job) {
        if let JobPurpose::Append { entries } = job.purpose {
            self.batches.put_back(entries);
        }
    }

    /// Appends the halves of a segment that is too large as two.
    fn split(&mut self, now: Instant, job: Job) {
        let JobPurpose::Append { mut entries } = job.purpose else { return };
        let second = entries.split_off(entries.len() / 2);
        self.append_segment(now, entries);
        self.append_segment(now, second);
    }

    /// Refuses the entries of an append, and makes its segment void if it may have been appended.
    fn give_up(&mut self, now: Instant, job: Job, outcome: &Outcome) {
        let (Operation::Append { segment, key, .. }, JobPurpose::Append { entries }) = (job.operation, job.purpose)
        else {
            return;
        };
        let why = match outcome {
            Outcome::Refused(why) if !job.is_uncertain => CommitRefusal::Store(*why),
            _ => CommitRefusal::Unknown,
        };
        self.refuse(entries, why);
        if job.is_uncertain && job.writer == self.id {
            self.make_void(now, segment, key.is_some());
        }
    }

    pub(super) fn refuse(&mut self, entries: Vec<QueuedEntry>, why: CommitRefusal) {
        // An entry that is too large says nothing about the store.
        if why != CommitRefusal::Store(StoreRefusal::TooLarge) {
            self.last_error = Some(why);
        }
        let tickets = entries.into_iter().map(|entry| entry.ticket).collect();
        self.events.push_back(JournalEvent::Refused { tickets, why });
    }

    /// Makes idempotency keys last, once a minute.
    pub(super) fn keep_keys(&mut self, now: Instant) {
        if self.keys.is_due_every(now, KEEP_KEYS_EVERY)
            && !self.jobs.any(|job| matches!(job.operation, Operation::KeepKeys))
        {
            self.keys.asked = Some(now);
            self.ask(now, Operation::KeepKeys, JobPurpose::Keys);
        }
    }

    pub(super) fn keys_ended(&mut self, now: Instant, number: u64, job: Job, outcome: &Outcome) {
        match (&job.operation, outcome) {
            (Operation::KeepKeys, Outcome::Applied) => self.keys.granted = Some(job.sent),
            // What is not settled for a while is settled by the key's end.
            (_, Outcome::Unknown | Outcome::Refused(StoreRefusal::NotSent)) if now.since(job.since) < UNKNOWN_MAX => {
                self.jobs.put_back(now, number, job, None);
            }
            _ => {}
        }
    }
}

/// How often the store is asked to make idempotency keys last: a key lasts for a lease less this time.
const KEEP_KEYS_EVERY: Duration = Duration::from_secs(60);
