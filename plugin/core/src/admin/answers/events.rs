//! Answers about events, their deliveries and dead letters.

use serde::{Deserialize, Serialize};

use super::{Process, Word};
use crate::time::{WallTime, rfc3339};

/// The answer to `GET events/<id>`: what became of an event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EventDeliveries {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// The event.
    #[serde(flatten)]
    pub event: EventView,
    /// The deliveries of the event, redeliveries too, in the order of their acceptance.
    pub deliveries: Vec<DeliveryView>,
}

/// The answer to `GET deliveries`: the deliveries that a filter lets through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Deliveries {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// The deliveries, newest first, as many as the limit.
    pub deliveries: Vec<ListedDelivery>,
    /// How many the filter lets through, whatever the limit.
    pub total: u64,
}

/// A delivery in a list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ListedDelivery {
    /// The event of the delivery.
    #[serde(flatten)]
    pub event: EventView,
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryView,
}

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EventView {
    /// The id of the event.
    pub id: String,
    /// The type of the event.
    pub event: String,
    /// The route that took the event; `None`: the event is the gateway's own, or was delivered again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// When the event was accepted.
    #[serde(with = "rfc3339")]
    pub accepted_at: WallTime,
}

/// A delivery and its attempts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DeliveryView {
    /// The name of the endpoint.
    pub endpoint: String,
    /// `pending`, `held`, `delivered`, `failed` or `expired`.
    pub status: Word,
    /// Why the delivery became a dead letter, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// The attempts that ended, oldest first.
    pub attempts: Vec<AttemptView>,
    /// When the delivery ended.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<WallTime>,
}

/// An attempt.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct AttemptView {
    /// When the attempt was made.
    #[serde(with = "rfc3339")]
    pub at: WallTime,
    /// How the attempt ended: `2xx`, `5xx`, `timeout`, ….
    pub outcome: Word,
    /// The answer's status, where there was one.
    pub response_status: Option<u16>,
    /// How long the attempt took, in milliseconds.
    pub ms: u64,
}

/// The answer to `GET dead-letters`: the dead letters that a filter lets through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Letters {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// The dead letters, oldest first, as many as the limit.
    pub dead_letters: Vec<LetterView>,
    /// How many the filter lets through, whatever the limit.
    pub total: u64,
}

/// A dead letter, without its body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct LetterView {
    /// The name of the delivery: the event's id and the endpoint's name, with a dot between.
    pub delivery: String,
    /// The event's id.
    pub id: String,
    /// The event's type.
    pub event: String,
    /// The endpoint that did not get it.
    pub endpoint: String,
    /// Why the delivery failed for good: `failed`, `expired`, `overflow`, `endpoint_removed` or `poison`.
    pub reason: Word,
    /// Attempts made.
    pub attempts: u64,
    /// The status of the last attempt that was answered, if one was.
    pub response_status: Option<u16>,
    /// When the event was accepted.
    #[serde(with = "rfc3339")]
    pub accepted_at: WallTime,
    /// When the delivery ended.
    #[serde(with = "rfc3339")]
    pub died_at: WallTime,
    /// The size of the body, in bytes.
    pub bytes: u64,
}

/// The answer to `POST dead-letters/redeliver` and to `POST dead-letters/<delivery>/redeliver`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Redelivered {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// Letters that are delivered again.
    pub redelivered: u64,
    /// Letters that stay, because their endpoint is gone from the config.
    pub skipped: u64,
}
