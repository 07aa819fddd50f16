//! `Idempotency-Key` in a fleet: a key is claimed with its event, in one step, so that the same key at another gateway gets
//! the same answer.
//!
//! The process's own table ([`crate::ingress::idempotency`]) is asked first; what it does not know, the fleet decides. An
//! event that is accepted at once is remembered with its answer. One whose producer waits is remembered without, until
//! the answer is known; if its gateway dies before, the next request with the key tries again with the same id.

use super::Engine;
use super::draft::{Draft, Reply};
use crate::answer::Answer;
use crate::ids::EventId;
use crate::ingress::event::EventResult;
use crate::ingress::idempotency::{Finished, IdempotencyKey};
use crate::ingress::receipt::{EventStatus, Receipt};
use crate::ingress::route::Ack;
use crate::journal::Durability;
use crate::journal::operation::{EntryKey, Revision, WriterId};
use crate::journal::record::{KeyRecord, encode_entry};
use crate::store::World;

impl Engine {
    /// The idempotency key of an event, to be claimed with the event in the place of what is remembered so far.
    pub(super) fn entry_key(&self, draft: &Draft, from: Revision) -> Option<EntryKey> {
        let key = draft.key.as_ref()?;
        let answer = match draft.ack {
            Ack::Accepted => {
                // It is an answer only if the event is committed.
                let durability = Some(Durability::Journal);
                let receipt = Receipt { durability, ..self.receipt(&draft.pending, EventStatus::Accepted, false) };
                let answer = Answer::receipt(202, &receipt);
                Some((answer.status, answer.body))
            }
            Ack::Delivered { .. } => None,
        };
        let bytes = self.key_record(key, draft.pending.id, answer)?;
        Some(EntryKey { name: key.name(), bytes, from })
    }

    fn key_record(&self, key: &IdempotencyKey, id: EventId, answer: Option<(u16, Vec<u8>)>) -> Option<Vec<u8>> {
        let writer = self.journal.as_ref()?.writer.id().0;
        KeyRecord { event: key.event(), id, writer, answer }.encode().ok()
    }

    /// Remembers that the fleet waits for the answer to an event that was committed with its key.
    pub(super) fn remember_key(&mut self, draft: &Draft) {
        if let (Some(key), Ack::Delivered { .. }) = (draft.key, draft.ack)
            && let Some(journal) = self.journal.as_mut()
        {
            journal.unanswered.insert(key.name(), draft.pending.id);
        }
    }

    /// Tells the fleet the answer that was given to an event with a key, if the fleet waits for it.
    pub(super) fn settle_fleet_key(&mut self, world: &World<'_>, key: &IdempotencyKey, answer: Option<(u16, Vec<u8>)>) {
        let Some(id) = self.journal.as_mut().and_then(|journal| journal.unanswered.remove(&key.name())) else { return };
        let bytes = answer.and_then(|answer| self.key_record(key, id, Some(answer)));
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.settle_key(world.now.mono, key.name(), bytes);
        }
    }

    /// Answers an event whose key another one has, or tries again if that one came to nothing.
    pub(super) fn key_taken(&mut self, world: &mut World<'_>, ticket: u64, revision: Revision, bytes: &[u8]) {
        let Some(mut draft) = self.journal.as_mut().and_then(|journal| journal.commits.take(ticket)) else { return };
        let Some(key) = draft.key else { return };
        let (answer, result) = match KeyRecord::decode(bytes) {
            Ok(record) if record.event != key.event() => (Answer::other_event(), EventResult::Invalid),
            Ok(KeyRecord { id, answer: Some((status, body)), .. }) => {
                (Answer::replayed(Finished { id, status, body }), EventResult::Replayed)
            }
            Ok(record) if self.is_writer_alive(WriterId(record.writer)) => {
                (Answer::in_progress(), EventResult::Invalid)
            }
            // Its gateway is dead, or what is remembered is forgotten or of another version.
            found => {
                if let Ok(record) = found {
                    (draft.meta.id, draft.pending.id) = (record.id, record.id);
                }
                return self.append_again(world, draft, revision);
            }
        };
        let (stream, route, message) = (draft.stream, draft.pending.route, draft.message.take());
        let is_replay = result == EventResult::Replayed;
        self.end_message(world, message, is_replay);
        let reply = Reply { answer: Some(answer), result: Some(result), route };
        let reply = if is_replay {
            self.settled(world, Some(&key), reply)
        } else {
            // Here the key stands for nothing: the fleet is asked again the next time.
            self.forget_key(world, &key);
            reply
        };
        self.answer_late(stream, reply);
    }

    fn is_writer_alive(&self, writer: WriterId) -> bool {
        self.journal.as_ref().is_some_and(|journal| {
            let is_own = journal.writer.id() == writer;
            is_own || journal.writer.fleet().alive.iter().any(|(alive, _)| *alive == writer)
        })
    }

    fn append_again(&mut self, world: &World<'_>, draft: Draft, from: Revision) {
        let head = self.entry_head(world.now, &draft);
        let (entry, key, stream) = (encode_entry(&head, &draft.payload), self.entry_key(&draft, from), draft.stream);
        if let Some(journal) = self.journal.as_mut()
            && let Ok(entry) = entry
        {
            let ticket = journal.commits.add(draft);
            journal.writer.append(world.now.mono, ticket, entry, key);
            if let Some(stream) = stream {
                self.queue.waiters.insert(stream, super::queue::Waiter::Commit(ticket));
            }
        }
    }
}
