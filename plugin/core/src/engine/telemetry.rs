//! The telemetry of a worker that is about no endpoint: the counts of the process, and the history.

use std::time::Duration;

use super::counts::Counted;
use super::told::Told;
use crate::telemetry::history::History;

/// The telemetry of one worker that is about no endpoint.
#[derive(Debug)]
pub(super) struct Telemetry {
    /// The counts of the process.
    pub process: Counted,
    /// The number of the endpoint whose ring was written last, and of the endpoint whose hours were: not all endpoints
    /// can be written in one second.
    pub written_last: (usize, usize),
    /// The history that ended events are written to.
    pub history: History,
    /// The values of the process's gauges that were last reported to the metrics.
    pub told: Told,
    /// This worker's backlog in shared data is not empty.
    pub has_said_pending: bool,
}

impl Telemetry {
    /// Telemetry before anything is counted; `window` is how far back the guard looks.
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
