//! What a run came to.

use crate::checks::Broken;

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
