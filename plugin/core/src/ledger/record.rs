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

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::outcome::{Ending, Reason};
use crate::store::keys::Stored;
use crate::store::{Record, StoreError, encoded};
use crate::time::{Instant, WallTime};

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

/// An event's changing part in shared data: small, rewritten at each change. `N` is a name, borrowed when written. It
/// names its body's id: a body with another id belongs to an event that is gone. Once all has ended it is what the
/// [history](crate::telemetry::history) keeps.
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

impl Stored for StateRecord<String> {
    const NAME: &'static str = "state";
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

impl Stored for EventMeta {
    const NAME: &'static str = "body";
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

/// Attempts that are remembered of a delivery: as many as a schedule may have.
const ATTEMPTS_MAX: usize = 20;

/// How a delivery went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// When it ended.
    pub ended: Option<WallTime>,
    /// Why it became a dead letter, if it did.
    pub reason: Option<Reason>,
    /// The attempts that ended, oldest first.
    pub attempts: Vec<EndedAttempt>,
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// When it was made.
    pub at: WallTime,
    /// How it ended: [`Ending::code`].
    pub code: u16,
    /// How long it took.
    pub millis: u32,
}

impl Trail {
    /// Remembers an attempt.
    pub fn push(&mut self, at: WallTime, ending: Ending, took: Duration) {
        if self.attempts.len() < ATTEMPTS_MAX {
            let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
            self.attempts.push(EndedAttempt { at, code: ending.code(), millis });
        }
    }

    /// It has ended.
    pub fn end(&mut self, at: WallTime, reason: Option<Reason>) {
        (self.ended, self.reason) = (Some(at), reason);
    }
}

#[cfg(test)]
mod tests;
