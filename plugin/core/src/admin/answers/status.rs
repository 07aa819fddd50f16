//! How the gateway stands.

use serde::{Deserialize, Serialize};

use super::{Process, Word};
use crate::rollout::serialize_percent;
use crate::time::{WallTime, rfc3339};

/// `GET status`, and the answer to every command that changes something: how the gateway stands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Status {
    /// Who answers.
    #[serde(flatten)]
    pub process: Process,
    /// The filter's version.
    pub version: String,
    /// The gateway's clock.
    #[serde(with = "rfc3339")]
    pub now: WallTime,
    /// What the token allows, `read` or `operate`: a page need not offer what will be refused.
    pub role: Word,
    /// `enabled`, `paused` or `disabled`.
    pub state: Word,
    /// The config's state, where an operator put another one over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<Word>,
    /// Why, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub since: Option<WallTime>,
    /// New events are refused.
    pub draining: bool,
    /// Workers that live.
    pub workers: u64,
    /// Deliveries that have not ended.
    pub pending: u64,
    /// The age of the oldest of them.
    pub oldest_pending_seconds: Option<u64>,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// What the process has counted; `accepted` are events.
    pub counters: Counters,
    /// Those of the config, in its order.
    pub endpoints: Vec<EndpointView>,
}

impl Status {
    /// The endpoint of this name.
    pub fn endpoint(&self, name: &str) -> Option<&EndpointView> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }
}

/// How an endpoint stands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EndpointView {
    /// Its name.
    pub name: String,
    /// Its deliveries wait.
    pub disabled: bool,
    /// By whom: `config`, `gone` (it answered 410) or `operator`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_by: Option<Word>,
    /// Its circuit breaker.
    pub breaker: BreakerView,
    /// Its rollout.
    pub rollout: RolloutView,
    /// How often its breaker opened within 24 hours.
    pub breaker_opens_24h: u64,
    /// What was counted of it; `accepted` are deliveries.
    pub counters: Counters,
    /// When its last attempt was made.
    #[serde(with = "rfc3339::option")]
    pub last_attempt_at: Option<WallTime>,
    /// What the guard judges.
    pub window: WindowView,
    /// The same time in equal parts, oldest first: what a small chart needs.
    pub series: Vec<Part>,
    /// Deliveries that have not ended.
    pub pending: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
}

/// A circuit breaker.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct BreakerView {
    /// `closed`, `open` or `half_open`.
    pub state: Word,
    /// Until the next probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// The rollout of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RolloutView {
    /// The share of the events that is sent.
    #[serde(serialize_with = "serialize_percent")]
    pub percent: f64,
    /// `fixed`, `overridden`, `scheduled`, `running`, `waiting`, `held`, `complete` or `rolled_back`.
    pub state: Word,
    /// The phase, counted from 1; `None`: the config has no phases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<u64>,
    /// How many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<u64>,
    /// When it began.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub phase_since: Option<WallTime>,
    /// When it ends at the earliest; `None`: never, it is the last.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub phase_until: Option<WallTime>,
    /// The threshold that holds the promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breached: Option<Word>,
    /// Why it is rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// What was seen then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When that was.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub since: Option<WallTime>,
}

/// What was counted since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Counters {
    /// Deliveries, or, of the process, events.
    pub accepted: u64,
    /// Attempts.
    pub attempts: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// Deliveries that grew too old.
    pub expired: u64,
}

/// What was counted within the guard's `for`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct WindowView {
    /// How long that is.
    pub seconds: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts answered 401 or 403.
    pub unauthorized: u64,
    /// The share of the deliveries that arrived; `None`: none has ended.
    #[serde(serialize_with = "serialize_percent")]
    pub success_percent: Option<f64>,
    /// Half of the attempts took no longer.
    pub p50_ms: Option<u64>,
    /// All but one in twenty took no longer.
    pub p95_ms: Option<u64>,
}

/// A part of the window.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Part {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// All attempts but one in twenty took no longer.
    pub p95_ms: Option<u64>,
}
