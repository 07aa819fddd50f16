//! What an Envoy process has used, by Linux's /proc.

use std::fs;

use anyhow::{Context, Result};

/// User and system time of all its threads, in seconds.
///
/// # Errors
/// When there is no such process, or no /proc.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the bench needs Linux's /proc")?;
    // The second field, the name in parentheses, may itself hold spaces: counting starts behind it.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let tick = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = tick(11).zip(tick(12)).with_context(|| format!("/proc/{pid}/stat: {stat}"))?;
    Ok((user + system) / TICKS_PER_SECOND)
}

/// Linux shows times to users in units of 1/100 s, whatever the kernel itself counts in.
const TICKS_PER_SECOND: f64 = 100.0;
