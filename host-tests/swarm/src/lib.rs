//! Gatepost in a simulated Envoy, under load and faults that a seed decides, checked after every step.
//!
//! A run is `seed -> configurations, load, faults`: [`run`] plays it and gives back what it came to, or the first
//! invariant that broke with the trace that led there. The same seed gives the same trace, byte for byte.
//!
//! - [`plan`]: what a seed decides beforehand.
//! - [`receivers`]: the other side, in its moods.
//! - `run`: the steps (producers, operators, faults), and the end, where everything is healed and each accepted delivery
//!   must have come to its own.
//! - [`checks`]: the invariants.
//! - [`play`]: many seeds, on all cores.
//! - [`bugs`]: deliberate bugs, to see that each is caught.

use bugs::Bug;
use host_tests::Filter;

pub mod bugs;
pub mod checks;
pub mod plan;
pub mod play;
pub mod receivers;
mod run;

pub use checks::{Broken, Invariant};
use run::Run;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Events that were accepted.
    pub accepted: usize,
    /// Deliveries that reached their receiver.
    pub delivered: usize,
    /// Deliveries that became dead letters.
    pub dead: usize,
    /// Things done to the process.
    pub disruptions: u32,
}

/// A run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that repeats it.
    pub seed: u64,
    /// What broke.
    pub broken: Broken,
    /// Everything that happened, in order.
    pub trace: String,
}

/// Plays the run of a seed.
///
/// # Errors
/// The first invariant that breaks.
pub fn run(filter: &Filter, seed: u64) -> Result<Summary, Box<Violation>> {
    traced(filter, seed).map(|(summary, _)| summary)
}

/// The same, with the trace of a run that held.
///
/// # Errors
/// The first invariant that breaks.
pub fn traced(filter: &Filter, seed: u64) -> Result<(Summary, String), Box<Violation>> {
    played(filter, seed, None)
}

/// The same, with a deliberate bug.
///
/// # Errors
/// The first invariant that breaks.
pub fn played(filter: &Filter, seed: u64, bug: Option<&Bug>) -> Result<(Summary, String), Box<Violation>> {
    let started = Run::start(filter, seed, bug.copied());
    let mut run = started.map_err(|broken| Box::new(Violation { seed, broken, trace: String::new() }))?;
    match run.play() {
        Ok(summary) => Ok((summary, run.trace())),
        Err(broken) => Err(Box::new(Violation { seed, broken, trace: run.trace() })),
    }
}
