//! Small collections of the engine, each for one kind of look-up.

use std::collections::BTreeSet;

use super::send::Flight;
use crate::delivery::Pending;
use crate::time::Instant;

/// Events by slot. Slots are dense, lowest first, so a vector finds them at once.
#[derive(Debug, Default)]
pub(super) struct Events {
    slots: Vec<Option<Box<Pending>>>,
    count: usize,
}

impl Events {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn get(&self, slot: u32) -> Option<&Pending> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Pending> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    pub fn insert(&mut self, slot: u32, event: Pending) {
        let slot = slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            self.count += usize::from(place.is_none());
            *place = Some(Box::new(event));
        }
    }

    pub fn remove(&mut self, slot: u32) -> Option<Box<Pending>> {
        let event = self.slots.get_mut(slot as usize)?.take()?;
        self.count -= 1;
        Some(event)
    }

    /// All events with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Pending)> {
        (0u32..).zip(&self.slots).filter_map(|(slot, event)| Some((slot, event.as_deref()?)))
    }
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

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Numbered things, each with a time at which it is wanted.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, u32)>);

impl Timers {
    pub fn insert(&mut self, at: Instant, number: u32) {
        self.0.insert((at, number));
    }

    pub fn remove(&mut self, at: Instant, number: u32) {
        self.0.remove(&(at, number));
    }

    /// The earliest.
    pub fn first(&self) -> Option<(Instant, u32)> {
        self.0.first().copied()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
