//! The history: a ring of the records of ended events, without their payloads; one ring for all workers.
//!
//! A pending event has its history in its own record, which survives the worker. An event that has ended goes into
//! `<name>/history/<i>`: `limits.history` slots that are used again in turn. So that no two workers write one slot, and
//! no worker waits for another, each worker takes slots in blocks of [`BLOCK`]: `<name>/history/next`, changed by
//! compare-and-swap, says where the next block begins, and how many slots there are, for readers whose config does not
//! say. An event costs one write when it ends. With `w` workers the last `limits.history - 16 w` events are in the
//! ring; an event that ended in the moment its worker died may be missing.

use serde::{Deserialize, Serialize};

use crate::config::HISTORY_MAX;
use crate::store::keys::{KeyRow, Keys, StoreKey, Stored};
use crate::store::{Record, SharedStore, StoreError, swap};

/// Slots that a worker takes at once.
pub const BLOCK: u64 = 16;

/// The history as one worker writes it.
#[derive(Debug)]
pub struct History {
    next_block: StoreKey<NextBlock>,
    slots: KeyRow<EndedEvent>,
    size: u32,
    next: u64,
    /// The end of the worker's block.
    end: u64,
}

impl History {
    /// The history of a filter, with `size` slots. Shared data is not touched.
    pub fn new(keys: &Keys, size: u32) -> Self {
        Self { next_block: keys.single(), slots: keys.row(), size, next: 0, end: 0 }
    }

    /// Keeps the record of an event that has ended, in place of the oldest.
    ///
    /// # Errors
    /// The store's; the record is not kept then.
    pub fn keep(&mut self, store: &mut dyn SharedStore, record: &[u8]) -> Result<(), StoreError> {
        if self.next == self.end {
            let next = swap(store, &self.next_block, |_, bytes| {
                let next = bytes.map_or(0, |bytes| NextBlock::or_new(&bytes).number);
                Ok((Some(NextBlock { number: next.saturating_add(BLOCK), size: self.size }.encode()?), next))
            })?;
            (self.next, self.end) = (next, next.saturating_add(BLOCK));
        }
        let slot = self.next % u64::from(self.size.max(1));
        self.next += 1;
        store.set(self.slots.at(slot).as_str(), record, None)
    }
}

/// Passes the records of ended events to `visit`, in no order, as [`History::keep`] got them.
///
/// # Errors
/// The store's.
pub fn survey(store: &mut dyn SharedStore, keys: &Keys, visit: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
    let slots = keys.row::<EndedEvent>();
    let Some((next, _)) = store.get(keys.single::<NextBlock>().as_str())? else { return Ok(()) };
    let next = NextBlock::or_new(&next);
    let used = next.number.min(next.size.min(HISTORY_MAX).into());
    for slot in 0..used {
        if let Some((record, _)) = store.get(slots.at(slot).as_str())? {
            visit(&record);
        }
    }
    Ok(())
}

/// The content of a slot: the last [record](crate::ledger::record::StateRecord) of an event whose deliveries have all
/// ended. The record is written and passed on as bytes.
enum EndedEvent {}

impl Stored for EndedEvent {
    const NAME: &'static str = "history";
}

/// Where the next block begins, and how many slots there are. Its integers are not varints, unlike those of other
/// records, because the first version of the filter wrote them so.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NextBlock {
    #[serde(with = "postcard::fixint::le")]
    number: u64,
    #[serde(with = "postcard::fixint::le")]
    size: u32,
}

impl Stored for NextBlock {
    const NAME: &'static str = "history/next";
}

impl Record for NextBlock {
    const VERSION: u8 = 1;
}

impl NextBlock {
    /// The record in these bytes. A record of another version is ignored: the slots are used anew.
    fn or_new(bytes: &[u8]) -> Self {
        Self::decode(bytes).map(|(next, _)| next).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::recorded::assert_recorded;

    fn found(store: &mut MemoryStore) -> Vec<u8> {
        let mut found = Vec::new();
        survey(store, &Keys::new("g"), &mut |record| found.extend_from_slice(record)).unwrap();
        found.sort_unstable();
        found
    }

    #[test]
    fn nothing_is_found_before_anything_has_ended() {
        assert_eq!(found(&mut MemoryStore::default()), [0u8; 0]);
    }

    #[test]
    fn two_workers_write_no_slot_of_each_others() {
        let mut store = MemoryStore::default();
        let mut workers = [History::new(&Keys::new("g"), 100), History::new(&Keys::new("g"), 100)];
        for number in 0..40 {
            workers[usize::from(number % 2)].keep(&mut store, &[number]).unwrap();
        }
        assert_eq!(found(&mut store), (0..40).collect::<Vec<u8>>());
    }

    #[test]
    fn refused_entry_is_missing_and_the_next_is_kept() {
        let (mut store, mut history) = (MemoryStore::default(), History::new(&Keys::new("g"), 100));
        history.keep(&mut store, &[1]).unwrap();
        store.refuse_sets = true;
        assert!(history.keep(&mut store, &[2]).is_err());
        store.refuse_sets = false;
        history.keep(&mut store, &[3]).unwrap();
        assert_eq!(found(&mut store), [1, 3]);
    }

    /// The next block is read and written as the previous release wrote it.
    #[test]
    fn next_block_format_matches_previous_release() {
        let next = NextBlock { number: 0x0102_0304_0506_0708, size: 1000 };
        assert_recorded("history next", &next);
    }

    proptest! {
        #[test]
        fn the_ring_keeps_its_size_and_the_newest(size in 1u32..60, events in 0u8..200) {
            let (mut store, mut history) = (MemoryStore::default(), History::new(&Keys::new("g"), size));
            (0..events).for_each(|number| history.keep(&mut store, &[number]).unwrap());
            let newest = usize::from(events).min(size as usize);
            prop_assert_eq!(found(&mut store), (events - newest as u8..events).collect::<Vec<u8>>());
            prop_assert!(store.values.len() <= size as usize + 1);
        }

        #[test]
        fn what_is_no_record_of_the_next_block_is_no_trap(bytes: Vec<u8>) {
            let (mut store, mut history) = (MemoryStore::default(), History::new(&Keys::new("g"), 10));
            store.set("g/history/next", &bytes, None).unwrap();
            let _ = survey(&mut store, &Keys::new("g"), &mut |_| {});
            let _ = history.keep(&mut store, &[1]);
        }
    }
}
