//! Producers that wait for the end of their event's deliveries (`ack: delivered`).

use super::Engine;
use super::action::Action;
use super::pending::{Delivery, Pending, Pledge};
use super::queue::Waiter;
use crate::answer::Answer;
use crate::inbound::Ticket;
use crate::ingress::idempotency::IdempotencyKey;
use crate::ingress::receipt::{DeliveryReceipt, EventStatus, Receipt};
use crate::journal::Durability;
use crate::ledger::Place;
use crate::ledger::record::Stage;
use crate::store::World;
use crate::telemetry::notice::Notice;

impl Engine {
    /// Handles the end of a stream whose producer waited. If it has not been answered, the client is gone: the event
    /// goes on, and nobody is answered. `ticket` is that of the message that the event was.
    pub(super) fn producer_gone(&mut self, world: &mut World<'_>, stream: u32, ticket: Option<Ticket>) {
        match self.queue.waiters.remove(&stream) {
            // Whether the message is taken is known when the fate of its event is.
            Some(Waiter::Commit(number)) => {
                if let Some(draft) = self.journal.as_mut().and_then(|journal| journal.commits.get_mut(number)) {
                    (draft.stream, draft.message) = (None, ticket);
                }
                return;
            }
            Some(Waiter::End(place)) => {
                let pledge = self.queue.holdings.event_mut(place).and_then(|event| event.pledge.as_mut());
                if let Some(pledge) = pledge.filter(|pledge| pledge.stream == Some(stream)) {
                    pledge.stream = None;
                }
            }
            // The application has not answered.
            Some(Waiter::Message | Waiter::Passed) => return self.end_message(world, ticket, false),
            None => {}
        }
        // The event is kept, and goes on without its sender.
        self.end_message(world, ticket, true);
    }

    /// Remembers that the producer of an event is owed an answer.
    pub(super) fn pledge(&mut self, place: Place, pledge: Pledge) {
        self.queue.pledges.insert(pledge.deadline, place.number());
        self.queue.waiters.extend(pledge.stream.map(|stream| (stream, Waiter::End(place))));
        if let Some(event) = self.queue.holdings.event_mut(place) {
            event.pledge = Some(pledge);
        }
    }

    /// Answers the producers whose deadlines have passed.
    pub(super) fn expire_pledges(&mut self, world: &mut World<'_>) {
        while let Some((deadline, number)) = self.queue.pledges.first() {
            if deadline > world.now.mono {
                return;
            }
            self.queue.pledges.remove(deadline, number);
            self.keep_pledge(world, Place::numbered(number));
        }
    }

    /// Answers the producer of an event, if one waits, by how its deliveries stand now.
    pub(super) fn keep_pledge(&mut self, world: &mut World<'_>, place: Place) {
        let Some(event) = self.queue.holdings.event_mut(place) else { return };
        let Some(pledge) = event.pledge.take() else { return };
        self.queue.pledges.remove(pledge.deadline, place.number());
        let Some(event) = self.queue.holdings.event(place) else { return };
        let answer = self.outcome(event);
        if let Some(key) = &pledge.key {
            self.settle_key(world, key, &answer);
        }
        if let Some(stream) = pledge.stream {
            self.queue.waiters.remove(&stream);
            self.output.act(Action::Answer { stream, answer });
        }
    }

    /// Answers the producer of an event that is another worker's to deliver now, if one waits: the event is pending.
    pub(super) fn abandon_pledge(&mut self, world: &mut World<'_>, place: Place, event: &Pending) {
        let Some(pledge) = &event.pledge else { return };
        self.queue.pledges.remove(pledge.deadline, place.number());
        let answer = Answer::receipt(202, &self.receipt(event, EventStatus::Pending, true));
        if let Some(key) = &pledge.key {
            self.settle_key(world, key, &answer);
        }
        if let Some(stream) = pledge.stream {
            self.queue.waiters.remove(&stream);
            self.output.act(Action::Answer { stream, answer });
        }
    }

    /// The answer to a producer that waited: 200 when all is delivered, 502 when something failed for good, else 202.
    pub(super) fn outcome(&self, event: &Pending) -> Answer {
        let any = |status| event.deliveries.iter().any(|delivery| delivery_status(delivery) == status);
        let (code, status) = if any(EventStatus::Pending) {
            (202, EventStatus::Pending)
        } else if any(EventStatus::Failed) {
            (502, EventStatus::Failed)
        } else if any(EventStatus::Held) {
            (202, EventStatus::Accepted)
        } else {
            (200, EventStatus::Delivered)
        };
        Answer::receipt(code, &self.receipt(event, status, true))
    }

    /// Settles an idempotency key: remembers the answer for it if the answer is a 2xx; after any other answer the next
    /// request with the key tries again.
    pub(super) fn settle_key(&mut self, world: &mut World<'_>, key: &IdempotencyKey, answer: &Answer) {
        let kept = (200..300).contains(&answer.status).then_some((answer.status, answer.body.as_slice()));
        if let Err(error) = self.idempotency.finish(world.store, key, kept) {
            self.output.note(Notice::Store { doing: "settling an idempotency key", error });
        }
        self.settle_fleet_key(world, key, kept.map(|(status, body)| (status, body.to_vec())));
    }

    /// Forgets an idempotency key here: the next request with it is decided anew.
    pub(super) fn forget_key(&mut self, world: &mut World<'_>, key: &IdempotencyKey) {
        if let Err(error) = self.idempotency.finish(world.store, key, None) {
            self.output.note(Notice::Store { doing: "settling an idempotency key", error });
        }
    }

    /// The receipt of an event for its producer; `detailed` adds attempts and statuses.
    pub(super) fn receipt<'a>(&'a self, event: &'a Pending, status: EventStatus, detailed: bool) -> Receipt<'a> {
        let deliveries = event.deliveries.iter().map(|delivery| DeliveryReceipt {
            endpoint: self.endpoint(delivery.endpoint).map_or("", |(endpoint, _)| &endpoint.name),
            status: delivery_status(delivery),
            attempts: detailed.then_some(delivery.attempts),
            response_status: if detailed { delivery.response_status } else { None },
        });
        let durability = self.journal.as_ref().map(|_| match event.origin {
            Some(_) => Durability::Journal,
            None => Durability::Memory,
        });
        Receipt { id: event.id, event: &event.event_type, status, durability, deliveries: deliveries.collect() }
    }
}

fn delivery_status(delivery: &Delivery) -> EventStatus {
    match delivery.stage {
        Stage::Waiting { .. } if delivery.held => EventStatus::Held,
        Stage::Waiting { .. } => EventStatus::Pending,
        Stage::Delivered => EventStatus::Delivered,
        Stage::Sinking { .. } | Stage::Dead => EventStatus::Failed,
    }
}
