//! An event comes in.
//!
//! Accepted means: written to shared data before the answer leaves. Whatever is refused is refused whole, so a
//! producer that tries again gets the event to every endpoint or to none.

use std::rc::Rc;
use std::time::Duration;

use super::settle::{buried, state};
use super::{Engine, Place, Pledge, World};
use crate::answer::{Answer, Receipt, Status};
use crate::breaker::Admission;
use crate::config::{Ack, Endpoint, EndpointId, Overflow, RouteId};
use crate::control::State;
use crate::dead_letter::{Letter, Reason};
use crate::delivery::{Delivery, EventMeta, Pending, Stage};
use crate::idempotency::{Claim, Key};
use crate::message::{Event, EventId};
use crate::notice::{DeliveryResult, EventResult, Notice};
use crate::time::Now;

/// A request that is an event.
#[derive(Debug)]
pub struct Offer {
    /// The stream of its producer.
    pub stream: u32,
    /// The route it came by.
    pub route: RouteId,
    /// The event.
    pub event: Event,
    /// Its idempotency key, if it has one.
    pub key: Option<Key>,
}

/// What a producer gets, and the label to count it under.
#[derive(Debug)]
pub struct Reply {
    /// The answer, or the place of the event whose end brings it, as an action.
    pub answer: Result<Answer, Place>,
    /// What became of the request.
    pub result: EventResult,
}

/// Why an event is not taken now: try again after this many seconds.
struct Refusal {
    seconds: u64,
    detail: &'static str,
}

impl Engine {
    /// Takes an event, or says why not.
    pub fn offer(&mut self, world: &mut World<'_>, offer: Offer) -> Reply {
        let id = EventId::from_random((world.random)());
        self.check_control(world);
        if self.state() == State::Disabled {
            return nothing_sent(id, &offer.event, Status::Disabled, EventResult::Disabled);
        }
        if self.control.get().draining {
            return refuse(&Refusal { seconds: DRAIN_RETRY_SECONDS, detail: "the gateway is draining before it ends" });
        }
        let config = Rc::clone(&self.config);
        let Some(route) = config.routes.get(offer.route.0) else { return refuse(&STORE_REFUSAL) };
        let wanted = config.endpoints_for(route, &offer.event.event_type);
        if wanted.is_empty() {
            return nothing_sent(id, &offer.event, Status::NoSubscriber, EventResult::NoSubscriber);
        }
        let Some(key) = offer.key else { return self.take(world, offer, id, &wanted, route.ack) };
        let hold = match route.ack {
            Ack::Accepted => Duration::ZERO,
            Ack::Delivered { timeout } => timeout,
        };
        match self.idempotency.claim(world.store, world.now.mono, &key, id, hold) {
            Ok(Claim::Granted(id)) => {
                let reply = self.take(world, offer, id, &wanted, route.ack);
                // An answer that comes later settles the key then.
                if let Ok(answer) = &reply.answer {
                    self.settle_key(world, &key, answer);
                }
                reply
            }
            Ok(Claim::Replay(first)) => reply(Answer::replayed(first), EventResult::Replayed),
            Ok(Claim::InProgress) => reply(Answer::in_progress(), EventResult::Invalid),
            Ok(Claim::OtherBody) => reply(Answer::other_body(), EventResult::Invalid),
            Ok(Claim::Full) => refuse(&Refusal { seconds: 1, detail: "too many Idempotency-Keys are in progress" }),
            Err(error) => {
                self.note(Notice::Store { doing: "claiming an idempotency key", error });
                refuse(&STORE_REFUSAL)
            }
        }
    }

    fn take(&mut self, world: &mut World<'_>, offer: Offer, id: EventId, wanted: &[EndpointId], ack: Ack) -> Reply {
        let Ok(home) = self.own(world) else { return refuse(&STORE_REFUSAL) };
        let Offer { stream, event, key, .. } = offer;
        let pending = match self.draft(world, id, wanted, ack, event.payload.len() as u64) {
            Ok(pending) => pending,
            Err(refusal) => return refuse(&refusal),
        };
        let Event { event_type, payload, content_type, traceparent, tracestate } = event;
        let meta = EventMeta { id, event_type, content_type, traceparent, tracestate };
        if let Err(refusal) = self.bury_overflow(world, &meta, &payload, &pending) {
            return refuse(&refusal);
        }
        let answer = match ack {
            Ack::Accepted => Answer::receipt(202, &self.receipt(&pending, &meta.event_type, Status::Accepted, false)),
            Ack::Delivered { .. } => self.standing(&pending, &meta.event_type),
        };
        let (is_answerable, is_settled) = (pending.is_answerable(), pending.is_settled());
        if is_settled {
            return reply(answer, EventResult::Accepted);
        }
        match (self.keep(world, home, &meta, &payload, pending), ack) {
            (Err(refusal), _) => refuse(&refusal),
            (Ok(place), Ack::Delivered { timeout }) if !is_answerable => {
                let deadline = world.now.mono.plus(timeout);
                self.pledge(place, Pledge { stream: Some(stream), deadline, event_type: meta.event_type, key });
                Reply { answer: Err(place), result: EventResult::Accepted }
            }
            (Ok(_), _) => reply(answer, EventResult::Accepted),
        }
    }

    /// What the event will be, if there is room for it.
    fn draft(
        &self,
        world: &mut World<'_>,
        id: EventId,
        wanted: &[EndpointId],
        ack: Ack,
        bytes: u64,
    ) -> Result<Pending, Refusal> {
        let limits = &self.config.limits;
        if self.waiting + wanted.len() > limits.pending as usize || self.bytes + bytes > limits.pending_bytes {
            return Err(Refusal { seconds: 1, detail: "the queue is full" });
        }
        let mut deliveries = Vec::with_capacity(wanted.len());
        for endpoint in wanted {
            deliveries.push(self.draft_delivery(world, *endpoint, ack, bytes)?);
        }
        let Now { mono, wall } = world.now;
        Ok(Pending {
            id,
            accepted: mono,
            accepted_wall: wall,
            bytes,
            deliveries,
            pledge: None,
            trials: None,
            is_dirty: false,
        })
    }

    fn draft_delivery(&self, world: &mut World<'_>, id: EndpointId, ack: Ack, bytes: u64) -> Result<Delivery, Refusal> {
        let now = world.now.mono;
        let (endpoint, keys) = self.endpoint(id).ok_or(STORE_REFUSAL)?;
        let shared = keys.shared(world.store).map_err(|_| STORE_REFUSAL)?;
        let held = self.state() == State::Paused || shared.is_disabled(endpoint);
        if let (Ack::Delivered { .. }, false, Admission::Wait { until }) = (ack, held, shared.breaker.admission(now)) {
            let seconds = until.since(now).as_secs_f64().ceil().max(1.0) as u64;
            return Err(Refusal { seconds, detail: "an endpoint's circuit breaker is open" });
        }
        let first = endpoint.retry.delays.first().copied().unwrap_or_default();
        let stage = match (self.has_room(id, endpoint, 1, bytes), endpoint.overflow) {
            (true, _) => Stage::Waiting { due: now.plus(first) },
            (false, Overflow::Reject) => {
                return Err(Refusal { seconds: 1, detail: "an endpoint's share of the queue is full" });
            }
            // The way to the sink has a share as large; past it the letter is only kept.
            (false, Overflow::DeadLetter) if self.has_room(id, endpoint, 2, bytes) => {
                buried(endpoint, now, Reason::Overflow)
            }
            (false, Overflow::DeadLetter) => Stage::Dead,
        };
        Ok(Delivery {
            endpoint: id,
            attempts: 0,
            response_status: None,
            stage,
            ticket: 0,
            under_way: false,
            doomed: None,
            held,
        })
    }

    /// Is there room for a delivery within so many times the endpoint's share of the queue? Its share of the bytes is
    /// as large as its share of the deliveries, at least a quarter, and holds at least one body.
    fn has_room(&self, id: EndpointId, endpoint: &Endpoint, times: u32, bytes: u64) -> bool {
        let limits = &self.config.limits;
        let taken = self.shares.get(id.0).copied().unwrap_or_default();
        let of_deliveries = limits.pending_bytes * u64::from(endpoint.pending) / u64::from(limits.pending);
        let share = of_deliveries.max(limits.pending_bytes / 4);
        taken.deliveries < endpoint.pending.saturating_mul(times)
            && (taken.bytes == 0 || taken.bytes + bytes <= share.saturating_mul(u64::from(times)))
    }

    /// Keeps as dead letters the deliveries that found their endpoint's share of the queue full.
    fn bury_overflow(
        &mut self,
        world: &mut World<'_>,
        meta: &EventMeta,
        payload: &[u8],
        pending: &Pending,
    ) -> Result<(), Refusal> {
        for delivery in pending.deliveries.iter().filter(|delivery| !matches!(delivery.stage, Stage::Waiting { .. })) {
            let letter = Letter {
                meta: meta.clone(),
                endpoint: self
                    .endpoint(delivery.endpoint)
                    .map(|(endpoint, _)| endpoint.name.clone())
                    .unwrap_or_default(),
                reason: Reason::Overflow,
                attempts: 0,
                response_status: None,
                accepted: pending.accepted_wall,
                died: pending.accepted_wall,
            };
            self.keep_letter(world, &letter, payload).map_err(|_| STORE_REFUSAL)?;
            let endpoint = delivery.endpoint;
            self.note(Notice::Delivery { endpoint, result: DeliveryResult::Failed, took: Duration::ZERO });
        }
        Ok(())
    }

    /// Writes the event to shared data, then takes it into memory.
    fn keep(
        &mut self,
        world: &mut World<'_>,
        home: u32,
        meta: &EventMeta,
        payload: &[u8],
        pending: Pending,
    ) -> Result<Place, Refusal> {
        let config = Rc::clone(&self.config);
        let state = state(&config, &pending);
        let Some(holding) = self.holdings.get_mut(home) else { return Err(STORE_REFUSAL) };
        match holding.partition.accept(world.store, meta, payload, &state) {
            Ok(slot) => {
                let place = Place { partition: home, slot };
                self.enlist(place, pending);
                Ok(place)
            }
            Err(error) => {
                self.note(Notice::Store { doing: "keeping an event", error });
                Err(STORE_REFUSAL)
            }
        }
    }
}

/// Another gateway, or this one after its restart, takes the event then.
const DRAIN_RETRY_SECONDS: u64 = 5;

const STORE_REFUSAL: Refusal = Refusal { seconds: 1, detail: "the event could not be kept" };

fn reply(answer: Answer, result: EventResult) -> Reply {
    Reply { answer: Ok(answer), result }
}

fn refuse(refusal: &Refusal) -> Reply {
    reply(Answer::unavailable(refusal.seconds, refusal.detail), EventResult::Unavailable)
}

fn nothing_sent(id: EventId, event: &Event, status: Status, result: EventResult) -> Reply {
    let receipt = Receipt { id, event: &event.event_type, status, deliveries: Vec::new() };
    reply(Answer::receipt(202, &receipt), result)
}
