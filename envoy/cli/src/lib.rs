//! The command line of Gatepost, as a library: the tests run a real Envoy with the same parts as `cargo demo`.
//!
//! - [`artifact`]: builds a filter of this workspace and says where its wasm is.
//! - [`envoy`]: finds or downloads Envoy, starts it, asks its admin interface, ends it.
//! - [`example`]: `envoy/envoy.yaml`, with ports and plugin config replaced.
//! - [`checklist`]: what was checked and what came of it, as a table or JSON.
//! - [`receiver`]: starts the verifying receiver and talks to its control surface.
//! - [`receive`]: `gatepost receiver`, also within this process.
//! - [`process`]: a child process that never outlives us.
//! - [`wait`]: waits for a condition, with a deadline.
//! - [`signing`]: signs and verifies in each of the filter's schemes.
//! - [`gateway`]: a client of the admin surface of gateways that run.
//! - [`demo`], [`mod@bench`], [`mod@check`], [`secret`], [`send`], [`verify`], [`smoke`], [`preflight`], [`operate`] (the
//!   admin verbs), [`watch`], [`evidence`]: the commands of those names.

pub mod artifact;
pub mod bench;
pub mod check;
pub mod checklist;
pub mod demo;
pub mod envoy;
pub mod evidence;
pub mod example;
pub mod gateway;
pub mod operate;
pub mod preflight;
pub mod process;
pub mod receive;
pub mod receiver;
pub mod secret;
pub mod send;
pub mod signing;
pub mod smoke;
pub mod verify;
pub mod wait;
pub mod watch;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gatepost_core::time::WallTime;

/// The root of the workspace this was built in; the commands work on its files.
pub fn workspace() -> PathBuf {
    // This crate is in envoy/cli.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// The time by this machine.
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::default().plus(since)
}

/// An HTTP client for loopback. A status of 400 and above is an answer, not an error.
pub fn http() -> ureq::Agent {
    gateway::agent(HTTP_TIMEOUT)
}

/// Longer than any answer on loopback takes, `ack: delivered` included.
const HTTP_TIMEOUT: Duration = Duration::from_secs(60);
