//! One event with its deliveries, as a worker holds it and as shared data keeps it.
//!
//! ```text
//!                 retried, held back                  answered 2xx
//!                  ┌──────────┐        ┌──────────────────────────────────────▶ Delivered
//!   accepted       ▼          │        │
//!  ──────────▶ Waiting ──▶ in flight ──┤ final status, schedule at its end      no sink
//!                  │                   ├──────────────────────┬───────────────▶ Dead
//!                  │ older than        │                      │                  ▲
//!                  └───────────────────┘        kept in the   ▼                  │ sent, or its
//!                    `max_age`                  ring first  Sinking ─────────────┘ schedule at its end
//! ```
//!
//! "In flight" is known only to the worker that sent the attempt: should it die, the record still says `Waiting` and
//! the attempt is made again, with the same id. That is the whole of "at least once". An event whose attempts end with
//! their VM three times in a row is taken for what kills them, and becomes a dead letter.

use serde::{Deserialize, Serialize};

use crate::config::{EndpointId, RouteId};
use crate::dead_letter::Reason;
use crate::history::Trail;
use crate::message::EventId;
use crate::store::{Record, StoreError, encoded};
use crate::time::{Instant, Now, WallTime};

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Its next attempt is made at `due`, or later if something holds it back.
    Waiting {
        /// The earliest time of the attempt.
        due: Instant,
    },
    /// A dead letter on its way to the endpoint's sink.
    Sinking {
        /// Attempts made at the sink.
        attempts: u32,
        /// Why the delivery died.
        reason: Reason,
        /// The earliest time of the next one.
        due: Instant,
    },
    /// The receiver has it.
    Delivered,
    /// A dead letter, kept in the ring.
    Dead,
}

impl Stage {
    /// Is there nothing left to do?
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead)
    }
}

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
    pub pledge: Option<crate::engine::Pledge>,
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

/// An event's changing part in shared data: small, rewritten at each change. `N` is a name, borrowed when written. It
/// names its body's id: a body with another id belongs to an event that is gone. Once all has ended it is what the
/// [history](crate::history) keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord<N> {
    /// The event's id.
    pub id: EventId,
    /// When it was accepted.
    pub accepted: Instant,
    /// The same on the wall clock.
    pub accepted_wall: WallTime,
    /// Attempts that are not known to have ended: each may have killed its VM. Kept from the event's adoption on.
    pub trials: u8,
    /// The event's type.
    pub event_type: N,
    /// The name of the route it came by; empty for a redelivery, and for an event of the gateway's own.
    pub route: N,
    /// One for each endpoint.
    pub deliveries: Vec<DeliveryRecord<N>>,
}

/// A delivery in shared data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord<N> {
    /// The endpoint's name: its number changes with the config.
    pub endpoint: N,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The status of the last one that was answered.
    pub response_status: Option<u16>,
    /// Where it stands.
    pub stage: Stage,
    /// How it went so far.
    pub trail: Trail,
}

impl Record for StateRecord<String> {
    const VERSION: u8 = 2;
}

impl StateRecord<&str> {
    /// The bytes to store; [`StateRecord<String>`] reads them.
    ///
    /// # Errors
    /// [`StoreError::Serialize`].
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        encoded(<StateRecord<String> as Record>::VERSION, self)
    }
}

/// What is known of an event besides its payload; written once, with the payload behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMeta {
    /// The event's id.
    pub id: EventId,
    /// Its type.
    pub event_type: String,
    /// The `content-type` of the payload, when it has one.
    pub content_type: Option<Vec<u8>>,
    /// The producer's trace context.
    pub traceparent: Option<Vec<u8>>,
    /// The rest of the producer's trace context.
    pub tracestate: Option<Vec<u8>>,
}

impl EventMeta {
    /// That of an event of the gateway's own.
    pub fn json(id: EventId, event_type: String) -> Self {
        let content_type = Some(b"application/json".to_vec());
        Self { id, event_type, content_type, traceparent: None, tracestate: None }
    }
}

impl Record for EventMeta {
    const VERSION: u8 = 1;
}

/// A record with bytes of any length behind it, which are copied once instead of passing through the serialiser.
///
/// # Errors
/// [`StoreError::Serialize`].
pub fn with_payload(record: &impl Record, payload: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = record.encode()?;
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Splits what [`with_payload`] joined.
///
/// # Errors
/// [`StoreError::UnknownFormat`].
pub fn split_payload<R: Record>(mut bytes: Vec<u8>) -> Result<(R, Vec<u8>), StoreError> {
    let (record, payload) = R::decode(&bytes)?;
    let head = bytes.len() - payload.len();
    bytes.drain(..head);
    Ok((record, bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::history::Attempt;
    use crate::store::recorded::assert_recorded;

    fn stage() -> impl Strategy<Value = Stage> {
        prop_oneof![
            any::<u64>().prop_map(|due| Stage::Waiting { due: Instant::from_nanos(due) }),
            any::<(u32, u64)>().prop_map(|(attempts, due)| Stage::Sinking {
                attempts,
                reason: Reason::Expired,
                due: Instant::from_nanos(due),
            }),
            Just(Stage::Delivered),
            Just(Stage::Dead),
        ]
    }

    fn attempt() -> impl Strategy<Value = Attempt> {
        (any::<u64>(), any::<u16>(), any::<u32>()).prop_map(|(at, code, millis)| Attempt {
            at: WallTime::from_nanos(at),
            code,
            millis,
        })
    }

    fn delivery() -> impl Strategy<Value = DeliveryRecord<String>> {
        ("[a-z]{1,12}", any::<u32>(), any::<Option<u16>>(), stage(), prop::collection::vec(attempt(), 0..20)).prop_map(
            |(endpoint, attempts, response_status, stage, made)| DeliveryRecord {
                endpoint,
                attempts,
                response_status,
                stage,
                trail: Trail { ended: None, reason: Some(Reason::Failed), attempts: made },
            },
        )
    }

    proptest! {
        #[test]
        fn a_state_reads_back_as_it_was_written(
            id: [u8; 16], at: u64, wall: u64, deliveries in proptest::collection::vec(delivery(), 0..5),
        ) {
            let written = StateRecord {
                id: EventId::from_random(id),
                accepted: Instant::from_nanos(at),
                accepted_wall: WallTime::from_nanos(wall),
                trials: 1,
                event_type: "paid",
                route: "ingest",
                deliveries: deliveries.iter().map(|d| DeliveryRecord {
                    endpoint: d.endpoint.as_str(),
                    attempts: d.attempts,
                    response_status: d.response_status,
                    stage: d.stage,
                    trail: d.trail.clone(),
                }).collect(),
            };
            let bytes = written.encode().unwrap();
            let (read, rest) = StateRecord::<String>::decode(&bytes).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!((read.id, read.accepted), (written.id, written.accepted));
            prop_assert_eq!((read.event_type.as_str(), read.route.as_str()), (written.event_type, written.route));
            prop_assert_eq!(read.deliveries, deliveries.clone());
        }

        #[test]
        fn a_payload_of_any_bytes_comes_back_whole(payload: Vec<u8>, event_type in "[a-z.]{1,20}") {
            let meta = EventMeta {
                id: EventId::from_random([1; 16]),
                event_type,
                content_type: Some(b"text/plain".to_vec()),
                traceparent: None,
                tracestate: None,
            };
            prop_assert_eq!(split_payload(with_payload(&meta, &payload).unwrap()), Ok((meta, payload)));
        }

        #[test]
        fn bytes_that_are_no_record_are_refused_and_never_trap(bytes: Vec<u8>) {
            let _ = StateRecord::<String>::decode(&bytes);
            let _ = split_payload::<EventMeta>(bytes);
        }
    }

    #[test]
    fn a_record_of_another_version_is_left_alone() {
        let meta = EventMeta {
            id: EventId::from_random([1; 16]),
            event_type: "a".into(),
            content_type: None,
            traceparent: None,
            tracestate: None,
        };
        let mut bytes = meta.encode().unwrap();
        bytes[0] = 200;
        assert_eq!(split_payload::<EventMeta>(bytes), Err(StoreError::UnknownFormat));
    }

    /// With a value in every field, and a delivery in every stage.
    fn full_state() -> StateRecord<String> {
        let due = Instant::from_nanos(987_654_321_987_654_321);
        let at = WallTime::from_nanos(1_700_000_000_123_456_789);
        let trails = [
            Trail::default(),
            Trail {
                ended: None,
                reason: Some(Reason::Expired),
                attempts: vec![Attempt { at, code: 503, millis: 70_000 }, Attempt { at, code: 0, millis: u32::MAX }],
            },
            Trail { ended: Some(at), reason: None, attempts: vec![Attempt { at, code: 200, millis: 0 }] },
            Trail { ended: Some(WallTime::from_nanos(u64::MAX)), reason: Some(Reason::Poison), attempts: Vec::new() },
        ];
        let stages = [
            Stage::Waiting { due },
            Stage::Sinking { attempts: 128, reason: Reason::Overflow, due },
            Stage::Delivered,
            Stage::Dead,
        ];
        let statuses = [None, Some(503), Some(200), Some(u16::MAX)];
        let deliveries = stages.into_iter().zip(trails).zip(statuses).zip(["billing", "é", "", "crm"]);
        StateRecord {
            id: EventId(*b"\x00\x01\x7f\x80\xff56789abcdef"),
            accepted: Instant::from_nanos(300),
            accepted_wall: at,
            trials: 255,
            event_type: "order.paid".to_owned(),
            route: "ingest".to_owned(),
            deliveries: deliveries
                .enumerate()
                .map(|(number, (((stage, trail), response_status), endpoint))| DeliveryRecord {
                    endpoint: endpoint.to_owned(),
                    attempts: 127 + number as u32,
                    response_status,
                    stage,
                    trail,
                })
                .collect(),
        }
    }

    #[test]
    fn a_state_is_read_and_written_as_the_previous_release_wrote_it() {
        let state = full_state();
        assert_recorded("state", &state);
        let borrowed = StateRecord {
            id: state.id,
            accepted: state.accepted,
            accepted_wall: state.accepted_wall,
            trials: state.trials,
            event_type: state.event_type.as_str(),
            route: state.route.as_str(),
            deliveries: state
                .deliveries
                .iter()
                .map(|delivery| DeliveryRecord {
                    endpoint: delivery.endpoint.as_str(),
                    attempts: delivery.attempts,
                    response_status: delivery.response_status,
                    stage: delivery.stage,
                    trail: delivery.trail.clone(),
                })
                .collect(),
        };
        assert_eq!(borrowed.encode(), Record::encode(&state));
    }

    #[test]
    fn what_is_known_of_an_event_is_read_and_written_as_the_previous_release_wrote_it() {
        let bare = EventMeta {
            id: EventId([0; 16]),
            event_type: String::new(),
            content_type: None,
            traceparent: None,
            tracestate: None,
        };
        assert_recorded("meta bare", &bare);
        let full = EventMeta {
            id: EventId([0xff; 16]),
            event_type: "a".repeat(128),
            content_type: Some(b"text/plain".to_vec()),
            traceparent: Some((0..=255).collect()),
            tracestate: Some(Vec::new()),
        };
        assert_recorded("meta full", &full);
    }
}
