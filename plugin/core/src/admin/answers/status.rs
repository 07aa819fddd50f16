//! The answer with the status of the gateway.

use serde::{Deserialize, Serialize};

use super::{JournalView, Process, Word};
use crate::rollout::serialize_percent;
use crate::time::{WallTime, rfc3339};

/// The status of the gateway: the answer to `GET status`, and to the commands that change how the gateway stands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Status {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// The filter's version.
    pub version: String,
    /// The time on the gateway's clock.
    #[serde(with = "rfc3339")]
    pub now: WallTime,
    /// The role of the token, `read` or `operate`: a page need not offer commands that will be refused.
    pub role: Word,
    /// The state that is in force: `enabled`, `paused` or `disabled`.
    pub state: Word,
    /// The config's state, where an operator put another one over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<Word>,
    /// The operator's reason for the override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the operator set the override.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub since: Option<WallTime>,
    /// New events are refused.
    pub draining: bool,
    /// The number of live workers.
    pub workers: u64,
    /// Deliveries that have not ended.
    pub pending: u64,
    /// The age of the oldest event with a pending delivery, in seconds.
    pub oldest_pending_seconds: Option<u64>,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// The counts of the process; `accepted` are events.
    pub counters: Counters,
    /// The journal; absent: the config has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalView>,
    /// The endpoints, in the order of the config.
    pub endpoints: Vec<EndpointView>,
}

impl Status {
    /// The endpoint of this name.
    pub fn endpoint(&self, name: &str) -> Option<&EndpointView> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }
}

/// The status of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct EndpointView {
    /// The name of the endpoint.
    pub name: String,
    /// The endpoint is disabled: its deliveries wait.
    pub disabled: bool,
    /// What disabled the endpoint: `config`, `gone` (the receiver answered 410) or `operator`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_by: Option<Word>,
    /// The endpoint's circuit breaker.
    pub breaker: BreakerView,
    /// The endpoint's rollout.
    pub rollout: RolloutView,
    /// How often the endpoint's breaker opened in the last 24 hours, at all gateways of the fleet.
    pub breaker_opens_24h: u64,
    /// The counts of the endpoint; `accepted` are deliveries.
    pub counters: Counters,
    /// When the last attempt was made.
    #[serde(with = "rfc3339::option")]
    pub last_attempt_at: Option<WallTime>,
    /// The counts that the guard judges: those of all gateways of the fleet, if there is one.
    pub window: WindowView,
    /// The counts of the guard's window in equal parts, oldest first, for a small chart.
    pub series: Vec<Part>,
    /// Deliveries that have not ended.
    pub pending: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
}

/// The word in the place of a position for an endpoint without a circuit breaker.
pub const NO_BREAKER: &str = "none";

/// The status of a circuit breaker.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct BreakerView {
    /// The position of the breaker: `closed`, `open` or `half_open`; [`NO_BREAKER`]: the endpoint has none.
    pub state: Word,
    /// Seconds until the next probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// The status of an endpoint's rollout.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RolloutView {
    /// The share of the events that is sent, in percent.
    #[serde(serialize_with = "serialize_percent")]
    pub percent: f64,
    /// The stage of the rollout: `fixed`, `overridden`, `scheduled`, `running`, `waiting`, `held`, `complete` or
    /// `rolled_back`.
    pub state: Word,
    /// The phase, counted from 1; `None`: the config has no phases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<u64>,
    /// The number of phases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<u64>,
    /// When the phase began, or will begin.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub phase_since: Option<WallTime>,
    /// When the phase ends at the earliest; `None`: never, the phase is the last.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub phase_until: Option<WallTime>,
    /// The threshold that holds the promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breached: Option<Word>,
    /// Why the rollout was rolled back, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// What was observed when the rollout was rolled back, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the rollout was rolled back.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub since: Option<WallTime>,
}

/// The counts since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Counters {
    /// Accepted deliveries or, in the counts of the process, accepted events.
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

/// The counts within the guard's window, its `for`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct WindowView {
    /// The length of the window, in seconds.
    pub seconds: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// Attempts.
    pub attempts: u64,
    /// Attempts answered 401 or 403.
    pub unauthorized: u64,
    /// The share of the deliveries that arrived, in percent; `None`: no delivery has ended.
    #[serde(serialize_with = "serialize_percent")]
    pub success_percent: Option<f64>,
    /// The median of the attempts' durations, in milliseconds.
    pub p50_ms: Option<u64>,
    /// The 95th percentile of the attempts' durations, in milliseconds.
    pub p95_ms: Option<u64>,
    /// The gateways whose counts these are.
    pub gateways: u64,
}

/// The counts of one part of the guard's window.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Part {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// The 95th percentile of the attempts' durations, in milliseconds.
    pub p95_ms: Option<u64>,
}
