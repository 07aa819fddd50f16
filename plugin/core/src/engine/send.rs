//! An attempt leaves: the gates that must be open for it, and the call that is sent.

use std::rc::Rc;
use std::time::Duration;

use super::Engine;
use super::action::{Action, Call, Purpose};
use super::endpoint::SeenRecord;
use super::flights::Flight;
use super::lane::{LaneEntry, LaneId};
use super::takeover::Clearance;
use crate::egress::breaker::{Permit, Position};
use crate::egress::state::{AttemptGate, EndpointRecord, RECHECK};
use crate::ids::EndpointId;
use crate::ledger::record::Stage;
use crate::outcome::{Ending, Reason};
use crate::store::{StoreError, World};
use crate::telemetry::notice::Notice;
use crate::time::Now;

/// The grace after a call's timeout for Envoy to report the end of the call; without a report the call is then taken
/// for timed out.
pub(super) const CALLBACK_GRACE: Duration = Duration::from_secs(5);

/// The wait after Envoy refused to send, doubled with each refusal in a row up to [`RECHECK`].
const REFUSAL_WAIT: Duration = Duration::from_millis(100);

impl Engine {
    /// Lets the next attempt of a lane leave, if a delivery is due and no gate holds it back.
    pub(super) fn start(&mut self, world: &mut World<'_>, lane: LaneId) {
        let now = world.now.mono;
        while let Some(entry) = self.queue.lanes.pop(lane, now) {
            if !self.queue.is_live(&entry) {
                continue;
            }
            if !lane.sink
                && let Some(reason) = self.has_ended(world.now, &entry)
            {
                self.bury(world, entry.place, entry.index, reason);
                continue;
            }
            let clearance = self.clearance(now, entry.place);
            if clearance == Clearance::Held {
                self.queue.park(lane, entry);
                continue;
            }
            match self.gate(world, lane, clearance) {
                AttemptGate::Open(_) if clearance == Clearance::Wanted => {
                    self.ask_trial(entry.place);
                    self.queue.reserve(lane, entry);
                }
                AttemptGate::Open(permit) => self.launch(world, lane, entry, (!lane.sink).then_some(permit)),
                AttemptGate::Shut { until } => {
                    self.queue.lanes.put_back(lane, entry);
                    self.queue.lanes.block(lane, until);
                }
            }
            return;
        }
    }

    /// Handles a call that Envoy refused to send, which is no attempt. The delivery keeps its turn, and the lane tries
    /// again shortly.
    pub fn handle_call_refused(&mut self, world: &mut World<'_>, attempt: u64) {
        let Some(flight) = self.queue.flights.remove(attempt) else { return };
        let endpoint = flight.lane.endpoint;
        self.queue.lanes.ended(flight.lane);
        if let Some(delivery) = self.queue.delivery(&flight.entry) {
            delivery.under_way = false;
        }
        if flight.lane.sink {
            // The letter is kept already: a sink that cannot be called uses up its schedule like a sink that is down.
            return self.sink_ended(world, &flight, Ending::Connect);
        }
        self.release(world, endpoint, flight.permit);
        if self.clear_trials(flight.entry.place) {
            self.persist(world, flight.entry.place);
        }
        let times = self.endpoints.get_mut(endpoint.0).map_or(1, |state| {
            state.refusals = state.refusals.saturating_add(1);
            state.refusals
        });
        let wait = REFUSAL_WAIT.saturating_mul(1 << (times - 1).min(8)).min(RECHECK);
        self.queue.lanes.put_back(flight.lane, flight.entry);
        self.queue.lanes.block(flight.lane, world.now.mono.plus(wait));
        self.count_refusal_of(endpoint, world.now);
        self.output.note(Notice::Refused { endpoint, times });
    }

    /// Why a delivery is not to be attempted any more, if so: it has failed and the ring could not be written then, it
    /// is too old, or the endpoint's schedule has become shorter.
    fn has_ended(&self, now: Now, entry: &LaneEntry) -> Option<Reason> {
        let event = self.queue.holdings.event(entry.place)?;
        let delivery = event.deliveries.get(entry.index)?;
        let (endpoint, _) = self.endpoint(delivery.endpoint)?;
        if delivery.doomed.is_some() {
            return delivery.doomed;
        }
        if event.age(now) >= endpoint.max_age {
            return Some(Reason::Expired);
        }
        (delivery.attempts as usize >= endpoint.retry.delays.len()).then_some(Reason::Failed)
    }

    /// Asks all gates that may hold an attempt back: the rollout, the endpoint's switch, breaker and rate. A sink has
    /// no gate: a dead letter has waited long enough. For an attempt that the journal has not cleared, the gates are only
    /// looked at: the permit is worth nothing, and the attempt asks again once it is cleared.
    fn gate(&mut self, world: &mut World<'_>, lane: LaneId, clearance: Clearance) -> AttemptGate {
        const NO_PERMIT: AttemptGate = AttemptGate::Open(Permit::Closed { epoch: 0 });
        let now = world.now.mono;
        if lane.sink {
            return NO_PERMIT;
        }
        if self.is_rolled_back(world, lane.endpoint) {
            return AttemptGate::Shut { until: now.plus(RECHECK) };
        }
        let owner = self.leadership.nonce(world);
        let gateways = self.journal.as_ref().map_or(1, |journal| journal.writer.gateways());
        let shared = match self.shared(world, lane.endpoint, Duration::ZERO) {
            Ok(shared) => shared,
            Err(error) => {
                self.output.note(Notice::Store { doing: "asking a circuit breaker", error });
                return AttemptGate::Shut { until: now.plus(RECHECK) };
            }
        };
        let Some((endpoint, keys)) = self.endpoint(lane.endpoint) else {
            return AttemptGate::Shut { until: now.plus(RECHECK) };
        };
        let passed = match clearance {
            Clearance::Given => keys.pass(world.store, &shared, endpoint, owner, now, gateways),
            Clearance::Wanted | Clearance::Held => {
                let ahead = self.queue.reserved_in(lane);
                let until = keys.shut_until(world.store, &shared, endpoint, now, (gateways, ahead));
                until.map(|until| (until.map_or(NO_PERMIT, |until| AttemptGate::Shut { until }), None))
            }
        };
        match passed {
            Ok((gate, moved)) => {
                if !matches!(gate, AttemptGate::Open(Permit::Closed { .. })) {
                    self.look_again(lane.endpoint);
                }
                self.note_breaker(world, lane.endpoint, moved);
                gate
            }
            Err(error) => {
                self.output.note(Notice::Store { doing: "asking a circuit breaker", error });
                AttemptGate::Shut { until: now.plus(RECHECK) }
            }
        }
    }

    /// The record of an endpoint, as it was read in this callback or less than `age` ago.
    pub(super) fn shared(
        &mut self,
        world: &mut World<'_>,
        id: EndpointId,
        age: Duration,
    ) -> Result<EndpointRecord, StoreError> {
        let now = world.now.mono;
        let state = self.endpoints.get_mut(id.0).ok_or(StoreError::UnknownFormat)?;
        let is_known = |seen: &&SeenRecord| seen.callback == Some(self.callback) || now.since(seen.read) < age;
        if let Some(seen) = state.seen.as_ref().filter(is_known) {
            return Ok(seen.shared.clone());
        }
        let shared = state.keys.shared(world.store)?;
        state.seen = Some(SeenRecord { shared: shared.clone(), read: now, callback: Some(self.callback) });
        Ok(shared)
    }

    /// Makes this callback read the record of an endpoint again, because it is about to change, or has changed.
    pub(super) fn look_again(&mut self, id: EndpointId) {
        if let Some(seen) = self.endpoints.get_mut(id.0).and_then(|state| state.seen.as_mut()) {
            seen.callback = None;
        }
    }

    fn launch(&mut self, world: &mut World<'_>, lane: LaneId, entry: LaneEntry, permit: Option<Permit>) {
        let now = world.now;
        let found = self.write_trial(world, entry.place).and_then(|()| self.queue.body_to_send(world, &entry));
        let (meta, body) = match found {
            Ok(found) => found,
            Err(error) => {
                self.output.note(Notice::Store { doing: "reading an event", error });
                self.release(world, lane.endpoint, permit);
                if error == StoreError::UnknownFormat {
                    return self.bury(world, entry.place, entry.index, Reason::Failed);
                }
                self.queue.lanes.put_back(lane, entry);
                return self.queue.lanes.block(lane, now.mono.plus(RECHECK));
            }
        };
        let timeout = self.endpoint(lane.endpoint).map_or(Duration::ZERO, |(endpoint, _)| endpoint.timeout);
        let Some(delivery) = self.queue.delivery(&entry) else { return };
        let (number, purpose) = match delivery.stage {
            Stage::Sinking { attempts, reason, .. } => (attempts + 1, Purpose::Sink(reason)),
            Stage::Waiting { .. } | Stage::Delivered | Stage::Dead => (delivery.attempts + 1, Purpose::Delivery),
        };
        delivery.under_way = true;
        let attempt = self.queue.next_attempt();
        let overdue = now.mono.plus(timeout).plus(CALLBACK_GRACE);
        self.queue.flights.push(Flight { attempt, lane, entry, permit, started: now.mono, at: now.wall, overdue });
        self.queue.lanes.started(lane);
        let (endpoint, config) = (lane.endpoint, Rc::clone(&self.config));
        let call = Call { attempt, purpose, body, endpoint, config, number, at: now.wall, meta };
        self.output.act(Action::Call(Box::new(call)));
    }

    /// Gives back the breaker's probe that an attempt which was never sent had taken.
    fn release(&mut self, world: &mut World<'_>, endpoint: EndpointId, permit: Option<Permit>) {
        let Some(Permit::Probe(probe)) = permit else { return };
        let Some((_, keys)) = self.endpoint(endpoint) else { return };
        if let Err(error) = keys.release_probe(world.store, probe) {
            self.output.note(Notice::Store { doing: "giving a probe back", error });
        }
    }

    pub(super) fn note_breaker(&mut self, world: &mut World<'_>, endpoint: EndpointId, moved: Option<Position>) {
        let Some(position) = moved else { return };
        self.output.note(Notice::Breaker { endpoint, position });
        if position == Position::Open {
            self.count_opening(world, endpoint);
        }
    }
}
