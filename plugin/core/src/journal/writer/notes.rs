//! Notes: the store is told how segments stand, and which of them are finished.

use super::{NOTE_EVERY, TIDY_EVERY, Writer, WriterState};
use crate::journal::event::JournalEvent;
use crate::journal::jobs::{Job, JobPurpose};
use crate::journal::operation::{Operation, Outcome, SegmentId, StoreRefusal, WriterId};
use crate::journal::record::{EventProgress, Member, encode_progress};
use crate::journal::segments::OpenSegment;
use crate::time::Instant;

impl Writer {
    /// The writers whose segments are this one's to deliver: itself, and those that it has claimed.
    pub(super) fn owners(&self) -> Vec<WriterId> {
        std::iter::once(self.id).chain(self.takeover.claimed()).collect()
    }

    /// Whether a note of this owner's segments is under way, or the end of the claim on them: behind that a note would be
    /// fenced.
    pub(super) fn is_noting(&self, owner: WriterId) -> bool {
        self.jobs.any(|job| match (&job.purpose, &job.operation) {
            (JobPurpose::Note(noted) | JobPurpose::Delete(noted), _) => *noted == owner,
            (_, Operation::Release { dead, .. }) => *dead == owner,
            _ => false,
        })
    }

    /// Whether it is time for a note.
    pub fn may_note(&self, now: Instant) -> bool {
        let is_time = now.since(self.noted) >= NOTE_EVERY || self.closing.is_some();
        is_time && matches!(self.state, WriterState::Open(_))
    }

    /// The writers of whose segments something is to be noted now, which [`note`](Self::note) does.
    pub fn take_notes(&mut self, now: Instant) -> Vec<WriterId> {
        if !self.may_note(now) {
            return Vec::new();
        }
        let mut owners = self.owners();
        owners.retain(|owner| {
            // A note also finds out whether a store that was full has room again.
            let has_changed = *owner == self.id && (self.is_full || self.member != self.member_written);
            (self.segments.has_news(*owner) || has_changed) && !self.is_noting(*owner)
        });
        if !owners.is_empty() {
            self.noted = now;
        }
        owners
    }

    /// Notes how the segments of an owner stand. `progress` tells how the events of a segment do.
    pub fn note(
        &mut self,
        now: Instant,
        owner: WriterId,
        progress: &mut dyn FnMut(SegmentId, &OpenSegment) -> Vec<EventProgress>,
    ) {
        let limits = self.journal.limits();
        // Half of the changes are for what is finished, and each of those takes two, for the segment and its progress.
        let most = limits.changes / 4;
        let mut gone = self.segments.take_finished_noted(owner, most);
        // Those without progress ride along, since no append may come.
        gone.extend(self.segments.take_finished(owner, most - gone.len()));
        if self.is_full && !gone.is_empty() {
            let operation = Operation::Delete { writer: self.id, owner, finished: gone };
            return self.jobs.push(now, self.id, operation, JobPurpose::Delete(owner));
        }
        let (mut noted, mut size) = (Vec::new(), 0);
        for id in self.segments.take_changed(owner, limits.changes / 2) {
            let Some(segment) = self.segments.get_mut(id) else { continue };
            // Progress that cannot be written, or is larger than all that a note may hold, is told again by the next
            // change; without it a takeover begins anew.
            let Ok(bytes) = encode_progress(&progress(id, segment)) else { continue };
            if bytes.len() > limits.segment {
                continue;
            }
            if size + bytes.len() > limits.segment {
                self.segments.put_back(owner, &[id.seq], &[]);
                continue;
            }
            size += bytes.len();
            segment.has_progress = true;
            noted.push((id.seq, bytes));
        }
        if self.segments.has_news(owner) {
            // What did not fit follows when this note has ended, and not only at the next time.
            self.noted = Instant::default();
        }
        if owner == self.id {
            self.member_written = self.member.clone();
        }
        let member = self.member.encode();
        let operation = Operation::Note { writer: self.id, owner, member, progress: noted, finished: gone };
        self.jobs.push(now, self.id, operation, JobPurpose::Note(owner));
    }

    pub(super) fn note_ended(&mut self, now: Instant, number: u64, job: Job, owner: WriterId, outcome: &Outcome) {
        match (outcome, &job.operation) {
            (Outcome::Applied | Outcome::Already, Operation::Note { progress, .. }) => {
                let noted = progress.iter().map(|(seq, _)| SegmentId { writer: owner, seq: *seq }).collect();
                self.events.push_back(JournalEvent::Noted(noted));
            }
            (Outcome::Applied | Outcome::Already, Operation::Letters { letters, .. }) => self.letters_changed(letters),
            (Outcome::Applied | Outcome::Already, _) => {}
            // Without its claim nothing of a dead writer is left to this one, and perhaps it has no lease either.
            (Outcome::Fenced, _) => self.lose(now),
            // Only the same note again keeps their order.
            (Outcome::Unknown | Outcome::Refused(StoreRefusal::NotSent), _) => {
                self.jobs.put_back(now, number, job, None);
            }
            (_, Operation::Note { .. } | Operation::Letters { .. }) if job.is_uncertain => {
                self.jobs.put_back(now, number, job, None);
            }
            (_, Operation::Note { progress, finished, .. }) => {
                let changed: Vec<u64> = progress.iter().map(|(seq, _)| *seq).collect();
                self.segments.put_back(owner, &changed, finished);
                self.member_written = Member::default();
                // A store that refuses is asked again when it is time, however much there is to note.
                self.noted = now;
            }
            (_, Operation::Delete { finished, .. }) => self.segments.put_back(owner, &[], finished),
            _ => {}
        }
    }

    /// Lets the store drop what is gone, if it is this writer's turn: that of the living one with the lowest id.
    pub(super) fn tidy(&mut self, now: Instant) {
        let is_first = self.takeover.fleet.alive.iter().map(|(writer, _)| *writer).min() == Some(self.id);
        if is_first && now.since(self.tidied) >= TIDY_EVERY {
            self.tidied = now;
            self.jobs.push(now, self.id, Operation::Tidy, JobPurpose::Tidy);
        }
    }
}
