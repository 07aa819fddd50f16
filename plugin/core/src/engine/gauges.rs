//! What stands at a value: told to the metrics once a second, where it has changed.
//!
//! The host keeps one gauge for all workers, and each worker that delivers tells it the same: what shared data says of
//! all of them. So a gauge is at most a second behind, and a worker that dies leaves none that is wrong for long.

use super::Engine;
use crate::egress::dead_letter;
use crate::ids::EndpointId;
use crate::store::{Record, StoreError, World};
use crate::telemetry::backlog::Backlog;
use crate::telemetry::notice::{Gauge, Notice};

impl Engine {
    /// Says what is pending here, and tells how all of it stands. Once a second.
    pub(super) fn gauge(&mut self, world: &mut World<'_>) {
        if let Err(error) =
            self.say_pending(world).and_then(|()| if self.leadership.leads() { self.gauge_all(world) } else { Ok(()) })
        {
            self.output.note(Notice::Store { doing: "counting what is pending", error });
        }
    }

    /// Writes what is pending with this worker, for all to add up.
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
        // What was said in the name of a partition that is gone is soon too old to count.
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

    /// Of an endpoint, as the [watch](super::watch) has seen it in this second.
    fn gauge_endpoint(&mut self, id: EndpointId, backlog: &Backlog) {
        let Some((endpoint, state)) = self.config.endpoints.get(id.0).zip(self.endpoints.get(id.0)) else { return };
        let (pending, disabled) = (backlog.of(&endpoint.name).into(), state.is_disabled.into());
        let position = state.position.number();
        self.tell_gauge(Some(id), Gauge::Pending, pending);
        self.tell_gauge(Some(id), Gauge::Disabled, disabled);
        self.tell_gauge(Some(id), Gauge::BreakerState, position);
    }

    /// Tells the metrics where a gauge stands, if that is news.
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
