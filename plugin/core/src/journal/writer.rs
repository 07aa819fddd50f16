//! The writer: one engine's part of the journal. It keeps its lease, appends what was admitted, notes what has ended, and
//! takes over what dead writers have left.
//!
//! ```text
//!            opened               the store says that the lease is gone
//!  Closed ──────────▶ Open ────────────────────────────────────────────▶ Closed, with a new id
//!    ▲  a failure: tried again     │ closed by the engine
//!    └─────────────────────────────┘
//! ```
//!
//! A state machine without I/O: [`Writer::handle_timeout`] is told the time, [`Writer::poll_call`] gives calls to make,
//! [`Writer::handle_reply`] takes what came back, [`Writer::poll_event`] gives what happened.
//!
//! **An outcome that is not known** (a timeout, a reset) is no failure: etcd may have carried the call out, or may yet.
//! The operation is asked again with the same content, which the store recognises. An append that stays unknown for
//! [`UNKNOWN_MAX`] is refused, and its segment made void, so that it cannot come late.

use std::collections::VecDeque;
use std::time::Duration;

use crate::journal::batches::{Batches, EntryTicket, QueuedEntry, segment_of};
use crate::journal::jobs::{Job, JobPurpose, Jobs};
use crate::journal::operation::{
    Journal, Operation, Outcome, SegmentId, StoreCall, StoreRefusal, StoreReply, StoredSegment, Survey, WriterId,
};
use crate::journal::record::{EventProgress, Member, encode_progress};
use crate::journal::segments::{OpenSegment, Segments};
use crate::journal::takeover::Takeover;
use crate::time::Instant;

mod claims;

/// How long the outcome of an append may stay unknown until its producers are refused.
pub const UNKNOWN_MAX: Duration = Duration::from_secs(4);

/// The shortest time between two notes of one owner's segments: what ended within it may come twice after a takeover.
pub const NOTE_EVERY: Duration = Duration::from_millis(500);

/// The wait until a writer that could not be opened is opened again.
const REOPEN: Duration = Duration::from_millis(500);

/// How often the store is tidied by the writer whose turn it is.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// How long a writer that is to end waits for the store; then its lease lapses by itself.
const CLOSE_MAX: Duration = Duration::from_secs(3);

/// Why entries were not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitRefusal {
    /// The store refuses them.
    Store(StoreRefusal),
    /// Nobody can tell whether they were appended; they are void now, or will be.
    Unknown,
}

/// What has happened in the journal.
#[derive(Debug, PartialEq, Eq)]
pub enum JournalEvent {
    /// Entries were appended in a segment, in this order.
    Committed {
        /// The segment.
        segment: SegmentId,
        /// The numbers of the entries.
        tickets: Vec<EntryTicket>,
        /// The size of the segment, in bytes.
        bytes: u64,
        /// The segment is this writer's still; else whoever takes its writer over delivers it.
        is_ours: bool,
    },
    /// Entries were not appended.
    Refused {
        /// The numbers of the entries.
        tickets: Vec<EntryTicket>,
        /// Why.
        why: CommitRefusal,
    },
    /// Nothing in the journal is this worker's any more: neither its own segments nor those that it had claimed.
    Lost,
    /// A dead writer was claimed.
    Claimed(WriterId),
    /// Segments of a dead writer were read, and are this worker's to deliver.
    Taken {
        /// The dead writer.
        dead: WriterId,
        /// The segments.
        segments: Vec<StoredSegment>,
    },
    /// It was noted how segments of this owner stand.
    Noted(Vec<SegmentId>),
    /// An append has ended so, this long after it was asked for first.
    Appended {
        /// The outcome.
        outcome: Outcome,
        /// The time it took.
        took: Duration,
        /// The number of entries.
        entries: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    /// Not registered; to be opened at this time.
    Closed(Instant),
    Opening,
    /// Registered; the lease was renewed by a call that left at this time.
    Open(Instant),
}

/// The writer of one engine. See the module.
pub struct Writer {
    journal: Box<dyn Journal>,
    lease: Duration,
    id: WriterId,
    state: WriterState,
    /// Since when there is no lease.
    down_since: Option<Instant>,
    /// The writer is to end, since then.
    closing: Option<Instant>,
    next_seq: u64,
    batches: Batches,
    jobs: Jobs,
    /// The segments that this writer keeps in the store.
    pub segments: Segments,
    takeover: Takeover,
    events: VecDeque<JournalEvent>,
    member: Member,
    member_written: Member,
    noted: Instant,
    tidied: Instant,
    /// The store has no room: only what deletes goes through.
    is_full: bool,
    last_error: Option<CommitRefusal>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer that holds nothing, with a lease of this length.
    pub fn new(journal: Box<dyn Journal>, lease: Duration) -> Self {
        Self {
            journal,
            lease,
            id: WriterId([0; 16]),
            state: WriterState::Closed(Instant::default()),
            down_since: None,
            closing: None,
            next_seq: 0,
            batches: Batches::default(),
            jobs: Jobs::default(),
            segments: Segments::default(),
            takeover: Takeover::default(),
            events: VecDeque::new(),
            member: Member::default(),
            member_written: Member::default(),
            noted: Instant::default(),
            tidied: Instant::default(),
            is_full: false,
            last_error: None,
        }
    }

    /// The writer's id; another one after each loss of its lease.
    pub fn id(&self) -> WriterId {
        self.id
    }

    /// Whether the writer holds its lease, as far as its own clock can tell. One that does not is perhaps taken over, and
    /// starts no attempt.
    pub fn is_alive(&self, now: Instant) -> bool {
        matches!(self.state, WriterState::Open(renewed) if now.since(renewed) < self.lease)
    }

    /// How long there has been no lease.
    pub fn down_for(&self, now: Instant) -> Duration {
        self.down_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether the store has no room.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Why entries were last refused, if none was appended since.
    pub fn last_error(&self) -> Option<CommitRefusal> {
        self.last_error
    }

    /// What was found out last about the fleet.
    pub fn fleet(&self) -> &Survey {
        &self.takeover.fleet
    }

    /// Says what others are to know of this writer.
    pub fn set_member(&mut self, member: Member) {
        self.member = member;
    }

    /// Dead writers that were claimed so far.
    pub fn takeovers(&self) -> u64 {
        self.takeover.count
    }

    /// Says whether no more is to be read of dead writers, for want of room.
    pub fn hold_takeover(&mut self, is_held: bool) {
        self.takeover.is_held = is_held;
    }

    /// Makes the next note leave at once.
    pub fn note_soon(&mut self) {
        self.noted = Instant::default();
    }

    /// Appends an entry; a [`JournalEvent`] tells its fate.
    pub fn append(&mut self, now: Instant, ticket: EntryTicket, bytes: Vec<u8>) {
        self.batches.push(QueuedEntry { ticket, bytes, since: now });
    }

    /// The largest entry that can be appended, in bytes.
    pub fn entry_max(&self) -> usize {
        self.journal.limits().segment.saturating_sub(1)
    }

    /// Ends the writer once what it has asked of the store is answered. What it leaves is others' to deliver.
    pub fn close(&mut self, now: Instant) {
        self.closing.get_or_insert(now);
    }

    /// Gives everything up at once: what this writer has is others' to deliver, its own next one's among them.
    pub fn abandon(&mut self, now: Instant) {
        if matches!(self.state, WriterState::Open(_)) {
            self.jobs.push(now, self.id, Operation::Close { writer: self.id }, JobPurpose::Session);
            self.lose(now);
        }
    }

    /// Lets a writer that was to end go on.
    pub fn reopen(&mut self, now: Instant) {
        if self.closing.take().is_some() && self.state != WriterState::Opening {
            self.down_since = None;
            if let WriterState::Closed(_) = self.state {
                self.state = WriterState::Closed(now);
            }
        }
    }

    /// Whether a writer that is to end has ended.
    pub fn is_closed(&self) -> bool {
        self.closing.is_some() && matches!(self.state, WriterState::Closed(_)) && self.jobs.appends() == 0
    }

    /// Does what the time brings. `takes_over`: this writer claims dead ones; `random` draws the id of a new writer.
    pub fn handle_timeout(&mut self, now: Instant, takes_over: bool, random: &mut dyn FnMut() -> [u8; 16]) {
        for number in self.jobs.overdue(now) {
            self.handle_reply(now, number, &StoreReply::Lost);
        }
        let expired = self.batches.expired(now);
        if !expired.is_empty() {
            self.refuse(expired, CommitRefusal::Store(StoreRefusal::NotSent));
        }
        self.keep_session(now, random);
        if matches!(self.state, WriterState::Open(_)) {
            self.append_due(now);
            if self.closing.is_none() {
                if takes_over && self.is_alive(now) {
                    self.take_over(now);
                }
                self.tidy(now);
            }
        }
    }

    /// The next call to make, with the number by which its answer is reported.
    pub fn poll_call(&mut self, now: Instant) -> Option<(u64, StoreCall)> {
        let journal = &mut self.journal;
        self.jobs.poll(now, &mut |operation| journal.call(operation))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<JournalEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = match self.state {
            WriterState::Closed(at) => self.closing.is_none().then_some(at),
            WriterState::Opening => None,
            WriterState::Open(renewed) => Some(renewed.plus(self.lease / 3)).filter(|_| !self.has_session_job()),
        };
        let is_open = matches!(self.state, WriterState::Open(_));
        let append = self.batches.due(self.jobs.appends()).filter(|_| is_open);
        let note = (is_open && self.segments.has_news(self.id)).then(|| self.noted.plus(NOTE_EVERY));
        [session, append, note, self.batches.expires(), self.jobs.next()].into_iter().flatten().min()
    }

    /// Handles what came back of a call.
    pub fn handle_reply(&mut self, now: Instant, number: u64, reply: &StoreReply) {
        let Some(mut job) = self.jobs.take(number) else { return };
        match self.journal.read(&job.operation, job.part, reply) {
            Err(next) => self.jobs.put_back(now, number, job, Some(next)),
            Ok(outcome) => {
                match outcome {
                    Outcome::Applied | Outcome::Already => self.is_full = false,
                    Outcome::Refused(StoreRefusal::Full) => self.is_full = true,
                    Outcome::Unknown => job.is_uncertain = true,
                    _ => {}
                }
                self.handle_outcome(now, number, job, outcome);
            }
        }
    }

    fn handle_outcome(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        match job.purpose {
            JobPurpose::Session => {
                self.session_ended(now, &job, &outcome);
                self.forget_unused_but_current(job.writer);
            }
            JobPurpose::Append { .. } => self.append_ended(now, number, job, outcome),
            // A writer without its lease need not make anything void: what comes late is refused.
            JobPurpose::Void if matches!(outcome, Outcome::Applied | Outcome::Fenced) => {}
            JobPurpose::Void => self.jobs.put_back(now, number, job, None),
            JobPurpose::Note(owner) | JobPurpose::Delete(owner) => self.note_ended(now, number, job, owner, &outcome),
            JobPurpose::Survey | JobPurpose::Takeover(_) => self.takeover_ended(now, job, outcome),
            JobPurpose::Tidy => {}
        }
    }

    fn has_session_job(&self) -> bool {
        self.jobs.any(|job| matches!(job.purpose, JobPurpose::Session))
    }

    /// Opens, renews or closes the writer when it is time.
    fn keep_session(&mut self, now: Instant, random: &mut dyn FnMut() -> [u8; 16]) {
        match self.state {
            WriterState::Closed(at) if self.closing.is_none() && now >= at => {
                (self.id, self.next_seq) = (WriterId(random()), 0);
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
            WriterState::Open(renewed) if now >= renewed.plus(self.lease / 3) => {
                self.jobs.push(now, self.id, Operation::Renew { writer: self.id }, JobPurpose::Session);
            }
            WriterState::Open(_) => {}
        }
    }

    /// Whether nothing is left to tell the store, or there was time enough for it.
    fn may_close(&self, now: Instant, since: Instant) -> bool {
        let is_noting = self.jobs.any(|job| matches!(job.purpose, JobPurpose::Note(_) | JobPurpose::Delete(_)));
        let has_news = self.owners().into_iter().any(|owner| self.segments.has_news(owner));
        let is_silent = self.batches.is_empty() && self.jobs.appends() == 0 && !is_noting && !has_news;
        is_silent || now.since(since) >= CLOSE_MAX
    }

    fn session_ended(&mut self, now: Instant, job: &Job, outcome: &Outcome) {
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
            // The next renewal is due at once, while the lease may last.
            (_, _) => {
                if let WriterState::Open(renewed) = self.state
                    && now.since(renewed) >= self.lease
                {
                    self.down_since.get_or_insert(renewed.plus(self.lease));
                }
            }
        }
    }

    /// Begins anew: the lease is gone, and what this writer had is others' to deliver.
    fn lose(&mut self, now: Instant) {
        if !matches!(self.state, WriterState::Open(_)) {
            return;
        }
        self.state = WriterState::Closed(now);
        self.down_since.get_or_insert(now);
        self.segments = Segments::default();
        self.takeover.lose();
        self.jobs.retain(|job| {
            matches!(job.purpose, JobPurpose::Append { .. }) || matches!(job.operation, Operation::Close { .. })
        });
        self.forget_unused(self.id);
        self.events.push_back(JournalEvent::Lost);
    }

    fn forget_unused(&mut self, writer: WriterId) {
        if !self.jobs.any(|job| job.writer == writer) {
            self.journal.forget(writer);
        }
    }

    fn append_due(&mut self, now: Instant) {
        while self.batches.due(self.jobs.appends()).is_some_and(|due| due <= now) {
            let entries = self.batches.take(now);
            self.append_segment(now, entries);
        }
    }

    fn append_segment(&mut self, now: Instant, entries: Vec<QueuedEntry>) {
        self.next_seq += 1;
        let segment = SegmentId { writer: self.id, seq: self.next_seq };
        let finished = self.segments.take_finished(self.id, self.journal.limits().changes);
        let operation = Operation::Append { segment, bytes: segment_of(&entries), finished };
        self.jobs.push(now, self.id, operation, JobPurpose::Append { entries });
    }

    fn append_ended(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        let Operation::Append { segment, ref bytes, ref finished } = job.operation else { return };
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
                self.events.push_back(JournalEvent::Committed { segment, tickets, bytes: len, is_ours: is_own });
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

    fn forget_unused_but_current(&mut self, writer: WriterId) {
        if writer != self.id {
            self.forget_unused(writer);
        }
    }

    fn has_waited(&self, now: Instant, entries: &[QueuedEntry]) -> bool {
        entries.first().is_none_or(|entry| now.since(entry.since) >= super::batches::WAIT_MAX)
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
        let (Operation::Append { segment, .. }, JobPurpose::Append { entries }) = (job.operation, job.purpose) else {
            return;
        };
        let why = match outcome {
            Outcome::Refused(why) if !job.is_uncertain => CommitRefusal::Store(*why),
            _ => CommitRefusal::Unknown,
        };
        self.refuse(entries, why);
        if job.is_uncertain && job.writer == self.id {
            self.jobs.push(now, job.writer, Operation::Void { segment }, JobPurpose::Void);
        }
    }

    fn refuse(&mut self, entries: Vec<QueuedEntry>, why: CommitRefusal) {
        self.last_error = Some(why);
        let tickets = entries.into_iter().map(|entry| entry.ticket).collect();
        self.events.push_back(JournalEvent::Refused { tickets, why });
    }

    /// The writers whose segments are this one's to deliver: itself, and those that it has claimed.
    fn owners(&self) -> Vec<WriterId> {
        std::iter::once(self.id).chain(self.takeover.claimed()).collect()
    }

    /// The writers of whose segments something is to be noted now.
    pub fn wants_notes(&self, now: Instant) -> Vec<WriterId> {
        let is_time = now.since(self.noted) >= NOTE_EVERY || self.closing.is_some();
        if !is_time || !matches!(self.state, WriterState::Open(_)) {
            return Vec::new();
        }
        let mut owners = self.owners();
        owners.retain(|owner| {
            let is_under_way = |job: &Job| match job.purpose {
                JobPurpose::Note(noted) | JobPurpose::Delete(noted) => noted == *owner,
                _ => false,
            };
            let has_changed = *owner == self.id && self.member != self.member_written;
            (self.segments.has_news(*owner) || has_changed) && !self.jobs.any(is_under_way)
        });
        owners
    }

    /// Notes how the segments of an owner stand. `progress` tells how the events of a segment do.
    pub fn note(
        &mut self,
        now: Instant,
        owner: WriterId,
        progress: &mut dyn FnMut(SegmentId, &OpenSegment) -> Vec<EventProgress>,
    ) {
        self.noted = now;
        let room = self.journal.limits().changes;
        let mut gone = self.segments.take_finished_noted(owner, room / 4);
        // Those without progress ride along, since no append may come.
        gone.extend(self.segments.take_finished(owner, room / 4));
        if self.is_full && !gone.is_empty() {
            let operation = Operation::Delete { writer: self.id, owner, finished: gone };
            return self.jobs.push(now, self.id, operation, JobPurpose::Delete(owner));
        }
        let mut noted = Vec::new();
        for id in self.segments.take_changed(owner, room / 2) {
            let Some(segment) = self.segments.get_mut(id) else { continue };
            // Progress that cannot be written is told again by the next change.
            let Ok(bytes) = encode_progress(&progress(id, segment)) else { continue };
            segment.has_progress = true;
            noted.push((id.seq, bytes));
        }
        if owner == self.id {
            self.member_written = self.member.clone();
        }
        let member = self.member.encode();
        let operation = Operation::Note { writer: self.id, owner, member, progress: noted, finished: gone };
        self.jobs.push(now, self.id, operation, JobPurpose::Note(owner));
    }

    fn note_ended(&mut self, now: Instant, number: u64, job: Job, owner: WriterId, outcome: &Outcome) {
        match (outcome, &job.operation) {
            (Outcome::Applied | Outcome::Already, Operation::Note { progress, .. }) => {
                let noted = progress.iter().map(|(seq, _)| SegmentId { writer: owner, seq: *seq }).collect();
                self.events.push_back(JournalEvent::Noted(noted));
            }
            (Outcome::Applied | Outcome::Already, _) => {}
            (Outcome::Fenced, _) if owner == self.id => self.lose(now),
            // Without its claim nothing of the dead writer is left to this one, and perhaps it has no lease either.
            (Outcome::Fenced, _) => self.lose(now),
            // Only the same note again keeps their order.
            (Outcome::Unknown | Outcome::Refused(StoreRefusal::NotSent), _) => {
                self.jobs.put_back(now, number, job, None);
            }
            (_, Operation::Note { progress, finished, .. }) if job.is_uncertain => {
                let _ = (progress, finished);
                self.jobs.put_back(now, number, job, None);
            }
            (_, Operation::Note { progress, finished, .. }) => {
                let changed: Vec<u64> = progress.iter().map(|(seq, _)| *seq).collect();
                self.segments.put_back(owner, &changed, finished);
                self.member_written = Member::default();
            }
            (_, Operation::Delete { finished, .. }) => self.segments.put_back(owner, &[], finished),
            _ => {}
        }
    }

    /// Lets the store drop what is gone, if it is this writer's turn: that of the living one with the lowest id.
    fn tidy(&mut self, now: Instant) {
        let is_first = self.takeover.fleet.alive.iter().map(|(writer, _)| *writer).min() == Some(self.id);
        if is_first && now.since(self.tidied) >= TIDY_EVERY {
            self.tidied = now;
            self.jobs.push(now, self.id, Operation::Tidy, JobPurpose::Tidy);
        }
    }

    fn ask(&mut self, now: Instant, operation: Operation, purpose: JobPurpose) {
        self.jobs.push(now, self.id, operation, purpose);
    }

    fn tell(&mut self, event: JournalEvent) {
        self.events.push_back(event);
    }

    fn is_asking(&self, is: impl Fn(&Job) -> bool) -> bool {
        self.jobs.any(is)
    }
}

#[cfg(test)]
mod tests;
