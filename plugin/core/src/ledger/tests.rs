use super::*;
use crate::ledger::record::{DeliveryRecord, Stage, Trail};
use crate::store::keys::Keys;
use crate::store::memory::MemoryStore;
use crate::store::recorded::assert_recorded;
use crate::time::WallTime;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn meta(id: u8) -> EventMeta {
    EventMeta {
        id: EventId::from_random([id; 16]),
        event_type: "match_started".into(),
        content_type: None,
        traceparent: None,
        tracestate: None,
        content_encoding: None,
    }
}

fn state(id: u8) -> StateRecord<&'static str> {
    let stage = Stage::Waiting { due: at(1) };
    StateRecord {
        is_journaled: false,
        id: meta(id).id,
        accepted: at(1),
        accepted_wall: WallTime::from_millis(1),
        trials: 0,
        event_type: "match_started",
        route: "ingest",
        deliveries: vec![DeliveryRecord {
            endpoint: "billing",
            attempts: 0,
            response_status: None,
            stage,
            trail: Trail::default(),
        }],
    }
}

fn claim(store: &mut MemoryStore, nonce: u64, now: Instant) -> Partition {
    Partition::claim(store, &Keys::new("g"), nonce, now).unwrap()
}

fn adopt(store: &mut MemoryStore, nonce: u64, now: Instant) -> Option<(Partition, Vec<Recovered>)> {
    Partition::adopt(store, &Keys::new("g"), nonce, now)
        .unwrap()
        .map(|(partition, recovered, _)| (partition, recovered))
}

fn accept(partition: &mut Partition, store: &mut MemoryStore, id: u8) -> u32 {
    partition.accept(store, &meta(id), b"body", &state(id)).unwrap()
}

#[test]
fn each_worker_gets_a_partition_of_its_own() {
    let mut store = MemoryStore::default();
    let numbers: Vec<u32> = (0..4).map(|nonce| claim(&mut store, nonce, at(1)).number()).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[test]
fn no_partition_is_claimed_beyond_the_last() {
    let mut store = MemoryStore::default();
    for nonce in 0..u64::from(PARTITIONS_MAX) {
        claim(&mut store, nonce, at(1));
    }
    let keys = Keys::new("g");
    assert_eq!(Partition::claim(&mut store, &keys, 99, at(1)).map(|_| ()), Err(StoreError::Contended));
    assert!(!store.values.contains_key(keys.of::<Lease>(PARTITIONS_MAX).as_str()));
}

#[test]
fn the_holder_of_a_lease_is_told_until_it_is_left() {
    let mut store = MemoryStore::default();
    let mut first = claim(&mut store, 7, at(1));
    accept(&mut first, &mut store, 1);
    let lease = Keys::new("g").of::<Lease>(0);
    assert_eq!(holder(&store.values[lease.as_str()].0), Ok(Some(7)));
    first.release(&mut store, false).unwrap();
    assert_eq!(holder(&store.values[lease.as_str()].0), Ok(None));
}

#[test]
fn partitions_left_are_counted_until_adopted() {
    let mut store = MemoryStore::default();
    let mut workers: Vec<Partition> = (0..3).map(|nonce| claim(&mut store, nonce, at(1))).collect();
    for (id, worker) in (0..).zip(&mut workers) {
        accept(worker, &mut store, id);
    }
    for worker in workers.drain(1..) {
        worker.release(&mut store, false).unwrap();
    }
    let keys = Keys::new("g");
    assert_eq!(Partition::count_left(&mut store, &keys), Ok(2));
    adopt(&mut store, 9, at(1)).unwrap();
    assert_eq!(Partition::count_left(&mut store, &keys), Ok(1));
}

#[test]
fn a_lease_is_written_again_after_one_heartbeat() {
    let mut store = MemoryStore::default();
    let mut worker = claim(&mut store, 1, at(1));
    let lease = Keys::new("g").of::<Lease>(0);
    let written = store.values[lease.as_str()].clone();
    let due = at(1).plus(HEARTBEAT);
    assert_eq!(worker.renew(&mut store, due.minus(Duration::from_nanos(1))), Ok(Ownership::Held));
    assert_eq!(store.values[lease.as_str()], written);
    assert_eq!(worker.renew(&mut store, due), Ok(Ownership::Held));
    assert_ne!(store.values[lease.as_str()], written);
}

/// An empty partition that was given up is the next to be claimed and is not adopted.
#[test]
fn empty_released_partition_is_claimed_and_not_adopted() {
    let mut store = MemoryStore::default();
    let first = claim(&mut store, 1, at(1));
    claim(&mut store, 2, at(1));
    first.release(&mut store, true).unwrap();
    assert!(adopt(&mut store, 3, at(1)).is_none());
    assert_eq!(claim(&mut store, 3, at(1)).number(), 0);
}

/// A partition left with events is adopted at once and never claimed.
#[test]
fn partition_left_with_events_is_adopted_and_not_claimed() {
    let mut store = MemoryStore::default();
    let mut first = claim(&mut store, 1, at(1));
    accept(&mut first, &mut store, 1);
    first.release(&mut store, false).unwrap();
    assert_eq!(claim(&mut store, 2, at(1)).number(), 1);
    let (adopted, recovered) = adopt(&mut store, 3, at(1)).unwrap();
    assert_eq!((adopted.number(), recovered.len()), (0, 1));
    assert!(adopt(&mut store, 4, at(1)).is_none());
}

#[test]
fn a_lease_is_safe_for_ten_seconds_after_its_last_heartbeat() {
    let mut store = MemoryStore::default();
    let mut first = claim(&mut store, 1, at(0));
    assert_eq!(first.renew(&mut store, at(9)), Ok(Ownership::Held));
    assert!(adopt(&mut store, 2, at(18)).is_none());
    assert_eq!(adopt(&mut store, 2, at(19)).unwrap().0.number(), 0);
}

/// A worker that stalled past its lease learns that its partition is anothers.
#[test]
fn stalled_worker_learns_its_partition_was_taken() {
    let mut store = MemoryStore::default();
    let mut stalled = claim(&mut store, 1, at(0));
    let (mut adopter, _) = adopt(&mut store, 2, at(10)).unwrap();
    assert_eq!(stalled.renew(&mut store, at(11)), Ok(Ownership::Lost));
    assert_eq!(adopter.renew(&mut store, at(13)), Ok(Ownership::Held));
    stalled.release(&mut store, true).unwrap();
    assert_eq!(adopter.renew(&mut store, at(16)), Ok(Ownership::Held));
}

#[test]
fn whoever_adopts_a_dead_workers_partition_finds_its_events() {
    let mut store = MemoryStore::default();
    let mut dead = claim(&mut store, 1, at(0));
    let slots: Vec<u32> = (1..=3).map(|id| accept(&mut dead, &mut store, id)).collect();
    dead.free(&mut store, slots[1]).unwrap();
    let (heir, recovered) = adopt(&mut store, 2, at(20)).unwrap();
    let found: Vec<_> = recovered.iter().map(|event| (event.slot, event.state.id, event.bytes)).collect();
    assert_eq!(found, [(0, meta(1).id, 4), (2, meta(3).id, 4)]);
    assert_eq!(heir.body(&mut store, 2, meta(3).id), Ok((meta(3), b"body".to_vec())));
}

/// What a stalled worker still accepted is found by another look.
#[test]
fn rescan_finds_what_a_stalled_worker_accepted() {
    let mut store = MemoryStore::default();
    let mut stalled = claim(&mut store, 1, at(0));
    let (mut heir, recovered) = adopt(&mut store, 2, at(20)).unwrap();
    assert!(recovered.is_empty());
    accept(&mut stalled, &mut store, 1);
    assert_eq!(heir.rescan(&mut store).unwrap().len(), 1);
}

#[test]
fn a_body_whose_state_was_never_written_was_never_accepted() {
    let mut store = MemoryStore::default();
    let mut dead = claim(&mut store, 1, at(0));
    let slot = accept(&mut dead, &mut store, 1);
    dead.free(&mut store, slot).unwrap();
    store.set("g/body/0/0", &with_payload(&meta(2), b"body").unwrap(), None).unwrap();
    let (heir, recovered) = adopt(&mut store, 2, at(20)).unwrap();
    assert!(recovered.is_empty() && !heir.is_foreign());
}

#[test]
fn a_state_whose_body_is_another_events_is_free() {
    let mut store = MemoryStore::default();
    let mut dead = claim(&mut store, 1, at(0));
    accept(&mut dead, &mut store, 1);
    store.set("g/body/0/0", &with_payload(&meta(2), b"body").unwrap(), None).unwrap();
    let (heir, recovered) = adopt(&mut store, 2, at(20)).unwrap();
    assert!(recovered.is_empty() && !heir.is_foreign());
    assert_eq!(heir.body(&mut store, 0, meta(1).id), Err(StoreError::UnknownFormat));
}

/// A record of another version is not touched and its partition never counts as empty.
#[test]
fn record_of_another_version_is_kept_with_its_partition() {
    let mut store = MemoryStore::default();
    let mut dead = claim(&mut store, 1, at(0));
    accept(&mut dead, &mut store, 1);
    store.set("g/state/0/0", &[99, 1, 2, 3], None).unwrap();
    let (heir, recovered) = adopt(&mut store, 2, at(20)).unwrap();
    assert!(recovered.is_empty() && heir.is_foreign());
    heir.release(&mut store, true).unwrap();
    assert_eq!(claim(&mut store, 3, at(20)).number(), 1);
    assert_eq!(store.values["g/state/0/0"].0, [99, 1, 2, 3]);
    assert!(adopt(&mut store, 4, at(20)).is_some());
}

#[test]
fn a_lease_of_another_version_is_left_to_its_owner() {
    let mut store = MemoryStore::default();
    store.set("g/lease/0", &[99, 1], None).unwrap();
    assert!(adopt(&mut store, 1, at(1000)).is_none());
    assert_eq!(claim(&mut store, 1, at(1000)).number(), 1);
}

#[test]
fn an_event_that_cannot_be_written_leaves_its_slot_free() {
    let mut store = MemoryStore::default();
    let mut partition = claim(&mut store, 1, at(0));
    store.refuse_sets = true;
    assert_eq!(partition.accept(&mut store, &meta(1), b"", &state(1)), Err(StoreError::Host(10)));
    store.refuse_sets = false;
    assert_eq!(accept(&mut partition, &mut store, 1), 0);
}

/// Freed bodies are one byte and the keys stay at the high water mark.
#[test]
fn freed_bodies_are_one_byte_and_keys_stay_bounded() {
    let mut store = MemoryStore::default();
    let mut partition = claim(&mut store, 1, at(0));
    for round in 0..100 {
        let slots: Vec<u32> = (0..5).map(|id| accept(&mut partition, &mut store, round + id)).collect();
        for slot in slots {
            partition.free(&mut store, slot).unwrap();
        }
    }
    assert_eq!(store.values.len(), 1 + 2 * 5);
    let bodies = store.values.iter().filter(|(key, _)| key.starts_with("g/body/"));
    assert!(bodies.map(|(_, (value, _))| value).all(|value| is_freed(value)));
}

/// A survey shows what is pending and no freed or half written slot.
#[test]
fn survey_shows_pending_events_only() {
    let mut store = MemoryStore::default();
    let mut partition = claim(&mut store, 1, at(0));
    let slots: Vec<u32> = (1..=3).map(|id| accept(&mut partition, &mut store, id)).collect();
    partition.free(&mut store, slots[0]).unwrap();
    store.set("g/body/0/1", &with_payload(&meta(9), b"body").unwrap(), None).unwrap();
    claim(&mut store, 2, at(0));
    let mut found = Vec::new();
    let living = Partition::survey(&mut store, &Keys::new("g"), at(1), &mut |event| found.push(event.id)).unwrap();
    assert_eq!((found, living), (vec![meta(3).id], 2));
}

/// A lease is read and written as the previous release wrote it.
#[test]
fn lease_format_matches_previous_release() {
    assert_recorded("lease held", &Lease::Held { nonce: u64::MAX, heartbeat: at(1_000_000) });
    assert_recorded("lease left", &Lease::Left);
}
