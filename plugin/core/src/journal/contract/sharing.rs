//! The rules of what a fleet shares: documents and idempotency keys.

use super::Rule;
use super::bench::{Bench, TestedStore, append, segment, writer};
use crate::journal::operation::{Document, EntryKey, Operation, Outcome, Page, Revision, StoredSegment};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("a document is changed from the revision that it has", document_is_changed_from_its_revision),
    ("documents are read that have changed since", documents_are_read_that_have_changed),
    ("an idempotency key is claimed with one event", key_is_claimed_with_one_event),
    ("what is remembered of a key is settled", key_is_settled),
    ("a segment whose key is claimed is not made void", segment_with_its_key_is_not_made_void),
    ("what is tidied loses nothing", tidying_loses_nothing),
];

const NAME: [u8; 16] = [7; 16];

fn stored(name: &str, revision: Revision, bytes: &str) -> Operation {
    Operation::Store { name: name.to_owned(), revision, bytes: bytes.into() }
}

/// Writes a document, and returns its revision.
#[track_caller]
fn store_document(bench: &mut Bench<'_>, name: &str, revision: Revision, bytes: &str) -> Revision {
    match bench.ask(0, &stored(name, revision, bytes)) {
        Outcome::Stored(next) => next,
        other => panic!("{other:?}"),
    }
}

/// The documents that have changed since a revision, and the revision up to which they are known.
#[track_caller]
fn documents(bench: &mut Bench<'_>, since: Revision) -> (Vec<(String, Revision, String)>, Revision) {
    let Outcome::Documents { changed, until } = bench.ask(1, &Operation::Documents { since }) else {
        panic!("it reads documents")
    };
    let shown = |Document { name, revision, bytes }| (name, revision, String::from_utf8_lossy(&bytes).into_owned());
    (changed.into_iter().map(shown).collect(), until)
}

fn document_is_changed_from_its_revision(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    let first = store_document(&mut bench, "state", 0, "a");
    bench.is(1, &stored("state", 0, "b"), Outcome::Conflict);
    let second = store_document(&mut bench, "state", first, "c");
    assert!(second > first, "{second} after {first}");
    bench.is(1, &stored("state", first, "d"), Outcome::Conflict);
    // An earlier try has written it.
    bench.is(0, &stored("state", first, "c"), Outcome::Stored(second));
    assert_eq!(documents(&mut bench, 0).0, [("state".to_owned(), second, "c".to_owned())]);
}

fn documents_are_read_that_have_changed(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    assert_eq!(documents(&mut bench, 0).0, []);
    let first = store_document(&mut bench, "endpoint/a", 0, "1");
    let (_, known) = documents(&mut bench, 0);
    assert!(known >= first, "{known} from {first}");
    assert_eq!(documents(&mut bench, known).0, []);
    let other = store_document(&mut bench, "endpoint/b", 0, "2");
    let second = store_document(&mut bench, "endpoint/a", first, "3");
    let [a, b] = [("a", second, "3"), ("b", other, "2")]
        .map(|(name, revision, bytes)| (format!("endpoint/{name}"), revision, bytes.to_owned()));
    let (mut changed, until) = documents(&mut bench, known);
    changed.sort_unstable();
    assert_eq!(changed, [a.clone(), b]);
    assert!(until >= second, "{until} from {second}");
    assert_eq!((documents(&mut bench, other).0, documents(&mut bench, until).0), (vec![a], vec![]));
}

/// Appends a segment whose event has the idempotency key.
fn keyed(gateway: usize, seq: u64, bytes: &str, from: Revision) -> Operation {
    let key = Some(EntryKey { name: NAME, bytes: bytes.into(), from });
    Operation::Append { segment: segment(gateway, seq), bytes: bytes.into(), finished: Vec::new(), key }
}

/// The revision and the bytes of what is remembered of the key, as it is told to an event that has it, too.
#[track_caller]
fn taken(bench: &mut Bench<'_>, append: &Operation) -> (Revision, String) {
    match bench.ask(1, append) {
        Outcome::KeyTaken { revision, bytes } => (revision, String::from_utf8_lossy(&bytes).into_owned()),
        other => panic!("{other:?}"),
    }
}

fn key_is_claimed_with_one_event(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &Operation::KeepKeys);
    bench.applied(1, &Operation::KeepKeys);
    bench.repeated(0, &keyed(0, 0, "a", 0), Outcome::Already);
    let (revision, bytes) = taken(&mut bench, &keyed(1, 0, "b", 0));
    assert_eq!((bytes.as_str(), bench.segments(1)), ("a", vec![]));
    // Whoever has seen what is remembered may put something else in its place.
    bench.applied(1, &keyed(1, 0, "b", revision));
    let (next, bytes) = taken(&mut bench, &keyed(1, 1, "c", revision));
    assert!(next > revision && bytes == "b", "{next} {bytes}");
    assert_eq!((bench.segments(0).len(), bench.segments(1).len()), (1, 1));
    // An event without the key has nothing to do with it.
    bench.applied(1, &append(1, 1, "c"));
}

fn key_is_settled(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &Operation::KeepKeys);
    bench.applied(0, &keyed(0, 0, "a", 0));
    let (first, _) = taken(&mut bench, &keyed(1, 0, "b", 0));
    bench.applied(0, &Operation::Settle { name: NAME, bytes: Some(b"answer".to_vec()) });
    let (settled, bytes) = taken(&mut bench, &keyed(1, 0, "b", first));
    assert!(settled > first && bytes == "answer", "{settled} {bytes}");
    bench.applied(0, &Operation::Settle { name: NAME, bytes: None });
    assert_eq!(taken(&mut bench, &keyed(1, 0, "b", settled)), (0, String::new()));
    bench.applied(1, &keyed(1, 0, "b", 0));
    // What is remembered is no segment.
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), None)]);
}

fn segment_with_its_key_is_not_made_void(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &Operation::KeepKeys);
    bench.applied(1, &Operation::KeepKeys);
    let void = |gateway, seq| Operation::Void { segment: segment(gateway, seq), has_key: true };
    bench.applied(0, &keyed(0, 0, "a", 0));
    let stands = StoredSegment { seq: 0, bytes: b"a".to_vec(), progress: None };
    bench.is(0, &void(0, 0), Outcome::Page(Page { segments: vec![stands], has_more: false }));
    assert_eq!(taken(&mut bench, &keyed(1, 0, "b", 0)).1, "a");
    // One that was not appended is void, whenever it comes, and has not claimed its key.
    let late = bench.call(0, &keyed(0, 1, "late", 0));
    bench.applied(0, &void(0, 1));
    bench.is(0, &void(0, 1), Outcome::Already);
    bench.carry(&late);
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), None), (1, String::new(), None)]);
    assert_eq!(taken(&mut bench, &keyed(1, 0, "b", 0)).1, "a");
    bench.lapse(0);
    bench.fenced(0, &void(0, 0));
}

fn tidying_loses_nothing(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    for seq in 0..3 {
        bench.applied(0, &append(0, seq, "a"));
        bench.applied(0, &Operation::Tidy);
        bench.applied(1, &Operation::Tidy);
    }
    let revision = store_document(&mut bench, "state", 0, "a");
    (0..2).for_each(|_| bench.applied(0, &Operation::Tidy));
    assert_eq!((bench.segments(0).len(), documents(&mut bench, revision - 1).0.len()), (3, 1));
    assert_eq!(bench.survey().alive.first().map(|(alive, _)| *alive), Some(writer(0)));
}
