//! What the engine does with the journal: it lets the writer work, commits what was appended, tells how events stand,
//! and takes up the events of dead gateways.
//!
//! An event in the journal stands in shared data, too, like any other: its body is read from there, and operators see it
//! there. But nobody adopts it by its record: whoever holds its segment in the journal delivers it.

use std::rc::Rc;

use super::Engine;
use super::action::{Action, StoreRequest};
use super::commits::Journaled;
use super::draft::{Draft, Reply, refuse_commit, store_refusal};
use super::queue::Waiter;
use super::takeover::told;
use crate::admin::about::About;
use crate::answer::Answer;
use crate::ingress::event::EventResult;
use crate::ingress::receipt::EventStatus;
use crate::ingress::request::RequestResult;
use crate::journal::event::{CommitRefusal, JournalEvent};
use crate::journal::operation::{SegmentId, StoreRefusal, StoreReply};
use crate::journal::record::{EntryDelivery, EntryHead, Member, encode_entry};
use crate::journal::segments::{OpenSegment, Origin, SegmentEvent, Segments};
use crate::journal::{Durability, Unavailable};
use crate::ledger::Place;
use crate::ledger::record::Stage;
use crate::store::World;
use crate::telemetry::notice::Notice;
use crate::time::{Instant, Now, WallTime};

/// Where an admitted event is to be kept.
pub(super) enum Keeping {
    /// In shared data only.
    Memory,
    /// In the journal first.
    Journal,
    /// Nowhere: the store is in no state to take it.
    Refused(CommitRefusal),
}

impl Engine {
    /// Says where an admitted event is to be kept.
    pub(super) fn keeping(&self, now: Instant, draft: &Draft) -> Keeping {
        let wants = draft.pending.route.and_then(|route| self.config.routes.get(route.0)).map(|route| route.durability);
        let Some(Journaled { writer, commits, .. }) =
            self.journal.as_ref().filter(|_| wants == Some(Durability::Journal) && !draft.pending.is_settled())
        else {
            return Keeping::Memory;
        };
        if let Some(why) = writer.refusal(now) {
            Keeping::Refused(why)
        } else if self.fleet_bytes() >= self.config.journal.as_ref().map_or(0, |journal| journal.bytes) {
            Keeping::Refused(CommitRefusal::Store(StoreRefusal::Full))
        } else if !commits.has_room(draft.payload.len() as u64) {
            Keeping::Refused(CommitRefusal::Busy)
        } else {
            Keeping::Journal
        }
    }

    /// Whether the process's memory takes what the journal does not.
    pub(super) fn falls_back_on_memory(&self) -> bool {
        self.config.journal.as_ref().is_some_and(|journal| journal.unavailable == Unavailable::Memory)
    }

    /// The size of what the fleet keeps in the store, as far as its members say, in bytes.
    pub(super) fn fleet_bytes(&self) -> u64 {
        self.journal.as_ref().map_or(0, |journal| journal.writer.fleet_bytes())
    }

    /// Gives an admitted event to the writer; its producer is answered when its fate is known.
    pub(super) fn append_draft(&mut self, world: &mut World<'_>, draft: Draft) -> Reply {
        if self.own(world).is_err() {
            // Shared data would not take it after its commit either.
            return self.settled(world, draft.key.as_ref(), store_refusal());
        }
        let head = self.entry_head(world.now, &draft);
        let Some(journal) = self.journal.as_mut() else { return store_refusal() };
        let Ok(entry) = encode_entry(&head, &draft.payload) else { return store_refusal() };
        if entry.len() > journal.writer.entry_max() {
            let answer = Answer::too_large(journal.writer.entry_max());
            let reply = Reply { answer: Some(answer), result: Some(EventResult::Invalid), route: None };
            return self.settled(world, draft.key.as_ref(), reply);
        }
        // What was closed because nothing was left to do goes on.
        journal.writer.reopen(world.now.mono);
        let (stream, key) = (draft.stream, self.entry_key(&draft, 0));
        let Some(journal) = self.journal.as_mut() else { return store_refusal() };
        let ticket = journal.commits.add(draft);
        journal.writer.append(world.now.mono, ticket, entry, key);
        if let Some(stream) = stream {
            self.queue.waiters.insert(stream, Waiter::Commit(ticket));
        }
        Reply { answer: None, result: None, route: None }
    }

    pub(super) fn entry_head(&self, now: Now, draft: &Draft) -> EntryHead {
        let Draft { meta, pending, .. } = draft;
        let waiting = pending.deliveries.iter().filter_map(|delivery| match delivery.stage {
            Stage::Waiting { due } => {
                let endpoint = self.config.endpoints.get(delivery.endpoint.0)?;
                Some(EntryDelivery {
                    endpoint: endpoint.name.clone(),
                    due: now.on_wall(due),
                    expires: pending.accepted_wall.plus(endpoint.max_age),
                })
            }
            _ => None,
        });
        let route = pending.route.and_then(|route| self.config.routes.get(route.0));
        EntryHead {
            meta: meta.clone(),
            content_encoding: meta.content_encoding.clone(),
            accepted: pending.accepted_wall,
            route: route.map(|route| route.name.clone()).unwrap_or_default(),
            deliveries: waiting.collect(),
        }
    }

    /// Lets the writer do what the time brings, and does what follows from it.
    pub(super) fn drive_journal(&mut self, world: &mut World<'_>) {
        if self.journal.is_none() {
            return;
        }
        let now = world.now.mono;
        self.learn_process(world);
        self.tell_message_ends(now);
        self.steer_writer(world);
        let takes_over = self.leadership.leads() && !self.leadership.control.get().draining;
        let is_held = self.queue.waiting >= self.config.limits.pending as usize
            || self.queue.bytes >= self.config.limits.pending_bytes;
        let random = &mut *world.random;
        if let Some(Journaled { writer, .. }) = self.journal.as_mut() {
            writer.hold_takeover(is_held);
            writer.handle_timeout(now, takes_over, random);
        }
        self.handle_journal_events(world);
        self.note_progress(world.now);
        self.sync_documents(world);
        self.sync_letters(world);
        let may_attempt = self.may_attempt_journaled(now);
        if !may_attempt {
            self.withdraw_trials();
        }
        if let Some(journal) = self.journal.as_mut()
            && !std::mem::replace(&mut journal.may_attempt, may_attempt)
            && may_attempt
        {
            self.queue.unpark(|_| true);
        }
    }

    /// Reads the name of this process, which the first configuration has written.
    fn learn_process(&mut self, world: &mut World<'_>) {
        let Some(journal) = self.journal.as_mut().filter(|journal| journal.process.is_none()) else { return };
        if let Ok(Some(About { instance: Some(instance), started, .. })) = About::read(world.store, &self.keys) {
            journal.process = Some((instance.to_string(), started));
        }
    }

    /// Closes the writer when its events are others' to deliver, and opens it again when they are not.
    fn steer_writer(&mut self, world: &mut World<'_>) {
        let now = world.now.mono;
        let hands_over = self.leadership.generation.is_known() && !self.leadership.leads();
        let gives_up = hands_over || self.leadership.control.get().draining;
        let is_idle = !self.has_journaled_flights();
        let Some(Journaled { writer, commits, messages, .. }) = self.journal.as_mut() else { return };
        if !gives_up {
            writer.reopen(now);
        } else if is_idle && commits.is_empty() && messages.is_empty() {
            writer.close(now);
        }
    }

    /// Gives all events in the journal up to other writers, this worker's next one among them.
    pub(super) fn abandon_journal(&mut self, now: Instant) {
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.abandon(now);
        }
    }

    fn has_journaled_flights(&self) -> bool {
        let is_journaled = |place| self.queue.holdings.event(place).is_some_and(|event| event.origin.is_some());
        self.queue.flights.iter().any(|flight| is_journaled(flight.entry.place))
    }

    /// Says whether the journal has nothing left to do for this worker.
    pub(super) fn is_journal_closed(&self) -> bool {
        self.journal.as_ref().is_none_or(|Journaled { writer, commits, messages, .. }| {
            writer.is_closed() && commits.is_empty() && messages.is_empty()
        })
    }

    /// Says whether an attempt of an event in the journal may start: not without a lease, for then another gateway may
    /// deliver the event.
    pub(super) fn may_attempt_journaled(&self, now: Instant) -> bool {
        let is_alive = self.journal.as_ref().is_some_and(|journal| journal.writer.is_alive(now));
        is_alive && self.knows_fleet() && !self.leadership.control.get().draining
    }

    /// The next call to the store.
    pub(super) fn poll_store(&mut self, now: Instant) -> Option<StoreRequest> {
        let (number, call) = self.journal.as_mut()?.writer.poll_call(now)?;
        Some(StoreRequest { number, config: Rc::clone(&self.config), call })
    }

    /// Handles what came back of a call to the store.
    pub fn handle_store_reply(&mut self, world: &mut World<'_>, call: u64, reply: &StoreReply) {
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.handle_reply(world.now.mono, call, reply);
        }
        self.handle_journal_events(world);
        self.drive_journal(world);
    }

    fn handle_journal_events(&mut self, world: &mut World<'_>) {
        while let Some(event) = self.journal.as_mut().and_then(|journal| journal.writer.poll_event()) {
            match event {
                JournalEvent::Committed { segment, tickets, bytes, may_come_late, is_ours } => {
                    let mut open = self.committed(world, segment, &tickets, bytes, is_ours);
                    open.may_come_late = may_come_late;
                    if let Some(journal) = self.journal.as_mut().filter(|_| is_ours) {
                        // What shared data does not take is left to this worker's next writer, or to another gateway.
                        let is_left = open.events.iter().any(|event| matches!(event, SegmentEvent::Rest(_)));
                        journal.writer.segments.insert(segment, open);
                        if is_left {
                            journal.writer.abandon(world.now.mono);
                        }
                    }
                }
                JournalEvent::KeyTaken { ticket, revision, bytes } => self.key_taken(world, ticket, revision, &bytes),
                JournalEvent::Refused { tickets, why } => {
                    tickets.into_iter().for_each(|ticket| self.refuse_draft(world, ticket, why));
                }
                JournalEvent::MessageClaimed { ticket, claim, may_come_late } => {
                    self.message_claimed(world, ticket, claim, may_come_late);
                }
                JournalEvent::MessageTaken { ticket, found } => self.message_taken(world, ticket, &found),
                JournalEvent::MessageRefused { ticket, why } => self.message_refused(world, ticket, why),
                JournalEvent::Lost => self.lose_journaled(world),
                JournalEvent::Claimed(dead) => self.output.note(Notice::TakenOver { writer: dead.to_string() }),
                JournalEvent::Taken { dead, segments } => self.take_up(world, dead, segments),
                JournalEvent::Documents { changed, until } => self.take_documents(world, changed, until),
                JournalEvent::Stored(document) => self.document_stored(world, document),
                JournalEvent::Conflict => self.document_conflict(world),
                JournalEvent::Letters(news) => self.letters_told(world, news),
                JournalEvent::Noted(segments) => self.noted(&segments),
                JournalEvent::Appended { outcome, took, entries } => {
                    self.output.note(Notice::Appended { outcome, took, entries });
                }
            }
        }
    }

    /// Commits the events of a segment that was appended, and answers their producers; returns the segment.
    fn committed(
        &mut self,
        world: &mut World<'_>,
        segment: SegmentId,
        tickets: &[u64],
        bytes: u64,
        is_ours: bool,
    ) -> OpenSegment {
        let (mut events, mut oldest) = (Vec::with_capacity(tickets.len()), world.now.wall);
        for (index, ticket) in (0..).zip(tickets) {
            let Some(mut draft) = self.journal.as_mut().and_then(|journal| journal.commits.take(*ticket)) else {
                events.push(SegmentEvent::Ended);
                continue;
            };
            oldest = oldest.min(draft.pending.accepted_wall);
            let stream = draft.stream;
            draft.pending.origin = Some(Origin { segment, index });
            self.remember_key(&draft);
            let (reply, event) = if is_ours {
                self.begin_committed(world, draft)
            } else {
                (self.told_pending(world, draft), SegmentEvent::Ended)
            };
            events.push(event);
            self.answer_late(stream, reply);
        }
        OpenSegment::new(events, bytes, oldest)
    }

    /// Begins the deliveries of an event that is committed. It is accepted even if shared data does not take it: then it is
    /// left in the journal as it stands.
    fn begin_committed(&mut self, world: &mut World<'_>, mut draft: Draft) -> (Reply, SegmentEvent) {
        let Ok(place) = self.keep_draft(world, &draft) else {
            let left = told(&self.config, &draft.pending, world.now).map(|(_, told)| told).collect();
            return (self.told_pending(world, draft), SegmentEvent::rest(left));
        };
        let (key, message) = (draft.key, draft.message.take());
        let reply = self.commit_draft(world, draft, place);
        self.end_message(world, message, true);
        let event = place.map_or(SegmentEvent::Ended, |place| SegmentEvent::Here(place, Vec::new()));
        (self.settled(world, key.as_ref(), reply), event)
    }

    /// Answers the producer of an event that is accepted, and that this worker does not deliver now.
    fn told_pending(&mut self, world: &mut World<'_>, draft: Draft) -> Reply {
        let Draft { pending, key, message, .. } = draft;
        let answer = Answer::receipt(202, &self.receipt(&pending, EventStatus::Accepted, false));
        self.count_accepted(&pending);
        self.end_message(world, message, true);
        let reply = Reply { answer: Some(answer), result: Some(EventResult::Accepted), route: pending.route };
        self.settled(world, key.as_ref(), reply)
    }

    /// Refuses an event that was not appended, or keeps it in memory if the config says so.
    fn refuse_draft(&mut self, world: &mut World<'_>, ticket: u64, why: CommitRefusal) {
        let Some(draft) = self.journal.as_mut().and_then(|journal| journal.commits.take(ticket)) else { return };
        let stream = draft.stream;
        let reply = self.without_journal(world, draft, why);
        self.answer_late(stream, reply);
    }

    /// Answers an event that cannot be kept in the journal: it is refused, or kept in memory.
    pub(super) fn without_journal(&mut self, world: &mut World<'_>, mut draft: Draft, why: CommitRefusal) -> Reply {
        match why {
            CommitRefusal::Store(StoreRefusal::TooLarge) => {}
            CommitRefusal::Store(StoreRefusal::Full) if !self.journal.as_ref().is_some_and(|j| j.writer.is_full()) => {}
            _ if self.falls_back_on_memory() => {
                self.output.note(Notice::MemoryOnly);
                return self.finish_draft(world, draft);
            }
            _ => {}
        }
        let message = draft.message.take();
        self.end_message(world, message, false);
        let reply = Reply { route: draft.pending.route, ..refuse_commit(why) };
        self.settled(world, draft.key.as_ref(), reply)
    }

    /// Sends an answer that a producer has waited for, and counts the request. Without an answer the producer waits on, for
    /// the end of its event.
    pub(super) fn answer_late(&mut self, stream: Option<u32>, reply: Reply) {
        if let (Some(stream), Some(answer)) = (stream, reply.answer) {
            self.queue.waiters.remove(&stream);
            self.output.act(Action::Answer { stream, answer });
        }
        if let Some((route, result)) = reply.route.zip(reply.result) {
            self.output.note(Notice::Request(RequestResult::Event(route, result)));
        }
    }

    /// Forgets the events in the journal: other writers deliver them.
    fn lose_journaled(&mut self, world: &mut World<'_>) {
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.segments = Segments::default();
            journal.letters.clear();
        }
        let journaled = self.queue.holdings.iter().filter(|(_, event)| event.origin.is_some());
        let places: Vec<Place> = journaled.map(|(place, _)| place).collect();
        if !places.is_empty() {
            self.output.note(Notice::JournalLost { events: places.len() });
        }
        for place in places {
            self.forget_event(world, place);
        }
        self.queue.drop_leftovers();
    }

    /// What other gateways are to know of this worker.
    pub(super) fn member(&self) -> Member {
        let Some(journal) = &self.journal else { return Member::default() };
        let (segments, bytes) = journal.writer.segments.size();
        let (instance, started) = journal.process.clone().unwrap_or_default();
        Member {
            instance,
            started_at: started.as_millis(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: format!("{:016x}", self.config.fingerprint),
            pending: self.queue.waiting as u64,
            segments,
            bytes,
            oldest: journal.writer.segments.oldest().map_or(0, WallTime::as_millis),
            takeovers: journal.writer.takeovers(),
            lease_since: journal.leased.map_or(0, |(_, since)| since.as_millis()),
            guard: journal.reports.clone(),
        }
    }
}
