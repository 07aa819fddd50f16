//! What the engine does with the journal: it lets the writer work, commits what was appended, tells how events stand,
//! and takes up the events of dead gateways.
//!
//! An event in the journal stands in shared data, too, like any other: its body is read from there, and operators see it
//! there. But nobody adopts it by its record: whoever holds its segment in the journal delivers it.

use std::rc::Rc;
use std::time::Duration;

use super::Engine;
use super::accept::{Draft, Reply};
use super::action::{Action, StoreRequest};
use super::commits::Commits;
use super::pending::{Delivery, Pending, TrialMark};
use super::queue::Waiter;
use crate::admin::about::About;
use crate::answer::Answer;
use crate::ids::{EndpointId, RouteId};
use crate::ingress::event::EventResult;
use crate::ingress::receipt::EventStatus;
use crate::ingress::request::RequestResult;
use crate::journal::etcd::Etcd;
use crate::journal::operation::{SegmentId, StoreRefusal, StoreReply, StoredSegment, WriterId};
use crate::journal::record::{
    DeliveryProgress, Entry, EntryDelivery, EntryHead, EventProgress, JournalStage, Member, decode_progress,
    decode_segment, encode_entry,
};
use crate::journal::segments::{OpenSegment, Origin, SegmentEvent, Segments};
use crate::journal::writer::{CommitRefusal, JournalEvent, Writer};
use crate::journal::{Durability, JournalSettings, Unavailable};
use crate::ledger::Place;
use crate::ledger::record::{Stage, Trail};
use crate::store::World;
use crate::telemetry::notice::Notice;
use crate::time::{Instant, Now, WallTime};

/// After so long without a lease an event is refused at once: before, the store may be back in a moment.
const DOWN_MAX: Duration = Duration::from_secs(3);

/// The largest number of attempts in a row that may have killed their gateway, before an event is poison.
const TRIALS_MAX: u8 = 3;

/// The engine's part of the journal.
#[derive(Debug)]
pub(super) struct Journaled {
    pub writer: Writer,
    pub commits: Commits,
    /// The name and the start of this process, once they are known.
    process: Option<(String, WallTime)>,
}

impl Journaled {
    /// The part for a journal with these settings.
    pub fn new(settings: &JournalSettings) -> Self {
        let etcd = Etcd::new(&settings.etcd.prefix, settings.lease.as_secs(), settings.etcd.user.as_ref());
        Self { writer: Writer::new(Box::new(etcd), settings.lease), commits: Commits::default(), process: None }
    }
}

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
        let refusal = if writer.down_for(now) >= DOWN_MAX {
            Some(writer.last_error().unwrap_or(CommitRefusal::Store(StoreRefusal::NotSent)))
        } else if writer.is_full()
            || self.fleet_bytes() >= self.config.journal.as_ref().map_or(0, |journal| journal.bytes)
        {
            Some(CommitRefusal::Store(StoreRefusal::Full))
        } else {
            (!commits.has_room(draft.payload.len() as u64)).then_some(CommitRefusal::Unknown)
        };
        match refusal {
            None => Keeping::Journal,
            Some(why) => Keeping::Refused(why),
        }
    }

    /// The size of what the fleet keeps in the store, as far as its members say, in bytes.
    pub(super) fn fleet_bytes(&self) -> u64 {
        let members = self.journal.as_ref().map(|journal| journal.writer.fleet().alive.iter());
        members.into_iter().flatten().filter_map(|(_, member)| Member::decode(member)).map(|member| member.bytes).sum()
    }

    /// Gives an admitted event to the writer; its producer is answered when its fate is known.
    pub(super) fn append_draft(&mut self, world: &mut World<'_>, draft: Draft) -> Reply {
        let head = self.entry_head(world.now, &draft);
        let Some(journal) = self.journal.as_mut() else { return super::accept::store_refusal() };
        let Ok(entry) = encode_entry(&head, &draft.payload) else { return super::accept::store_refusal() };
        if entry.len() > journal.writer.entry_max() {
            let answer = Answer::too_large(journal.writer.entry_max());
            return Reply { answer: Some(answer), result: Some(EventResult::Invalid), route: None };
        }
        // What was closed because nothing was left to do goes on.
        journal.writer.reopen(world.now.mono);
        let stream = draft.stream;
        let ticket = journal.commits.add(draft);
        journal.writer.append(world.now.mono, ticket, entry);
        if let Some(stream) = stream {
            self.queue.waiters.insert(stream, Waiter::Commit(ticket));
        }
        Reply { answer: None, result: None, route: None }
    }

    fn entry_head(&self, now: Now, draft: &Draft) -> EntryHead {
        let Draft { meta, pending, .. } = draft;
        let waiting = pending.deliveries.iter().filter_map(|delivery| match delivery.stage {
            Stage::Waiting { due } => {
                let endpoint = self.config.endpoints.get(delivery.endpoint.0)?;
                Some(EntryDelivery {
                    endpoint: endpoint.name.clone(),
                    due: on_wall(due, now),
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
        if self.may_attempt_journaled(now) {
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
        let Some(Journaled { writer, commits, .. }) = self.journal.as_mut() else { return };
        if !gives_up {
            writer.reopen(now);
        } else if is_idle && commits.is_empty() {
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
        self.journal.as_ref().is_none_or(|journal| journal.writer.is_closed() && journal.commits.is_empty())
    }

    /// Says whether an attempt of an event in the journal may start: not without a lease, for then another gateway may
    /// deliver the event.
    pub(super) fn may_attempt_journaled(&self, now: Instant) -> bool {
        let is_alive = self.journal.as_ref().is_some_and(|journal| journal.writer.is_alive(now));
        is_alive && !self.leadership.control.get().draining
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
                JournalEvent::Committed { segment, tickets, bytes, is_ours } => {
                    self.committed(world, segment, &tickets, bytes, is_ours);
                }
                JournalEvent::Refused { tickets, why } => {
                    tickets.into_iter().for_each(|ticket| self.refuse_draft(world, ticket, why));
                }
                JournalEvent::Lost => self.lose_journaled(world),
                JournalEvent::Claimed(dead) => self.output.note(Notice::TakenOver { writer: dead.to_string() }),
                JournalEvent::Taken { dead, segments } => self.take_up(world, dead, segments),
                JournalEvent::Noted(segments) => self.noted(&segments),
                JournalEvent::Appended { outcome, took, entries } => {
                    self.output.note(Notice::Appended { outcome, took, entries });
                }
            }
        }
    }

    /// Commits the events of a segment that was appended, and answers their producers.
    fn committed(&mut self, world: &mut World<'_>, segment: SegmentId, tickets: &[u64], bytes: u64, is_ours: bool) {
        let (mut events, mut oldest) = (Vec::with_capacity(tickets.len()), world.now.wall);
        for (index, ticket) in (0..).zip(tickets) {
            let Some(draft) = self.journal.as_mut().and_then(|journal| journal.commits.take(*ticket)) else {
                events.push(SegmentEvent::Ended);
                continue;
            };
            oldest = oldest.min(draft.pending.accepted_wall);
            let stream = draft.stream;
            let (reply, place) = if is_ours {
                self.finish_draft(world, draft, Some(Origin { segment, index }))
            } else {
                (self.told_pending(world, draft), None)
            };
            events.push(place.map_or(SegmentEvent::Ended, |place| SegmentEvent::Here(place, Vec::new())));
            self.answer_late(stream, reply, place);
        }
        if let Some(journal) = self.journal.as_mut().filter(|_| is_ours) {
            journal.writer.segments.insert(segment, OpenSegment::new(events, bytes, oldest));
        }
    }

    /// Answers the producer of an event that is accepted, and that another gateway delivers.
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
        let (reply, place) = self.without_journal(world, draft, why);
        self.answer_late(stream, reply, place);
    }

    /// Answers an event that cannot be kept in the journal: it is refused, or kept in memory.
    pub(super) fn without_journal(
        &mut self,
        world: &mut World<'_>,
        mut draft: Draft,
        why: CommitRefusal,
    ) -> (Reply, Option<Place>) {
        let keeps = self.config.journal.as_ref().is_some_and(|journal| journal.unavailable == Unavailable::Memory);
        match why {
            CommitRefusal::Store(StoreRefusal::TooLarge) => {}
            CommitRefusal::Store(StoreRefusal::Full) if !self.journal.as_ref().is_some_and(|j| j.writer.is_full()) => {}
            _ if keeps => {
                self.output.note(Notice::MemoryOnly);
                return self.finish_draft(world, draft, None);
            }
            _ => {}
        }
        let message = draft.message.take();
        self.end_message(world, message, false);
        let reply = Reply { route: draft.pending.route, ..super::accept::refuse_commit(why) };
        (self.settled(world, draft.key.as_ref(), reply), None)
    }

    /// Sends an answer that a producer has waited for, and counts the request.
    fn answer_late(&mut self, stream: Option<u32>, reply: Reply, place: Option<Place>) {
        if let Some(stream) = stream {
            self.queue.waiters.remove(&stream);
            match (reply.answer, place) {
                (Some(answer), _) => self.output.act(Action::Answer { stream, answer }),
                (None, Some(place)) => drop(self.queue.waiters.insert(stream, Waiter::End(place))),
                (None, None) => {}
            }
        }
        if let Some((route, result)) = reply.route.zip(reply.result) {
            self.output.note(Notice::Request(RequestResult::Event(route, result)));
        }
    }

    /// Forgets the events in the journal: other writers deliver them.
    fn lose_journaled(&mut self, world: &mut World<'_>) {
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.segments = Segments::default();
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

    /// Takes up segments of a dead writer.
    fn take_up(&mut self, world: &mut World<'_>, dead: WriterId, segments: Vec<StoredSegment>) {
        let mut taken = Vec::with_capacity(segments.len());
        for stored in segments.into_iter().filter(|segment| !segment.bytes.is_empty()) {
            let (id, bytes) = (SegmentId { writer: dead, seq: stored.seq }, stored.bytes.len() as u64);
            let read = decode_segment(&stored.bytes).ok();
            let progress = stored.progress.as_deref().map_or(Ok(Vec::new()), decode_progress).ok();
            let segment = match read.zip(progress) {
                Some((entries, progress)) => {
                    let mut oldest = world.now.wall;
                    let mut events = Vec::with_capacity(entries.len());
                    for (index, entry) in (0..).zip(entries) {
                        let known = progress.iter().find(|event| event.index == index).cloned();
                        oldest = oldest.min(entry.head.accepted);
                        let origin = Origin { segment: id, index };
                        events.push(self.take_up_event(world, entry, known.unwrap_or_default(), origin));
                    }
                    let mut open = OpenSegment::new(events, bytes, oldest);
                    open.has_progress = stored.progress.is_some();
                    open
                }
                None => OpenSegment::foreign(bytes, world.now.wall),
            };
            taken.push((id, segment));
        }
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.open_taken(dead, taken);
        }
    }

    /// Takes up an event of a dead writer, with the deliveries that this gateway can make; the others are left.
    fn take_up_event(
        &mut self,
        world: &mut World<'_>,
        entry: Entry,
        known: EventProgress,
        origin: Origin,
    ) -> SegmentEvent {
        if known.is_ended {
            return SegmentEvent::Ended;
        }
        let Entry { head, payload } = entry;
        let config = Rc::clone(&self.config);
        let route = config.routes.iter().position(|route| route.name == head.route).map(RouteId);
        let (mut deliveries, mut left) = (Vec::new(), Vec::new());
        for first in &head.deliveries {
            let progress = known.deliveries.iter().find(|delivery| delivery.endpoint == first.endpoint);
            let progress = progress.cloned().unwrap_or_else(|| untouched(first));
            let endpoint = config.endpoints.iter().position(|endpoint| endpoint.name == first.endpoint);
            match endpoint {
                _ if progress.stage == JournalStage::Ended => {}
                Some(endpoint) => deliveries.push(delivery(EndpointId(endpoint), progress, world.now)),
                None => left.push(progress),
            }
        }
        if deliveries.is_empty() {
            return if left.is_empty() { SegmentEvent::Ended } else { SegmentEvent::Left(left) };
        }
        let mut meta = head.meta;
        meta.content_encoding = head.content_encoding;
        let accepted = Now { mono: in_process(head.accepted, world.now), wall: head.accepted };
        let mut pending = Pending::new(meta.id, meta.event_type.clone(), route, accepted, deliveries);
        pending.bytes = payload.len() as u64;
        (pending.origin, pending.mark, pending.trials) = (Some(origin), TrialMark::Wanted, Some(known.trials));
        let Ok(home) = self.own(world) else { return SegmentEvent::Left(left) };
        let Ok(place) = self.keep(world, home, &meta, &payload, &pending) else { return SegmentEvent::Left(left) };
        self.enlist(place, pending);
        if known.trials >= TRIALS_MAX {
            self.bury_poison(world, place);
            self.persist(world, place);
        }
        match self.queue.holdings.event(place) {
            Some(_) => SegmentEvent::Here(place, left),
            None if left.is_empty() => SegmentEvent::Ended,
            None => SegmentEvent::Left(left),
        }
    }

    /// Tells the journal how events stand that do not stand as it knows them.
    fn note_progress(&mut self, now: Now) {
        let member = self.member();
        let Some(Journaled { writer, .. }) = self.journal.as_mut() else { return };
        writer.set_member(member);
        let (holdings, config) = (&self.queue.holdings, &self.config);
        for owner in writer.wants_notes(now.mono) {
            writer.note(now.mono, owner, &mut |_, segment| {
                let events = (0..).zip(&segment.events);
                let told = events.filter_map(|(index, event)| match event {
                    SegmentEvent::Ended => Some(EventProgress { index, is_ended: true, ..EventProgress::default() }),
                    SegmentEvent::Left(left) => {
                        Some(EventProgress { index, deliveries: left.clone(), ..EventProgress::default() })
                    }
                    SegmentEvent::Here(place, left) => {
                        let event = holdings.event(*place)?;
                        let mut deliveries: Vec<DeliveryProgress> = event
                            .deliveries
                            .iter()
                            .filter(|delivery| {
                                delivery.attempts > 0 || !matches!(delivery.stage, Stage::Waiting { .. })
                            })
                            .filter_map(|delivery| {
                                let name = &config.endpoints.get(delivery.endpoint.0)?.name;
                                Some(progress(name, delivery, now))
                            })
                            .collect();
                        deliveries.extend(left.iter().cloned());
                        let trials = event.trials.unwrap_or_default();
                        Some(EventProgress { index, trials, is_ended: false, deliveries })
                    }
                });
                told.collect()
            });
        }
    }

    /// What other gateways are to know of this worker.
    fn member(&self) -> Member {
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
        }
    }

    /// Lets the attempts start that waited until the journal knew of them.
    fn noted(&mut self, segments: &[SegmentId]) {
        let holdings = &mut self.queue.holdings;
        let Some(journal) = self.journal.as_mut() else { return };
        let mut known = Vec::new();
        for id in segments {
            let Some(segment) = journal.writer.segments.get_mut(*id) else { continue };
            for event in &segment.events {
                let SegmentEvent::Here(place, _) = event else { continue };
                let Some(event) = holdings.event_mut(*place).filter(|event| event.mark == TrialMark::Asked) else {
                    continue;
                };
                event.mark = TrialMark::Known;
                known.push(*place);
            }
        }
        if !known.is_empty() {
            self.queue.unpark(|place| known.contains(&place));
        }
    }

    /// Says whether an attempt of this event may start as far as the journal is concerned; if not, its entry is parked
    /// until it may.
    pub(super) fn is_cleared(&mut self, now: Instant, place: Place) -> bool {
        let may = self.may_attempt_journaled(now);
        let Some(event) = self.queue.holdings.event_mut(place) else { return true };
        let Some(origin) = event.origin else { return true };
        if !may {
            return false;
        }
        match event.mark {
            TrialMark::None | TrialMark::Known => return true,
            TrialMark::Asked => return false,
            TrialMark::Wanted => {}
        }
        event.mark = TrialMark::Asked;
        event.trials = Some(event.trials.unwrap_or_default().saturating_add(1));
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.segments.change(origin);
            journal.writer.note_soon();
        }
        false
    }

    /// Notes that an event in the journal does not stand as the journal knows it, or has ended.
    pub(super) fn tell_journal(&mut self, place: Place) {
        let Some(event) = self.queue.holdings.event(place) else { return };
        let (Some(origin), is_settled) = (event.origin, event.is_settled()) else { return };
        let Some(journal) = self.journal.as_mut() else { return };
        if is_settled { journal.writer.segments.end(origin) } else { journal.writer.segments.change(origin) }
    }
}

/// How a delivery stands that was not attempted yet.
fn untouched(first: &EntryDelivery) -> DeliveryProgress {
    DeliveryProgress {
        endpoint: first.endpoint.clone(),
        attempts: 0,
        response_status: None,
        stage: JournalStage::Waiting(first.due),
        trail: Trail::default(),
    }
}

/// A delivery that is taken over.
fn delivery(endpoint: EndpointId, progress: DeliveryProgress, now: Now) -> Delivery {
    let stage = match progress.stage {
        JournalStage::Waiting(due) => Stage::Waiting { due: in_process(due, now) },
        JournalStage::Sinking { attempts, reason, due } => {
            Stage::Sinking { attempts, reason, due: in_process(due, now) }
        }
        JournalStage::Ended => Stage::Dead,
    };
    let mut delivery = Delivery::new(endpoint, stage, false);
    (delivery.attempts, delivery.response_status, delivery.trail) =
        (progress.attempts, progress.response_status, progress.trail);
    delivery
}

/// How a delivery stands, for the journal.
fn progress(endpoint: &str, delivery: &Delivery, now: Now) -> DeliveryProgress {
    let stage = match delivery.stage {
        Stage::Waiting { due } => JournalStage::Waiting(on_wall(due, now)),
        Stage::Sinking { attempts, reason, due } => JournalStage::Sinking { attempts, reason, due: on_wall(due, now) },
        Stage::Delivered | Stage::Dead => JournalStage::Ended,
    };
    let Delivery { attempts, response_status, trail, .. } = delivery;
    DeliveryProgress {
        endpoint: endpoint.to_owned(),
        attempts: *attempts,
        response_status: *response_status,
        stage,
        trail: trail.clone(),
    }
}

/// A time of this process on the wall clock.
fn on_wall(at: Instant, now: Now) -> WallTime {
    now.wall.plus(at.since(now.mono)).minus(now.mono.since(at))
}

/// A time on the wall clock as one of this process.
fn in_process(at: WallTime, now: Now) -> Instant {
    now.mono.plus(at.since(now.wall)).minus(now.wall.since(at))
}
