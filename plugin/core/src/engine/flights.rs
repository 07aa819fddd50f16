//! The attempts under way.

use super::lane::{LaneEntry, LaneId};
use crate::egress::breaker::Permit;
use crate::ledger::Place;
use crate::time::{Instant, WallTime};

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub attempt: u64,
    pub lane: LaneId,
    pub entry: LaneEntry,
    /// The permit of the breaker that admitted the attempt; an attempt at a sink has none.
    pub permit: Option<Permit>,
    pub started: Instant,
    /// When the attempt started, on the wall clock.
    pub at: WallTime,
    /// When the end of the attempt should have been reported at the latest.
    pub overdue: Instant,
}

/// The attempts under way, in the order of their numbers. Numbers only grow, so a new attempt is added at the end.
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

    /// Removes the attempts of an event, and returns them.
    pub fn take_of_event(&mut self, place: Place) -> Vec<Flight> {
        self.0.extract_if(.., |flight| flight.entry.place == place).collect()
    }

    /// Removes the attempts of a partition's events, and returns them.
    pub fn take_of(&mut self, partition: u32) -> Vec<Flight> {
        self.0.extract_if(.., |flight| flight.entry.place.partition == partition).collect()
    }
}
