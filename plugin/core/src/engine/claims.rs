//! Inbound messages that this worker claims in the fleet (`replay.scope: fleet`), until what became of each is told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::RuleId;
use crate::inbound::Ticket;
use crate::ingress::event::Offer;
use crate::ingress::request::Changes;
use crate::journal::batches::{EntryTicket, WAITING_BYTES_MAX, WAITING_MAX};
use crate::journal::messages::MessageKeys;
use crate::journal::operation::FleetClaim;
use crate::time::Instant;

/// The messages that a worker claims in the fleet, by the numbers of their claims.
#[derive(Debug, Default)]
pub(super) struct FleetMessages {
    messages: BTreeMap<EntryTicket, FleetMessage>,
    last: EntryTicket,
    waiting: usize,
    bytes: u64,
    /// Messages that have ended since the engine was last told the time, and whether the application has taken each.
    ended: Vec<(EntryTicket, bool)>,
}

/// A message that is claimed in the fleet, or is to be.
#[derive(Debug)]
pub(super) struct FleetMessage {
    pub rule: RuleId,
    /// How long the message is remembered.
    pub ttl: Duration,
    /// What was asked for last.
    pub keys: MessageKeys,
    /// When the message was to be claimed first.
    pub since: Instant,
    /// How often it was asked for.
    pub rounds: u8,
    pub state: MessageState,
}

/// How far the claim of a message has come.
#[derive(Debug)]
pub(super) enum MessageState {
    /// It is waited for.
    Waiting(Held),
    /// The sender has left before it was known.
    Left,
    /// It is made, and the message is with the application, or is an event.
    Claimed {
        claim: FleetClaim,
        /// A try of the claim may come late.
        may_come_late: bool,
    },
}

/// A request that is held until its message is claimed.
#[derive(Debug)]
pub(super) struct Held {
    pub stream: u32,
    pub ticket: Ticket,
    /// What follows.
    pub next: Next,
    /// The size of the headers and the body.
    pub bytes: u64,
}

/// What a request is to do once its message is claimed.
#[derive(Debug)]
pub(super) enum Next {
    /// It goes on to the application, with these changes.
    Pass(Changes),
    /// It is an event.
    Take(Box<Offer>),
}

impl FleetMessages {
    /// Whether no message is claimed, or waited for.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether one more message of so many bytes may wait, headers and body: as many as events that wait for their commit.
    /// A single message may be larger.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.waiting == 0 || (self.waiting < WAITING_MAX && self.bytes.saturating_add(bytes) <= WAITING_BYTES_MAX)
    }

    /// The number of the next claim.
    pub fn next_number(&mut self) -> EntryTicket {
        self.last += 1;
        self.last
    }

    /// Adds a message that waits.
    pub fn add(&mut self, number: EntryTicket, message: FleetMessage) {
        self.waiting += 1;
        self.bytes += message.held_bytes();
        self.messages.insert(number, message);
    }

    /// Whether there is such a message.
    pub fn has(&self, number: EntryTicket) -> bool {
        self.messages.contains_key(&number)
    }

    /// Takes a message.
    pub fn take(&mut self, number: EntryTicket) -> Option<FleetMessage> {
        let message = self.messages.remove(&number)?;
        if !matches!(message.state, MessageState::Claimed { .. }) {
            self.waiting = self.waiting.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(message.held_bytes());
        }
        Some(message)
    }

    /// Puts a message back that is claimed now.
    pub fn put_claimed(&mut self, number: EntryTicket, message: FleetMessage, claim: FleetClaim, may_come_late: bool) {
        let state = MessageState::Claimed { claim, may_come_late };
        self.messages.insert(number, FleetMessage { state, ..message });
    }

    /// Notes that a message has ended, and whether the application has taken it. The sender of one that is still waited
    /// for has left.
    pub fn end(&mut self, number: EntryTicket, is_taken: bool) {
        match self.messages.get(&number).map(|message| &message.state) {
            Some(MessageState::Claimed { .. }) => self.ended.push((number, is_taken)),
            Some(MessageState::Waiting(_)) => {
                if let Some(message) = self.take(number) {
                    self.add(number, FleetMessage { state: MessageState::Left, ..message });
                }
            }
            Some(MessageState::Left) | None => {}
        }
    }

    /// Whether messages have ended that nobody has [taken](Self::take_ended).
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The claimed messages that have ended since this was asked last, and whether the application has taken each.
    pub fn take_ended(&mut self) -> Vec<(EntryTicket, bool)> {
        std::mem::take(&mut self.ended)
    }
}

impl FleetMessage {
    fn held_bytes(&self) -> u64 {
        match &self.state {
            MessageState::Waiting(held) => held.bytes,
            _ => 0,
        }
    }
}
