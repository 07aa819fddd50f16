//! An attempt leaves: what must be open for it, and what is sent.

use std::time::Duration;

use super::lane::{Entry, LaneId};
use super::settle::is_live;
use super::{Action, Engine, Place, World};
use crate::config::Config;
use crate::egress::attempt::{attempt_headers, sink_headers};
use crate::egress::breaker::{Permit, Position};
use crate::egress::state::{Gate, RECHECK, Shared};
use crate::headers::CallHeaders;
use crate::ids::EndpointId;
use crate::ledger::record::{EventMeta, Stage};
use crate::outcome::{Ending, Reason};
use crate::signature::Attempt;
use crate::store::StoreError;
use crate::telemetry::notice::Notice;
use crate::time::{Instant, WallTime};

/// Envoy reports the end of every call; one that is this much overdue is taken for timed out.
pub(super) const CALLBACK_GRACE: Duration = Duration::from_secs(5);

/// The wait after Envoy refused to send, doubled with each refusal in a row up to [`RECHECK`].
const REFUSAL_WAIT: Duration = Duration::from_millis(100);

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub attempt: u64,
    pub lane: LaneId,
    pub entry: Entry,
    /// What the breaker admitted it under; a sink has none.
    pub permit: Option<Permit>,
    pub started: Instant,
    /// The same on the wall clock.
    pub at: WallTime,
    /// When its end should have been reported.
    pub overdue: Instant,
}

/// The record of an endpoint, as this worker has read it.
#[derive(Debug)]
pub(super) struct Seen {
    shared: Shared,
    read: Instant,
    /// In which callback; `None`: it has changed since.
    callback: Option<u64>,
}

/// A request to send.
#[derive(Debug)]
pub struct Call {
    /// Names the attempt when its end is reported.
    pub attempt: u64,
    /// The body, byte for byte as signed.
    pub body: Vec<u8>,
    pub(super) endpoint: EndpointId,
    /// For a sink: why the delivery died.
    reason: Option<Reason>,
    number: u32,
    at: WallTime,
    meta: EventMeta,
}

impl Call {
    /// The Envoy cluster to call.
    pub fn cluster<'a>(&self, config: &'a Config) -> Option<&'a str> {
        let endpoint = config.endpoints.get(self.endpoint.0)?;
        match self.reason {
            None => Some(&endpoint.cluster),
            Some(_) => endpoint.dead_letter.as_ref().map(|sink| sink.cluster.as_str()),
        }
    }

    /// How long the receiver may take.
    pub fn timeout(&self, config: &Config) -> Duration {
        config.endpoints.get(self.endpoint.0).map_or(Duration::ZERO, |endpoint| endpoint.timeout)
    }

    /// The headers, signed with every live secret.
    pub fn headers<'a>(&'a self, config: &'a Config) -> Option<CallHeaders<'a>> {
        let endpoint = config.endpoints.get(self.endpoint.0)?;
        let attempt = Attempt {
            id: self.meta.id,
            number: self.number,
            at: self.at,
            event_type: &self.meta.event_type,
            content_type: self.meta.content_type.as_deref(),
            traceparent: self.meta.traceparent.as_deref(),
            tracestate: self.meta.tracestate.as_deref(),
            body: &self.body,
        };
        match self.reason {
            None => Some(attempt_headers(endpoint, &config.user_agent, &attempt)),
            Some(reason) => {
                let sink = endpoint.dead_letter.as_ref()?;
                Some(sink_headers(sink, endpoint, &config.user_agent, &attempt, reason.label()))
            }
        }
    }
}

impl Engine {
    /// Lets the next attempt of a lane leave, if something is due and nothing holds it back.
    pub(super) fn start(&mut self, world: &mut World<'_>, lane: LaneId) {
        let now = world.now.mono;
        while let Some(entry) = self.lanes.pop(lane, now) {
            if !is_live(&self.holdings, &entry) {
                continue;
            }
            if !lane.sink
                && let Some(reason) = self.has_ended(now, &entry)
            {
                self.bury(world, entry.place, entry.index, reason);
                continue;
            }
            let permit = match self.gate(world, lane) {
                Gate::Open(permit) => permit,
                Gate::Shut { until } => {
                    self.lanes.put_back(lane, entry);
                    self.lanes.block(lane, until);
                    return;
                }
            };
            return self.launch(world, lane, entry, (!lane.sink).then_some(permit));
        }
    }

    /// Envoy would not send: not an attempt. The delivery keeps its turn, and the lane tries again shortly.
    pub fn refused(&mut self, world: &mut World<'_>, attempt: u64) {
        let Some(flight) = self.flights.remove(attempt) else { return };
        let endpoint = flight.lane.endpoint;
        self.lanes.ended(flight.lane);
        if let Some(delivery) = self.delivery(&flight.entry) {
            delivery.under_way = false;
        }
        if flight.lane.sink {
            // The letter is kept already: a sink that cannot be called uses up its schedule like one that is down.
            return self.sink_ended(world, &flight, Ending::Connect);
        }
        self.release(world, endpoint, flight.permit);
        if self.clear_trials(flight.entry.place) {
            self.persist(world, flight.entry.place);
        }
        let times = self.refusals.get_mut(endpoint.0).map_or(1, |times| {
            *times = times.saturating_add(1);
            *times
        });
        let wait = REFUSAL_WAIT.saturating_mul(1 << (times - 1).min(8)).min(RECHECK);
        self.lanes.put_back(flight.lane, flight.entry);
        self.lanes.block(flight.lane, world.now.mono.plus(wait));
        self.count_refusal_of(endpoint, world.now);
        self.note(Notice::Refused { endpoint, times });
    }

    /// Why a delivery is not to be attempted any more: it has failed and the ring could not be written then, it is too
    /// old, or its schedule has become shorter.
    fn has_ended(&self, now: Instant, entry: &Entry) -> Option<Reason> {
        let event = self.holdings.event(entry.place)?;
        let delivery = event.deliveries.get(entry.index)?;
        let (endpoint, _) = self.endpoint(delivery.endpoint)?;
        if delivery.doomed.is_some() {
            return delivery.doomed;
        }
        if now.since(event.accepted) >= endpoint.max_age {
            return Some(Reason::Expired);
        }
        (delivery.attempts as usize >= endpoint.retry.delays.len()).then_some(Reason::Failed)
    }

    /// Asks all that may hold an attempt back. A sink has no gate: what comes to it has waited long enough.
    fn gate(&mut self, world: &mut World<'_>, lane: LaneId) -> Gate {
        let now = world.now.mono;
        if lane.sink {
            return Gate::Open(Permit::Closed { epoch: 0 });
        }
        if self.is_rolled_back(world, lane.endpoint) {
            return Gate::Shut { until: now.plus(RECHECK) };
        }
        let owner = self.nonce(world);
        let shared = match self.shared(world, lane.endpoint, Duration::ZERO) {
            Ok(shared) => shared,
            Err(error) => {
                self.note(Notice::Store { doing: "asking a circuit breaker", error });
                return Gate::Shut { until: now.plus(RECHECK) };
            }
        };
        let Some((endpoint, keys)) = self.endpoint(lane.endpoint) else {
            return Gate::Shut { until: now.plus(RECHECK) };
        };
        match keys.pass(world.store, &shared, endpoint, owner, now) {
            Ok((gate, moved)) => {
                if !matches!(gate, Gate::Open(Permit::Closed { .. })) {
                    self.look_again(lane.endpoint);
                }
                self.note_breaker(world, lane.endpoint, moved);
                gate
            }
            Err(error) => {
                self.note(Notice::Store { doing: "asking a circuit breaker", error });
                Gate::Shut { until: now.plus(RECHECK) }
            }
        }
    }

    /// The record of an endpoint, as it was read in this callback or less than `age` ago.
    pub(super) fn shared(
        &mut self,
        world: &mut World<'_>,
        id: EndpointId,
        age: Duration,
    ) -> Result<Shared, StoreError> {
        let now = world.now.mono;
        let known =
            self.seen.get(&id).filter(|seen| seen.callback == Some(self.callback) || now.since(seen.read) < age);
        if let Some(seen) = known {
            return Ok(seen.shared.clone());
        }
        let (_, keys) = self.endpoint(id).ok_or(StoreError::UnknownFormat)?;
        let shared = keys.shared(world.store)?;
        self.seen.insert(id, Seen { shared: shared.clone(), read: now, callback: Some(self.callback) });
        Ok(shared)
    }

    /// The record of an endpoint is about to change, or has.
    pub(super) fn look_again(&mut self, id: EndpointId) {
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.callback = None;
        }
    }

    fn launch(&mut self, world: &mut World<'_>, lane: LaneId, entry: Entry, permit: Option<Permit>) {
        let now = world.now;
        let found = self.write_trial(world, entry.place).and_then(|()| self.body_to_send(world, &entry));
        let (meta, body) = match found {
            Ok(found) => found,
            Err(error) => {
                self.note(Notice::Store { doing: "reading an event", error });
                self.release(world, lane.endpoint, permit);
                if error == StoreError::UnknownFormat {
                    return self.bury(world, entry.place, entry.index, Reason::Failed);
                }
                self.lanes.put_back(lane, entry);
                return self.lanes.block(lane, now.mono.plus(RECHECK));
            }
        };
        let timeout = self.endpoint(lane.endpoint).map_or(Duration::ZERO, |(endpoint, _)| endpoint.timeout);
        let Some(delivery) = self.delivery(&entry) else { return };
        let (number, reason) = match delivery.stage {
            Stage::Sinking { attempts, reason, .. } => (attempts + 1, Some(reason)),
            Stage::Waiting { .. } | Stage::Delivered | Stage::Dead => (delivery.attempts + 1, None),
        };
        delivery.under_way = true;
        self.last_attempt += 1;
        let attempt = self.last_attempt;
        let overdue = now.mono.plus(timeout).plus(CALLBACK_GRACE);
        self.flights.push(Flight { attempt, lane, entry, permit, started: now.mono, at: now.wall, overdue });
        self.lanes.started(lane);
        let call = Call { attempt, body, endpoint: lane.endpoint, reason, number, at: now.wall, meta };
        self.outbox.push_back(Action::Call(Box::new(call)));
    }

    /// The bytes of an event that is about to be attempted. Those of one just accepted need not be read; they are
    /// dropped with the first attempt of its last delivery.
    fn body_to_send(&mut self, world: &mut World<'_>, entry: &Entry) -> Result<(EventMeta, Vec<u8>), StoreError> {
        let place = entry.place;
        let is_wanted_again = self.holdings.event(place).is_some_and(|event| {
            let others = event.deliveries.iter().enumerate().filter(|(index, _)| *index != entry.index);
            others.map(|(_, delivery)| delivery).any(|delivery| delivery.attempts == 0 && !delivery.under_way)
        });
        let fresh = if is_wanted_again { self.fresh.get(place).cloned() } else { self.fresh.remove(place) };
        fresh.map_or_else(|| self.body(world, place), Ok)
    }

    /// The bytes of an event.
    pub(super) fn body(&self, world: &mut World<'_>, place: Place) -> Result<(EventMeta, Vec<u8>), StoreError> {
        let holding = self.holdings.get(place.partition).ok_or(StoreError::UnknownFormat)?;
        let event = holding.events.get(place.slot).ok_or(StoreError::UnknownFormat)?;
        holding.partition.body(world.store, place.slot, event.id)
    }

    /// Gives back what an attempt that was never sent had taken.
    fn release(&mut self, world: &mut World<'_>, endpoint: EndpointId, permit: Option<Permit>) {
        let Some(Permit::Probe(probe)) = permit else { return };
        let Some((_, keys)) = self.endpoint(endpoint) else { return };
        if let Err(error) = keys.release_probe(world.store, probe) {
            self.note(Notice::Store { doing: "giving a probe back", error });
        }
    }

    pub(super) fn note_breaker(&mut self, world: &mut World<'_>, endpoint: EndpointId, moved: Option<Position>) {
        let Some(position) = moved else { return };
        self.note(Notice::Breaker { endpoint, position });
        if position == Position::Open {
            self.count_opening(world, endpoint);
        }
    }
}
