//! Inbound messages are claimed in the store, and settled there when the application has answered.
//!
//! A claim waits for the writer's lease, and for one under which the message's keys last. A claim that stays unknown for
//! [`UNKNOWN_MAX`] is refused and released, so that the sender may try again. What became of a message is told to the
//! store until it has heard it, but no longer than a claim may last.

use std::time::Duration;

use super::{UNKNOWN_MAX, Writer, WriterState};
use crate::journal::batches::{EntryTicket, WAIT_MAX};
use crate::journal::event::{CommitRefusal, JournalEvent};
use crate::journal::jobs::{Job, JobPurpose, QueuedClaim};
use crate::journal::message_queue::QueuedEnd;
use crate::journal::messages::{CLAIM_MAX, MessageKeys, MessageRecord};
use crate::journal::operation::{FleetClaim, Operation, Outcome, StoreRefusal};
use crate::time::Instant;

/// The most calls for messages that are under way at once: the others wait for their turn.
const UNDER_WAY_MAX: usize = 64;

/// The wait until what became of a message is told again.
const TELL_AGAIN: Duration = Duration::from_secs(1);

impl Writer {
    /// Claims a message, which has waited since then; a [`JournalEvent`] tells how it stands.
    pub fn claim_message(&mut self, ticket: EntryTicket, keys: MessageKeys, since: Instant) {
        self.messages.leases.entry(keys.lasts).or_default();
        self.messages.claims.push_back(QueuedClaim { ticket, keys, since });
    }

    /// Tells the store what became of a message: an [`Operation::SettleMessage`] or [`Operation::ReleaseMessage`].
    pub fn end_message(&mut self, now: Instant, operation: Operation) {
        self.messages.ends.push_back(QueuedEnd { operation, since: now, due: now });
    }

    pub(super) fn drive_messages(&mut self, now: Instant) {
        while self.messages.claims.front().is_some_and(|claim| now.since(claim.since) >= WAIT_MAX) {
            let Some(QueuedClaim { ticket, .. }) = self.messages.claims.pop_front() else { break };
            let why = CommitRefusal::Store(StoreRefusal::NotSent);
            self.tell(JournalEvent::MessageRefused { ticket, why });
        }
        if matches!(self.state, WriterState::Open(_)) {
            self.keep_messages(now);
        }
        while let Some(place) = self.next_claim(now) {
            let Some(claim) = self.messages.claims.remove(place) else { break };
            self.ask_claim(now, claim);
        }
        while self.has_turn() && self.messages.ends.front().is_some_and(|end| end.due <= now) {
            let Some(QueuedEnd { operation, since, .. }) = self.messages.ends.pop_front() else { break };
            self.ask(now, operation, JobPurpose::EndMessage(since));
        }
    }

    /// When [`drive_messages`](Self::drive_messages) has something to do.
    pub(super) fn messages_due(&self) -> Option<Instant> {
        let may_ask = matches!(self.state, WriterState::Open(_)) && self.has_turn();
        let is_kept = |claim: &&QueuedClaim| {
            self.messages.leases.get(&claim.keys.lasts).is_some_and(|lease| lease.granted.is_some())
        };
        let claim = match self.messages.claims.iter().find(|claim| may_ask && is_kept(claim)) {
            Some(claim) => Some(claim.since),
            None => self.messages.claims.front().map(|claim| claim.since.plus(WAIT_MAX)),
        };
        let end = self.messages.ends.front().filter(|_| self.has_turn()).map(|end| end.due);
        [claim, end].into_iter().flatten().min()
    }

    /// The place of the claim whose turn it is.
    fn next_claim(&self, now: Instant) -> Option<usize> {
        if !matches!(self.state, WriterState::Open(_)) || !self.has_turn() {
            return None;
        }
        let is_kept = |lasts: u64| self.messages.leases.get(&lasts).is_some_and(|lease| lease.is_usable(now, lasts));
        self.messages.claims.iter().position(|claim| is_kept(claim.keys.lasts))
    }

    fn has_turn(&self) -> bool {
        self.jobs.count(|job| is_of_message(job)) < UNDER_WAY_MAX
    }

    /// Whether a message is to be claimed, or its end to be told.
    pub(super) fn has_messages(&self) -> bool {
        !self.messages.is_empty() || self.jobs.any(is_of_message)
    }

    /// Asks for leases of keys that are due.
    fn keep_messages(&mut self, now: Instant) {
        for (lasts, lease) in &mut self.messages.leases {
            if lease.is_due(now, *lasts) {
                lease.asked = Some(now);
                let operation = Operation::KeepMessages { lasts: *lasts };
                self.jobs.push(now, self.id, operation, JobPurpose::KeepMessages);
            }
        }
    }

    fn ask_claim(&mut self, now: Instant, claim: QueuedClaim) {
        let MessageKeys { keys, dead, at, lasts } = claim.keys.clone();
        let record = MessageRecord { writer: self.id.0, number: claim.ticket, at, is_done: false };
        let Ok(bytes) = record.encode() else {
            let (ticket, why) = (claim.ticket, CommitRefusal::Unknown);
            return self.tell(JournalEvent::MessageRefused { ticket, why });
        };
        let operation = Operation::ClaimMessage { writer: self.id, claim: FleetClaim { keys, bytes, lasts }, dead };
        self.ask(now, operation, JobPurpose::ClaimMessage(claim));
    }

    pub(super) fn message_ended(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        let writer = job.writer;
        match (&job.operation, outcome) {
            (Operation::KeepMessages { lasts }, Outcome::Applied) => {
                if let Some(lease) = self.messages.leases.get_mut(lasts) {
                    lease.granted = Some(job.sent);
                }
            }
            (Operation::ClaimMessage { .. }, outcome) => self.claim_ended(now, number, job, outcome),
            (_, Outcome::Applied | Outcome::Fenced) => {}
            (_, _) => self.tell_again(now, job),
        }
        self.forget_unused_but_current(writer);
    }

    fn tell_again(&mut self, now: Instant, job: Job) {
        if let JobPurpose::EndMessage(since) = job.purpose
            && now.since(since) < CLAIM_MAX
        {
            let due = now.plus(TELL_AGAIN);
            self.messages.ends.push_back(QueuedEnd { operation: job.operation, since, due });
        }
    }

    fn claim_ended(&mut self, now: Instant, number: u64, job: Job, outcome: Outcome) {
        let (Operation::ClaimMessage { claim, .. }, JobPurpose::ClaimMessage(queued)) = (&job.operation, &job.purpose)
        else {
            return;
        };
        let ticket = queued.ticket;
        let is_late = match job.is_uncertain {
            true => now.since(job.since) >= UNKNOWN_MAX,
            false => now.since(queued.since) >= WAIT_MAX,
        };
        match outcome {
            Outcome::Applied | Outcome::Already => {
                let may_come_late = job.is_uncertain;
                self.tell(JournalEvent::MessageClaimed { ticket, claim: claim.clone(), may_come_late });
            }
            Outcome::MessageTaken(found) => self.tell(JournalEvent::MessageTaken { ticket, found }),
            // Under the next lease the claim is another one.
            Outcome::Fenced => {
                if job.writer == self.id {
                    self.lose(now);
                }
                if let JobPurpose::ClaimMessage(queued) = job.purpose {
                    self.messages.claims.push_front(queued);
                }
            }
            Outcome::Refused(StoreRefusal::NotSent) | Outcome::Unknown if !is_late => {
                self.jobs.put_back(now, number, job, None);
            }
            outcome => {
                let why = match outcome {
                    Outcome::Refused(why) if !job.is_uncertain => CommitRefusal::Store(why),
                    _ => CommitRefusal::Unknown,
                };
                if job.is_uncertain {
                    let operation = Operation::ReleaseMessage { claim: claim.clone(), may_come_late: true };
                    self.end_message(now, operation);
                }
                self.tell(JournalEvent::MessageRefused { ticket, why });
            }
        }
    }
}

fn is_of_message(job: &Job) -> bool {
    matches!(job.purpose, JobPurpose::ClaimMessage(_) | JobPurpose::EndMessage(_))
}
