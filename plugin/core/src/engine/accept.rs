//! An event comes in: it is admitted, kept and committed.
//!
//! **Admit** decides, and keeps nothing: matching, personal data, the idempotency key, the rollout, capacity, breakers.
//! **Keep** writes; it is the one step that may wait for an answer from outside. **Commit** counts it, lets its deliveries
//! begin, and answers its producer.
//!
//! Accepted means: written to shared data before the answer leaves. Whatever is refused is refused whole, so a
//! producer that tries again gets the event to every endpoint or to none.

use std::rc::Rc;
use std::time::Duration;

use super::Engine;
use super::pending::{Delivery, Pending, Pledge};
use super::settle::{buried, state};
use crate::admin::control::{FilterState, REREAD};
use crate::answer::Answer;
use crate::egress::breaker::Admission;
use crate::egress::dead_letter::Letter;
use crate::egress::endpoint::{Endpoint, Overflow};
use crate::ids::{EndpointId, EventId};
use crate::ingress::event::{Event, EventResult, Offer};
use crate::ingress::idempotency::{IdempotencyKey, KeyClaim};
use crate::ingress::receipt::{EventStatus, Receipt};
use crate::ingress::route::Ack;
use crate::ledger::Place;
use crate::ledger::record::{EventMeta, Stage};
use crate::outcome::{DeliveryResult, Reason};
use crate::store::World;
use crate::telemetry::notice::Notice;

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

/// An event that is admitted: what is to be kept of it, and what its producer is owed. It borrows nothing, so that it
/// can wait until it is kept.
struct Draft {
    /// The partition that is to hold it.
    home: u32,
    meta: EventMeta,
    payload: Vec<u8>,
    pending: Pending,
    stream: u32,
    ack: Ack,
    key: Option<IdempotencyKey>,
}

impl Engine {
    /// Takes an event, or says why not: it is admitted, kept in shared data, and only then answered.
    pub fn handle_event(&mut self, world: &mut World<'_>, offer: Offer) -> Reply {
        let draft = match self.admit(world, offer) {
            Ok(draft) => draft,
            Err(reply) => return reply,
        };
        let key = draft.key;
        let reply = match self.keep_draft(world, &draft) {
            Ok(place) => self.commit_draft(world, draft, place),
            Err(refusal) => refuse(&refusal),
        };
        self.settled(world, key.as_ref(), reply)
    }

    /// Decides whether an event is taken; nothing of it is kept yet but the claim of its idempotency key.
    fn admit(&mut self, world: &mut World<'_>, mut offer: Offer) -> Result<Draft, Reply> {
        let id = EventId::from_random((world.random)());
        self.callback += 1;
        self.check_control(world);
        let config = Rc::clone(&self.config);
        if self.leadership.state(config.enabled) == FilterState::Disabled {
            return Err(nothing_sent(id, &offer.event, EventStatus::Disabled, EventResult::Disabled));
        }
        if self.leadership.control.get().draining {
            let detail = "the gateway is draining before it ends";
            return Err(refuse(&Refusal { seconds: DRAIN_RETRY_SECONDS, detail }));
        }
        let Some(route) = config.routes.get(offer.route.0) else { return Err(refuse(&STORE_REFUSAL)) };
        let wanted = config.endpoints_for(route, &offer.event.event_type);
        if wanted.is_empty() {
            return Err(nothing_sent(id, &offer.event, EventStatus::NoSubscriber, EventResult::NoSubscriber));
        }
        // Before its key is claimed: the producer may send it again, without what was found.
        if let Some(answer) = self.inspect(world, &mut offer, &wanted) {
            return Err(reply(answer, EventResult::Invalid));
        }
        let key = offer.key;
        let id = key.map_or(Ok(id), |key| self.claim_key(world, &key, id, route.ack))?;
        self.draft(world, offer, id, &wanted, route.ack).map_err(|reply| self.settled(world, key.as_ref(), reply))
    }

    /// Claims an idempotency key for the event with this id; the id that it has, which is another where the key was
    /// claimed before and let go. Or what the producer is answered.
    fn claim_key(
        &mut self,
        world: &mut World<'_>,
        key: &IdempotencyKey,
        id: EventId,
        ack: Ack,
    ) -> Result<EventId, Reply> {
        let hold = match ack {
            Ack::Accepted => Duration::ZERO,
            Ack::Delivered { timeout } => timeout,
        };
        Err(match self.idempotency.claim(world.store, world.now.mono, key, id, hold) {
            Ok(KeyClaim::Granted(id)) => return Ok(id),
            Ok(KeyClaim::Replay(first)) => reply(Answer::replayed(first), EventResult::Replayed),
            Ok(KeyClaim::InProgress) => reply(Answer::in_progress(), EventResult::Invalid),
            Ok(KeyClaim::OtherBody) => reply(Answer::other_body(), EventResult::Invalid),
            Ok(KeyClaim::Full) => refuse(&Refusal { seconds: 1, detail: "too many Idempotency-Keys are in progress" }),
            Err(error) => {
                self.output.note(Notice::Store { doing: "claiming an idempotency key", error });
                refuse(&STORE_REFUSAL)
            }
        })
    }

    /// An answer that is given now settles the key; one that comes later does so then.
    fn settled(&mut self, world: &mut World<'_>, key: Option<&IdempotencyKey>, reply: Reply) -> Reply {
        if let (Some(key), Ok(answer)) = (key, &reply.answer) {
            self.settle_key(world, key, answer);
        }
        reply
    }

    /// What is to be kept of an event, if it is in a rollout and there is room for it.
    fn draft(
        &mut self,
        world: &mut World<'_>,
        offer: Offer,
        id: EventId,
        wanted: &[EndpointId],
        ack: Ack,
    ) -> Result<Draft, Reply> {
        let Offer { stream, event, key, rollout_key, route } = offer;
        let selected = self.select(world, wanted, rollout_key.as_ref().map_or(&id.0, |key| key.as_bytes()));
        if selected.is_empty() {
            return Err(nothing_sent(id, &event, EventStatus::NotSampled, EventResult::NotSampled));
        }
        let home = self.own(world).map_err(|_| refuse(&STORE_REFUSAL))?;
        let deliveries = self.draft_deliveries(world, &selected, ack, event.payload.len() as u64);
        let deliveries = deliveries.map_err(|refusal| refuse(&refusal))?;
        let Event { event_type, payload, content_type, traceparent, tracestate } = event;
        let mut pending = Pending::new(id, event_type.clone(), Some(route), world.now, deliveries);
        pending.bytes = payload.len() as u64;
        let meta = EventMeta { id, event_type, content_type, traceparent, tracestate };
        Ok(Draft { home, meta, payload, pending, stream, ack, key })
    }

    /// Keeps what is admitted: its place, or none where nothing of it is left to do.
    fn keep_draft(&mut self, world: &mut World<'_>, draft: &Draft) -> Result<Option<Place>, Refusal> {
        let Draft { home, meta, payload, pending, .. } = draft;
        self.bury_overflow(world, meta, payload, pending)?;
        if pending.is_settled() { Ok(None) } else { self.keep(world, *home, meta, payload, pending).map(Some) }
    }

    /// An event is kept: it is counted, its deliveries begin, and its producer is answered or owed an answer.
    fn commit_draft(&mut self, world: &mut World<'_>, draft: Draft, place: Option<Place>) -> Reply {
        let Draft { meta, payload, pending, stream, ack, key, .. } = draft;
        let answer = match ack {
            Ack::Accepted => Answer::receipt(202, &self.receipt(&pending, EventStatus::Accepted, false)),
            Ack::Delivered { .. } => self.outcome(&pending),
        };
        let is_answerable = pending.is_answerable();
        let Some(place) = place else {
            self.count_accepted(&pending);
            let config = Rc::clone(&self.config);
            self.remember(world, &state(&config, &pending));
            return reply(answer, EventResult::Accepted);
        };
        self.commit(place, meta, payload, pending);
        match ack {
            Ack::Delivered { timeout } if !is_answerable => {
                let deadline = world.now.mono.plus(timeout);
                self.pledge(place, Pledge { stream: Some(stream), deadline, key });
                Reply { answer: Err(place), result: EventResult::Accepted }
            }
            Ack::Delivered { .. } | Ack::Accepted => reply(answer, EventResult::Accepted),
        }
    }

    /// What the deliveries of an event will be, if there is room for them.
    fn draft_deliveries(
        &mut self,
        world: &mut World<'_>,
        wanted: &[EndpointId],
        ack: Ack,
        bytes: u64,
    ) -> Result<Vec<Delivery>, Refusal> {
        if self.queue.is_full(&self.config.limits, wanted.len(), bytes) {
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
        let held = is_rolled_back
            || self.leadership.state(self.config.enabled) == FilterState::Paused
            || shared.is_disabled(endpoint);
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

    /// Is there room for a delivery within so many times the endpoint's share of the queue? Its share of the bytes is
    /// as large as its share of the deliveries, at least a quarter, and holds at least one body.
    pub(super) fn has_room(&self, id: EndpointId, endpoint: &Endpoint, times: u32, bytes: u64) -> bool {
        let limits = &self.config.limits;
        let taken = self.endpoints.get(id.0).map(|state| state.share).unwrap_or_default();
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
            self.output.note(Notice::Delivery { endpoint, result: DeliveryResult::Failed, took: Duration::ZERO });
        }
        Ok(())
    }

    /// Writes an event to shared data: its place.
    pub(super) fn keep(
        &mut self,
        world: &mut World<'_>,
        home: u32,
        meta: &EventMeta,
        payload: &[u8],
        pending: &Pending,
    ) -> Result<Place, Refusal> {
        let Some(holding) = self.queue.holdings.get_mut(home) else { return Err(STORE_REFUSAL) };
        match holding.partition.accept(world.store, meta, payload, &state(&self.config, pending)) {
            Ok(slot) => Ok(Place { partition: home, slot }),
            Err(error) => {
                self.output.note(Notice::Store { doing: "keeping an event", error });
                Err(STORE_REFUSAL)
            }
        }
    }

    /// Takes an event into memory that is kept at `place`.
    pub(super) fn commit(&mut self, place: Place, meta: EventMeta, payload: Vec<u8>, pending: Pending) {
        self.count_accepted(&pending);
        self.enlist(place, pending);
        self.queue.fresh.insert(place, meta, payload);
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

fn nothing_sent(id: EventId, event: &Event, status: EventStatus, result: EventResult) -> Reply {
    let receipt = Receipt { id, event: &event.event_type, status, deliveries: Vec::new() };
    reply(Answer::receipt(202, &receipt), result)
}
