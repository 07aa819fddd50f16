//! Gatepost in a simulated Envoy, under load and faults that a seed decides, checked after every step.
//!
//! A run is `seed -> configurations, load, faults`: [`run`] plays it and returns its outcome, or the first invariant
//! that broke with the trace that led there. The same seed gives the same trace, byte for byte.
//!
//! - [`plan`]: what a seed decides beforehand.
//! - [`receivers`]: the receivers of the events, and how they behave.
//! - `run`: the steps (producers, operators, faults), and the end, where everything is healed and each accepted
//!   delivery must have ended.
//! - [`checks`]: the invariants.
//! - [`play`]: many seeds, on all cores.
//! - [`fleet`]: several gateways with a journal on etcd, with a plan, checks and bugs of their own.
//! - [`bugs`]: deliberate bugs; [`hunt`] plays them to see that each is caught.

pub mod bugs;
pub mod checks;
pub mod fleet;
pub mod hunt;
mod outcome;
pub mod plan;
pub mod play;
pub mod receivers;
mod requests;
mod run;
mod throw;

pub use checks::{Broken, Invariant};
pub use outcome::{Summary, Violation};
pub use run::{played, run, traced};
