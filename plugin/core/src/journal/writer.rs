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
//! [`UNKNOWN_MAX`] is refused, and its segment made void, so that it cannot come late. One with an idempotency key that was appended after
//! all is not made void, for others may have answered by the key: it is delivered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::journal::batches::{Batches, EntryTicket, QueuedEntry};
use crate::journal::event::{CommitRefusal, JournalEvent};
use crate::journal::jobs::{Job, JobPurpose, Jobs};
use crate::journal::message_queue::MessageQueue;
use crate::journal::messages::KeyLease;
use crate::journal::operation::{
    EntryKey, Journal, KeyName, Operation, Outcome, StoreCall, StoreRefusal, StoreReply, Survey, WriterId,
};
use crate::journal::record::{GuardReport, Member};
use crate::journal::segments::Segments;
use crate::journal::takeover::Takeover;
use crate::time::Instant;

mod appends;
mod claims;
mod documents;
mod letters;
mod messages;
mod notes;
mod session;

/// How long the outcome of an append may stay unknown until its producers are refused.
pub const UNKNOWN_MAX: Duration = Duration::from_secs(4);

/// The shortest time between two notes of one owner's segments: what ended within it may come twice after a takeover.
pub const NOTE_EVERY: Duration = Duration::from_millis(500);

/// The wait until a writer that could not be opened is opened again.
const REOPEN: Duration = Duration::from_millis(500);

/// How often the store is tidied by the writer whose turn it is.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// The most void segments under one id: some 60 KiB of keys.
const MARKERS_MAX: usize = 1000;

/// How long a writer that is to end waits for the store; then its lease lapses by itself.
const CLOSE_MAX: Duration = Duration::from_secs(3);

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
    /// A renewal has failed: the next one is made at this time at the earliest.
    renew_after: Instant,
    /// Since when there is no lease.
    down_since: Option<Instant>,
    /// The writer is to end, since then.
    closing: Option<Instant>,
    next_seq: u64,
    batches: Batches,
    jobs: Jobs,
    messages: MessageQueue,
    /// The segments that this writer keeps in the store.
    pub segments: Segments,
    takeover: Takeover,
    events: VecDeque<JournalEvent>,
    member: Member,
    member_written: Member,
    noted: Instant,
    tidied: Instant,
    /// The segments that were made void under this id.
    markers: usize,
    /// The lease of idempotency keys.
    keys: KeyLease,
    /// The store has no room: only what deletes goes through.
    is_full: bool,
    last_error: Option<CommitRefusal>,
    /// Since when no call to the store has succeeded.
    failing_since: Option<Instant>,
    /// Why a call failed last, and when.
    last_failure: Option<(Instant, CommitRefusal)>,
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
            renew_after: Instant::default(),
            down_since: None,
            closing: None,
            next_seq: 0,
            batches: Batches::default(),
            jobs: Jobs::default(),
            messages: MessageQueue::default(),
            segments: Segments::default(),
            takeover: Takeover::default(),
            events: VecDeque::new(),
            member: Member::default(),
            member_written: Member::default(),
            noted: Instant::default(),
            tidied: Instant::default(),
            markers: 0,
            keys: KeyLease::default(),
            is_full: false,
            last_error: None,
            failing_since: None,
            last_failure: None,
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

    /// How long no call to the store has succeeded; zero: the last one has.
    pub fn failing_for(&self, now: Instant) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Why a call to the store failed last, and when.
    pub fn last_failure(&self) -> Option<(Instant, CommitRefusal)> {
        self.last_failure
    }

    /// The number of gateways that are alive, at least one; without a lease, those that were.
    pub fn gateways(&self) -> u32 {
        self.takeover.gateways.max(1)
    }

    /// The size of what the fleet kept in the store when that was found out last, in bytes.
    pub fn fleet_bytes(&self) -> u64 {
        self.takeover.bytes()
    }

    /// What was found out last about the fleet.
    pub fn fleet(&self) -> &Survey {
        &self.takeover.fleet
    }

    /// What the other gateways have counted, but not this one, whose name is `instance`.
    pub fn reports_of_others(&self, instance: &str) -> Vec<&BTreeMap<String, GuardReport>> {
        self.takeover.reports_of_others(instance)
    }

    /// When that was; `None`: nothing was found out yet.
    pub fn fleet_seen(&self) -> Option<Instant> {
        self.takeover.seen
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

    /// Appends an entry, and claims the idempotency key of its event with it; a [`JournalEvent`] tells its fate.
    pub fn append(&mut self, now: Instant, ticket: EntryTicket, bytes: Vec<u8>, key: Option<EntryKey>) {
        self.batches.push(QueuedEntry { ticket, bytes, since: now, key });
    }

    /// Writes what is remembered of an idempotency key, or forgets it.
    pub fn settle_key(&mut self, now: Instant, name: KeyName, bytes: Option<Vec<u8>>) {
        self.ask(now, Operation::Settle { name, bytes }, JobPurpose::Keys);
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
        self.drive_messages(now);
        if matches!(self.state, WriterState::Open(_)) {
            // A note that is under way may hold progress of it, and would leave that behind.
            if !self.is_noting(self.id) {
                for segment in self.segments.take_void() {
                    self.make_void(now, segment, false);
                }
            }
            if self.markers >= MARKERS_MAX {
                return self.abandon(now);
            }
            self.keep_keys(now);
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
            WriterState::Open(renewed) => Some(self.renewal(renewed)).filter(|_| !self.has_session_job()),
        };
        let is_open = matches!(self.state, WriterState::Open(_));
        let append = self.batches.due(self.jobs.appends()).filter(|_| is_open);
        // An owner of whom a note is under way has its turn when that has ended.
        let has_notes =
            || self.owners().into_iter().any(|owner| self.segments.has_news(owner) && !self.is_noting(owner));
        let note = (is_open && has_notes()).then(|| self.noted.plus(NOTE_EVERY));
        let others = [self.batches.expires(), self.jobs.next(), self.messages_due()];
        [session, append, note].into_iter().chain(others).flatten().min()
    }

    /// Handles what came back of a call.
    pub fn handle_reply(&mut self, now: Instant, number: u64, reply: &StoreReply) {
        let Some(mut job) = self.jobs.take(number) else { return };
        match self.journal.read(&job.operation, job.part, reply) {
            Err(next) => self.jobs.put_back(now, number, job, Some(next)),
            Ok(outcome) => {
                match outcome {
                    Outcome::Applied | Outcome::Already if job.operation.needs_room() => self.is_full = false,
                    Outcome::Refused(StoreRefusal::Full) => self.is_full = true,
                    Outcome::Unknown => job.is_uncertain = true,
                    _ => {}
                }
                self.note_failure(now, &outcome);
                self.handle_outcome(now, number, job, outcome);
            }
        }
    }

    /// Notes whether a call has succeeded. A store that is full, or to which an entry is too large, answers all the same.
    fn note_failure(&mut self, now: Instant, outcome: &Outcome) {
        let why = match outcome {
            Outcome::Unknown => CommitRefusal::Unknown,
            Outcome::Refused(why) => CommitRefusal::Store(*why),
            _ => {
                self.failing_since = None;
                return;
            }
        };
        self.last_failure = Some((now, why));
        match why {
            CommitRefusal::Store(StoreRefusal::Full | StoreRefusal::TooLarge) => self.failing_since = None,
            _ => drop(self.failing_since.get_or_insert(now)),
        }
    }

    fn handle_outcome(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        match job.purpose {
            JobPurpose::Session => {
                self.session_ended(now, &job, &outcome);
                self.forget_unused_but_current(job.writer);
            }
            JobPurpose::Append { .. } => self.append_ended(now, number, job, outcome),
            JobPurpose::Void => self.void_ended(now, number, job, outcome),
            JobPurpose::Note(owner) | JobPurpose::Delete(owner) => self.note_ended(now, number, job, owner, &outcome),
            JobPurpose::Survey | JobPurpose::Takeover(_) => self.takeover_ended(now, number, job, outcome),
            JobPurpose::Documents => self.documents_ended(job.operation, outcome),
            JobPurpose::Keys => self.keys_ended(now, number, job, &outcome),
            JobPurpose::ClaimMessage(_) | JobPurpose::EndMessage(_) | JobPurpose::KeepMessages => {
                self.message_ended(now, number, job, outcome);
            }
            JobPurpose::Letters => self.letters_ended(&job.operation, outcome),
            JobPurpose::Tidy => {}
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
