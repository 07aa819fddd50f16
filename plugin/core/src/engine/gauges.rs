//! The gauges: reported to the metrics once a second, if their values have changed.
//!
//! The host keeps one gauge for all workers, and each worker that delivers sets it to the same value: that of all
//! workers together, from shared data. So a gauge is at most a second behind, and a worker that dies leaves no gauge
//! wrong for long.

use super::Engine;
use crate::egress::dead_letter;
use crate::ids::EndpointId;
use crate::store::{Record, StoreError, World};
use crate::telemetry::backlog::Backlog;
use crate::telemetry::notice::{Gauge, Notice};

impl Engine {
    /// Writes this worker's backlog and, if this worker delivers, reports all gauges. Called once a second.
    pub(super) fn gauge(&mut self, world: &mut World<'_>) {
        if let Err(error) =
            self.say_pending(world).and_then(|()| if self.leadership.leads() { self.gauge_all(world) } else { Ok(()) })
        {
            self.output.note(Notice::Store { doing: "counting what is pending", error });
        }
        self.say_fleet(world);
    }

    /// Writes the backlog of this worker to shared data, where any worker adds up the backlogs of all.
    fn say_pending(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let mut backlog = Backlog::at(world.now.mono);
        let shares = self.endpoints.iter().map(|state| state.share.deliveries);
        let shares = self.config.endpoints.iter().zip(shares).filter(|(_, deliveries)| *deliveries > 0);
        backlog.pending = shares.map(|(endpoint, deliveries)| (endpoint.name.clone(), deliveries)).collect();
        let is_pending = !backlog.pending.is_empty();
        if !is_pending && !self.telemetry.has_said_pending {
            return Ok(());
        }
        let live = self.queue.holdings.iter().filter(|(_, event)| !event.is_settled());
        backlog.oldest = live.map(|(_, event)| event.accepted).min();
        // A backlog under the number of a partition that was given up is soon too old to count.
        let home = if is_pending { Some(self.own(world)?) } else { self.queue.home };
        self.telemetry.has_said_pending = is_pending;
        let Some(home) = home else { return Ok(()) };
        world.store.set(self.keys.of::<Backlog>(home).as_str(), &backlog.encode()?, None)
    }

    fn gauge_all(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let backlog = Backlog::of_all(world.store, &self.keys, world.now.mono)?;
        for number in 0..self.config.endpoints.len() {
            self.gauge_endpoint(EndpointId(number), &backlog);
        }
        let letters = dead_letter::list(world.store, &self.keys)?.len() as u64;
        let oldest = backlog.oldest.map_or(0, |oldest| world.now.mono.since(oldest).as_secs());
        self.tell_gauge(None, Gauge::DeadLetters, letters);
        self.tell_gauge(None, Gauge::OldestPending, oldest);
        Ok(())
    }

    /// Reports the gauges of an endpoint, with the values that the [watch](super::watch) has read in this second.
    fn gauge_endpoint(&mut self, id: EndpointId, backlog: &Backlog) {
        let Some((endpoint, state)) = self.config.endpoints.get(id.0).zip(self.endpoints.get(id.0)) else { return };
        let (pending, disabled) = (backlog.of(&endpoint.name).into(), state.is_disabled.into());
        let position = state.position.number();
        self.tell_gauge(Some(id), Gauge::Pending, pending);
        self.tell_gauge(Some(id), Gauge::Disabled, disabled);
        self.tell_gauge(Some(id), Gauge::BreakerState, position);
    }

    /// Reports the value of a gauge to the metrics, if it has changed.
    pub(super) fn tell_gauge(&mut self, endpoint: Option<EndpointId>, gauge: Gauge, value: u64) {
        let told = match endpoint {
            None => Some(&mut self.telemetry.told),
            Some(id) => self.endpoints.get_mut(id.0).map(|state| &mut state.told),
        };
        if told.is_some_and(|told| told.is_news(gauge, value)) {
            self.output.note(Notice::Gauge { endpoint, gauge, value });
        }
    }
}
