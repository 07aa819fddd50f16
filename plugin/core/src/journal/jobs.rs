//! Operations that a writer has asked of the store, until their outcomes are known.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::journal::batches::{EntryTicket, QueuedEntry};
use crate::journal::messages::MessageKeys;
use crate::journal::operation::{Operation, StoreCall, WriterId};
use crate::time::Instant;

/// The time within which the store must answer a call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// The grace after a call's timeout for the host to report its end; without a report the answer is taken for lost.
const CALLBACK_GRACE: Duration = Duration::from_secs(2);

/// The wait until an operation is asked again whose outcome is not known.
pub const AGAIN: Duration = Duration::from_millis(75);

/// The purpose of a job.
#[derive(Debug)]
pub enum JobPurpose {
    /// The writer's registration is opened, renewed or closed.
    Session,
    /// Entries are appended.
    Append {
        /// The entries.
        entries: Vec<QueuedEntry>,
    },
    /// A segment is made void.
    Void,
    /// It is noted how segments of this owner stand.
    Note(WriterId),
    /// Finished segments of this owner are deleted, and nothing is written.
    Delete(WriterId),
    /// The store is asked who is alive.
    Survey,
    /// A dead writer is claimed, read or released.
    Takeover(WriterId),
    /// Documents are read or written.
    Documents,
    /// Idempotency keys are kept or settled.
    Keys,
    /// A message is claimed.
    ClaimMessage(QueuedClaim),
    /// What became of a message is told, first at this time.
    EndMessage(Instant),
    /// Keys of messages are kept.
    KeepMessages,
    /// Dead letters are listed or read.
    Letters,
    /// The store is tidied.
    Tidy,
}

/// A message that is to be claimed.
#[derive(Debug)]
pub struct QueuedClaim {
    /// The number of the claim.
    pub ticket: EntryTicket,
    /// The keys of the message.
    pub keys: MessageKeys,
    /// When it was to be claimed first.
    pub since: Instant,
}

/// An operation that was asked of the store.
#[derive(Debug)]
pub struct Job {
    /// The operation.
    pub operation: Operation,
    /// Why it was asked.
    pub purpose: JobPurpose,
    /// The writer that asked.
    pub writer: WriterId,
    /// When it was asked first.
    pub since: Instant,
    /// When its last call left.
    pub sent: Instant,
    /// The part of the operation that its last call was.
    pub part: u8,
    /// Some try of it may have been carried out, or may yet be.
    pub is_uncertain: bool,
    state: JobState,
}

#[derive(Debug)]
enum JobState {
    /// A call is to be made at this time, the next part of the operation or the first one.
    Due(Instant, Option<StoreCall>),
    /// A call is under way.
    UnderWay,
}

/// The jobs of a writer by their numbers, which are those of their calls.
#[derive(Debug, Default)]
pub struct Jobs {
    jobs: BTreeMap<u64, Job>,
    last: u64,
}

impl Jobs {
    /// Adds a job, which is to be done at once.
    pub fn push(&mut self, now: Instant, writer: WriterId, operation: Operation, purpose: JobPurpose) {
        self.last += 1;
        let state = JobState::Due(now, None);
        let job = Job { operation, purpose, writer, since: now, sent: now, part: 0, is_uncertain: false, state };
        self.jobs.insert(self.last, job);
    }

    /// The next call to make, with its number. `call` makes the first call of an operation.
    pub fn poll(&mut self, now: Instant, call: &mut dyn FnMut(&Operation) -> StoreCall) -> Option<(u64, StoreCall)> {
        let (number, job) = self.jobs.iter_mut().find(|(_, job)| job.due().is_some_and(|due| due <= now))?;
        let JobState::Due(_, next) = std::mem::replace(&mut job.state, JobState::UnderWay) else { return None };
        let next = next.unwrap_or_else(|| call(&job.operation));
        (job.sent, job.part) = (now, next.part);
        Some((*number, next))
    }

    /// When the next call is due, or an answer is taken for lost.
    pub fn next(&self) -> Option<Instant> {
        self.jobs.values().map(|job| job.due().unwrap_or(job.overdue())).min()
    }

    /// The numbers of the calls whose answers are taken for lost.
    pub fn overdue(&self, now: Instant) -> Vec<u64> {
        let is_overdue = |job: &Job| matches!(job.state, JobState::UnderWay) && job.overdue() <= now;
        self.jobs.iter().filter(|(_, job)| is_overdue(job)).map(|(number, _)| *number).collect()
    }

    /// Takes a job whose call has ended.
    pub fn take(&mut self, number: u64) -> Option<Job> {
        self.jobs.remove(&number)
    }

    /// Puts a job back under its number: the next call is `next` at once, or the operation again after [`AGAIN`].
    pub fn put_back(&mut self, now: Instant, number: u64, mut job: Job, next: Option<StoreCall>) {
        let due = if next.is_some() { now } else { now.plus(AGAIN) };
        job.state = JobState::Due(due, next);
        self.jobs.insert(number, job);
    }

    /// Whether there is such a job.
    pub fn any(&self, is: impl Fn(&Job) -> bool) -> bool {
        self.jobs.values().any(is)
    }

    /// The number of such jobs.
    pub fn count(&self, is: impl Fn(&&Job) -> bool) -> usize {
        self.jobs.values().filter(is).count()
    }

    /// The number of jobs that append.
    pub fn appends(&self) -> usize {
        self.count(|job| matches!(job.purpose, JobPurpose::Append { .. }))
    }

    /// Drops the jobs that `is` does not hold.
    pub fn retain(&mut self, is: impl Fn(&Job) -> bool) {
        self.jobs.retain(|_, job| is(job));
    }
}

impl Job {
    fn due(&self) -> Option<Instant> {
        match self.state {
            JobState::Due(at, _) => Some(at),
            JobState::UnderWay => None,
        }
    }

    fn overdue(&self) -> Instant {
        self.sent.plus(CALL_TIMEOUT).plus(CALLBACK_GRACE)
    }
}
