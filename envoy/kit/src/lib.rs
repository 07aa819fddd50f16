//! What runs Gatepost from its source. The command line, the tests on a real Envoy and those on the simulated one share
//! it, so that all of them run the same filter in the same way.
//!
//! - [`workspace`]: where the source is.
//! - [`artifact`]: builds a filter of the workspace and says where its wasm is.
//! - [`example`]: `envoy/envoy.yaml`, with ports and plugin config replaced.
//! - [`envoy`]: finds or downloads Envoy, starts it, asks its admin interface, ends it.
//! - [`etcd`]: finds etcd, starts one member or several, kills and stops them, asks what they hold.
//! - [`fleet`]: gateways that share a journal on it, producers, and the account of what arrived.
//! - [`port`]: ports for servers that must know theirs beforehand.
//! - [`receiver`]: starts the verifying receiver and talks to its control surface.
//! - [`process`]: a child process that never outlives its parent.
//! - [`http`]: HTTP clients.
//! - [`wait`]: waits for a condition, with a deadline.

pub mod artifact;
pub mod envoy;
pub mod etcd;
pub mod example;
pub mod fleet;
pub mod http;
pub mod port;
pub mod process;
pub mod receiver;
pub mod wait;
pub mod workspace;
