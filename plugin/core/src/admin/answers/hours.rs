//! The answer with the counts of an endpoint by the hour.

use serde::{Deserialize, Serialize};

use super::Process;
use crate::time::{WallTime, rfc3339};

/// The answer to `GET hours`: the counts of an endpoint by the hour.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct HoursView {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// The endpoint's name.
    pub endpoint: String,
    /// The hours, oldest first; hours in which nothing happened are left out.
    pub hours: Vec<HourView>,
}

/// The counts of an endpoint in one hour.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct HourView {
    /// When the hour began.
    #[serde(with = "rfc3339")]
    pub hour: WallTime,
    /// Deliveries that were accepted.
    pub accepted: u64,
    /// Attempts by their outcome.
    pub attempts: Outcomes,
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
    /// The median of the attempts' durations, in milliseconds.
    pub p50_ms: Option<u64>,
    /// The 95th percentile of the attempts' durations, in milliseconds.
    pub p95_ms: Option<u64>,
}

/// Attempts by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Outcomes {
    /// Answered 2xx, or 1xx.
    #[serde(rename = "2xx")]
    pub success: u64,
    /// Answered 3xx.
    #[serde(rename = "3xx")]
    pub redirection: u64,
    /// Answered 4xx.
    #[serde(rename = "4xx")]
    pub client_error: u64,
    /// Answered 5xx.
    #[serde(rename = "5xx")]
    pub server_error: u64,
    /// Not answered in time.
    pub timeout: u64,
    /// The connection broke.
    pub reset: u64,
    /// No connection could be made.
    pub connect: u64,
    /// Refused by Envoy, which did not send: no attempt.
    pub rejected: u64,
}
