//! An event that has not ended, as a worker holds it in memory: its deliveries, and the producer that waits.

use std::time::Duration;

use crate::ids::{EndpointId, EventId, RouteId};
use crate::ingress::idempotency::IdempotencyKey;
use crate::journal::segments::Origin;
use crate::ledger::record::{DeliveryRecord, Stage, Trail};
use crate::outcome::Reason;
use crate::time::{Instant, Now, WallTime};

/// A delivery in a worker's memory.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The endpoint that the delivery goes to.
    pub endpoint: EndpointId,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The status of the last attempt that was answered.
    pub response_status: Option<u16>,
    /// The stage of the delivery.
    pub stage: Stage,
    /// The ticket of this delivery's entry in its lane; entries with another ticket are left over.
    pub ticket: u64,
    /// An attempt is under way.
    pub under_way: bool,
    /// Why the delivery has failed for good, as long as its dead letter could not be kept.
    pub doomed: Option<Reason>,
    /// The delivery was held back when its event was accepted: the producer does not wait for it.
    pub held: bool,
    /// The trail of the delivery: its attempts so far, and its end.
    pub trail: Trail,
}

impl Delivery {
    /// Makes a delivery to `endpoint` that was not attempted yet.
    pub fn new(endpoint: EndpointId, stage: Stage, held: bool) -> Self {
        Self {
            endpoint,
            attempts: 0,
            response_status: None,
            stage,
            ticket: 0,
            under_way: false,
            doomed: None,
            held,
            trail: Trail::default(),
        }
    }

    /// Makes a delivery to `endpoint` from its record in shared data.
    pub fn from_record(endpoint: EndpointId, record: DeliveryRecord<String>) -> Self {
        let DeliveryRecord { attempts, response_status, stage, trail, .. } = record;
        Self { attempts, response_status, trail, ..Self::new(endpoint, stage, false) }
    }
}

/// An event in a worker's memory.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The id of the event.
    pub id: EventId,
    /// The type of the event.
    pub event_type: String,
    /// The route that took the event; `None`: the event is a redelivery, or the gateway's own, or the config no longer
    /// has the route.
    pub route: Option<RouteId>,
    /// When the event was accepted, for `max_age` and the duration of the delivery.
    pub accepted: Instant,
    /// When the event was accepted on the wall clock, for the dead letter.
    pub accepted_wall: WallTime,
    /// The bytes of the event's payload, as counted by `limits.pending_bytes`.
    pub bytes: u64,
    /// The deliveries of the event, one for each endpoint.
    pub deliveries: Vec<Delivery>,
    /// The producer that waits for the end (`ack: delivered`).
    pub pledge: Option<crate::engine::pending::Pledge>,
    /// How many attempts of an adopted event in a row may have killed their VM; `None`: the event was not adopted, or
    /// an attempt has ended since.
    pub trials: Option<u8>,
    /// Where the event stands in the journal; `None`: it does not.
    pub origin: Option<Origin>,
    /// Whether the journal knows of the attempt that is about to be made, for an event that was taken over from a dead
    /// gateway.
    pub mark: TrialMark,
    /// The event's record in shared data is out of date, because it could not be written.
    pub is_dirty: bool,
}

impl Pending {
    /// Makes an event that was accepted at `now`.
    pub fn new(id: EventId, event_type: String, route: Option<RouteId>, now: Now, deliveries: Vec<Delivery>) -> Self {
        Self {
            id,
            event_type,
            route,
            accepted: now.mono,
            accepted_wall: now.wall,
            bytes: 0,
            deliveries,
            pledge: None,
            trials: None,
            origin: None,
            mark: TrialMark::None,
            is_dirty: false,
        }
    }

    /// The age of the event. One that was taken over from another gateway was accepted by that one's clocks, of which
    /// only the wall clock means anything here.
    pub fn age(&self, now: Now) -> Duration {
        match self.mark {
            TrialMark::None => now.mono.since(self.accepted),
            _ => now.wall.since(self.accepted_wall),
        }
    }

    /// Says whether all deliveries have ended.
    pub fn is_settled(&self) -> bool {
        self.deliveries.iter().all(|delivery| delivery.stage.is_settled())
    }

    /// Says whether every delivery that the producer waits for has ended. A dead letter on its way to the sink has
    /// ended.
    pub fn is_answerable(&self) -> bool {
        self.deliveries.iter().all(|delivery| delivery.held || !matches!(delivery.stage, Stage::Waiting { .. }))
    }
}

/// An answer that is owed to a producer.
#[derive(Clone, Debug)]
pub struct Pledge {
    /// The stream to answer; `None` once its client is gone.
    pub stream: Option<u32>,
    /// When the answer is given at the latest.
    pub deadline: Instant,
    /// The idempotency key to settle with the answer.
    pub key: Option<IdempotencyKey>,
}

/// Whether the journal knows that an event which was taken over is about to be attempted: an attempt that kills its
/// gateway is to be counted by the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialMark {
    /// The event was not taken over from another gateway.
    None,
    /// The journal is to be told before an attempt.
    Wanted,
    /// The journal is being told.
    Asked,
    /// The journal knows, or an attempt has ended here.
    Known,
}
