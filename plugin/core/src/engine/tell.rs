//! Reports of what happened: the history of ended events, and the operational events, which are the gateway's own.

use std::rc::Rc;

use super::Engine;
use super::flights::Flight;
use super::pending::{Delivery, Pending};
use super::settle::state;
use crate::admin::about::About;
use crate::egress::breaker::{Permit, Position};
use crate::egress::dead_letter::Letter;
use crate::egress::endpoint::Endpoint;
use crate::egress::filter::Subject;
use crate::egress::operational::{Facts, News, NewsKind};
use crate::event_type::is_operational;
use crate::ids::{EndpointId, EventId};
use crate::ledger::Place;
use crate::ledger::record::{EventMeta, Stage, StateRecord};
use crate::outcome::Ending;
use crate::store::{StoreError, World};
use crate::telemetry::notice::Notice;

impl Engine {
    /// Puts an event whose deliveries have all ended into the history.
    pub(super) fn remember_event(&mut self, world: &mut World<'_>, place: Place) {
        let config = Rc::clone(&self.config);
        let Some(event) = self.queue.holdings.event(place) else { return };
        let record = state(&config, event).encode();
        self.keep_record(world, record);
    }

    /// Puts the record of an event into the history.
    pub(super) fn remember(&mut self, world: &mut World<'_>, record: &StateRecord<&str>) {
        self.keep_record(world, record.encode());
    }

    fn keep_record(&mut self, world: &mut World<'_>, record: Result<Vec<u8>, StoreError>) {
        if let Err(error) = record.and_then(|record| self.telemetry.history.keep(world.store, &record)) {
            self.output.note(Notice::Store { doing: "writing to the history", error });
        }
    }

    /// Emits an operational event about a breaker that has moved at the end of an attempt. A breaker that stays open
    /// because its probe was an operational event is no news: the event about it would go to another endpoint that may
    /// be down too, and the breaker of that endpoint would be news for this one in turn.
    pub(super) fn tell_breaker(
        &mut self,
        world: &mut World<'_>,
        flight: &Flight,
        ending: Ending,
        moved: Option<Position>,
    ) {
        let is_own =
            self.queue.holdings.event(flight.entry.place).is_some_and(|event| is_operational(&event.event_type));
        let kind = match moved {
            Some(Position::Open) if is_own && matches!(flight.permit, Some(Permit::Probe(_))) => return,
            Some(Position::Open) => NewsKind::BreakerOpened,
            Some(Position::Closed) => NewsKind::BreakerClosed,
            Some(Position::HalfOpen) | None => return,
        };
        self.tell(world, kind, flight.lane.endpoint, ending.label(), None);
    }

    /// Emits an operational event about a new dead letter, unless the letter is itself an operational event.
    pub(super) fn tell_letter(&mut self, world: &mut World<'_>, letter: &Letter) {
        if !is_operational(&letter.meta.event_type) {
            let (endpoint, reason, facts) = (letter.endpoint.as_str(), letter.reason.label(), Some(letter.into()));
            self.emit(world, &News { kind: NewsKind::DeadLetter, endpoint, reason, facts });
        }
    }

    /// Emits an operational event about an endpoint.
    pub(super) fn tell(
        &mut self,
        world: &mut World<'_>,
        kind: NewsKind,
        id: EndpointId,
        reason: &str,
        facts: Option<Facts>,
    ) {
        let config = Rc::clone(&self.config);
        if let Some(endpoint) = config.endpoints.get(id.0) {
            self.emit(world, &News { kind, endpoint: &endpoint.name, reason, facts });
        }
    }

    /// Keeps an operational event for the endpoints that want it, as far as there is room.
    fn emit(&mut self, world: &mut World<'_>, news: &News<'_>) {
        let config = Rc::clone(&self.config);
        let is_wanted = |endpoint: &Endpoint| news.is_for(&endpoint.name, endpoint.operational);
        let wanted = config.endpoints.iter().enumerate().filter(|(_, endpoint)| is_wanted(endpoint));
        let wanted: Vec<EndpointId> = wanted.map(|(number, _)| EndpointId(number)).collect();
        // A disabled filter discards producers' events too.
        if wanted.is_empty() || self.leadership.state(config.enabled) == crate::admin::control::FilterState::Disabled {
            return;
        }
        let now = world.now;
        let instance = About::read(world.store, &self.keys).ok().flatten().and_then(|about| about.instance);
        let payload = news.payload(now.wall, instance);
        let subject = Subject::new(news.kind.event_type(), &[], Some(&payload));
        let wanted: Vec<EndpointId> = wanted.into_iter().filter(|id| config.passes(*id, &subject)).collect();
        let bytes = payload.len() as u64;
        let is_full = self.queue.is_full(&config.limits, wanted.len(), bytes);
        let mut deliveries = Vec::new();
        for id in wanted {
            let Some(endpoint) = config.endpoints.get(id.0) else { continue };
            if is_full || !self.has_room(id, endpoint, 1, bytes) {
                self.output.note(Notice::Dropped { endpoint: id, event_type: news.kind.event_type() });
            } else {
                let first = endpoint.retry.delays.first().copied().unwrap_or_default();
                deliveries.push(Delivery::new(id, Stage::Waiting { due: now.mono.plus(first) }, false));
            }
        }
        if deliveries.is_empty() {
            return;
        }
        // A failure to keep the event is noted where it is found out.
        let Ok(home) = self.own(world) else { return };
        let id = EventId::from_random((world.random)());
        let event_type = news.kind.event_type().to_owned();
        let meta = EventMeta::json(id, event_type.clone());
        let mut pending = Pending::new(id, event_type, None, now, deliveries);
        pending.bytes = bytes;
        if let Ok(place) = self.keep(world, home, &meta, &payload, &pending) {
            self.commit(place, meta, payload, pending);
        }
    }
}
