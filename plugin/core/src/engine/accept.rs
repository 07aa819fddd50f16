//! An event comes in.
//!
//! Accepted means: written to shared data before the answer leaves. Whatever is refused is refused whole, so a
//! producer that tries again gets the event to every endpoint or to none.

use std::rc::Rc;
use std::time::Duration;

use super::pending::Pledge;
use super::settle::{buried, state};
use super::{Engine, Place, World};
use crate::admin::control::{REREAD, State};
use crate::answer::Answer;
use crate::egress::breaker::Admission;
use crate::egress::dead_letter::Letter;
use crate::egress::endpoint::{Endpoint, Overflow};
use crate::engine::pending::{Delivery, Pending};
use crate::ids::{EndpointId, EventId, RouteId};
use crate::ingress::event::{Event, EventResult};
use crate::ingress::idempotency::{Claim, Key};
use crate::ingress::receipt::{Receipt, Status};
use crate::ingress::route::Ack;
use crate::ledger::record::{EventMeta, Stage};
use crate::outcome::{DeliveryResult, Reason};
use crate::telemetry::notice::Notice;

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
    /// What decides whether it is in a rollout, where that is not its id.
    pub rollout_key: Option<String>,
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
pub(super) struct Refusal {
    seconds: u64,
    detail: &'static str,
}

impl Engine {
    /// Takes an event, or says why not.
    pub fn offer(&mut self, world: &mut World<'_>, mut offer: Offer) -> Reply {
        let id = EventId::from_random((world.random)());
        self.callback += 1;
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
        // Before its key is claimed: the producer may send it again, without what was found.
        if let Some(answer) = self.inspect(world, &mut offer, &wanted) {
            return reply(answer, EventResult::Invalid);
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
        let Offer { stream, event, key, rollout_key, route } = offer;
        let selected = self.select(world, wanted, rollout_key.as_ref().map_or(&id.0, |key| key.as_bytes()));
        if selected.is_empty() {
            return nothing_sent(id, &event, Status::NotSampled, EventResult::NotSampled);
        }
        let Ok(home) = self.own(world) else { return refuse(&STORE_REFUSAL) };
        let deliveries = match self.draft(world, &selected, ack, event.payload.len() as u64) {
            Ok(deliveries) => deliveries,
            Err(refusal) => return refuse(&refusal),
        };
        let Event { event_type, payload, content_type, traceparent, tracestate } = event;
        let pending = Pending::new(id, event_type.clone(), Some(route), world.now, deliveries);
        let meta = EventMeta { id, event_type, content_type, traceparent, tracestate };
        if let Err(refusal) = self.bury_overflow(world, &meta, &payload, &pending) {
            return refuse(&refusal);
        }
        let answer = match ack {
            Ack::Accepted => Answer::receipt(202, &self.receipt(&pending, Status::Accepted, false)),
            Ack::Delivered { .. } => self.standing(&pending),
        };
        let (is_answerable, is_settled) = (pending.is_answerable(), pending.is_settled());
        if is_settled {
            self.count_accepted(&pending);
            let config = Rc::clone(&self.config);
            self.remember(world, &state(&config, &pending));
            return reply(answer, EventResult::Accepted);
        }
        let place = match self.keep(world, home, meta, payload, pending) {
            Ok(place) => place,
            Err(refusal) => return refuse(&refusal),
        };
        match ack {
            Ack::Delivered { timeout } if !is_answerable => {
                let deadline = world.now.mono.plus(timeout);
                self.pledge(place, Pledge { stream: Some(stream), deadline, key });
                Reply { answer: Err(place), result: EventResult::Accepted }
            }
            Ack::Delivered { .. } | Ack::Accepted => reply(answer, EventResult::Accepted),
        }
    }

    /// What the event will be, if there is room for it.
    fn draft(
        &mut self,
        world: &mut World<'_>,
        wanted: &[EndpointId],
        ack: Ack,
        bytes: u64,
    ) -> Result<Vec<Delivery>, Refusal> {
        if self.is_full(wanted.len(), bytes) {
            return Err(Refusal { seconds: 1, detail: "the queue is full" });
        }
        let mut deliveries = Vec::with_capacity(wanted.len());
        for endpoint in wanted {
            deliveries.push(self.draft_delivery(world, *endpoint, ack, bytes)?);
        }
        Ok(deliveries)
    }

    fn draft_delivery(
        &mut self,
        world: &mut World<'_>,
        id: EndpointId,
        ack: Ack,
        bytes: u64,
    ) -> Result<Delivery, Refusal> {
        let now = world.now.mono;
        let is_rolled_back = self.is_rolled_back(world, id);
        // Whether to wait for the end depends on the breaker of this moment; that an operator holds the endpoint back is
        // told as soon as any other switch.
        let age = if ack == Ack::Accepted { REREAD } else { Duration::ZERO };
        let shared = self.shared(world, id, age).map_err(|_| STORE_REFUSAL)?;
        let (endpoint, _) = self.endpoint(id).ok_or(STORE_REFUSAL)?;
        let held = is_rolled_back || self.state() == State::Paused || shared.is_disabled(endpoint);
        if let (Ack::Delivered { .. }, false, Admission::Wait { until }) = (ack, held, shared.breaker.admission(now)) {
            let seconds = until.since(now).as_secs_f64().ceil().max(1.0) as u64;
            return Err(Refusal { seconds, detail: "an endpoint's circuit breaker is open" });
        }
        let first = endpoint.retry.delays.first().copied().unwrap_or_default();
        let stage = match (self.has_room(id, endpoint, 1, bytes), endpoint.overflow) {
            (true, _) => Stage::Waiting { due: now.plus(first) },
            // What is held for an operator is no reason to refuse what others want.
            (false, _) if is_rolled_back => Stage::Dead,
            (false, Overflow::Reject) => {
                return Err(Refusal { seconds: 1, detail: "an endpoint's share of the queue is full" });
            }
            // The way to the sink has a share as large; past it the letter is only kept.
            (false, Overflow::DeadLetter) if self.has_room(id, endpoint, 2, bytes) => {
                buried(endpoint, now, Reason::Overflow)
            }
            (false, Overflow::DeadLetter) => Stage::Dead,
        };
        let mut delivery = Delivery::new(id, stage, held);
        if !matches!(stage, Stage::Waiting { .. }) {
            delivery.trail.end(world.now.wall, Some(Reason::Overflow));
        }
        Ok(delivery)
    }

    /// Has the worker's queue no room for an event of so many deliveries and bytes?
    pub(super) fn is_full(&self, deliveries: usize, bytes: u64) -> bool {
        let limits = &self.config.limits;
        self.waiting + deliveries > limits.pending as usize || self.bytes + bytes > limits.pending_bytes
    }

    /// Is there room for a delivery within so many times the endpoint's share of the queue? Its share of the bytes is
    /// as large as its share of the deliveries, at least a quarter, and holds at least one body.
    pub(super) fn has_room(&self, id: EndpointId, endpoint: &Endpoint, times: u32, bytes: u64) -> bool {
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
            self.count_result_of(endpoint, world.now, DeliveryResult::Failed);
            self.note(Notice::Delivery { endpoint, result: DeliveryResult::Failed, took: Duration::ZERO });
        }
        Ok(())
    }

    /// Writes the event to shared data, then takes it into memory.
    pub(super) fn keep(
        &mut self,
        world: &mut World<'_>,
        home: u32,
        meta: EventMeta,
        payload: Vec<u8>,
        mut pending: Pending,
    ) -> Result<Place, Refusal> {
        pending.bytes = payload.len() as u64;
        let state = state(&self.config, &pending);
        let Some(holding) = self.holdings.get_mut(home) else { return Err(STORE_REFUSAL) };
        match holding.partition.accept(world.store, &meta, &payload, &state) {
            Ok(slot) => {
                let place = Place { partition: home, slot };
                self.count_accepted(&pending);
                self.enlist(place, pending);
                self.fresh.insert(place, meta, payload);
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
