//! The counts of a worker: recent counts for the guard, and totals for operators; of each endpoint, and of the process.
//!
//! The counts are written once a second under the number of the partition that the worker accepts into ([`guard`]), and
//! go with that partition to its next holder, who counts on. When a VM dies the counts of its last second are lost.

use super::Engine;
use super::counts::Counted;
use super::endpoint::EndpointState;
use super::flights::Flight;
use super::pending::Pending;
use crate::ids::EndpointId;
use crate::outcome::{DeliveryResult, Ending};
use crate::rollout::guard;
use crate::store::{StoreError, World};
use crate::telemetry::hours::REJECTED;
use crate::telemetry::notice::Notice;
use crate::time::Now;

/// The most endpoints whose counts one worker writes in a second, 20 µs each. The other endpoints have their turn in
/// the next seconds.
pub(super) const WRITES_MAX: usize = 500;

impl Engine {
    /// Counts an event that was accepted. An event of the gateway's own is not counted among the events of the process.
    pub(super) fn count_accepted(&mut self, event: &Pending) {
        for delivery in &event.deliveries {
            if let Some(state) = self.endpoints.get_mut(delivery.endpoint.0) {
                state.counted.change().totals.accepted += 1;
                state.hours.now(event.accepted_wall).accepted += 1;
            }
        }
        if event.route.is_some() {
            self.telemetry.process.change().totals.accepted += 1;
        }
    }

    /// Counts the end of an attempt, which was not the first of its delivery if `is_retry`.
    pub(super) fn count_attempt_of(&mut self, flight: &Flight, now: Now, ending: Ending, is_retry: bool) {
        self.telemetry.process.change().totals.attempt(flight.at);
        if let Some(state) = self.endpoints.get_mut(flight.lane.endpoint.0) {
            let (ring, took) = (state.counted.change(), now.mono.since(flight.started));
            ring.totals.attempt(flight.at);
            ring.attempt(now.mono, ending, took);
            state.hours.now(now.wall).attempt(ending, took, is_retry);
        }
    }

    /// Counts a call that Envoy refused to send.
    pub(super) fn count_refusal_of(&mut self, id: EndpointId, now: Now) {
        if let Some(state) = self.endpoints.get_mut(id.0) {
            state.hours.now(now.wall).outcome(REJECTED);
        }
    }

    /// Counts the end of a delivery.
    pub(super) fn count_delivery_of(&mut self, id: EndpointId, now: Now, result: DeliveryResult) {
        self.count_result_of(id, now, result);
        if let Some(state) = self.endpoints.get_mut(id.0) {
            state.counted.change().delivery(now.mono, result == DeliveryResult::Delivered);
        }
    }

    /// Counts the end of a delivery in the totals and the hours, but not in the guard's cells. To be called directly
    /// only for an end that says nothing of the receiver.
    pub(super) fn count_result_of(&mut self, id: EndpointId, now: Now, result: DeliveryResult) {
        self.telemetry.process.change().totals.delivery(result);
        if let Some(state) = self.endpoints.get_mut(id.0) {
            state.counted.change().totals.delivery(result);
            state.hours.now(now.wall).delivery(result);
        }
    }

    /// Writes the counts of at most `endpoints_max` endpoints to shared data.
    pub(super) fn write_counts(&mut self, world: &mut World<'_>, endpoints_max: usize) {
        // A failure to write the hours is no reason not to write the rings.
        for written in [self.write_hours(world, endpoints_max), self.write_rings(world, endpoints_max)] {
            if let Err(error) = written {
                self.output.note(Notice::Store { doing: "writing what was counted", error });
            }
        }
    }

    /// The numbers of at most `most` endpoints that `is_meant` selects. The search begins behind `last`, the endpoint
    /// written last, so that each endpoint has its turn.
    fn in_turn(&self, last: usize, most: usize, is_meant: impl Fn(&EndpointState) -> bool) -> Vec<usize> {
        let from = last + 1;
        let numbers = (from..self.endpoints.len()).chain(0..from.min(self.endpoints.len()));
        let meant = numbers.filter(|number| self.endpoints.get(*number).is_some_and(&is_meant));
        meant.take(most).collect()
    }

    fn write_rings(&mut self, world: &mut World<'_>, endpoints_max: usize) -> Result<(), StoreError> {
        if !self.telemetry.process.is_dirty && !self.endpoints.iter().any(|state| state.counted.is_dirty) {
            return Ok(());
        }
        // Without a partition the counts are written later. The failure to claim one is noted already.
        let Ok(home) = self.own(world) else { return Ok(()) };
        self.telemetry.process.write(world, &self.keys.of_part(home, guard::PROCESS))?;
        for number in self.in_turn(self.telemetry.written_last.0, endpoints_max, |state| state.counted.is_dirty) {
            self.telemetry.written_last.0 = number;
            if let Some((state, endpoint)) = self.endpoints.get_mut(number).zip(self.config.endpoints.get(number)) {
                state.counted.write(world, &self.keys.of_part(home, &endpoint.name))?;
            }
        }
        Ok(())
    }

    /// Writes the counts by the hour. They belong to no partition: all workers add to one record.
    fn write_hours(&mut self, world: &mut World<'_>, endpoints_max: usize) -> Result<(), StoreError> {
        for number in self.in_turn(self.telemetry.written_last.1, endpoints_max, |state| !state.hours.is_empty()) {
            self.telemetry.written_last.1 = number;
            if let Some((state, endpoint)) = self.endpoints.get_mut(number).zip(self.config.endpoints.get(number)) {
                state.hours.write(world.store, &self.keys, &endpoint.name)?;
            }
        }
        Ok(())
    }

    /// Begins all counts anew: the partition is another worker's now, and so are the counts under its number.
    pub(super) fn count_anew(&mut self) {
        let window = self.window();
        self.telemetry.process = Counted::new(window);
        self.endpoints.iter_mut().for_each(|state| state.counted = Counted::new(window));
    }
}
