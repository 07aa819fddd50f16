//! Before, between and after the scenarios.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gatepost_kit::wait;

use super::target::Target;
use crate::gateway::IN_FORCE;
use crate::receive::{Mode, Receiver};

/// Sees that the gateway can be asked and is on, and brings smoke's endpoint into the state the scenarios begin in.
///
/// # Errors
/// What stands in the way.
pub fn prepare(target: &Target, receiver: &Receiver) -> Result<String> {
    let (status, endpoint) = target.status()?;
    ensure!(!status.draining, "the gateway is draining: it refuses new events until its process ends or `gatepost on`");
    let words = status.reason.as_deref().filter(|reason| !reason.is_empty());
    let reason = words.map(|reason| format!(" ({reason})")).unwrap_or_default();
    match &*status.state {
        "enabled" => {}
        "paused" => {
            anyhow::bail!("the gateway is paused{reason}: it takes events and sends none; `gatepost on` ends that")
        }
        state => anyhow::bail!("the gateway is {state}{reason}: it discards events; `gatepost on` ends that"),
    }
    let name = target.endpoint_name();
    let by = endpoint.disabled_by.as_deref().unwrap_or_default();
    ensure!(!endpoint.disabled, "the endpoint `{name}` is disabled (by: {by})");
    target.open_rollout()?;
    let opened = Instant::now();
    begin(target, receiver)?;
    if endpoint.rollout.percent < 100.0 {
        // Until then a worker may hold an event as before. It is a wait because no one worker can be asked what it knows.
        thread::sleep(IN_FORCE.saturating_sub(opened.elapsed()));
    }
    Ok(format!("enabled, version {}, instance {}", status.version, status.process.instance))
}

/// Lets nothing of what was before reach into the next scenario: the receiver is well, the breaker closed, and nothing
/// waits.
///
/// # Errors
/// When something waits that does not go.
pub fn begin(target: &Target, receiver: &Receiver) -> Result<()> {
    receiver.set_mode(Mode::default());
    target.close_breaker()?;
    let mut pending = 0;
    let is_empty = poll(EMPTIED, || {
        pending = target.status()?.1.pending;
        Ok((pending == 0).then_some(()))
    })?;
    let name = target.endpoint_name();
    let address = receiver.address();
    ensure!(
        is_empty.is_some(),
        "{pending} deliveries of an earlier run or scenario still wait at `{name}` after {EMPTIED:?}; does its cluster point to {address}?"
    );
    // What had waited may have failed once more on its way.
    target.close_breaker()
}

/// Discards the dead letters of our events, and no others.
///
/// # Errors
/// When some are left.
pub fn clean_up(target: &Target, receiver: &Receiver) -> Result<String> {
    begin(target, receiver)?;
    let letters = target.letters()?;
    for letter in letters.values() {
        target.discard(letter)?;
    }
    let left = target.letters()?.len();
    ensure!(left == 0, "{left} dead letters of smoke's are still there");
    Ok(format!("{} dead letters of its own discarded, nothing pending, breaker closed", letters.len()))
}

/// Looks ten times a second, since the gateway may be far away, until there is something to see; `None` after `patience`.
///
/// # Errors
/// As `observe`.
pub fn poll<T>(patience: Duration, observe: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    wait::within(patience, Duration::from_millis(100), observe)
}

/// As long as the last attempt of an earlier run may be away, and more.
const EMPTIED: Duration = Duration::from_secs(15);
