//! Drain requests of operators, which wait until nothing is pending any more.

use crate::time::Instant;

/// A drain request that waits until nothing is pending any more.
#[derive(Debug)]
pub(super) struct Drain {
    /// The stream of the request.
    pub stream: u32,
    /// When the request came.
    pub since: Instant,
}
