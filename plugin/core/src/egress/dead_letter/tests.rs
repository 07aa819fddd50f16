use proptest::prelude::*;

use super::index::endpoint_number;
use super::*;
use crate::ids::EventId;
use crate::store::memory::MemoryStore;
use crate::store::recorded::{assert_old_is_read, assert_recorded};

fn room(letters: u32, bytes: u64) -> Room {
    Room { letters, bytes }
}

fn letter(id: u8) -> Letter {
    Letter {
        meta: EventMeta {
            id: EventId::from_random([id; 16]),
            event_type: "a".into(),
            content_type: None,
            traceparent: None,
            tracestate: None,
            content_encoding: None,
        },
        endpoint: "billing".into(),
        reason: Reason::Failed,
        attempts: 3,
        response_status: Some(503),
        accepted: WallTime::from_millis(1),
        died: WallTime::from_millis(2),
    }
}

/// The letters that the index lists, oldest first.
fn listed(store: &mut MemoryStore) -> Vec<(Letter, Vec<u8>)> {
    list(store, &Keys::new("g"))
        .unwrap()
        .into_iter()
        .map(|letter| open(store, &Keys::new("g"), letter).unwrap().unwrap())
        .collect()
}

#[test]
fn a_letter_that_is_taken_out_leaves_the_others() {
    let mut store = MemoryStore::default();
    for id in 0..3 {
        keep(&mut store, &Keys::new("g"), &letter(id), b"body", Arrival::Died, room(10, 10_000)).unwrap();
    }
    let second = list(&mut store, &Keys::new("g")).unwrap()[1];
    discard(&mut store, &Keys::new("g"), &[second]).unwrap();
    assert_eq!(listed(&mut store).into_iter().map(|(letter, _)| letter).collect::<Vec<_>>(), [letter(0), letter(2)]);
    assert_eq!(open(&mut store, &Keys::new("g"), second), Ok(None));
}

/// Taking out a letter that has gone does not touch the one in its place.
#[test]
fn removing_a_gone_letter_spares_its_successor() {
    let mut store = MemoryStore::default();
    keep(&mut store, &Keys::new("g"), &letter(0), b"", Arrival::Died, room(1, 10_000)).unwrap();
    let gone = list(&mut store, &Keys::new("g")).unwrap()[0];
    keep(&mut store, &Keys::new("g"), &letter(1), b"", Arrival::Died, room(1, 10_000)).unwrap();
    discard(&mut store, &Keys::new("g"), &[gone]).unwrap();
    assert_eq!(listed(&mut store), [(letter(1), Vec::new())]);
}

/// An entry that was listed before another letter took its slot does not give that letter.
#[test]
fn letter_in_a_reused_slot_is_not_the_one_listed() {
    let (mut store, keys) = (MemoryStore::default(), Keys::new("g"));
    keep(&mut store, &keys, &letter(0), b"one", Arrival::Died, room(1, 10_000)).unwrap();
    let stale = list(&mut store, &keys).unwrap()[0];
    assert!(open_listed(&mut store, &keys, stale).unwrap().is_some());
    keep(&mut store, &keys, &letter(1), b"longer", Arrival::Died, room(1, 10_000)).unwrap();
    assert_eq!(open(&mut store, &keys, stale), Ok(None));
    keep(&mut store, &keys, &letter(2), b"two", Arrival::Died, room(1, 10_000)).unwrap();
    assert_eq!(open_listed(&mut store, &keys, stale), Ok(None), "of the same size, and not listed");
}

#[test]
fn a_letter_keeps_its_body() {
    let mut store = MemoryStore::default();
    assert_eq!(
        keep(&mut store, &Keys::new("g"), &letter(1), b"body", Arrival::Died, room(10, 10_000)),
        Ok(Kept { serial: 1, evicted: 0 })
    );
    assert_eq!(listed(&mut store), vec![(letter(1), b"body".to_vec())]);
}

/// A dead endpoint fills the ring, and then only takes its own letters' places; another endpoint's letter stays, and
/// is given room when it comes.
#[test]
fn dead_endpoint_leaves_the_letters_of_others() {
    let mut store = MemoryStore::default();
    let keys = Keys::new("g");
    let mut number = 0_u128;
    let mut keep = |endpoint: &str, room| {
        number += 1;
        let mut letter = Letter { endpoint: endpoint.into(), ..letter(1) };
        letter.meta.id = EventId::from_random(number.to_be_bytes());
        keep(&mut store, &keys, &letter, &[0; 100], Arrival::Died, room).unwrap().evicted
    };
    keep("quiet", room(1000, 1 << 20));
    (0..1040).for_each(|_| assert!(keep("dead", room(1000, 1 << 20)) <= 1));
    assert_eq!(keep("quiet", room(1000, 1 << 20)), 1);
    // The same by bytes: four letters fit.
    (0..10).for_each(|_| _ = keep("dead", room(1000, 600)));
    let kept: Vec<_> = listed(&mut store).into_iter().map(|(letter, _)| letter.endpoint).collect();
    assert_eq!(kept, ["quiet", "quiet", "dead", "dead"]);
}

/// A delivery that was taken over and died again is one letter: as it stands now.
#[test]
fn a_delivery_that_dies_again_is_one_letter() {
    let (mut store, keys) = (MemoryStore::default(), Keys::new("g"));
    keep(&mut store, &keys, &letter(1), b"once", Arrival::Died, room(10, 10_000)).unwrap();
    let again = keep(&mut store, &keys, &letter(1), b"again", Arrival::Died, room(10, 10_000)).unwrap();
    assert_eq!(again, Kept { serial: 2, evicted: 0 });
    assert_eq!(listed(&mut store), vec![(letter(1), b"again".to_vec())]);
}

#[test]
fn when_the_ring_is_full_the_oldest_goes_and_is_counted() {
    let mut store = MemoryStore::default();
    let evicted: Vec<_> = (0..5)
        .map(|id| keep(&mut store, &Keys::new("g"), &letter(id), b"", Arrival::Died, room(3, 10_000)).unwrap().evicted)
        .collect();
    assert_eq!(evicted, [0, 0, 0, 1, 1]);
    let kept: Vec<_> = listed(&mut store).into_iter().map(|(letter, _)| letter).collect();
    assert_eq!(kept, [letter(2), letter(3), letter(4)]);
}

proptest! {
    /// Neither the number nor the bytes nor the keys pass their limits.
    #[test]
    fn letters_stay_within_number_bytes_and_keys(
        sizes in proptest::collection::vec(0usize..400, 0..60), most in 1u32..8, bytes in 500u64..2000,
    ) {
        let mut store = MemoryStore::default();
        for (id, size) in sizes.iter().enumerate() {
            keep(&mut store, &Keys::new("g"), &letter(id as u8), &vec![0; *size], Arrival::Died, room(most, bytes)).unwrap();
            let stored = |(key, (value, _)): (&String, &(Vec<u8>, _))| (key != "g/dead/index").then_some(value.len());
            let total: usize = store.values.iter().filter_map(stored).filter(|len| *len > 1).sum();
            prop_assert!(total as u64 <= bytes);
            prop_assert!(store.values.len() <= most as usize + 1);
            prop_assert_eq!(listed(&mut store).last().map(|(l, p)| (l.meta.id, p.len())),
                Some((letter(id as u8).meta.id, *size)));
        }
    }
}

/// Letters are read and written as the previous release wrote them.
#[test]
fn letter_format_matches_previous_release() {
    let reasons = [Reason::Failed, Reason::Expired, Reason::Overflow, Reason::EndpointRemoved, Reason::Poison];
    for reason in reasons {
        assert_recorded(&format!("letter {}", reason.label()), &Letter { reason, ..letter(7) });
    }
    assert_recorded("letter unanswered", &Letter { response_status: None, attempts: 1000, ..letter(0) });
    let mut coded = letter(7);
    coded.meta.content_encoding = Some(b"gzip".to_vec());
    assert_recorded("letter coded", &coded);
}

/// The indexes of the previous releases are read, and that of this one is written as it was recorded.
#[test]
fn index_of_the_previous_release_is_read() {
    let index = |endpoint, name, died, is_shared| {
        let first = Listed { slot: 0, size: 127, serial: 1, endpoint, name, died, is_shared };
        let gone = if is_shared { vec![name] } else { Vec::new() };
        let letters = vec![first, Listed { slot: u32::MAX, size: u64::MAX, serial: 128, ..first }];
        LetterIndex { letters, serial: 300, gone }
    };
    let billing = endpoint_number("billing");
    let died = WallTime::from_millis(1_700_000_000_000);
    assert_recorded("dead index 3", &index(billing, name_of("a.billing"), died, true));
    assert_recorded("dead index 3 empty", &LetterIndex::default());
    assert_old_is_read("dead index 2", &index(billing, 0, WallTime::default(), false));
    assert_old_is_read("dead index 2 empty", &LetterIndex::default());
    assert_old_is_read("dead index", &index(0, 0, WallTime::default(), false));
    assert_old_is_read("dead index empty", &LetterIndex::default());
}

/// A letter of a time.
fn at(id: u8, millis: u64) -> Letter {
    Letter { died: WallTime::from_millis(millis), ..letter(id) }
}

fn count(store: &mut MemoryStore) -> usize {
    listed(store).len()
}

/// The names that are to leave the journal.
fn gone(store: &mut MemoryStore) -> Vec<u64> {
    index(store, &Keys::new("g")).unwrap().gone
}

/// Letters of other gateways stand among one's own by the times of their deaths, and the oldest goes at every gateway.
#[test]
fn the_same_letter_goes_whatever_the_order_of_arrival() {
    let letters = [at(1, 10), at(2, 20), at(3, 30), at(4, 40)];
    let (keys, of_three) = (Keys::new("g"), room(3, 10_000));
    let kept: Vec<_> = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]
        .into_iter()
        .map(|order| {
            let mut store = MemoryStore::default();
            for letter in order.map(|number| &letters[number]) {
                keep(&mut store, &keys, letter, b"", Arrival::Shared, of_three).unwrap();
            }
            assert_eq!(gone(&mut store), [name_of(&letters[0].delivery())]);
            listed(&mut store).into_iter().map(|(letter, _)| letter).collect::<Vec<_>>()
        })
        .collect();
    assert!(kept.iter().all(|kept| *kept == letters[1..]), "{kept:?}");
}

/// A letter that the ring has is not put in twice, and one that was discarded comes back neither.
#[test]
fn a_shared_letter_is_kept_once_and_not_after_its_end() {
    let (mut store, keys, large) = (MemoryStore::default(), Keys::new("g"), room(10, 10_000));
    keep(&mut store, &keys, &letter(1), b"", Arrival::Shared, large).unwrap();
    keep(&mut store, &keys, &letter(1), b"", Arrival::Shared, large).unwrap();
    assert_eq!(keep(&mut store, &keys, &letter(1), b"", Arrival::TakenOver, large), Ok(Kept { serial: 1, evicted: 0 }));
    let only = list(&mut store, &keys).unwrap();
    assert_eq!((only.len(), gone(&mut store).len()), (1, 0));
    discard(&mut store, &keys, &only).unwrap();
    keep(&mut store, &keys, &letter(1), b"", Arrival::Shared, large).unwrap();
    assert_eq!((count(&mut store), gone(&mut store).len()), (0, 1));
    forget_gone(&mut store, &keys, &BTreeSet::from([name_of(&letter(1).delivery())])).unwrap();
    keep(&mut store, &keys, &letter(1), b"", Arrival::Shared, large).unwrap();
    assert_eq!((count(&mut store), gone(&mut store).len()), (1, 0));
}

/// What leaves the ring leaves the journal if the journal has it, or is just getting it; not what left the journal first.
#[test]
fn only_what_the_journal_has_is_to_leave_it() {
    let (mut store, keys, large) = (MemoryStore::default(), Keys::new("g"), room(10, 10_000));
    for id in 0..4 {
        keep(&mut store, &keys, &letter(id), b"", Arrival::Died, large).unwrap();
    }
    let all = list(&mut store, &keys).unwrap();
    note_shared(&mut store, &keys, &[(all[0].serial, all[0].name), (all[1].serial, all[1].name)]).unwrap();
    discard(&mut store, &keys, &all[..1]).unwrap();
    drop_shared(&mut store, &keys, &all[1..2]).unwrap();
    discard(&mut store, &keys, &all[2..3]).unwrap();
    assert_eq!(gone(&mut store), [all[0].name]);
    note_shared(&mut store, &keys, &[(all[2].serial, all[2].name)]).unwrap();
    assert_eq!(gone(&mut store), [all[0].name, all[2].name]);
}

/// A letter whose delivery has died once more takes the place of the one before, and is news for the journal.
#[test]
fn a_letter_that_died_again_replaces_the_one_before() {
    let (mut store, keys, large) = (MemoryStore::default(), Keys::new("g"), room(10, 10_000));
    keep(&mut store, &keys, &letter(1), b"", Arrival::Shared, large).unwrap();
    let again = Letter { attempts: 9, ..letter(1) };
    let Kept { serial, evicted: 0 } = keep(&mut store, &keys, &again, b"", Arrival::Died, large).unwrap() else {
        panic!()
    };
    assert_eq!(listed(&mut store), [(again.clone(), Vec::new())]);
    assert_eq!(gone(&mut store), [name_of(&again.delivery())]);
    note_shared(&mut store, &keys, &[(serial, name_of(&again.delivery()))]).unwrap();
    assert_eq!(gone(&mut store), [0u64; 0]);
}

/// A letter that has no room here at all is left to the gateways that have it.
#[test]
fn a_letter_larger_than_the_ring_stays_in_the_journal() {
    let (mut store, keys) = (MemoryStore::default(), Keys::new("g"));
    keep(&mut store, &keys, &letter(1), &[0; 500], Arrival::Shared, room(10, 300)).unwrap();
    assert_eq!((count(&mut store), gone(&mut store).len()), (0, 0));
}
