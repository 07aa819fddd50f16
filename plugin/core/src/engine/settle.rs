//! The end of an attempt, of a delivery, of an event.
//!
//! The order of writes is what makes a crash harmless: a dead letter is kept in the ring before its delivery is
//! written as dead, and a slot is freed last. A worker that dies in between leaves work that is done again.

use std::rc::Rc;

use super::Engine;
use super::flights::Flight;
use super::lane::{LaneEntry, LaneId};
use super::pending::Pending;
use crate::config::Config;
use crate::egress::breaker::Signal;
use crate::egress::dead_letter::{self, Arrival, Kept, Letter};
use crate::egress::endpoint::{Endpoint, OnGone};
use crate::egress::operational::NewsKind;
use crate::egress::retry::{self, RetryPolicy};
use crate::egress::state::RECHECK;
use crate::ids::EndpointId;
use crate::ledger::Place;
use crate::ledger::record::{DeliveryRecord, Stage, StateRecord};
use crate::outcome::{DeliveryResult, Ending, EndingVerdict, Reason, retry_after};
use crate::store::{StoreError, World};
use crate::telemetry::notice::Notice;
use crate::time::Instant;

/// The most dead letters of expired deliveries that one sweep makes; each takes some 50 µs with the default limits.
const SWEEP_MAX: usize = 500;

/// What follows from the end of an attempt.
#[derive(Clone, Copy)]
enum DeliveryStep {
    Delivered,
    Again { due: Instant },
    Fail { gone: bool },
}

impl Engine {
    /// Handles the end of an attempt. `retry_after_header` is the header `Retry-After` of the answer, if it has one.
    pub fn handle_call_ended(
        &mut self,
        world: &mut World<'_>,
        attempt: u64,
        ending: Ending,
        retry_after_header: Option<&[u8]>,
    ) {
        // A partition that was lost while the call was under way takes its attempts with it. If the store cannot say
        // whose a partition is, it cannot be written either.
        let _ = self.renew(world);
        let Some(flight) = self.queue.flights.remove(attempt) else { return };
        self.queue.lanes.ended(flight.lane);
        if let Some(state) = self.endpoints.get_mut(flight.lane.endpoint.0) {
            state.refusals = 0;
        }
        self.clear_trials(flight.entry.place);
        let Some(delivery) = self.queue.delivery(&flight.entry) else { return };
        delivery.under_way = false;
        if flight.lane.sink {
            return self.sink_ended(world, &flight, ending);
        }
        let took = world.now.mono.since(flight.started);
        delivery.trail.push(flight.at, ending, took);
        let is_retry = delivery.attempts > 0;
        self.count_attempt_of(&flight, world.now, ending, is_retry);
        self.output.note(Notice::Attempt { endpoint: flight.lane.endpoint, ending, took });
        let Some(next) = self.count_attempt(world, &flight, ending, retry_after_header) else { return };
        self.report(world, &flight, ending, matches!(next, DeliveryStep::Fail { .. }));
        let LaneEntry { place, index, .. } = flight.entry;
        match next {
            DeliveryStep::Delivered => {
                self.settle(place, index, Stage::Delivered);
                self.note_delivery(world, place, index, None);
                self.persist(world, place);
            }
            DeliveryStep::Again { due } => {
                self.queue.requeue(flight.lane, place, index, Stage::Waiting { due }, due);
                self.persist(world, place);
            }
            DeliveryStep::Fail { gone } => {
                if gone {
                    self.disable(world, flight.lane.endpoint);
                }
                self.bury(world, place, index, Reason::Failed);
            }
        }
    }

    /// Ends deliveries that have waited too long, and attempts whose end was never reported; writes the states of
    /// events that could not be written before.
    pub(super) fn sweep(&mut self, world: &mut World<'_>) {
        let now = world.now.mono;
        let overdue = self.queue.flights.iter().filter(|flight| flight.overdue <= now);
        for attempt in overdue.map(|flight| flight.attempt).collect::<Vec<_>>() {
            self.handle_call_ended(world, attempt, Ending::Timeout, None);
        }
        // States that shared data could not take before are written again.
        let dirty = self.queue.holdings.iter().filter(|(_, event)| event.is_dirty);
        for place in dirty.map(|(place, _)| place).collect::<Vec<_>>() {
            self.persist(world, place);
        }
        let mut expired = self.queue.expired(world.now, &self.config.endpoints);
        // The rest has its turn in the next sweep: a long stretch of work keeps a whole worker from its requests.
        expired.truncate(SWEEP_MAX);
        for (place, index) in &expired {
            self.bury(world, *place, *index, Reason::Expired);
        }
        if !expired.is_empty() {
            // Each buried delivery left its entry behind, perhaps in a lane that stays shut for days.
            self.queue.drop_leftovers();
        }
    }

    /// Makes a delivery a dead letter: the letter is kept in the ring first, then sent to the sink where there is one.
    /// If the ring cannot be written now, the delivery is buried again after [`RECHECK`]: no letter is lost because the
    /// store fails for a moment.
    pub(super) fn bury(&mut self, world: &mut World<'_>, place: Place, index: usize, reason: Reason) {
        let now = world.now;
        let Some(event) = self.queue.holdings.event(place) else { return };
        let Some(delivery) = event.deliveries.get(index) else { return };
        let Some((endpoint, _)) = self.endpoint(delivery.endpoint) else { return };
        let id = delivery.endpoint;
        let stage = buried(endpoint, now.mono, reason);
        let letter = |meta| Letter {
            meta,
            endpoint: endpoint.name.clone(),
            reason,
            attempts: delivery.attempts,
            response_status: delivery.response_status,
            accepted: event.accepted_wall,
            died: now.wall,
        };
        let (kept, stage) = match self.queue.body(world, place) {
            Ok((meta, payload)) => {
                let letter = letter(meta);
                (self.keep_letter(world, &letter, &payload).ok().map(Some), stage)
            }
            Err(error) => {
                self.output.note(Notice::Store { doing: "reading an event", error });
                // Bytes that are no event will never be one: the delivery ends without a letter, and nothing is sent to
                // the sink.
                ((error == StoreError::UnknownFormat).then_some(None), Stage::Dead)
            }
        };
        let Some(serial) = kept else {
            let due = now.mono.plus(RECHECK);
            if let Some(delivery) = self.queue.delivery_at(place, index) {
                delivery.doomed = Some(reason);
            }
            return self.queue.requeue(LaneId::of(id), place, index, Stage::Waiting { due }, due);
        };
        if let Some(delivery) = self.queue.delivery_at(place, index) {
            delivery.letter = serial;
        }
        self.note_delivery(world, place, index, Some(reason));
        match stage {
            Stage::Sinking { due, .. } => self.queue.requeue(LaneId::sink(id), place, index, stage, due),
            Stage::Waiting { .. } | Stage::Delivered | Stage::Dead => self.settle(place, index, stage),
        }
        self.persist(world, place);
    }

    /// Puts a letter into the ring; returns its serial number there.
    pub(super) fn keep_letter(
        &mut self,
        world: &mut World<'_>,
        letter: &Letter,
        payload: &[u8],
    ) -> Result<u64, StoreError> {
        let room = self.config.limits.dead_letter_room();
        match dead_letter::keep(world.store, &self.keys, letter, payload, Arrival::Died, room) {
            Ok(Kept { serial, evicted }) => {
                self.output.note(Notice::DeadLetter {
                    id: letter.meta.id,
                    endpoint: letter.endpoint.clone(),
                    reason: letter.reason,
                    attempts: letter.attempts,
                    response_status: letter.response_status,
                    evicted,
                });
                self.tell_letter(world, letter);
                Ok(serial)
            }
            Err(error) => {
                self.output.note(Notice::Store { doing: "keeping a dead letter", error });
                Err(error)
            }
        }
    }

    /// Writes how an event stands, or frees its slot when nothing is left to do.
    pub(super) fn persist(&mut self, world: &mut World<'_>, place: Place) {
        let Some(event) = self.queue.holdings.event(place) else { return };
        let (is_settled, is_answerable) = (event.is_settled(), event.is_answerable());
        self.tell_journal(world.now, place);
        let written = if is_settled {
            let holding = self.queue.holdings.get_mut(place.partition);
            holding.map_or(Ok(()), |holding| holding.partition.free(world.store, place.slot))
        } else {
            self.write(world, place)
        };
        if is_answerable {
            self.keep_pledge(world, place);
        }
        if let Err(error) = written {
            self.output.note(Notice::Store { doing: "writing how an event stands", error });
        }
        if let Some(event) = self.queue.holdings.event_mut(place) {
            event.is_dirty = written.is_err();
        }
        if is_settled && written.is_ok() {
            self.remember_event(world, place);
            self.queue.remove(place);
        }
    }

    /// Counts an attempt, and decides what follows from its end.
    fn count_attempt(
        &mut self,
        world: &mut World<'_>,
        flight: &Flight,
        ending: Ending,
        retry_after_header: Option<&[u8]>,
    ) -> Option<DeliveryStep> {
        let config = Rc::clone(&self.config);
        let endpoint = config.endpoints.get(flight.lane.endpoint.0)?;
        let delivery = self.queue.delivery(&flight.entry)?;
        delivery.attempts += 1;
        delivery.response_status = ending.status().or(delivery.response_status);
        let made = delivery.attempts;
        Some(match ending.verdict(&endpoint.retry.statuses) {
            EndingVerdict::Delivered => DeliveryStep::Delivered,
            EndingVerdict::Failed => DeliveryStep::Fail { gone: false },
            EndingVerdict::Gone => DeliveryStep::Fail { gone: true },
            EndingVerdict::Retry => {
                let asked = match ending {
                    Ending::Status(429 | 503) => {
                        retry_after_header.and_then(|value| retry_after(value, world.now.wall))
                    }
                    _ => None,
                };
                match retry::next_wait(&endpoint.retry, made, asked, chance(world, &endpoint.retry)) {
                    Some(wait) => DeliveryStep::Again { due: world.now.mono.plus(wait) },
                    None => DeliveryStep::Fail { gone: false },
                }
            }
        })
    }

    /// Tells the breaker how the attempt ended; `failed` says that the delivery has failed with it.
    fn report(&mut self, world: &mut World<'_>, flight: &Flight, ending: Ending, failed: bool) {
        let Some(permit) = flight.permit else { return };
        self.look_again(flight.lane.endpoint);
        let Some((endpoint, keys)) = self.endpoint(flight.lane.endpoint) else { return };
        let Some(policy) = &endpoint.breaker else { return };
        let signal = Signal::of(ending, policy);
        match keys.report(world.store, endpoint, world.now.mono, permit, signal, failed) {
            Ok(moved) => {
                self.note_breaker(world, flight.lane.endpoint, moved);
                self.tell_breaker(world, flight, ending, moved);
            }
            Err(error) => self.output.note(Notice::Store { doing: "telling a circuit breaker", error }),
        }
    }

    /// Disables an endpoint whose receiver answered 410, unless its `on_gone` is `fail`.
    fn disable(&mut self, world: &mut World<'_>, id: EndpointId) {
        let Some((endpoint, keys)) = self.endpoint(id) else { return };
        if endpoint.on_gone == OnGone::Fail {
            return;
        }
        let gone = keys.set_gone(world.store, endpoint);
        // The next event reads the endpoint's record anew, and its producer is told at once that the delivery is held.
        if let Some(state) = self.endpoints.get_mut(id.0) {
            state.seen = None;
        }
        match gone {
            Ok(true) => {
                self.output.note(Notice::Gone { endpoint: id });
                self.publish_changes(world);
                self.tell(world, NewsKind::EndpointDisabled, id, "gone", None);
            }
            Ok(false) => {}
            Err(error) => self.output.note(Notice::Store { doing: "disabling an endpoint", error }),
        }
    }

    pub(super) fn sink_ended(&mut self, world: &mut World<'_>, flight: &Flight, ending: Ending) {
        let LaneEntry { place, index, .. } = flight.entry;
        let Some(Stage::Sinking { attempts, reason, .. }) =
            self.queue.delivery(&flight.entry).map(|delivery| delivery.stage)
        else {
            return;
        };
        let attempts = attempts + 1;
        let policy = self.endpoint(flight.lane.endpoint).map(|(endpoint, _)| endpoint.retry.clone());
        let verdict = policy.as_ref().map(|policy| ending.verdict(&policy.statuses));
        let wait = policy.filter(|_| verdict == Some(EndingVerdict::Retry));
        let wait = wait.and_then(|policy| retry::next_wait(&policy, attempts, None, chance(world, &policy)));
        if let Some(wait) = wait {
            let due = world.now.mono.plus(wait);
            self.queue.requeue(flight.lane, place, index, Stage::Sinking { attempts, reason, due }, due);
        } else {
            let delivered = verdict == Some(EndingVerdict::Delivered);
            if let Some(event) = self.queue.holdings.event(place) {
                let (endpoint, id) = (flight.lane.endpoint, event.id);
                self.output.note(Notice::Sink { endpoint, id, delivered });
            }
            self.settle(place, index, Stage::Dead);
        }
        self.persist(world, place);
    }

    /// Moves a delivery to a stage with nothing left to do.
    pub(super) fn settle(&mut self, place: Place, index: usize, stage: Stage) {
        let Some(event) = self.queue.holdings.event_mut(place) else { return };
        let Some(delivery) = event.deliveries.get_mut(index) else { return };
        delivery.stage = stage;
        let (endpoint, bytes) = (delivery.endpoint, event.bytes);
        self.discount(endpoint, bytes);
    }

    /// Counts and notes the end of a delivery. `reason` is why it became a dead letter; `None`: it was delivered.
    fn note_delivery(&mut self, world: &World<'_>, place: Place, index: usize, reason: Option<Reason>) {
        let Some(event) = self.queue.holdings.event_mut(place) else { return };
        let Some(delivery) = event.deliveries.get_mut(index) else { return };
        delivery.trail.end(world.now.wall, reason);
        let was_attempted = delivery.attempts > 0;
        let (endpoint, took) = (delivery.endpoint, world.now.mono.since(event.accepted));
        let result = match reason {
            None => DeliveryResult::Delivered,
            Some(Reason::Expired) => DeliveryResult::Expired,
            Some(_) => DeliveryResult::Failed,
        };
        // A delivery that grew too old without any attempt, because it was held back, says nothing of its receiver.
        if was_attempted || result != DeliveryResult::Expired {
            self.count_delivery_of(endpoint, world.now, result);
        } else {
            self.count_result_of(endpoint, world.now, result);
        }
        self.output.note(Notice::Delivery { endpoint, result, took });
    }
}

/// The stage of a delivery that has failed for good: on its way to the endpoint's sink, or dead if there is no sink.
pub(super) fn buried(endpoint: &Endpoint, now: Instant, reason: Reason) -> Stage {
    match endpoint.dead_letter {
        Some(_) => Stage::Sinking { attempts: 0, reason, due: now },
        None => Stage::Dead,
    }
}

/// The record of an event, as shared data keeps it.
pub(super) fn state<'a>(config: &'a Config, event: &'a Pending) -> StateRecord<&'a str> {
    let deliveries = event.deliveries.iter().map(|delivery| DeliveryRecord {
        endpoint: config.endpoints.get(delivery.endpoint.0).map_or("", |endpoint| endpoint.name.as_str()),
        attempts: delivery.attempts,
        response_status: delivery.response_status,
        stage: delivery.stage,
        trail: delivery.trail.clone(),
    });
    let route = event.route.and_then(|route| config.routes.get(route.0));
    StateRecord {
        id: event.id,
        accepted: event.accepted,
        accepted_wall: event.accepted_wall,
        trials: event.trials.unwrap_or_default(),
        event_type: &event.event_type,
        route: route.map_or("", |route| &route.name),
        deliveries: deliveries.collect(),
        is_journaled: event.origin.is_some(),
    }
}

/// A random number, uniform in 0..1, drawn only if the policy has jitter.
fn chance(world: &mut World<'_>, policy: &RetryPolicy) -> f64 {
    if policy.jitter == 0.0 {
        return 0.0;
    }
    let [a, b, c, d, ..] = (world.random)();
    f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}
