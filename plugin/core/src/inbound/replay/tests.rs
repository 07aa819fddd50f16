//! Tests of the replay table: a message is seen once, whoever claims it, and whenever.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::bucket::VERSION;
use super::*;
use crate::store::Cas;
use crate::store::keys::Keys;
use crate::store::memory::MemoryStore;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(86_400_000_000_000 + seconds * 1_000_000_000)
}

fn policy(capacity: u32) -> Policy {
    Policy { capacity, ..Policy::default() }
}

/// A table for messages of two marks.
fn table(capacity: u32) -> ReplayTable {
    ReplayTable::new(&Keys::new("g"), "partner", policy(capacity), 2)
}

struct Case {
    store: MemoryStore,
    table: ReplayTable,
}

impl Case {
    fn new(capacity: u32) -> Self {
        Self { store: MemoryStore::default(), table: table(capacity) }
    }

    fn claim(&mut self, seconds: u64, marks: &[u64]) -> Seen {
        self.table.claim(&mut self.store, at(seconds), &marks.to_vec()).unwrap()
    }

    /// A claim that must be granted.
    fn granted(&mut self, seconds: u64, marks: &[u64]) -> MessageClaim {
        match self.claim(seconds, marks) {
            Seen::Never(claim) => claim,
            seen => panic!("{seen:?}"),
        }
    }

    fn commit(&mut self, claim: MessageClaim) {
        self.table.commit(&mut self.store, &claim).unwrap();
    }

    fn release(&mut self, claim: MessageClaim) {
        self.table.release(&mut self.store, &claim).unwrap();
    }
}

/// A message is in progress until it is done, and then done for its time.
#[test]
fn message_is_in_progress_then_done_for_its_time() {
    let mut case = Case::new(1000);
    let claim = case.granted(0, &[1, 2]);
    assert_eq!(case.claim(1, &[1, 2]), Seen::InProgress);
    case.commit(claim);
    assert_eq!(case.claim(2, &[1, 2]), Seen::Done);
    assert_eq!(case.claim(899, &[1, 2]), Seen::Done);
    case.granted(901, &[1, 2]);
}

#[test]
fn a_message_that_was_not_taken_may_come_again() {
    let mut case = Case::new(1000);
    for second in 0..3 {
        let claim = case.granted(second, &[1, 2]);
        case.release(claim);
    }
    let claim = case.granted(4, &[1, 2]);
    case.commit(claim);
    assert_eq!(case.claim(5, &[1, 2]), Seen::Done);
}

#[test]
fn either_mark_alone_is_the_message() {
    for (other, marks) in [("another id", [1, 3]), ("another signature", [3, 2])] {
        let mut case = Case::new(1000);
        let claim = case.granted(0, &[1, 2]);
        assert_eq!(case.claim(1, &marks), Seen::InProgress, "{other}");
        case.commit(claim);
        assert_eq!(case.claim(2, &marks), Seen::Done, "{other}");
        case.granted(3, &[5, 6]);
    }
}

/// A message that was signed afresh, and recognised by its id, is known by the new signature too.
#[test]
fn new_signature_of_a_known_id_is_remembered_too() {
    let mut case = Case::new(1000);
    let claim = case.granted(0, &[1, 9]);
    assert_eq!(case.claim(1, &[2, 9]), Seen::InProgress);
    assert_eq!(case.claim(2, &[2, 8]), Seen::InProgress, "under another id");
    case.commit(claim);
    assert_eq!(case.claim(3, &[3, 9]), Seen::Done);
    for again in [[2, 7], [3, 7]] {
        assert_eq!(case.claim(4, &again), Seen::Done);
    }
    // When the other message is not taken, the marks that lead to it are free as well.
    let claim = case.granted(5, &[11, 19]);
    assert_eq!(case.claim(6, &[12, 19]), Seen::InProgress);
    case.release(claim);
    case.granted(7, &[12, 18]);
}

#[test]
fn marks_that_are_alike_are_one() {
    let mut case = Case::new(1000);
    let claim = case.granted(0, &[1, 1, 2, 1, 2]);
    case.commit(claim);
    assert_eq!(case.claim(1, &[2, 2]), Seen::Done);
}

#[test]
fn a_mark_that_pointed_to_a_message_that_was_not_taken_is_free() {
    let mut case = Case::new(1000);
    let claim = case.granted(0, &[1, 9]);
    case.release(claim);
    // Signed afresh, under the same id.
    let claim = case.granted(1, &[2, 9]);
    assert_eq!(case.claim(2, &[1, 9]), Seen::InProgress);
    case.commit(claim);
    assert_eq!(case.claim(3, &[1, 9]), Seen::Done);
    assert_eq!(case.claim(3, &[1]), Seen::Done);
}

/// A mark that led to a message that was not taken does not lead to the next one.
#[test]
fn mark_of_a_released_message_is_not_the_next_ones() {
    // The table is one bucket, and all happens in one second.
    let mut case = Case::new(30);
    let claim = case.granted(0, &[1, 9]);
    assert_eq!(case.claim(0, &[2, 9]), Seen::InProgress);
    case.release(claim);
    let next = case.granted(0, &[5, 6]);
    let again = case.granted(0, &[2, 9]);
    case.commit(next);
    case.commit(again);
    assert_eq!(case.claim(0, &[2]), Seen::Done);
}

/// A claim whose worker died lapses, and its late end changes nothing.
#[test]
fn dead_workers_claim_lapses_and_its_late_end_is_ignored() {
    let mut case = Case::new(1000);
    let lost = case.granted(0, &[1, 2]);
    assert_eq!(case.claim(CLAIM_MAX.as_secs() - 1, &[1, 2]), Seen::InProgress);
    let second = case.granted(CLAIM_MAX.as_secs(), &[1, 2]);
    case.release(lost.clone());
    assert_eq!(case.claim(CLAIM_MAX.as_secs() + 1, &[1, 2]), Seen::InProgress);
    case.commit(second);
    case.commit(lost);
    assert_eq!(case.claim(CLAIM_MAX.as_secs() + 2, &[1, 2]), Seen::Done);
}

#[test]
fn a_short_time_is_kept_too_and_counts_from_the_arrival() {
    let mut case = Case::new(1000);
    case.table =
        ReplayTable::new(&Keys::new("g"), "partner", Policy { ttl: Duration::from_secs(60), ..policy(1000) }, 2);
    let claim = case.granted(0, &[1, 2]);
    case.commit(claim);
    assert_eq!(case.claim(59, &[1, 2]), Seen::Done);
    case.granted(61, &[1, 2]);
}

#[test]
fn a_time_of_fractions_of_a_second_is_not_cut_short() {
    let mut store = MemoryStore::default();
    let table =
        ReplayTable::new(&Keys::new("g"), "partner", Policy { ttl: Duration::from_millis(1500), ..policy(1000) }, 1);
    let at = |millis: u64| at(0).plus(Duration::from_millis(millis));
    for came in [0, 1, 500, 999] {
        let message = vec![came];
        let Seen::Never(claim) = table.claim(&mut store, at(came), &message).unwrap() else { panic!("{came}") };
        table.commit(&mut store, &claim).unwrap();
        assert_eq!(table.claim(&mut store, at(came + 1499), &message), Ok(Seen::Done), "{came}");
        assert!(matches!(table.claim(&mut store, at(came + 3000), &message), Ok(Seen::Never(_))), "{came}");
    }
}

#[test]
fn each_bucket_of_the_largest_table_has_a_number_of_its_own() {
    assert!(table(CAPACITY_MAX).buckets <= u32::from(u16::MAX) + 1);
}

/// A small table holds as many messages as it says, and frees the room of those that are forgotten.
#[test]
fn small_table_holds_its_capacity_and_frees_the_forgotten() {
    let mut case = Case::new(3);
    for message in 0..3 {
        let claim = case.granted(10 * message, &[100 + message, 200 + message]);
        case.commit(claim);
    }
    assert_eq!(case.claim(30, &[1, 2]), Seen::Full);
    assert_eq!(case.claim(30, &[100, 200]), Seen::Done, "what it holds it knows");
    case.granted(901, &[1, 2]);
    assert_eq!(case.claim(901, &[3, 4]), Seen::Full);
}

#[test]
fn messages_that_were_not_taken_leave_no_room_taken() {
    let mut case = Case::new(1);
    for message in 0..20 {
        let claim = case.granted(message, &[100 + message, 200 + message]);
        case.release(claim);
    }
    case.granted(20, &[1, 2]);
    assert_eq!(case.claim(21, &[3, 4]), Seen::Full);
}

#[test]
fn a_table_of_another_version_is_left_alone_and_nothing_passes() {
    let mut case = Case::new(3);
    for bytes in [&[][..], &[2], &[VERSION, 0], &[0xff; 25]] {
        case.store.set("g/replay/partner/0", bytes, None).unwrap();
        let seen = case.table.claim(&mut case.store, at(0), &vec![1]);
        assert_eq!(seen, Err(StoreError::UnknownFormat), "{bytes:?}");
    }
    case.store.values.clear();
    case.store.refuse_sets = true;
    assert_eq!(case.table.claim(&mut case.store, at(0), &vec![1]), Err(StoreError::Host(10)));
}

/// A number such as a hash gives, whose bits no signer chooses: the finaliser of SplitMix64.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// 250,000 messages of a signature and an id, in such a pace that 100,000 are remembered at any time. Prints what the
/// table took.
#[test]
fn large_table_forgets_no_message_too_early() {
    const MESSAGES: u64 = 250_000;
    let mut case = Case::new(100_000);
    let marks = |n: u64| [2 * n, 2 * n + 1].map(mixed);
    let second = |n: u64| n * 900 / 100_000;
    let mut sizes = Vec::new();
    for n in 0..MESSAGES {
        let claim = case.granted(second(n), &marks(n));
        case.commit(claim);
        // A message that came at any time before is known by its signature or by its id.
        let earlier = (n * 7919) % (n + 1);
        if second(n) - second(earlier) < 900 {
            let [signature, id] = marks(earlier);
            // Now and then it comes with another id or signature, which takes an entry of its own.
            let other = mixed(!n);
            let again = match n % 256 {
                0 => vec![signature, other],
                1 => vec![other, id],
                n if n % 2 == 0 => vec![signature],
                _ => vec![id],
            };
            assert_eq!(case.claim(second(n), &again), Seen::Done, "message {earlier} at the time of {n}");
        }
        if n % 50_000 == 49_999 {
            let bytes = case.store.values.iter().map(|(key, (value, _))| key.len() + value.len()).sum::<usize>();
            sizes.push((case.store.values.len(), bytes));
        }
    }
    println!("keys and bytes after each 50,000 messages: {sizes:?}");
    let (keys, bytes) = sizes[2];
    assert!(keys <= 6250 && bytes < 4_000_000, "{keys} keys, {bytes} bytes");
    for (later_keys, later_bytes) in &sizes[3..] {
        assert!(*later_keys == keys && later_bytes.abs_diff(bytes) < bytes / 50, "{sizes:?}");
    }
}

/// Of two workers that begin in one bucket at once neither takes the other's claim for its own.
#[test]
fn racing_claims_in_one_bucket_are_not_confused() {
    let table = table(30);
    let mut meddle = |store: &mut MemoryStore| {
        assert!(matches!(table.claim(store, at(1), &vec![1, 9]), Ok(Seen::Never(_))));
    };
    // The other worker acts between the read and the write of this one.
    let mut meddled = Meddled { store: MemoryStore::default(), calls_left: 1, meddle: Some(&mut meddle) };
    assert_eq!(table.claim(&mut meddled, at(1), &vec![9]), Ok(Seen::InProgress));
}

/// Shared data in which another worker acts once, just before a certain call.
struct Meddled<'a> {
    store: MemoryStore,
    calls_left: u32,
    meddle: Option<&'a mut dyn FnMut(&mut MemoryStore)>,
}

impl Meddled<'_> {
    fn count(&mut self) {
        if self.calls_left == 0
            && let Some(meddle) = self.meddle.take()
        {
            meddle(&mut self.store);
        }
        self.calls_left = self.calls_left.saturating_sub(1);
    }
}

impl SharedStore for Meddled<'_> {
    fn get(&mut self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError> {
        self.count();
        self.store.get(key)
    }

    fn set(&mut self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<(), StoreError> {
        self.count();
        self.store.set(key, value, cas)
    }
}

proptest! {
    /// One worker's claim falls at any moment of another's. Either worker may have the whole message or one mark of it,
    /// and a third worker may have claimed and released the message before them.
    #[test]
    fn of_two_workers_with_one_message_one_gets_it(
        moment in 0u32..12, mine in 0usize..6, theirs in 0usize..6, before in prop::option::of(0usize..6),
        capacity in prop::sample::select(vec![30, 1000]),
    ) {
        let forms = [vec![1, 9], vec![2, 9], vec![1, 8], vec![1, 2, 9], vec![9], vec![9, 3]];
        let shares = |a: &Marks, b: &Marks| a.iter().any(|mark| b.contains(mark));
        prop_assume!(shares(&forms[mine], &forms[theirs]));
        let table = table(capacity);
        let mut store = MemoryStore::default();
        if let Some(before) = before {
            let Seen::Never(claim) = table.claim(&mut store, at(0), &forms[before]).unwrap() else { panic!() };
            table.release(&mut store, &claim).unwrap();
        }
        let mut other = None;
        let mut meddle = |store: &mut MemoryStore| other = Some(table.claim(store, at(1), &forms[theirs]).unwrap());
        let mut meddled = Meddled { store, calls_left: moment, meddle: Some(&mut meddle) };
        let own = table.claim(&mut meddled, at(1), &forms[mine]).unwrap();
        let mut store = meddled.store;
        let other = other.unwrap_or_else(|| table.claim(&mut store, at(1), &forms[theirs]).unwrap());
        let granted = [&own, &other].iter().filter(|seen| matches!(seen, Seen::Never(_))).count();
        prop_assert_eq!(granted, 1, "{:?} and {:?}", own, other);
    }

    #[test]
    fn the_table_does_what_a_list_of_messages_would(
        steps in prop::collection::vec((0u64..12, 0u64..4, 0u64..4, 0u8..3), 1..60),
    ) {
        let mut case = Case::new(1000);
        let (mut now, mut done) = (0, Vec::<(u64, BTreeSet<u64>)>::new());
        for (wait, signature, id, end) in steps {
            now += 1 + wait * 40;
            let marks = BTreeSet::from([signature, 100 + id]);
            done.retain(|(since, _)| now - since < 900);
            let known = done.iter().any(|(_, other)| !other.is_disjoint(&marks));
            let is_signature_known = done.iter().any(|(_, other)| other.contains(&signature));
            match case.claim(now, &[signature, 100 + id]) {
                Seen::Never(claim) => {
                    prop_assert!(!known);
                    if end == 0 {
                        case.commit(claim);
                        done.push((now, marks));
                    } else {
                        case.release(claim);
                    }
                }
                seen => {
                    prop_assert!(known && seen == Seen::Done, "{:?}", seen);
                    // The message with that id is known by this signature, too, from now on.
                    let other = done.iter_mut().find(|(_, other)| other.contains(&(100 + id)));
                    if let (Some((_, other)), false) = (other, is_signature_known) {
                        other.insert(signature);
                    }
                }
            }
        }
    }
}
