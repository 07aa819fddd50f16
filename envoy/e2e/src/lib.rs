//! What the tests of this crate need to run Gatepost in a real Envoy with two workers.
//!
//! - [`setup`]: the example config with a plugin config of the test's own.
//! - [`gateway`]: that, running.
//! - [`client`]: producers: connections held by the test, over HTTP/1.1, HTTP/2 or a raw socket.
//! - [`load`]: many events over many connections.
//! - [`browser`]: a real browser, for the page.
//! - [`mod@prometheus`]: a real Prometheus that scrapes it; [`alertmanager`]: a real Alertmanager.
//! - [`application`]: what stands behind the gateway and remembers what it gets; it verifies nothing itself.
//! - [`worker`]: one worker of a running Envoy, paused while the others go on.
//! - [`tool`]: programs of other people's that a machine may lack.
//!
//! Envoy gives new connections to its workers in turn here (`exact_balance`), so two connections are two workers.

pub mod alertmanager;
pub mod application;
pub mod browser;
pub mod client;
pub mod gateway;
pub mod load;
pub mod prometheus;
pub mod setup;
pub mod tool;
#[cfg(target_os = "linux")]
pub mod worker;

pub use application::Application;
pub use client::{Answer, Connection, Event, Pending, Protocol};
pub use gateway::Gateway;
pub use setup::{Setup, endpoint};
