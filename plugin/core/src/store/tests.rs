use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::memory::MemoryStore;
use super::*;
use crate::store::keys::{Keys, StoreKey, Stored};

/// A record with a field of each kind that records are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sample {
    items: Vec<(u8, u64)>,
    bytes: Vec<u8>,
    text: Option<String>,
    id: [u8; 16],
    wait: Duration,
}

impl Stored for Sample {
    const NAME: &'static str = "sample";
}

impl Record for Sample {
    const VERSION: u8 = 7;
}

fn key() -> StoreKey<Sample> {
    Keys::new("g").single()
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_of_an_unknown_format(bytes: Vec<u8>) {
        let bytes = [&[Sample::VERSION], bytes.as_slice()].concat();
        prop_assert!(matches!(Sample::decode(&bytes), Ok(_) | Err(StoreError::UnknownFormat)));
    }

    #[test]
    fn no_room_is_made_for_what_is_promised_and_not_there(promised: u64, there in prop::collection::vec(1..0x80_u8, 0..200)) {
        let mut bytes = encoded(Sample::VERSION, &promised).unwrap();
        bytes.extend_from_slice(&there);
        if let Ok((sample, _)) = Sample::decode(&bytes) {
            prop_assert!(sample.items.capacity() <= there.len());
        }
    }
}

#[test]
fn more_items_than_any_memory_holds_are_refused() {
    let bytes = encoded(Sample::VERSION, &u64::MAX).unwrap();
    assert_eq!(Sample::decode(&bytes), Err(StoreError::UnknownFormat));
}

#[test]
fn a_duration_beyond_its_range_is_refused() {
    let (none, wait) = ((0_u8, 0_u8, 0_u8, [0_u8; 16]), (u64::MAX, u32::MAX));
    let bytes = encoded(Sample::VERSION, &(none, wait)).unwrap();
    assert_eq!(Sample::decode(&bytes), Err(StoreError::UnknownFormat));
}

/// An update begins with the default where nothing is or was freed and writes only what it changed.
#[test]
fn update_starts_from_default_and_writes_only_changes() {
    let mut store = MemoryStore::default();
    let push = |store: &mut MemoryStore, write| {
        update(store, &key(), |sample: &mut Sample| {
            sample.bytes.push(1);
            (write, sample.bytes.len())
        })
    };
    assert_eq!(push(&mut store, Write::Yes), Ok(1));
    assert_eq!(push(&mut store, Write::No), Ok(2));
    assert_eq!(push(&mut store, Write::Yes), Ok(2));
    store.set(key().as_str(), &[FREED], None).unwrap();
    assert_eq!(push(&mut store, Write::Yes), Ok(1));
}

#[test]
fn an_update_leaves_a_record_of_another_version_alone() {
    let mut store = MemoryStore::default();
    store.set(key().as_str(), &[Sample::VERSION + 1, 0], None).unwrap();
    let changed = update(&mut store, &key(), |_: &mut Sample| (Write::Yes, ()));
    assert_eq!(changed, Err(StoreError::UnknownFormat));
    assert_eq!(store.values[key().as_str()].0, [Sample::VERSION + 1, 0]);
}
