//! The attempts under way.

use super::lane::{LaneEntry, LaneId};
use crate::egress::breaker::Permit;
use crate::time::{Instant, WallTime};

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub attempt: u64,
    pub lane: LaneId,
    pub entry: LaneEntry,
    /// What the breaker admitted it under; a sink has none.
    pub permit: Option<Permit>,
    pub started: Instant,
    /// The same on the wall clock.
    pub at: WallTime,
    /// When its end should have been reported.
    pub overdue: Instant,
}

/// Attempts under way, by number. Numbers only ever grow, so new ones stand at the end.
#[derive(Debug, Default)]
pub(super) struct Flights(Vec<Flight>);

impl Flights {
    pub fn push(&mut self, flight: Flight) {
        self.0.push(flight);
    }

    pub fn remove(&mut self, attempt: u64) -> Option<Flight> {
        let place = self.0.binary_search_by_key(&attempt, |flight| flight.attempt).ok()?;
        Some(self.0.remove(place))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.0.iter()
    }

    /// Forgets the attempts of a partition's events, and returns them.
    pub fn take_of(&mut self, partition: u32) -> Vec<Flight> {
        self.0.extract_if(.., |flight| flight.entry.place.partition == partition).collect()
    }
}
