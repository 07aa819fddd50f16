//! What stands at a value: told to the metrics once a second, where it has changed.
//!
//! The host keeps one gauge for all workers, and each worker that delivers tells it the same: what shared data says of
//! all of them. So a gauge is at most a second behind, and a worker that dies leaves none that is wrong for long.

use super::{Engine, World};
use crate::egress::dead_letter;
use crate::ids::EndpointId;
use crate::store::{Record, StoreError};
use crate::telemetry::backlog::{self, Backlog};
use crate::telemetry::notice::{Gauge, Notice};

/// What the metrics were last told of an endpoint, or, without one, of the process: a handful each.
pub(super) type Told = Vec<(Gauge, u64)>;

impl Engine {
    /// Says what is pending here, and tells how all of it stands. Once a second.
    pub(super) fn gauge(&mut self, world: &mut World<'_>) {
        if let Err(error) =
            self.say_pending(world).and_then(|()| if self.leads() { self.gauge_all(world) } else { Ok(()) })
        {
            self.note(Notice::Store { doing: "counting what is pending", error });
        }
    }

    /// Writes what is pending with this worker, for all to add up.
    fn say_pending(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let mut standing = Backlog::at(world.now.mono);
        let shares = self.config.endpoints.iter().zip(&self.shares).filter(|(_, share)| share.deliveries > 0);
        standing.pending = shares.map(|(endpoint, share)| (endpoint.name.clone(), share.deliveries)).collect();
        let is_pending = !standing.pending.is_empty();
        if !is_pending && !self.has_said_pending {
            return Ok(());
        }
        let live = self.holdings.iter().filter(|(_, event)| !event.is_settled());
        standing.oldest = live.map(|(_, event)| event.accepted).min();
        // What was said in the name of a partition that is gone is soon too old to count.
        let home = if is_pending { Some(self.own(world)?) } else { self.home };
        self.has_said_pending = is_pending;
        let Some(home) = home else { return Ok(()) };
        world.store.set(&backlog::key(&self.prefix, home), &standing.encode()?, None)
    }

    fn gauge_all(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let standing = Backlog::of_all(world.store, &self.prefix, world.now.mono)?;
        for number in 0..self.config.endpoints.len() {
            self.gauge_endpoint(EndpointId(number), &standing);
        }
        let letters = dead_letter::list(world.store, &self.prefix)?.len() as u64;
        let oldest = standing.oldest.map_or(0, |oldest| world.now.mono.since(oldest).as_secs());
        self.tell_gauge(None, Gauge::DeadLetters, letters);
        self.tell_gauge(None, Gauge::OldestPending, oldest);
        Ok(())
    }

    /// Of an endpoint, as the [watch](super::watch) has seen it in this second.
    fn gauge_endpoint(&mut self, id: EndpointId, standing: &Backlog) {
        let Some((endpoint, watched)) = self.config.endpoints.get(id.0).zip(self.watched.get(id.0)) else { return };
        let (pending, disabled) = (standing.of(&endpoint.name).into(), watched.is_disabled.into());
        let position = watched.position.number();
        self.tell_gauge(Some(id), Gauge::Pending, pending);
        self.tell_gauge(Some(id), Gauge::Disabled, disabled);
        self.tell_gauge(Some(id), Gauge::BreakerState, position);
    }

    /// Tells the metrics where a gauge stands, if that is news.
    pub(super) fn tell_gauge(&mut self, endpoint: Option<EndpointId>, gauge: Gauge, value: u64) {
        let told = match endpoint {
            None => Some(&mut self.told),
            Some(id) => self.watched.get_mut(id.0).map(|watched| &mut watched.told),
        };
        let Some(told) = told else { return };
        match told.iter_mut().find(|(other, _)| *other == gauge) {
            Some((_, before)) if *before == value => return,
            Some((_, before)) => *before = value,
            None => told.push((gauge, value)),
        }
        self.note(Notice::Gauge { endpoint, gauge, value });
    }
}
