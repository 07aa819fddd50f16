//! An event comes in: it is admitted, kept and committed.
//!
//! **Admit** decides, and keeps nothing: matching, personal data, the idempotency key, the rollout, capacity, breakers.
//! **Keep** writes the event; it is the one step that may wait for an answer from outside. **Commit** counts the event,
//! lets its deliveries begin, and answers its producer.
//!
//! Accepted means: written to shared data before the answer leaves. An event is refused for all its endpoints or for
//! none, so a producer may simply send a refused event again.

use std::rc::Rc;
use std::time::Duration;

use super::Engine;
use super::draft::{Draft, Refusal, Reply, STORE_REFUSAL, nothing_sent, refuse, reply};
use super::journaled::Keeping;
use super::pending::{Delivery, Pending, Pledge};
use super::settle::{buried, state};
use crate::admin::control::{FilterState, REREAD};
use crate::answer::Answer;
use crate::config::Config;
use crate::egress::breaker::Admission;
use crate::egress::dead_letter::Letter;
use crate::egress::endpoint::{Endpoint, Overflow};
use crate::egress::filter::Subject;
use crate::ids::{EndpointId, EventId};
use crate::ingress::event::{Event, EventResult, Offer};
use crate::ingress::idempotency::{IdempotencyKey, KeyClaim};
use crate::ingress::payload::GuardAction;
use crate::ingress::receipt::EventStatus;
use crate::ingress::route::{Ack, Route};
use crate::ledger::Place;
use crate::ledger::record::{EventMeta, Stage};
use crate::outcome::{DeliveryResult, Reason};
use crate::store::World;
use crate::telemetry::notice::Notice;
use crate::time::Now;

impl Engine {
    /// Takes an event, or says why not. The event is admitted, kept, and only then answered.
    pub fn handle_event(&mut self, world: &mut World<'_>, offer: Offer) -> Reply {
        let draft = match self.admit(world, offer) {
            Ok(draft) => draft,
            Err(reply) => return reply,
        };
        match self.keeping(world.now.mono, &draft) {
            Keeping::Journal => self.append_draft(world, draft),
            Keeping::Memory => self.finish_draft(world, draft),
            Keeping::Refused(why) => self.without_journal(world, draft, why),
        }
    }

    /// Keeps a draft in shared data, and commits it.
    pub(super) fn finish_draft(&mut self, world: &mut World<'_>, mut draft: Draft) -> Reply {
        let (key, message) = (draft.key, draft.message.take());
        let reply = match self.keep_draft(world, &draft) {
            Ok(place) => self.commit_draft(world, draft, place),
            Err(refusal) => refuse(&refusal),
        };
        self.end_message(world, message, reply.result == Some(EventResult::Accepted));
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
        let wanted = subscribers(&config, route, &offer, id)?;
        // Before the idempotency key is claimed: the producer may send the event again under this key, without the
        // personal data.
        if let Some(answer) = self.inspect(world, &mut offer, &wanted) {
            return Err(reply(answer, EventResult::Invalid));
        }
        // Filters look at what is sent, which is not what it was where the guard has redacted it.
        let is_redacted = config.payload_guard.as_ref().is_some_and(|guard| guard.action == GuardAction::Redact);
        let wanted = if is_redacted { subscribers(&config, route, &offer, id)? } else { wanted };
        let key = offer.key;
        let id = key.map_or(Ok(id), |key| self.claim_key(world, &key, id, route.ack))?;
        self.draft(world, offer, id, &wanted, route.ack).map_err(|reply| self.settled(world, key.as_ref(), reply))
    }

    /// Claims an idempotency key for the event with this id. Returns the id to give the event: another one if the key
    /// was claimed before and let go. The error is the reply to the producer.
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
            Ok(KeyClaim::OtherEvent) => reply(Answer::other_event(), EventResult::Invalid),
            Ok(KeyClaim::Full) => refuse(&Refusal { seconds: 1, detail: "too many Idempotency-Keys are in progress" }),
            Err(error) => {
                self.output.note(Notice::Store { doing: "claiming an idempotency key", error });
                refuse(&STORE_REFUSAL)
            }
        })
    }

    /// Settles the idempotency key if the reply is an answer; an answer that comes later settles the key then.
    pub(super) fn settled(&mut self, world: &mut World<'_>, key: Option<&IdempotencyKey>, reply: Reply) -> Reply {
        if let (Some(key), Some(answer)) = (key, &reply.answer) {
            self.settle_key(world, key, answer);
        }
        reply
    }

    /// Drafts an event: decides which endpoints get it by their rollouts, and whether there is room for it. The error
    /// is the reply to the producer.
    fn draft(
        &mut self,
        world: &mut World<'_>,
        offer: Offer,
        id: EventId,
        wanted: &[EndpointId],
        ack: Ack,
    ) -> Result<Draft, Reply> {
        let Offer { stream, event, key, rollout_key, route, .. } = offer;
        let selected = self.select(world, wanted, rollout_key.as_ref().map_or(&id.0, |key| key.as_bytes()));
        if selected.is_empty() {
            return Err(nothing_sent(id, &event, EventStatus::NotSampled, EventResult::NotSampled));
        }
        self.own(world).map_err(|_| refuse(&STORE_REFUSAL))?;
        let deliveries = self.draft_deliveries(world, &selected, ack, event.payload.len() as u64);
        let deliveries = deliveries.map_err(|refusal| refuse(&refusal))?;
        let Event { event_type, payload, content_type, content_encoding, traceparent, tracestate } = event;
        let mut pending = Pending::new(id, event_type.clone(), Some(route), world.now, deliveries);
        pending.bytes = payload.len() as u64;
        let meta = EventMeta { id, event_type, content_type, traceparent, tracestate, content_encoding };
        Ok(Draft { meta, payload, pending, stream: Some(stream), ack, key, message: None })
    }

    /// Writes an admitted event to shared data, and returns its place; `None`: all its deliveries have ended already.
    pub(super) fn keep_draft(&mut self, world: &mut World<'_>, draft: &Draft) -> Result<Option<Place>, Refusal> {
        let Draft { meta, payload, pending, .. } = draft;
        self.bury_overflow(world, meta, payload, pending)?;
        if pending.is_settled() {
            return Ok(None);
        }
        let home = self.own(world).map_err(|_| STORE_REFUSAL)?;
        self.keep(world, home, meta, payload, pending).map(Some)
    }

    /// Counts an event that is kept, begins its deliveries, and answers its producer or owes the producer an answer.
    pub(super) fn commit_draft(&mut self, world: &mut World<'_>, draft: Draft, place: Option<Place>) -> Reply {
        let Draft { meta, payload, pending, stream, ack, key, .. } = draft;
        let route = pending.route;
        let answer = match ack {
            Ack::Accepted => Answer::receipt(202, &self.receipt(&pending, EventStatus::Accepted, false)),
            Ack::Delivered { .. } => self.outcome(&pending),
        };
        let is_answerable = pending.is_answerable();
        let Some(place) = place else {
            self.count_accepted(&pending);
            let config = Rc::clone(&self.config);
            self.remember(world, &state(&config, &pending));
            return Reply { route, ..reply(answer, EventResult::Accepted) };
        };
        self.commit(place, meta, payload, pending);
        self.tell_overflow(world.now, place);
        match ack {
            Ack::Delivered { timeout } if !is_answerable => {
                let deadline = world.now.mono.plus(timeout);
                self.pledge(place, Pledge { stream, deadline, key });
                Reply { answer: None, result: Some(EventResult::Accepted), route }
            }
            Ack::Delivered { .. } | Ack::Accepted => Reply { route, ..reply(answer, EventResult::Accepted) },
        }
    }

    /// Drafts the deliveries of an event, if there is room for all of them.
    fn draft_deliveries(
        &mut self,
        world: &mut World<'_>,
        wanted: &[EndpointId],
        ack: Ack,
        bytes: u64,
    ) -> Result<Vec<Delivery>, Refusal> {
        let (waiting, waiting_bytes) =
            self.journal.as_ref().map_or((0, 0), |journal| (journal.commits.deliveries, journal.commits.bytes));
        if self.queue.is_full(&self.config.limits, wanted.len() + waiting, bytes + waiting_bytes) {
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
        // Whether a producer may wait for the end depends on the breaker at this moment. Otherwise the record may be as
        // old as any other switch of an operator.
        let age = if ack == Ack::Accepted { REREAD } else { Duration::ZERO };
        let shared = self.shared(world, id, age).map_err(|_| STORE_REFUSAL)?;
        let (endpoint, _) = self.endpoint(id).ok_or(STORE_REFUSAL)?;
        let held = is_rolled_back
            || self.leadership.state(self.config.enabled) == FilterState::Paused
            || shared.is_disabled(endpoint);
        let admission = shared.admission(endpoint.breaker.is_some(), now);
        if let (Ack::Delivered { .. }, false, Admission::Wait { until }) = (ack, held, admission) {
            let seconds = until.since(now).as_secs_f64().ceil().max(1.0) as u64;
            return Err(Refusal { seconds, detail: "an endpoint's circuit breaker is open" });
        }
        let first = endpoint.retry.delays.first().copied().unwrap_or_default();
        let stage = match (self.has_room(id, endpoint, 1, bytes), endpoint.overflow) {
            (true, _) => Stage::Waiting { due: now.plus(first) },
            // An endpoint that is held for an operator is no reason to refuse an event that other endpoints want.
            (false, _) if is_rolled_back => Stage::Dead,
            (false, Overflow::Reject) => {
                return Err(Refusal { seconds: 1, detail: "an endpoint's share of the queue is full" });
            }
            // Dead letters on their way to the sink have a share as large. Past that share a letter is only kept in the
            // ring.
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

    /// Says whether there is room for a delivery within `times` times the endpoint's share of the queue. The endpoint's
    /// share of the bytes is as large as its share of the deliveries, is at least a quarter of all bytes, and holds at
    /// least one body.
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

    /// Writes an event to shared data, and returns its place.
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

    /// Tells the journal of deliveries that found no room: its entry has only the others.
    fn tell_overflow(&mut self, now: Now, place: Place) {
        let event = self.queue.holdings.event(place);
        let is_waiting = |delivery: &Delivery| matches!(delivery.stage, Stage::Waiting { .. });
        if event.is_some_and(|event| event.origin.is_some() && !event.deliveries.iter().all(is_waiting)) {
            self.tell_journal(now, place);
        }
    }

    /// Counts an event that is kept at `place`, and takes it into memory.
    pub(super) fn commit(&mut self, place: Place, meta: EventMeta, payload: Vec<u8>, pending: Pending) {
        self.count_accepted(&pending);
        self.enlist(place, pending);
        self.queue.fresh.insert(place, meta, payload);
    }
}

/// The endpoints that an event goes to: those that subscribe to its type and whose filter it passes. The error is the reply
/// to the producer of an event that nobody wants.
fn subscribers(config: &Config, route: &Route, offer: &Offer, id: EventId) -> Result<Vec<EndpointId>, Reply> {
    let Event { event_type, payload, content_encoding, .. } = &offer.event;
    let subject =
        Subject::new(event_type, &offer.filter_headers, content_encoding.is_none().then_some(payload.as_slice()));
    let mut wanted = config.endpoints_for(route, event_type);
    wanted.retain(|endpoint| config.passes(*endpoint, &subject));
    if wanted.is_empty() {
        return Err(nothing_sent(id, &offer.event, EventStatus::NoSubscriber, EventResult::NoSubscriber));
    }
    Ok(wanted)
}

/// The `Retry-After` of an event that is refused during a drain: another gateway, or this one after its restart, may
/// take it then.
pub(super) const DRAIN_RETRY_SECONDS: u64 = 5;
