//! Events, their deliveries, and those of them that became dead letters.

use serde::{Deserialize, Serialize};

use super::{Process, Word};
use crate::time::{WallTime, rfc3339};

/// `GET events/<id>`: what became of an event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EventDeliveries {
    /// Who answers.
    #[serde(flatten)]
    pub process: Process,
    /// The event.
    #[serde(flatten)]
    pub event: EventView,
    /// Its deliveries, redeliveries too, in the order of their acceptance.
    pub deliveries: Vec<DeliveryView>,
}

/// `GET deliveries`: those that a filter lets through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Deliveries {
    /// Who answers.
    #[serde(flatten)]
    pub process: Process,
    /// The newest first, as many as the limit.
    pub deliveries: Vec<ListedDelivery>,
    /// How many there are, whatever the limit.
    pub total: u64,
}

/// A delivery in a list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ListedDelivery {
    /// Its event.
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
    /// Its id.
    pub id: String,
    /// Its type.
    pub event: String,
    /// The route that took it; `None`: it is the gateway's own, or was delivered again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// When it was accepted.
    #[serde(with = "rfc3339")]
    pub accepted_at: WallTime,
}

/// A delivery and its attempts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct DeliveryView {
    /// The endpoint.
    pub endpoint: String,
    /// `pending`, `held`, `delivered`, `failed` or `expired`.
    pub status: Word,
    /// Why it became a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// The attempts that ended, oldest first.
    pub attempts: Vec<AttemptView>,
    /// When it ended.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<WallTime>,
}

/// An attempt.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct AttemptView {
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub at: WallTime,
    /// `2xx`, `5xx`, `timeout`, ….
    pub outcome: Word,
    /// The answer's status, where there was one.
    pub response_status: Option<u16>,
    /// How long it took.
    pub ms: u64,
}

/// `GET dead-letters`: those that a filter lets through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Letters {
    /// Who answers.
    #[serde(flatten)]
    pub process: Process,
    /// The oldest first, as many as the limit.
    pub dead_letters: Vec<LetterView>,
    /// How many there are, whatever the limit.
    pub total: u64,
}

/// A dead letter, without its body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct LetterView {
    /// Names the delivery.
    pub delivery: String,
    /// The event's id.
    pub id: String,
    /// The event's type.
    pub event: String,
    /// The endpoint that did not get it.
    pub endpoint: String,
    /// Why: `failed`, `expired`, `overflow`, `endpoint_removed` or `poison`.
    pub reason: Word,
    /// Attempts made.
    pub attempts: u64,
    /// What the last one was answered, where it was.
    pub response_status: Option<u16>,
    /// When the event was accepted.
    #[serde(with = "rfc3339")]
    pub accepted_at: WallTime,
    /// When the delivery ended.
    #[serde(with = "rfc3339")]
    pub died_at: WallTime,
    /// The size of its body.
    pub bytes: u64,
}

/// `POST dead-letters/redeliver`, and the same of one letter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Redelivered {
    /// Who answers.
    #[serde(flatten)]
    pub process: Process,
    /// Letters that are delivered again.
    pub redelivered: u64,
    /// Letters that stay, because their endpoint is gone from the config.
    pub skipped: u64,
}
