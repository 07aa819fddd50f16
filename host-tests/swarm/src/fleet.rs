//! The swarm of a fleet: several gateways with one journal on etcd, under load and faults that a seed decides.
//!
//! The gateways run side by side under one time, each as a process of its own; etcd is a model
//! ([`etcd_model::Etcd`]). What is checked is seen from outside: what producers are answered, what receivers get, and
//! each change of a key in etcd.
//!
//! - [`plan`]: what a seed decides beforehand.
//! - `receivers`: who gets the events.
//! - `run`: the steps, and the end, where everything is healed.
//! - `checks`: what must hold. By etcd's own keys: `ownership`, who owns which segment; `claims`, who has which inbound
//!   message; `switches`, what operators have decided.
//! - [`bugs`]: deliberate bugs, between the gateways and etcd.

pub mod bugs;
mod checks;
mod claims;
mod clients;
mod ownership;
pub mod plan;
mod receivers;
mod run;
mod switches;
mod tenures;

pub use run::{played, run};
