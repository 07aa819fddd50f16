//! What a worker knows and counts of one endpoint.

use std::time::Duration;

use super::counts::Counted;
use super::told::Told;
use crate::egress::breaker::Position;
use crate::egress::state::{EndpointKeys, EndpointRecord};
use crate::rollout::Progress;
use crate::telemetry::hours::Hours;
use crate::time::Instant;

/// How much of a worker's queue an endpoint takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub deliveries: u32,
    /// The bytes of their payloads.
    pub bytes: u64,
}

/// The record of an endpoint, as this worker has read it.
#[derive(Debug)]
pub(super) struct SeenRecord {
    pub shared: EndpointRecord,
    pub read: Instant,
    /// In which callback; `None`: it has changed since.
    pub callback: Option<u64>,
}

/// How far an endpoint's rollout has come, as this worker has read it.
#[derive(Debug, Default)]
pub(super) struct SeenProgress {
    pub progress: Progress,
    pub read: Option<Instant>,
    /// Shared data knows it: a first phase that began now would else begin again with every look.
    pub is_kept: bool,
}

/// What a worker knows and counts of one endpoint.
#[derive(Debug)]
pub(super) struct EndpointState {
    pub keys: EndpointKeys,
    pub share: Share,
    /// Refusals by Envoy in a row.
    pub refusals: u32,
    /// What all workers know of it.
    pub seen: Option<SeenRecord>,
    pub rollout: SeenProgress,
    /// Its deliveries wait, by the config, an operator or a 410; as of this second, and so is its breaker's position.
    pub is_disabled: bool,
    pub position: Position,
    /// Since when its breaker is not closed, as far as this worker has seen.
    pub silent_since: Option<Instant>,
    pub counted: Counted,
    pub hours: Hours,
    /// What the metrics were last told.
    pub told: Told,
}

impl EndpointState {
    /// Nothing is known of it, and nothing counted; the guard looks back for as long as `window`.
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
