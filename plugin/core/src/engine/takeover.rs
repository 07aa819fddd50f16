//! The events of dead gateways are taken up, and the journal is told how events stand.
//!
//! An event that was taken over is attempted only once the journal knows that it will be: should the attempt kill this
//! gateway, the next one knows, and an event whose attempts go on killing gateways becomes a dead letter.

use std::rc::Rc;

use super::Engine;
use super::commits::Journaled;
use super::journaled::on_wall;
use super::pending::{Delivery, Pending, TrialMark};
use crate::ids::{EndpointId, RouteId};
use crate::journal::operation::{SegmentId, StoredSegment, WriterId};
use crate::journal::record::{
    DeliveryProgress, Entry, EntryDelivery, EventProgress, JournalStage, decode_progress, decode_segment,
};
use crate::journal::segments::{OpenSegment, Origin, SegmentEvent};
use crate::ledger::Place;
use crate::ledger::record::{Stage, Trail};
use crate::store::World;
use crate::time::{Instant, Now, WallTime};

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
    pub(super) fn note_progress(&mut self, now: Now) {
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

    /// Lets the attempts start that waited until the journal knew of them.
    pub(super) fn noted(&mut self, segments: &[SegmentId]) {
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

/// A time on the wall clock as one of this process.
fn in_process(at: WallTime, now: Now) -> Instant {
    now.mono.plus(at.since(now.wall)).minus(now.wall.since(at))
}
