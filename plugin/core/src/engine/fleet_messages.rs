//! Inbound messages in a fleet (`replay.scope: fleet`): a message that is verified and new to the process is claimed in the
//! store before it goes on, so that no other gateway lets the same one through.
//!
//! The process's own table ([`crate::inbound::replay`]) is asked first, and its answers stand. Meanwhile the request is
//! held. What became of the message is told to the store as it is told to the table.

use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use super::Engine;
use super::accept::DRAIN_RETRY_SECONDS;
use super::action::Action;
use super::claims::{FleetMessage, Held, MessageState, Next};
use super::draft::{Refusal, store_detail};
use super::queue::Waiter;
use crate::answer::Answer;
use crate::ids::RuleId;
use crate::inbound::replay::{Scope, Seen};
use crate::inbound::{InboundResult, Rule, Ticket, Verdict, seen, unavailable};
use crate::ingress::request::{Request, RequestResult, Step, Work};
use crate::journal::event::CommitRefusal;
use crate::journal::messages::{FleetStanding, Holder, MessageKeys, MessageRecord, lasting, standing};
use crate::journal::operation::{FleetClaim, FoundKey, KeyName, Operation, WriterId};
use crate::store::World;
use crate::telemetry::notice::Notice;
use crate::time::{Instant, WallTime};

/// How often a message is asked for whose claim changes hands meanwhile.
const ROUNDS_MAX: u8 = 4;

/// A message that is to be claimed in the fleet, if it goes on.
pub(super) struct Claimable {
    ticket: Ticket,
    number: u64,
    bytes: u64,
}

impl Engine {
    /// Gives a message that was verified its number, if its rule says that it is to be claimed in the fleet.
    pub(super) fn claimable(&mut self, id: RuleId, verdict: &mut Verdict, bytes: usize) -> Option<Claimable> {
        self.config.inbound.get(id.0).filter(|rule| rule.replay.scope == Scope::Fleet)?;
        let messages = &mut self.journal.as_mut()?.messages;
        let ticket = verdict.pass.as_mut().ok()?.as_mut()?;
        let number = messages.next_number();
        ticket.in_fleet = Some(number);
        Some(Claimable { ticket: ticket.clone(), number, bytes: bytes as u64 })
    }

    /// Claims a message that would take this step: continues with the step if nothing is to be waited for, else breaks with
    /// the step to take instead, to wait or to be refused.
    pub(super) fn claim_message(
        &mut self,
        world: &mut World<'_>,
        request: &mut Request,
        claimable: Claimable,
        step: Step,
    ) -> ControlFlow<Step, Step> {
        let next = match step {
            Step::Change(changes) => Next::Pass(changes),
            Step::Work(Work::Take(offer)) => Next::Take(offer),
            // The application does not get it.
            step => return ControlFlow::Continue(step),
        };
        let Claimable { ticket, number, bytes } = claimable;
        let id = ticket.rule();
        if let Some(refusal) = self.no_claim(world.now.mono, bytes) {
            if self.falls_back_on_memory() {
                self.output.note(Notice::InboundMemoryOnly);
                return ControlFlow::Continue(match next {
                    Next::Pass(changes) => Step::Change(changes),
                    Next::Take(offer) => Step::Work(Work::Take(offer)),
                });
            }
            self.output.note(Notice::Request(RequestResult::Inbound(id, InboundResult::Unavailable)));
            return ControlFlow::Break(
                request.handle_reply(Some(Answer::unavailable(refusal.seconds, refusal.detail))),
            );
        }
        // The root is woken by the queue of a partition; without one it looks at its next tick.
        let _ = self.own(world);
        let Some((rule, journal)) = self.config.inbound.get(id.0).zip(self.journal.as_mut()) else {
            return ControlFlow::Break(request.handle_reply(Some(unavailable())));
        };
        let stream = request.stream();
        let names = ticket.marks().iter().map(|mark| (key_name(rule, *mark), 0)).collect();
        let keys = MessageKeys { keys: names, dead: Vec::new(), at: world.now.wall, lasts: lasting(rule.replay.ttl) };
        let held = Held { stream, ticket, next, bytes };
        let (ttl, since) = (rule.replay.ttl, world.now.mono);
        let state = MessageState::Waiting(held);
        journal.writer.reopen(since);
        journal.writer.claim_message(number, keys.clone(), since);
        journal.messages.add(number, FleetMessage { rule: id, ttl, keys, since, rounds: 1, state });
        self.queue.waiters.insert(stream, Waiter::Message);
        ControlFlow::Break(request.handle_reply(None))
    }

    /// Why no message can be claimed now; `None`: one can, as far as is known.
    fn no_claim(&self, now: Instant, bytes: u64) -> Option<Refusal> {
        let journal = self.journal.as_ref()?;
        if self.leadership.control.get().draining {
            return Some(Refusal { seconds: DRAIN_RETRY_SECONDS, detail: "the gateway is draining before it ends" });
        }
        let is_busy = || (!journal.messages.has_room(bytes)).then_some(CommitRefusal::Busy);
        journal.writer.refusal(now).or_else(is_busy).map(refuse_claim)
    }

    /// Lets a message go on that is claimed now.
    pub(super) fn message_claimed(
        &mut self,
        world: &mut World<'_>,
        number: u64,
        claim: FleetClaim,
        may_come_late: bool,
    ) {
        let Some(journal) = self.journal.as_mut() else { return };
        let message = journal.messages.take(number);
        let Some(FleetMessage { state: MessageState::Waiting(held), rule, ttl, keys, since, rounds }) = message else {
            // Its sender has left.
            let operation = Operation::ReleaseMessage { claim, may_come_late };
            return journal.writer.end_message(world.now.mono, operation);
        };
        let message = FleetMessage { state: MessageState::Left, rule, ttl, keys, since, rounds };
        journal.messages.put_claimed(number, message, claim, may_come_late);
        self.go_on(world, held);
    }

    fn go_on(&mut self, world: &mut World<'_>, held: Held) {
        let Held { stream, ticket, next, .. } = held;
        match next {
            Next::Pass(changes) => {
                self.queue.waiters.insert(stream, Waiter::Passed);
                self.output.act(Action::Pass { stream, rule: ticket.rule(), changes });
            }
            Next::Take(offer) => {
                self.queue.waiters.remove(&stream);
                let verified = RequestResult::Inbound(ticket.rule(), InboundResult::Verified);
                self.output.note(Notice::Request(verified));
                let route = offer.route;
                let reply = self.handle_event(world, *offer);
                if let Some(result) = reply.result {
                    self.output.note(Notice::Request(RequestResult::Event(route, result)));
                }
                if let Some(answer) = reply.answer {
                    self.output.act(Action::Answer { stream, answer });
                }
            }
        }
    }

    /// Counts a message that was to go on ([`Action::Pass`]): it does, or its headers could not be changed.
    pub fn handle_passed(&mut self, rule: RuleId, is_changed: bool) {
        let result = if is_changed { InboundResult::Verified } else { InboundResult::Unavailable };
        self.output.note(Notice::Request(RequestResult::Inbound(rule, result)));
    }

    /// Answers a message that stands in the fleet already, or asks for it again if nobody has it.
    pub(super) fn message_taken(&mut self, world: &mut World<'_>, number: u64, found: &[FoundKey]) {
        let Some(message) = self.journal.as_mut().and_then(|journal| journal.messages.take(number)) else { return };
        let FleetMessage { state: MessageState::Waiting(held), rule: id, ttl, mut keys, since, rounds } = message
        else {
            return;
        };
        let holder = |record: &MessageRecord, key: &FoundKey| self.holder(record, key, &keys);
        let seen_there = match standing(found, world.now.wall, ttl, holder) {
            FleetStanding::Done(at) => {
                self.remember_all(world, &keys, found, at);
                self.handle_message_end(world, &held.ticket, true);
                Seen::Done
            }
            FleetStanding::Free { found, dead } if rounds < ROUNDS_MAX => {
                let Some(journal) = self.journal.as_mut() else { return };
                for (name, from) in &mut keys.keys {
                    *from = found.iter().find(|(other, _)| other == name).map_or(0, |(_, revision)| *revision);
                }
                keys.dead = dead;
                journal.writer.claim_message(number, keys.clone(), since);
                let state = MessageState::Waiting(held);
                let message = FleetMessage { rule: id, ttl, keys, since, rounds: rounds + 1, state };
                return journal.messages.add(number, message);
            }
            FleetStanding::Free { .. } | FleetStanding::InProgress => Seen::InProgress,
        };
        let Some(verdict) = self.config.inbound.get(id.0).map(|rule| seen(rule, id, seen_there)) else { return };
        self.answer_message(&held, verdict);
    }

    /// Whether somebody has a message that is claimed.
    fn holder(&self, record: &MessageRecord, key: &FoundKey, asked: &MessageKeys) -> Holder {
        let Some(journal) = self.journal.as_ref() else { return Holder::Unknown };
        let writer = WriterId(record.writer);
        if journal.writer.id() == writer {
            return if journal.messages.has(record.number) { Holder::Alive } else { Holder::Gone };
        }
        // That it is dead was a condition which did not hold.
        let was_asked = asked.dead.contains(&writer) && asked.keys.contains(&(key.name, key.revision));
        let is_listed = journal.writer.fleet().alive.iter().any(|(alive, _)| *alive == writer);
        if was_asked || is_listed { Holder::Alive } else { Holder::Unknown }
    }

    /// Remembers a message that is done under those of its keys that it does not stand under yet.
    fn remember_all(&mut self, world: &World<'_>, keys: &MessageKeys, found: &[FoundKey], at: WallTime) {
        let Some(journal) = self.journal.as_mut() else { return };
        let is_new = |name: &KeyName| !found.iter().any(|key| key.name == *name);
        let names: Vec<KeyName> = keys.keys.iter().map(|(name, _)| *name).filter(is_new).collect();
        let record = MessageRecord { writer: journal.writer.id().0, number: 0, at, is_done: true };
        if let (false, Ok(bytes)) = (names.is_empty(), record.encode()) {
            let operation = Operation::SettleMessage { names, bytes, lasts: keys.lasts };
            journal.writer.end_message(world.now.mono, operation);
        }
    }

    /// Refuses a message that is not claimed, or lets it go on if the config says so.
    pub(super) fn message_refused(&mut self, world: &mut World<'_>, number: u64, why: CommitRefusal) {
        let Some(message) = self.journal.as_mut().and_then(|journal| journal.messages.take(number)) else { return };
        let MessageState::Waiting(held) = message.state else { return };
        if self.falls_back_on_memory() {
            self.output.note(Notice::InboundMemoryOnly);
            return self.go_on(world, held);
        }
        let Refusal { seconds, detail } = refuse_claim(why);
        self.answer_message(&held, Verdict::answer(InboundResult::Unavailable, Answer::unavailable(seconds, detail)));
    }

    /// Answers a request that is held. The end of its message in the process's table is told by the status.
    fn answer_message(&mut self, held: &Held, verdict: Verdict) {
        self.queue.waiters.remove(&held.stream);
        self.output.note(Notice::Request(RequestResult::Inbound(held.ticket.rule(), verdict.result)));
        if let Err(answer) = verdict.pass {
            self.output.act(Action::Answer { stream: held.stream, answer: *answer });
        }
    }

    /// Whether messages have ended of which the store is to be told.
    pub fn has_ended_messages(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.messages.has_ended())
    }

    /// Notes that a message has ended; the store is told when the time is known.
    pub(super) fn note_message_end(&mut self, number: Option<u64>, is_taken: bool) {
        if let Some((number, journal)) = number.zip(self.journal.as_mut()) {
            journal.messages.end(number, is_taken);
        }
    }

    /// Tells the store what became of messages.
    pub(super) fn tell_message_ends(&mut self, now: Instant) {
        let Some(journal) = self.journal.as_mut() else { return };
        for (number, is_taken) in journal.messages.take_ended() {
            let Some(FleetMessage { state, keys, .. }) = journal.messages.take(number) else { continue };
            let MessageState::Claimed { claim, may_come_late } = state else { continue };
            let record = MessageRecord { writer: journal.writer.id().0, number, at: keys.at, is_done: true };
            let operation = match record.encode() {
                Ok(bytes) if is_taken => {
                    let names = claim.keys.iter().map(|(name, _)| *name).collect();
                    Operation::SettleMessage { names, bytes, lasts: claim.lasts }
                }
                _ => Operation::ReleaseMessage { claim, may_come_late },
            };
            journal.writer.end_message(now, operation);
        }
    }
}

/// The refusal of a message that cannot be claimed.
fn refuse_claim(why: CommitRefusal) -> Refusal {
    let detail = match why {
        CommitRefusal::Store(why) => store_detail(why),
        CommitRefusal::Busy => "too many messages wait for the journal",
        CommitRefusal::Unknown => "the journal does not answer",
    };
    Refusal { seconds: 1, detail }
}

/// The name of a message's key in the store: its mark, within its rule.
fn key_name(rule: &Rule, mark: u64) -> KeyName {
    let mut hash = Sha256::new();
    hash.update((rule.name.len() as u64).to_le_bytes());
    hash.update(rule.name.as_bytes());
    hash.update(mark.to_le_bytes());
    hash.finalize().first_chunk().copied().unwrap_or_default()
}
