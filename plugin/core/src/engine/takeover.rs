//! The events of dead gateways are taken up, and the journal is told how events stand.
//!
//! An event that was taken over is attempted only once the journal knows that it will be: should the attempt kill this
//! gateway, the next one knows, and an event whose attempts go on killing gateways becomes a dead letter.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Engine;
use super::commits::Journaled;
use super::letters::ended;
use super::pending::{Delivery, Pending, TrialMark};
use crate::config::Config;
use crate::egress::retry::RetryPolicy;
use crate::ids::{EndpointId, RouteId};
use crate::journal::operation::{SegmentId, StoredSegment, WriterId};
use crate::journal::record::{
    DeliveryProgress, Entry, EntryDelivery, EntryHead, EventProgress, JournalStage, decode_progress, decode_segment,
};
use crate::journal::segments::{OpenSegment, Origin, SegmentEvent};
use crate::ledger::Place;
use crate::ledger::record::{Stage, Trail};
use crate::store::World;
use crate::time::{Instant, Now};

/// The largest number of attempts in a row that may have killed their gateway, before an event is poison.
const TRIALS_MAX: u8 = 3;

impl Engine {
    /// Takes up segments of a dead writer.
    pub(super) fn take_up(&mut self, world: &mut World<'_>, dead: WriterId, segments: Vec<StoredSegment>) {
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
        let places = taken.iter().flat_map(|(_, segment)| &segment.events).filter_map(|event| match event {
            SegmentEvent::Here(place, _) => Some(*place),
            SegmentEvent::Rest(_) | SegmentEvent::Ended => None,
        });
        let is_poison = |event: &Pending| event.trials.is_some_and(|trials| trials >= TRIALS_MAX);
        let poison: Vec<Place> =
            places.filter(|place| self.queue.holdings.event(*place).is_some_and(is_poison)).collect();
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.open_taken(dead, taken);
        }
        for place in poison {
            self.bury_poison(world, place);
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
        let route = self.config.routes.iter().position(|route| route.name == head.route).map(RouteId);
        let (deliveries, mut rest) = self.sort(world, &head, &payload, &known.deliveries, origin);
        if deliveries.is_empty() {
            return SegmentEvent::rest(rest);
        }
        let mut meta = head.meta;
        meta.content_encoding = head.content_encoding;
        let accepted = Now { mono: world.now.in_process(head.accepted), wall: head.accepted };
        let mut pending = Pending::new(meta.id, meta.event_type.clone(), route, accepted, deliveries);
        pending.bytes = payload.len() as u64;
        (pending.origin, pending.mark, pending.trials) = (Some(origin), TrialMark::Wanted, Some(known.trials));
        let kept = self.own(world).ok().and_then(|home| self.keep(world, home, &meta, &payload, &pending).ok());
        let Some(place) = kept else {
            // Shared data does not take it now: it is left as it stands, for the next look.
            rest.extend(told(&self.config, &pending, world.now).map(|(_, told)| told));
            return SegmentEvent::rest(rest);
        };
        self.enlist(place, pending);
        SegmentEvent::Here(place, rest)
    }

    /// The deliveries of an event that this worker makes, and all others, as they stand. What has ended is among the
    /// others: it is told on, else whoever takes over next would deliver it again.
    fn sort(
        &mut self,
        world: &mut World<'_>,
        head: &EntryHead,
        payload: &[u8],
        known: &[DeliveryProgress],
        origin: Origin,
    ) -> (Vec<Delivery>, Vec<DeliveryProgress>) {
        let (mut deliveries, mut rest) = (Vec::new(), Vec::new());
        for first in &head.deliveries {
            let progress = known.iter().find(|delivery| delivery.endpoint == first.endpoint);
            let progress = progress.cloned().unwrap_or_else(|| untouched(first));
            let letter = match progress.stage {
                JournalStage::Letter | JournalStage::Sinking { .. } => {
                    self.take_up_letter(world, head, payload, &progress).ok()
                }
                JournalStage::Waiting(_) | JournalStage::Ended => None,
            };
            if let Some(serial) = letter.filter(|_| progress.stage == JournalStage::Letter) {
                self.remember_letter(head, &progress.endpoint, origin, serial);
            }
            let endpoint = self.config.endpoints.iter().position(|endpoint| endpoint.name == first.endpoint);
            match endpoint.filter(|_| progress.is_open()) {
                Some(endpoint) => {
                    let id = EndpointId(endpoint);
                    let retry = self.config.endpoints.get(endpoint).map(|endpoint| &endpoint.retry);
                    let longest = retry.map_or(Duration::ZERO, RetryPolicy::longest);
                    let mut delivery = delivery(id, progress, longest, world.now);
                    delivery.letter = letter;
                    deliveries.push(delivery);
                }
                None => rest.push(progress),
            }
        }
        (deliveries, rest)
    }

    /// Tells the journal how events stand that do not stand as it knows them.
    pub(super) fn note_progress(&mut self, now: Now) {
        if let Some(Journaled { writer, leased, .. }) = self.journal.as_mut()
            && leased.is_none_or(|(id, _)| id != writer.id())
        {
            *leased = Some((writer.id(), now.wall));
        }
        // Nearly every callback ends here: what follows looks at every segment.
        if !self.journal.as_ref().is_some_and(|journal| journal.writer.may_note(now.mono)) {
            return;
        }
        let member = self.member();
        let Some(Journaled { writer, .. }) = self.journal.as_mut() else { return };
        writer.set_member(member);
        let (holdings, config) = (&self.queue.holdings, &self.config);
        for owner in writer.take_notes(now.mono) {
            writer.note(now.mono, owner, &mut |_, segment| {
                let events = (0..).zip(&segment.events);
                let told = events.filter_map(|(index, event)| match event {
                    SegmentEvent::Ended => Some(EventProgress { index, is_ended: true, ..EventProgress::default() }),
                    SegmentEvent::Rest(rest) => {
                        Some(EventProgress { index, deliveries: rest.clone(), ..EventProgress::default() })
                    }
                    SegmentEvent::Here(place, rest) => {
                        let event = holdings.event(*place)?;
                        let has_moved = |delivery: &Delivery| {
                            delivery.attempts > 0 || !matches!(delivery.stage, Stage::Waiting { .. })
                        };
                        let moved = told(config, event, now).filter(|(delivery, _)| has_moved(delivery));
                        let deliveries = moved.map(|(_, told)| told).chain(rest.iter().cloned()).collect();
                        let trials = event.trials.unwrap_or_default();
                        Some(EventProgress { index, trials, is_ended: false, deliveries })
                    }
                });
                told.collect()
            });
        }
    }

    /// Lets the attempts start that waited until the journal knew of them.
    pub(super) fn noted(&mut self, segments: &[SegmentId]) {
        let holdings = &mut self.queue.holdings;
        let Some(journal) = self.journal.as_mut() else { return };
        let mut known = BTreeSet::new();
        for id in segments {
            let Some(segment) = journal.writer.segments.get_mut(*id) else { continue };
            for event in &segment.events {
                let SegmentEvent::Here(place, _) = event else { continue };
                let Some(event) = holdings.event_mut(*place).filter(|event| event.mark == TrialMark::Asked) else {
                    continue;
                };
                event.mark = TrialMark::Known;
                known.insert(*place);
            }
        }
        if !known.is_empty() {
            self.queue.unpark(|place| known.contains(&place));
            self.queue.cleared.extend(known);
        }
    }

    /// Says whether an attempt of this event may start as far as the journal is concerned.
    pub(super) fn clearance(&mut self, now: Instant, place: Place) -> Clearance {
        let may = self.may_attempt_journaled(now);
        let Some(event) = self.queue.holdings.event(place).filter(|event| event.origin.is_some()) else {
            return Clearance::Given;
        };
        if !may {
            self.journal.as_mut().into_iter().for_each(|journal| journal.may_attempt = false);
            self.withdraw_trial(place);
            return Clearance::Held;
        }
        match event.mark {
            TrialMark::None | TrialMark::Known => Clearance::Given,
            TrialMark::Asked => Clearance::Held,
            TrialMark::Wanted => Clearance::Wanted,
        }
    }

    /// Tells the journal that an attempt of this event is about to leave.
    pub(super) fn ask_trial(&mut self, place: Place) {
        let Some(event) = self.queue.holdings.event_mut(place) else { return };
        event.mark = TrialMark::Asked;
        event.trials = Some(event.trials.unwrap_or_default().saturating_add(1));
        if let Some((journal, origin)) = self.journal.as_mut().zip(event.origin) {
            journal.writer.segments.change(origin);
            journal.writer.note_soon();
        }
    }

    /// Takes back that an attempt of this event is about to leave, where nothing but the journal was told and something
    /// else holds the attempt: what waits kills no gateway.
    pub(super) fn withdraw_trial(&mut self, place: Place) {
        let Some(event) = self.queue.holdings.event_mut(place) else { return };
        let is_under_way = event.deliveries.iter().any(|delivery| delivery.under_way);
        let is_told = matches!(event.mark, TrialMark::Asked | TrialMark::Known) && !is_under_way;
        let Some((trials, origin)) = event.trials.as_mut().zip(event.origin).filter(|_| is_told) else { return };
        *trials = trials.saturating_sub(1);
        event.mark = TrialMark::Wanted;
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.segments.change(origin);
        }
    }

    /// Withdraws the trials of attempts that were cleared before the last call of this and have not left since: something
    /// holds them.
    pub(super) fn withdraw_cleared(&mut self) {
        let newly = std::mem::take(&mut self.queue.cleared);
        for place in std::mem::replace(&mut self.queue.may_leave, newly) {
            self.withdraw_trial(place);
        }
    }

    /// Withdraws the trials of all attempts that are not cleared.
    pub(super) fn withdraw_trials(&mut self) {
        for place in self.queue.reserved() {
            self.withdraw_trial(place);
        }
        self.queue.give_back_reserved();
    }

    /// Notes that an event in the journal does not stand as the journal knows it, or has ended.
    pub(super) fn tell_journal(&mut self, now: Now, place: Place) {
        let Some(event) = self.queue.holdings.event(place) else { return };
        let Some(origin) = event.origin else { return };
        if !event.is_settled() {
            if let Some(journal) = self.journal.as_mut() {
                journal.writer.segments.change(origin);
            }
            return;
        }
        let ended: Vec<DeliveryProgress> = told(&self.config, event, now)
            .map(|(delivery, told)| DeliveryProgress { stage: ended(delivery), ..told })
            .collect();
        let event = event.clone();
        self.remember_letters(&event, origin);
        // It is told once, even if its slot cannot be freed now.
        if let Some(event) = self.queue.holdings.event_mut(place) {
            event.origin = None;
        }
        if let Some(journal) = self.journal.as_mut() {
            journal.writer.segments.end(origin, ended);
        }
    }
}

/// Whether an attempt of an event may start as far as the journal is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clearance {
    /// It may.
    Given,
    /// It may once the journal has been told.
    Wanted,
    /// It may not: the journal is being told, or has no use for it now.
    Held,
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

/// A delivery that is taken over; `longest` is the longest wait before an attempt.
fn delivery(endpoint: EndpointId, progress: DeliveryProgress, longest: Duration, now: Now) -> Delivery {
    // The clock of the dead gateway may have been ahead by any time.
    let due_here = |due| now.in_process(due).min(now.mono.plus(longest));
    let stage = match progress.stage {
        JournalStage::Waiting(due) => Stage::Waiting { due: due_here(due) },
        JournalStage::Sinking { attempts, reason, due } => Stage::Sinking { attempts, reason, due: due_here(due) },
        JournalStage::Ended | JournalStage::Letter => Stage::Dead,
    };
    let mut delivery = Delivery::new(endpoint, stage, false);
    (delivery.attempts, delivery.response_status, delivery.trail) =
        (progress.attempts, progress.response_status, progress.trail);
    delivery
}

/// How the deliveries of an event stand that this worker makes, for the journal.
pub(super) fn told<'a>(
    config: &'a Config,
    event: &'a Pending,
    now: Now,
) -> impl Iterator<Item = (&'a Delivery, DeliveryProgress)> {
    event.deliveries.iter().filter_map(move |delivery| {
        let name = &config.endpoints.get(delivery.endpoint.0)?.name;
        Some((delivery, progress(name, delivery, now)))
    })
}

/// How a delivery stands, for the journal.
fn progress(endpoint: &str, delivery: &Delivery, now: Now) -> DeliveryProgress {
    let stage = match delivery.stage {
        Stage::Waiting { due } => JournalStage::Waiting(now.on_wall(due)),
        Stage::Sinking { attempts, reason, due } => JournalStage::Sinking { attempts, reason, due: now.on_wall(due) },
        // Its letter may be among the fleet's only later, and the event's other deliveries go on meanwhile.
        Stage::Delivered | Stage::Dead => ended(delivery),
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
