//! The state of one endpoint in a worker: what the worker has read of the endpoint, and its counts.

use std::time::Duration;

use super::counts::Counted;
use super::told::Told;
use crate::egress::breaker::Position;
use crate::egress::state::{EndpointKeys, EndpointRecord};
use crate::rollout::Progress;
use crate::telemetry::hours::Hours;
use crate::time::Instant;

/// The share of a worker's queue that an endpoint takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub deliveries: u32,
    /// The bytes of the deliveries' payloads.
    pub bytes: u64,
}

/// The record of an endpoint, as this worker has read it.
#[derive(Debug)]
pub(super) struct SeenRecord {
    pub shared: EndpointRecord,
    pub read: Instant,
    /// The number of the callback that read the record; `None`: the record may have changed since.
    pub callback: Option<u64>,
}

/// The progress of an endpoint's rollout, as this worker has read it.
#[derive(Debug, Default)]
pub(super) struct SeenProgress {
    pub progress: Progress,
    pub read: Option<Instant>,
    /// Shared data holds the progress. If it did not, a first phase would begin anew with every reading.
    pub is_kept: bool,
}

/// The state of one endpoint in a worker: what the worker has read of the endpoint, and its counts.
#[derive(Debug)]
pub(super) struct EndpointState {
    pub keys: EndpointKeys,
    pub share: Share,
    /// Refusals by Envoy in a row.
    pub refusals: u32,
    /// The record of the endpoint in shared data, as read last.
    pub seen: Option<SeenRecord>,
    pub rollout: SeenProgress,
    /// The endpoint is disabled, by the config, an operator or a 410: its deliveries wait. Read once a second, like
    /// `position`.
    pub is_disabled: bool,
    pub position: Position,
    /// Since when the endpoint's breaker is not closed, as far as this worker has seen.
    pub silent_since: Option<Instant>,
    pub counted: Counted,
    pub hours: Hours,
    /// The values of the endpoint's gauges that were last reported to the metrics.
    pub told: Told,
}

impl EndpointState {
    /// The state of an endpoint before anything is read or counted; `window` is how far back the guard looks.
    pub fn new(keys: EndpointKeys, window: Duration) -> Self {
        Self {
            keys,
            share: Share::default(),
            refusals: 0,
            seen: None,
            rollout: SeenProgress::default(),
            is_disabled: false,
            position: Position::Closed,
            silent_since: None,
            counted: Counted::new(window),
            hours: Hours::default(),
            told: Told::default(),
        }
    }
}
