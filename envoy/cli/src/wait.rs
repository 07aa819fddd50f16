//! Waiting for something that another process does.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Looks until `observe` sees something, and gives that back.
///
/// # Errors
/// After `deadline` without it, naming `what`; at once when `observe` itself fails.
pub fn until<T>(what: &str, deadline: Duration, mut observe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(seen) = observe().with_context(|| format!("while waiting: {what}"))? {
            return Ok(seen);
        }
        if start.elapsed() > deadline {
            bail!("waited {deadline:?} in vain: {what}");
        }
        thread::sleep(PAUSE);
    }
}

/// Between two looks: short beside what is waited for, long beside what a look costs.
const PAUSE: Duration = Duration::from_millis(10);
