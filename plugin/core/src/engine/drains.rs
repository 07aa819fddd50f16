//! Requests that wait until nothing is pending any more.

use crate::time::Instant;

/// A request that waits for the end of a drain.
#[derive(Debug)]
pub(super) struct Drain {
    /// Its stream.
    pub stream: u32,
    /// When it came.
    pub since: Instant,
}
