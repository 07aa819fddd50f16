//! The rules of a writer that is alive, and of what it appends.

use super::Rule;
use super::bench::{Bench, TestedStore, append, claim, close, delete, note, segment, writer};
use crate::journal::operation::{Operation, Outcome};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("a writer that is opened is alive and registered", opened_writer_is_alive_and_registered),
    ("a writer that is renewed lives on", renewed_writer_lives_on),
    ("a writer whose lease has lapsed changes nothing", lapsed_writer_changes_nothing),
    ("a writer that is closed is dead at once", closed_writer_is_dead_at_once),
    ("a segment is appended once", segment_is_appended_once),
    ("an append deletes what is finished", append_deletes_what_is_finished),
    ("a void segment beats a late append", void_beats_a_late_append),
    ("pages are in the order of the numbers", pages_are_in_the_order_of_the_numbers),
    ("what the limits allow fits", what_the_limits_allow_fits),
];

fn opened_writer_is_alive_and_registered(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[]);
    assert_eq!(bench.survey(), Default::default());
    let open = Operation::Open { writer: writer(0), member: b"me".to_vec() };
    bench.applied(0, &open);
    bench.is(0, &open, Outcome::Already);
    let survey = bench.survey();
    assert_eq!((survey.alive, survey.registered), (vec![(writer(0), b"me".to_vec())], vec![writer(0)]));
}

fn renewed_writer_lives_on(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    // The one is renewed for as long as it takes the other to die.
    while bench.survey().alive.len() > 1 {
        bench.applied(0, &Operation::Renew { writer: writer(0) });
        bench.wait_a_moment();
    }
    bench.applied(0, &append(0, 0, "a"));
    bench.fenced(1, &Operation::Renew { writer: writer(1) });
}

fn lapsed_writer_changes_nothing(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &append(0, 0, "a"));
    bench.applied(1, &close(1));
    bench.lapse(0);
    bench.fenced(0, &Operation::Renew { writer: writer(0) });
    bench.fenced(0, &append(0, 1, "b"));
    bench.fenced(0, &note(0, 0, &[(0, "progress")], &[]));
    bench.fenced(0, &delete(0, 0, &[0]));
    bench.fenced(0, &Operation::Void { segment: segment(0, 0), has_key: false });
    bench.fenced(0, &claim(0, 1));
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), None)]);
    assert_eq!(bench.survey().claimed, []);
}

fn closed_writer_is_dead_at_once(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    bench.applied(0, &append(0, 0, "a"));
    bench.applied(0, &close(0));
    bench.is(0, &close(0), Outcome::Already);
    let survey = bench.survey();
    assert_eq!((survey.alive, survey.registered), (vec![], vec![writer(0)]));
    bench.fenced(0, &append(0, 1, "b"));
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), None)]);
}

fn segment_is_appended_once(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    bench.applied(0, &append(0, 0, "a"));
    bench.is(0, &append(0, 0, "a"), Outcome::Already);
    bench.repeated(0, &append(0, 1, "b"), Outcome::Already);
    // Only its own client knows a writer.
    bench.fenced(1, &append(0, 2, "c"));
    assert_eq!(bench.segments(0), [(0, "a".to_owned(), None), (1, "b".to_owned(), None)]);
    assert_eq!(bench.segments(1), []);
}

fn append_deletes_what_is_finished(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    (0..3).for_each(|seq| bench.applied(0, &append(0, seq, "a")));
    let next = Operation::Append { segment: segment(0, 3), bytes: b"b".to_vec(), finished: vec![0, 2], key: None };
    bench.applied(0, &next);
    assert_eq!(bench.segments(0), [(1, "a".to_owned(), None), (3, "b".to_owned(), None)]);
}

fn void_beats_a_late_append(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    let late = bench.call(0, &append(0, 0, "late"));
    bench.applied(0, &append(0, 1, "in time"));
    bench.applied(0, &note(0, 0, &[(1, "progress")], &[]));
    for seq in [0, 1] {
        bench.applied(0, &Operation::Void { segment: segment(0, seq), has_key: false });
        bench.applied(0, &Operation::Void { segment: segment(0, seq), has_key: false });
    }
    bench.carry(&late);
    bench.fenced(0, &append(0, 0, "late"));
    assert_eq!(bench.segments(0), [(0, String::new(), None), (1, String::new(), None)]);
}

fn pages_are_in_the_order_of_the_numbers(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0, 1]);
    let numbers = [0, 9, 10, 15, 16, 255, 256, 1 << 40, u64::MAX];
    numbers.iter().rev().for_each(|seq| bench.applied(0, &append(0, *seq, "a")));
    bench.applied(1, &append(1, 11, "another writer's"));
    bench.applied(0, &note(0, 0, &[(10, "ten"), (256, "more")], &[]));
    let (mut read, mut after, mut has_more) = (Vec::new(), None, true);
    while has_more {
        let page = bench.page(0, after, 2);
        assert!(!page.segments.is_empty() && page.segments.len() <= 2, "{page:?}");
        after = page.segments.last().map(|segment| segment.seq);
        has_more = page.has_more;
        read.extend(page.segments.into_iter().map(|segment| (segment.seq, segment.progress)));
    }
    let progress = |seq| match seq {
        10 => Some(b"ten".to_vec()),
        256 => Some(b"more".to_vec()),
        _ => None,
    };
    assert_eq!(read, numbers.map(|seq| (seq, progress(seq))));
    assert_eq!(bench.page(0, after, 2), Default::default());
}

fn what_the_limits_allow_fits(store: &mut dyn TestedStore) {
    let mut bench = Bench::new(store, &[0]);
    let limits = bench.limits();
    bench.applied(0, &append(0, 0, &"a".repeat(limits.segment)));
    // A segment that is finished takes two changes: its progress is deleted, too.
    let finished: Vec<u64> = (0..limits.changes as u64 / 4).collect();
    let noted = (1000..).take(limits.changes / 2).map(|seq| (seq, "progress")).collect::<Vec<_>>();
    bench.applied(0, &note(0, 0, &noted, &finished));
    assert_eq!(bench.segments(0), []);
    let finished = (0..limits.changes as u64).collect();
    bench.applied(0, &Operation::Append { segment: segment(0, 1000), bytes: b"b".to_vec(), finished, key: None });
}
