//! The time.

use std::time::SystemTime;

use gatepost_core::time::WallTime;

/// The time by this machine's clock.
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::default().plus(since)
}
