//! The answers about the journal and the fleet.

use serde::{Deserialize, Serialize};

use super::{Process, Word};
use crate::time::{WallTime, rfc3339};

/// The status of the journal: how it serves this gateway, and what the fleet keeps in it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct JournalView {
    /// How the journal serves this gateway: `ok`, `unavailable` or `full`.
    pub state: Word,
    /// Segments of which something is left to deliver, as far as the living gateways say; so are the next three.
    pub segments: u64,
    /// The size of these segments, in bytes.
    pub bytes: u64,
    /// The most bytes that they may have; past it new events are refused.
    pub limit: u64,
    /// When the oldest event in them was accepted.
    #[serde(with = "rfc3339::option")]
    pub oldest: Option<WallTime>,
    /// What went wrong last at this gateway, without addresses; it stays when all is well again.
    pub last_error: Option<String>,
    /// When that was.
    #[serde(with = "rfc3339::option")]
    pub last_error_at: Option<WallTime>,
    /// Gateways of the fleet that are alive.
    pub gateways: u64,
}

/// The answer to `GET fleet`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Fleet {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// The time on the gateway's clock.
    #[serde(with = "rfc3339")]
    pub now: WallTime,
    /// The journal, as this gateway sees it.
    pub journal: JournalView,
    /// How long ago the store was asked for the rest, in seconds; `None`: it has not answered yet.
    pub seen_seconds: Option<u64>,
    /// Workers that are dead, and of whose events something may be left to take over.
    pub dead_workers: u64,
    /// The gateways that are alive, the longest running first.
    pub gateways: Vec<GatewayView>,
}

/// A gateway of the fleet, with its workers added up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct GatewayView {
    /// The name of the process.
    pub instance: String,
    /// When the process began.
    #[serde(with = "rfc3339")]
    pub started_at: WallTime,
    /// The version of Gatepost.
    pub version: String,
    /// The digest of the configuration.
    pub config: String,
    /// Workers that hold a lease.
    pub workers: u64,
    /// How long all of them have held their leases, in seconds.
    pub lease_age_seconds: u64,
    /// Deliveries that wait there.
    pub pending: u64,
    /// Segments of which something is left to deliver there.
    pub segments: u64,
    /// The size of these segments, in bytes.
    pub bytes: u64,
    /// Dead workers whose events it took over since it began.
    pub takeovers: u64,
}
