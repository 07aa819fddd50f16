//! The rules of notes, of claims on dead writers, and of who may change whose segments.

use super::Rule;
use super::bench::{Bench, TestedStore, append, claim, close, delete, note, release, writer};
use crate::journal::operation::Outcome;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("a note tells of segments and of its writer", note_tells_of_segments_and_writer),
    ("a note that is asked again counts once", repeated_note_counts_once),
    ("a late note is passed over", late_note_is_passed_over),
    ("only the owner or its claimer notes and deletes", only_owner_or_claimer_changes_segments),
    ("a late note of a claim is passed over", late_note_of_a_claim_is_passed_over),
    ("a writer that is alive is not claimed", living_writer_is_not_claimed),
    ("a dead writer has one claimer", dead_writer_has_one_claimer),
    ("a claim ends with its claimer", claim_ends_with_its_claimer),
    ("a claim that is given up leaves everything", claim_given_up_leaves_everything),
    ("a dead writer that is done is forgotten", dead_writer_that_is_done_is_forgotten),
];

fn note_tells_of_segments_and_writer(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    (0..3).for_each(|seq| bench.applied(0, &append(0, seq, "a")));
    bench.applied(0, &note(0, 0, &[(0, "first"), (1, "first")], &[]));
    let told = note(0, 0, &[(1, "second")], &[0]);
    bench.applied(0, &told);
    assert_eq!(bench.segments(0), [(1, "a".to_owned(), Some("second".to_owned())), (2, "a".to_owned(), None)]);
    assert_eq!(bench.survey().alive, [(writer(0), b"noted [(1, \"second\")]".to_vec())]);
    // It is deleted with its progress, which the next segment under the number would have.
    bench.applied(0, &delete(0, 0, &[1, 2]));
    assert_eq!(bench.segments(0), []);
    bench.applied(0, &append(0, 1, "b"));
    assert_eq!(bench.segments(0), [(1, "b".to_owned(), None)]);
}

fn repeated_note_counts_once(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    bench.applied(0, &append(0, 0, "a"));
    for progress in ["first", "second"] {
        bench.repeated(0, &note(0, 0, &[(0, progress)], &[]), Outcome::Already);
        bench.applied(0, &note(0, 0, &[(0, "between")], &[]));
    }
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), Some("between".to_owned()))]);
}

fn late_note_is_passed_over(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    bench.applied(0, &append(0, 0, "a"));
    let first = note(0, 0, &[(0, "first")], &[]);
    let late = bench.call(0, &first);
    bench.applied(0, &first);
    bench.carry(&late);
    bench.applied(0, &note(0, 0, &[(0, "second")], &[]));
    bench.carry(&late);
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), Some("second".to_owned()))]);
    bench.applied(0, &note(0, 0, &[], &[0]));
    bench.carry(&late);
    assert_eq!(bench.segments(0), []);
}

fn only_owner_or_claimer_changes_segments(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &append(0, 0, "a"));
    bench.applied(0, &append(0, 1, "b"));
    let refused = |bench: &mut Bench<'_>, gateway| {
        bench.fenced(gateway, &note(gateway, 0, &[(0, "not mine")], &[1]));
        bench.fenced(gateway, &delete(gateway, 0, &[0, 1]));
        assert_eq!(bench.segments(0).len(), 2);
    };
    refused(&mut bench, 1);
    bench.applied(0, &close(0));
    refused(&mut bench, 0);
    refused(&mut bench, 1);
    bench.applied(1, &claim(1, 0));
    refused(&mut bench, 0);
    bench.applied(1, &note(1, 0, &[(1, "mine")], &[]));
    bench.applied(1, &delete(1, 0, &[0]));
    assert_eq!(bench.segments(0), [(1, "b".to_owned(), Some("mine".to_owned()))]);
    bench.applied(1, &release(1, 0, false));
    bench.fenced(1, &note(1, 0, &[(1, "not mine any more")], &[]));
    bench.fenced(1, &delete(1, 0, &[1]));
    assert_eq!(bench.segments(0), [(1, "b".to_owned(), Some("mine".to_owned()))]);
}

fn late_note_of_a_claim_is_passed_over(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &append(0, 0, "a"));
    bench.applied(0, &close(0));
    bench.applied(1, &claim(1, 0));
    bench.repeated(1, &note(1, 0, &[(0, "first")], &[]), Outcome::Already);
    let second = note(1, 0, &[(0, "second")], &[]);
    let late = bench.call(1, &second);
    bench.applied(1, &second);
    bench.applied(1, &note(1, 0, &[(0, "third")], &[]));
    bench.carry(&late);
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), Some("third".to_owned()))]);
    // Notes of own segments and of others' are in no order among each other.
    bench.applied(1, &note(1, 1, &[], &[]));
    bench.applied(1, &note(1, 0, &[(0, "fourth")], &[]));
}

fn living_writer_is_not_claimed(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.fenced(1, &claim(1, 0));
    assert_eq!(bench.survey().claimed, []);
    bench.applied(0, &append(0, 0, "a"));
}

fn dead_writer_has_one_claimer(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1, 2]);
    bench.applied(0, &close(0));
    assert_eq!(bench.survey().abandoned().collect::<Vec<_>>(), [writer(0)]);
    bench.repeated(1, &claim(1, 0), Outcome::Already);
    bench.fenced(2, &claim(2, 0));
    assert_eq!((bench.survey().claimed, bench.survey().abandoned().count()), (vec![(writer(0), writer(1))], 0));
    bench.fenced(2, &release(2, 0, true));
    assert_eq!(bench.survey().registered.len(), 3);
}

fn claim_ends_with_its_claimer(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1, 2]);
    bench.applied(0, &append(0, 0, "a"));
    bench.applied(0, &close(0));
    bench.applied(1, &claim(1, 0));
    bench.applied(1, &close(1));
    bench.fenced(1, &note(1, 0, &[(0, "too late")], &[]));
    assert_eq!(bench.survey().abandoned().collect::<Vec<_>>(), [writer(0), writer(1)]);
    bench.applied(2, &claim(2, 0));
    bench.fenced(1, &note(1, 0, &[(0, "too late")], &[]));
    bench.applied(2, &note(2, 0, &[(0, "in time")], &[]));
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), Some("in time".to_owned()))]);
}

fn claim_given_up_leaves_everything(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1, 2]);
    bench.applied(0, &append(0, 0, "a"));
    bench.applied(0, &close(0));
    bench.applied(1, &claim(1, 0));
    bench.applied(1, &note(1, 0, &[(0, "progress")], &[]));
    bench.repeated(1, &release(1, 0, false), Outcome::Already);
    assert_eq!(bench.survey().abandoned().collect::<Vec<_>>(), [writer(0)]);
    bench.applied(2, &claim(2, 0));
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), Some("progress".to_owned()))]);
}

fn dead_writer_that_is_done_is_forgotten(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    (0..2).for_each(|seq| bench.applied(0, &append(0, seq, "a")));
    bench.applied(0, &note(0, 0, &[(0, "progress")], &[]));
    bench.applied(1, &append(1, 0, "b"));
    bench.applied(0, &close(0));
    bench.applied(1, &claim(1, 0));
    bench.applied(1, &release(1, 0, true));
    let survey = bench.survey();
    assert_eq!((survey.registered, survey.claimed), (vec![writer(1)], vec![]));
    assert_eq!((bench.segments(0), bench.segments(1).len()), (vec![], 1));
    bench.fenced(1, &claim(1, 0));
    assert_eq!(bench.survey().claimed, [], "a late claim would last as long as its claimer");
}
