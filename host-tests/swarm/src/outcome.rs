//! The outcome of a run.

use crate::checks::Broken;

/// The outcome of a run in which every invariant held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// The number of events that were accepted.
    pub accepted: usize,
    /// The number of deliveries that reached their receiver.
    pub delivered: usize,
    /// The number of deliveries that became dead letters.
    pub dead: usize,
    /// The number of faults, each of which is done to the process.
    pub disruptions: u32,
}

/// The outcome of a run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed of the run, which repeats it.
    pub seed: u64,
    /// The invariant that broke.
    pub broken: Broken,
    /// The trace of the run: everything that happened, in order.
    pub trace: String,
}
