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
//! the death of their VM three times in a row is taken for the cause, and becomes a dead letter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::outcome::{Ending, Reason};
use crate::store::keys::Stored;
use crate::store::{Record, StoreError, encoded};
use crate::time::{Instant, WallTime};

/// The stage of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The next attempt is made at `due`, or later if something holds the delivery back.
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
        /// The earliest time of the next attempt at the sink.
        due: Instant,
    },
    /// The receiver has answered with a 2xx.
    Delivered,
    /// A dead letter, kept in the ring.
    Dead,
}

impl Stage {
    /// Whether nothing is left to do for the delivery.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead)
    }
}

/// The state of an event in shared data, its changing part: small, rewritten at each change. `N` is the type of names,
/// borrowed when written. The id is that of the body in the same slot: a state beside a body with another id counts for
/// nothing. Once all deliveries have ended, the [history](crate::telemetry::history) keeps the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord<N> {
    /// The event's id.
    pub id: EventId,
    /// When the event was accepted.
    pub accepted: Instant,
    /// When the event was accepted, on the wall clock.
    pub accepted_wall: WallTime,
    /// The number of attempts in a row that are not known to have ended: each may have killed its VM. Counted from the
    /// event's adoption on, until an attempt ends.
    pub trials: u8,
    /// The event's type.
    pub event_type: N,
    /// The name of the route that the event came by; empty for a redelivery, and for an event of the gateway's own.
    pub route: N,
    /// The event's deliveries, one for each endpoint.
    pub deliveries: Vec<DeliveryRecord<N>>,
    /// The event stands in the journal, by which another worker takes it over: never by this record. Not among the
    /// fields: see `JOURNALED`.
    #[serde(skip)]
    pub is_journaled: bool,
}

/// A delivery in shared data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord<N> {
    /// The endpoint's name: its number changes with the config.
    pub endpoint: N,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The status of the last attempt that was answered.
    pub response_status: Option<u16>,
    /// The stage of the delivery.
    pub stage: Stage,
    /// The attempts so far, and the end.
    pub trail: Trail,
}

impl Stored for StateRecord<String> {
    const NAME: &'static str = "state";
}

impl Record for StateRecord<String> {
    const VERSION: u8 = 2;

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), StoreError> {
        let Some((version, fields)) = bytes.split_first() else { return Err(StoreError::UnknownFormat) };
        if ![Self::VERSION, JOURNALED].contains(version) {
            return Err(StoreError::UnknownFormat);
        }
        let (record, rest) = postcard::take_from_bytes::<Self>(fields).map_err(|_| StoreError::UnknownFormat)?;
        Ok((Self { is_journaled: *version == JOURNALED, ..record }, rest))
    }
}

/// The format version of the state of an event that stands in the journal. Its fields are those of version 2; a gateway
/// of the release before, which knows no journal, leaves it alone.
const JOURNALED: u8 = 3;

impl StateRecord<&str> {
    /// The bytes to store; [`StateRecord<String>`] reads them.
    ///
    /// # Errors
    /// [`StoreError::Serialize`].
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let version = if self.is_journaled { JOURNALED } else { <StateRecord<String> as Record>::VERSION };
        encoded(version, self)
    }
}

/// The metadata of an event: everything but the payload. Written once, with the payload behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMeta {
    /// The event's id.
    pub id: EventId,
    /// The event's type.
    pub event_type: String,
    /// The `content-type` of the payload, when it has one.
    pub content_type: Option<Vec<u8>>,
    /// The producer's trace context.
    pub traceparent: Option<Vec<u8>>,
    /// The rest of the producer's trace context.
    pub tracestate: Option<Vec<u8>>,
    /// The `content-encoding` of the payload, when it has one. Not among the fields of version 1: see `CODED`.
    #[serde(skip)]
    pub content_encoding: Option<Vec<u8>>,
}

impl EventMeta {
    /// The metadata of an event of the gateway's own, whose payload is JSON.
    pub fn json(id: EventId, event_type: String) -> Self {
        let content_type = Some(b"application/json".to_vec());
        Self { id, event_type, content_type, traceparent: None, tracestate: None, content_encoding: None }
    }
}

impl Stored for EventMeta {
    const NAME: &'static str = "body";
}

impl Record for EventMeta {
    const VERSION: u8 = 1;

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        encode_coded(self, self.content_encoding.as_deref())
    }

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), StoreError> {
        let (CodedRecord { record, content_encoding }, rest) = decode_coded::<Self>(bytes)?;
        Ok((Self { content_encoding, ..record }, rest))
    }
}

/// The format version of a record with the metadata of an event whose payload has a content coding: the fields of
/// version 1, and behind them the `content-encoding`. Without a coding the record is of version 1, so that a gateway of
/// the release before reads whatever it could have written itself.
const CODED: u8 = 2;

/// The bytes of a record of version 1 or, with a content coding, of version `CODED`.
///
/// # Errors
/// [`StoreError::Serialize`].
pub fn encode_coded<R: Record>(record: &R, content_encoding: Option<&[u8]>) -> Result<Vec<u8>, StoreError> {
    match content_encoding {
        None => encoded(R::VERSION, record),
        Some(coding) => encoded(CODED, &(record, coding)),
    }
}

/// A record that [`encode_coded`] wrote.
#[derive(Debug)]
pub struct CodedRecord<R> {
    /// The record, without the content coding.
    pub record: R,
    /// The content coding of the payload, when it has one.
    pub content_encoding: Option<Vec<u8>>,
}

/// Reads a record that [`encode_coded`] wrote; returns it with the bytes behind it.
///
/// # Errors
/// [`StoreError::UnknownFormat`].
pub fn decode_coded<R: Record>(bytes: &[u8]) -> Result<(CodedRecord<R>, &[u8]), StoreError> {
    let read = match bytes.split_first() {
        Some((version, fields)) if *version == R::VERSION => {
            postcard::take_from_bytes(fields).map(|(record, rest)| (record, None, rest))
        }
        Some((&CODED, fields)) => postcard::take_from_bytes::<(R, Vec<u8>)>(fields)
            .map(|((record, coding), rest)| (record, Some(coding), rest)),
        _ => return Err(StoreError::UnknownFormat),
    };
    let (record, content_encoding, rest) = read.map_err(|_| StoreError::UnknownFormat)?;
    Ok((CodedRecord { record, content_encoding }, rest))
}

/// The bytes of a record with a payload behind it. The payload is copied once instead of passing through the
/// serialiser.
///
/// # Errors
/// [`StoreError::Serialize`].
pub fn with_payload(record: &impl Record, payload: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = record.encode()?;
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

/// Splits the bytes of [`with_payload`] into the record and the payload.
///
/// # Errors
/// [`StoreError::UnknownFormat`].
pub fn split_payload<R: Record>(mut bytes: Vec<u8>) -> Result<(R, Vec<u8>), StoreError> {
    let (record, payload) = R::decode(&bytes)?;
    let head = bytes.len() - payload.len();
    bytes.drain(..head);
    Ok((record, bytes))
}

/// The largest number of attempts that are remembered of a delivery: as many as a schedule may have.
const ATTEMPTS_MAX: usize = 20;

/// The trail of a delivery: its attempts and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// When the delivery ended; `None`: not yet.
    pub ended: Option<WallTime>,
    /// Why the delivery became a dead letter, if it did.
    pub reason: Option<Reason>,
    /// The attempts that ended, oldest first.
    pub attempts: Vec<EndedAttempt>,
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// When the attempt was made.
    pub at: WallTime,
    /// How the attempt ended: [`Ending::code`].
    pub code: u16,
    /// How long the attempt took, in milliseconds.
    pub millis: u32,
}

impl Trail {
    /// Remembers an attempt, up to `ATTEMPTS_MAX` of them.
    pub fn push(&mut self, at: WallTime, ending: Ending, took: Duration) {
        if self.attempts.len() < ATTEMPTS_MAX {
            let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
            self.attempts.push(EndedAttempt { at, code: ending.code(), millis });
        }
    }

    /// Notes the end of the delivery, and why it became a dead letter, if it did.
    pub fn end(&mut self, at: WallTime, reason: Option<Reason>) {
        (self.ended, self.reason) = (Some(at), reason);
    }
}

#[cfg(test)]
mod tests;
