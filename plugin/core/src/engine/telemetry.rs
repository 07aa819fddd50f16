//! What a worker counts of the process, and writes down of what has ended.

use std::time::Duration;

use super::counts::Counted;
use super::told::Told;
use crate::telemetry::history::History;

/// The telemetry of one worker that is about no endpoint.
#[derive(Debug)]
pub(super) struct Telemetry {
    /// What was counted of all endpoints.
    pub process: Counted,
    /// The endpoint whose counts were written last, and the one whose hours were: not all can be at once.
    pub written_last: (usize, usize),
    /// Where events that have ended are written.
    pub history: History,
    /// What the metrics were last told of the process.
    pub told: Told,
    /// Shared data says that something is pending here.
    pub has_said_pending: bool,
}

impl Telemetry {
    /// Nothing was counted yet; the guard looks back for as long as `window`.
    pub fn new(window: Duration, history: History) -> Self {
        Self {
            process: Counted::new(window),
            written_last: (0, 0),
            history,
            told: Told::default(),
            has_said_pending: false,
        }
    }
}
