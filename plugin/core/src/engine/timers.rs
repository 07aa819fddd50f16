//! Things with a time at which they are wanted.

use std::collections::VecDeque;

use crate::time::Instant;

/// Numbered things, each with a time at which it is wanted, in order. What comes is mostly wanted last and what goes is
/// mostly first; with 10,000 of them that moves 160 KB, some 10 µs.
#[derive(Debug, Default)]
pub(super) struct Timers(VecDeque<(Instant, u64)>);

impl Timers {
    pub fn insert(&mut self, at: Instant, number: u64) {
        if let Err(place) = self.0.binary_search(&(at, number)) {
            self.0.insert(place, (at, number));
        }
    }

    pub fn remove(&mut self, at: Instant, number: u64) {
        if let Ok(place) = self.0.binary_search(&(at, number)) {
            self.0.remove(place);
        }
    }

    /// The earliest.
    pub fn first(&self) -> Option<(Instant, u64)> {
        self.0.front().copied()
    }
}
