//! What a worker holds in memory of an event that has not ended: its deliveries, and the producer that waits.

use crate::ids::{EndpointId, EventId, RouteId};
use crate::ingress::idempotency::IdempotencyKey;
use crate::ledger::record::{DeliveryRecord, Stage, Trail};
use crate::outcome::Reason;
use crate::time::{Instant, Now, WallTime};

/// A delivery in a worker's memory.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where it goes.
    pub endpoint: EndpointId,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The status of the last one that was answered.
    pub response_status: Option<u16>,
    /// Where it stands.
    pub stage: Stage,
    /// Which entry of its lane's queue is this delivery's; others are left-overs.
    pub ticket: u64,
    /// An attempt is under way.
    pub under_way: bool,
    /// It has failed for good, but the dead letter could not be kept yet.
    pub doomed: Option<Reason>,
    /// Held back when it was accepted: its producer does not wait for it.
    pub held: bool,
    /// How it went so far.
    pub trail: Trail,
}

impl Delivery {
    /// A delivery to `endpoint` that nothing was done for yet.
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

    /// A delivery to `endpoint` as shared data has it.
    pub fn from_record(endpoint: EndpointId, record: DeliveryRecord<String>) -> Self {
        let DeliveryRecord { attempts, response_status, stage, trail, .. } = record;
        Self { attempts, response_status, trail, ..Self::new(endpoint, stage, false) }
    }
}

/// An event in a worker's memory.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: String,
    /// The route it came by; `None`: it is a redelivery, or the gateway's own, or the config has that route no more.
    pub route: Option<RouteId>,
    /// When it was accepted, for `max_age` and the duration of the delivery.
    pub accepted: Instant,
    /// The same on the wall clock, for the dead letter.
    pub accepted_wall: WallTime,
    /// The bytes of its payload, as counted by `limits.pending_bytes`.
    pub bytes: u64,
    /// One for each endpoint.
    pub deliveries: Vec<Delivery>,
    /// The producer that waits for the end (`ack: delivered`).
    pub pledge: Option<crate::engine::pending::Pledge>,
    /// For an adopted event of which no attempt has ended since: how many attempts ended with their VM.
    pub trials: Option<u8>,
    /// Shared data could not be written, and does not know how it stands.
    pub is_dirty: bool,
}

impl Pending {
    /// An event that is accepted now.
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
            is_dirty: false,
        }
    }

    /// Is there nothing left to do?
    pub fn is_settled(&self) -> bool {
        self.deliveries.iter().all(|delivery| delivery.stage.is_settled())
    }

    /// Has every delivery ended that the producer waits for? A dead letter on its way to the sink has.
    pub fn is_answerable(&self) -> bool {
        self.deliveries.iter().all(|delivery| delivery.held || !matches!(delivery.stage, Stage::Waiting { .. }))
    }
}

/// An answer that is owed.
#[derive(Clone, Debug)]
pub struct Pledge {
    /// The stream to answer; `None` once its client is gone.
    pub stream: Option<u32>,
    /// When the answer is given at the latest.
    pub deadline: Instant,
    /// The idempotency key to settle with it.
    pub key: Option<IdempotencyKey>,
}
