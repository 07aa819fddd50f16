//! The partitions that a worker holds, the events in them, and the bodies that need not be read back.

use std::collections::HashMap;

use super::pending::Pending;
use crate::ledger::Place;
use crate::ledger::record::EventMeta;
use crate::ledger::{Ownership, Partition};
use crate::store::{SharedStore, StoreError};
use crate::time::Instant;

/// A partition that this worker holds, with the events in it.
#[derive(Debug)]
pub(super) struct Holding {
    pub partition: Partition,
    pub events: Events,
    /// Some event in the partition could not be taken up yet.
    pub is_incomplete: bool,
}

/// The partitions that this worker holds: one it accepts into, and those it adopted; seldom more than one or two.
#[derive(Debug, Default)]
pub(super) struct Holdings(Vec<Holding>);

impl Holdings {
    pub fn add(&mut self, partition: Partition) {
        self.0.push(Holding { partition, events: Events::default(), is_incomplete: false });
    }

    pub fn get(&self, partition: u32) -> Option<&Holding> {
        self.0.iter().find(|holding| holding.partition.number() == partition)
    }

    pub fn get_mut(&mut self, partition: u32) -> Option<&mut Holding> {
        self.0.iter_mut().find(|holding| holding.partition.number() == partition)
    }

    pub fn take(&mut self, partition: u32) -> Option<Holding> {
        let at = self.0.iter().position(|holding| holding.partition.number() == partition)?;
        Some(self.0.swap_remove(at))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Renews the leases. Returns the numbers of the partitions that other workers hold now, and the last error.
    pub fn renew(&mut self, store: &mut dyn SharedStore, now: Instant) -> (Vec<u32>, Result<(), StoreError>) {
        let (mut lost, mut result) = (Vec::new(), Ok(()));
        for Holding { partition, .. } in &mut self.0 {
            match partition.renew(store, now) {
                Ok(Ownership::Held) => {}
                Ok(Ownership::Lost) => lost.push(partition.number()),
                Err(error) => result = Err(error),
            }
        }
        (lost, result)
    }

    /// The numbers of all partitions.
    pub fn numbers(&self) -> Vec<u32> {
        self.0.iter().map(|holding| holding.partition.number()).collect()
    }

    pub fn event(&self, place: Place) -> Option<&Pending> {
        self.get(place.partition)?.events.get(place.slot)
    }

    pub fn event_mut(&mut self, place: Place) -> Option<&mut Pending> {
        self.get_mut(place.partition)?.events.get_mut(place.slot)
    }

    /// All events with their places.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &Pending)> {
        self.0.iter().flat_map(|holding| {
            let partition = holding.partition.number();
            holding.events.iter().map(move |(slot, event)| (Place { partition, slot }, event))
        })
    }
}

/// The events of a partition by slot. Slots are dense, the lowest free one is used first, so a vector finds an event at
/// once.
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

/// The cache of events just accepted whose first attempts have not left yet, with their bodies: an event that is
/// attempted at once need not be read back from shared data. An event that is no longer cached is read when its turn
/// comes.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    events: HashMap<Place, (EventMeta, Vec<u8>)>,
    /// The bytes of the cached payloads.
    bytes: usize,
}

impl Fresh {
    /// The most bytes of payloads that a worker caches. If one more event would exceed them the whole cache is dropped:
    /// the cached events are mostly held back, and newer events leave sooner.
    const BYTES_MAX: usize = 4 << 20;

    pub fn insert(&mut self, place: Place, meta: EventMeta, payload: Vec<u8>) {
        if self.bytes + payload.len() > Self::BYTES_MAX {
            *self = Self::default();
        }
        self.remove(place);
        self.bytes += payload.len();
        self.events.insert(place, (meta, payload));
    }

    pub fn get(&self, place: Place) -> Option<&(EventMeta, Vec<u8>)> {
        self.events.get(&place)
    }

    pub fn remove(&mut self, place: Place) -> Option<(EventMeta, Vec<u8>)> {
        let event = self.events.remove(&place)?;
        self.bytes -= event.1.len();
        Some(event)
    }

    /// Drops the events of a partition from the cache.
    pub fn remove_of(&mut self, partition: u32) {
        self.events.retain(|place, _| place.partition != partition);
        self.bytes = self.events.values().map(|(_, payload)| payload.len()).sum();
    }
}
