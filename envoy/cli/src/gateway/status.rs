//! What the admin surface answers, as far as the commands read it. What they do not know of is ignored: a gateway may be
//! newer than its operator's command.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a gateway stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Status {
    /// The Envoy process: another one after each start.
    pub instance: String,
    /// When it began.
    pub started_at: Timestamp,
    /// The filter's version.
    #[serde(default)]
    pub version: String,
    /// The gateway's clock.
    pub now: Timestamp,
    /// `enabled`, `paused` or `disabled`.
    pub state: String,
    /// Why, where an operator put it over the config's.
    #[serde(default)]
    pub reason: String,
    /// New events are refused.
    #[serde(default)]
    pub draining: bool,
    /// Workers that live.
    #[serde(default)]
    pub workers: u64,
    /// Deliveries that have not ended.
    #[serde(default)]
    pub pending: u64,
    /// The age of the oldest of them.
    pub oldest_pending_seconds: Option<u64>,
    /// Dead letters that are kept.
    #[serde(default)]
    pub dead_letters: u64,
    /// What was counted of the process.
    #[serde(default)]
    pub counters: Counters,
    /// Those of its config.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

impl Status {
    /// An endpoint by its name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }
}

/// How an endpoint stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// Its deliveries wait.
    #[serde(default)]
    pub disabled: bool,
    /// By whom: `config`, `gone` (a 410) or `operator`.
    #[serde(default)]
    pub disabled_by: String,
    /// Its breaker.
    pub breaker: Breaker,
    /// Its rollout.
    pub rollout: Rollout,
    /// How often its breaker opened within 24 hours.
    #[serde(default)]
    pub breaker_opens_24h: u64,
    /// What was counted of it.
    #[serde(default)]
    pub counters: Counters,
    /// When its last attempt was made.
    pub last_attempt_at: Option<Timestamp>,
    /// What the guard has counted.
    #[serde(default)]
    pub window: Window,
    /// Deliveries that have not ended.
    #[serde(default)]
    pub pending: u64,
    /// Dead letters that are kept.
    #[serde(default)]
    pub dead_letters: u64,
}

/// A breaker.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Breaker {
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// Until the next probe.
    pub seconds_left: Option<u64>,
}

/// The rollout of an endpoint.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Rollout {
    /// The share of the events that is sent.
    pub percent: f64,
    /// `fixed`, `overridden`, `scheduled`, `running`, `waiting`, `held`, `complete` or `rolled_back`.
    pub state: String,
    /// The phase, counted from 1.
    pub phase: Option<u64>,
    /// How many there are.
    pub phases: Option<u64>,
    /// When the phase ends at the earliest.
    pub phase_until: Option<Timestamp>,
    /// The threshold that holds the promotion.
    pub breached: Option<String>,
    /// Why it is rolled back.
    pub reason: Option<String>,
    /// What was seen then.
    pub detail: Option<String>,
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
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Window {
    /// How long that is.
    pub seconds: u64,
    /// The share of the deliveries that arrived; `None`: there were none.
    pub success_percent: Option<f64>,
    /// Half of the attempts took no longer.
    pub p50_ms: Option<u64>,
    /// All but one in twenty took no longer.
    pub p95_ms: Option<u64>,
}

/// The answer of `GET …/hours`.
#[derive(Clone, Debug, Deserialize)]
pub struct Hours {
    /// Oldest first; those without anything are left out.
    pub hours: Vec<Hour>,
}

/// What happened to an endpoint in an hour.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Hour {
    /// When it began.
    pub hour: Timestamp,
    /// Deliveries that were accepted.
    pub accepted: u64,
    /// Attempts by their outcome.
    pub attempts: BTreeMap<String, u64>,
    /// Attempts answered 401 or 403.
    pub unauthorized: u64,
    /// Attempts that were not the first of their delivery.
    pub retries: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// Deliveries that grew too old.
    pub expired: u64,
    /// How often the breaker opened by itself.
    pub breaker_opens: u64,
    /// Half of the attempts took no longer.
    pub p50_ms: Option<u64>,
    /// All but one in twenty took no longer.
    pub p95_ms: Option<u64>,
}

/// The answer of `GET …/deliveries`.
#[derive(Clone, Debug, Deserialize)]
pub struct Deliveries {
    /// The newest first.
    pub deliveries: Vec<Delivery>,
    /// How many there are, whatever the limit.
    #[serde(default)]
    pub total: u64,
}

/// A delivery and its attempts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Delivery {
    /// The event's id.
    pub id: String,
    /// The event's type.
    pub event: String,
    /// The endpoint.
    pub endpoint: String,
    /// `pending`, `held`, `delivered`, `failed` or `expired`.
    pub status: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// What was tried.
    pub attempts: Vec<Tried>,
}

/// An attempt.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tried {
    /// When it began.
    pub at: Timestamp,
    /// `2xx`, `5xx`, `timeout`, ….
    pub outcome: String,
    /// The answer's status, where there was one.
    pub response_status: Option<u16>,
    /// How long it took.
    pub ms: u64,
}
