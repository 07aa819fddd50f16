//! Waiting for something that another process does.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Looks until `observe` sees something, and gives that back.
///
/// # Errors
/// After `deadline` without it, naming `what`; at once when `observe` itself fails.
pub fn until<T>(what: &str, deadline: Duration, mut observe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let seen = within(deadline, PAUSE, || observe().with_context(|| format!("while waiting: {what}")))?;
    seen.with_context(|| format!("waited {deadline:?} in vain: {what}"))
}

/// Looks until `observe` sees something, with a pause between two looks; `None` after `patience`.
///
/// # Errors
/// When `observe` itself fails.
pub fn within<T>(
    patience: Duration,
    pause: Duration,
    mut observe: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        if let Some(seen) = observe()? {
            return Ok(Some(seen));
        }
        if start.elapsed() > patience {
            return Ok(None);
        }
        thread::sleep(pause);
    }
}

/// Between two looks: short beside what is waited for, long beside what a look costs.
const PAUSE: Duration = Duration::from_millis(10);
