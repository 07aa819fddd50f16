//! Entries become segments: committed, or refused for a reason.

use super::*;

/// The texts of an append: its segment's entries.
const APPEND: &str = "entry";

fn refused(why: StoreRefusal) -> CommitRefusal {
    CommitRefusal::Store(why)
}

/// An entry leaves at once when nothing is under way, else all that came within 2 ms together, at most 16 under way.
#[test]
fn entries_leave_at_once_or_together() {
    let mut fleet = Fleet::new(1);
    fleet.holds = Some(APPEND);
    fleet.append(0, 0, "entry");
    fleet.poll();
    assert_eq!(fleet.held.len(), 1);
    (1..6).for_each(|ticket| fleet.append(0, ticket, "entry"));
    fleet.poll();
    assert_eq!(fleet.held.len(), 1);
    fleet.millis += 2;
    fleet.poll();
    assert_eq!(fleet.held.len(), 2);
    for ticket in 6..60 {
        fleet.append(0, ticket, "entry");
        fleet.millis += 2;
        fleet.poll();
    }
    assert_eq!(fleet.held.len(), 16);
    fleet.let_go();
    assert_eq!(fleet.fates(), ((0..60).collect(), vec![]));
    assert_eq!(fleet.etcd.found("/j/").len(), 17);
}

/// An append whose outcome is not known is sent again with the same key and the same bytes, and commits once.
#[test]
fn unknown_append_is_repeated_as_it_was() {
    for fault in [Fault::AnswerLost, Fault::Lost, Fault::Refused(14, "etcdserver: leader changed")] {
        let mut fleet = Fleet::new(1);
        fleet.fault(APPEND, fault);
        fleet.append(0, 7, "entry");
        fleet.poll();
        fleet.pass(1_000);
        assert_eq!(fleet.fates(), (vec![], vec![]));
        fleet.heal();
        fleet.pass(100);
        assert_eq!(fleet.fates(), (vec![7], vec![]), "{fault:?}");
        let bodies: Vec<_> = fleet.calls(APPEND).into_iter().map(|call| &call.body).collect();
        assert!(bodies.len() > 10 && bodies.windows(2).all(|two| two[0] == two[1]), "{}", bodies.len());
        assert_eq!(fleet.etcd.found("/j/").len(), 1);
    }
}

/// An append that stays unknown is refused after four seconds, and void: whether it was applied, or comes late.
#[test]
fn append_that_stays_unknown_is_refused_and_void() {
    for fault in [Fault::AnswerLost, Fault::Lost, Fault::Late] {
        let mut fleet = Fleet::new(1);
        fleet.fault(APPEND, fault);
        fleet.append(0, 7, "entry");
        fleet.poll();
        fleet.pass(3_900);
        assert_eq!(fleet.fates(), (vec![], vec![]));
        fleet.pass(300);
        assert_eq!(fleet.fates(), (vec![], vec![(vec![7], CommitRefusal::Unknown)]), "{fault:?}");
        fleet.heal();
        fleet.pass(100);
        let now = fleet.now();
        fleet.etcd.apply_late(now);
        let stored = fleet.etcd.found("/j/");
        assert!(matches!(stored.as_slice(), [(_, value)] if value.is_empty()), "{fault:?}: {stored:?}");
    }
}

/// An append that comes late, but before it was given up, is found by the next try.
#[test]
fn append_that_comes_late_is_committed_once() {
    let mut fleet = Fleet::new(1);
    fleet.fault(APPEND, Fault::Late);
    fleet.append(0, 7, "entry");
    fleet.poll();
    let now = fleet.now();
    fleet.etcd.apply_late(now);
    fleet.heal();
    fleet.pass(100);
    assert_eq!((fleet.fates(), fleet.etcd.found("/j/").len()), ((vec![7], vec![]), 1));
}

/// What could not be sent is tried for three seconds, then surely not accepted.
#[test]
fn append_that_is_not_sent_is_refused_after_three_seconds() {
    let mut fleet = Fleet::new(1);
    fleet.fault(APPEND, Fault::NotSent);
    fleet.append(0, 7, "entry");
    fleet.poll();
    fleet.pass(2_900);
    assert_eq!(fleet.fates(), (vec![], vec![]));
    fleet.pass(200);
    assert_eq!(fleet.fates(), (vec![], vec![(vec![7], refused(StoreRefusal::NotSent))]));
    assert_eq!(fleet.writers[0].last_error(), Some(refused(StoreRefusal::NotSent)));
    assert!(fleet.etcd.found("/j/").is_empty());
}

/// Without a lease entries wait for one, and not longer than three seconds.
#[test]
fn entries_without_a_lease_wait_three_seconds() {
    for (millis, fates) in
        [(2_000, (vec![7], vec![])), (3_100, (vec![], vec![(vec![7], refused(StoreRefusal::NotSent))]))]
    {
        let mut fleet = Fleet::new(1);
        let now = fleet.now();
        fleet.writers[0].abandon(now);
        fleet.fault("LeaseGrant", Fault::NotSent);
        fleet.append(0, 7, "entry");
        fleet.pass(millis);
        fleet.heal();
        fleet.pass(600);
        assert_eq!(fleet.fates(), fates);
    }
}

/// A segment that is too large is halved until it fits; an entry that is too large alone is refused.
#[test]
fn too_large_is_halved_and_alone_refused() {
    let mut fleet = Fleet::new(1);
    fleet.fault("large", Fault::Refused(3, "etcdserver: request is too large"));
    ["a", "b", "large", "c", "d"].into_iter().zip(0..).for_each(|(text, ticket)| fleet.append(0, ticket, text));
    fleet.poll();
    let (mut committed, refusals) = fleet.fates();
    committed.sort_unstable();
    assert_eq!((committed, refusals), (vec![0, 1, 3, 4], vec![(vec![2], refused(StoreRefusal::TooLarge))]));
    assert_eq!(fleet.writers[0].last_error(), None, "the store is well");
}

/// An etcd that is overloaded has room for a segment: nothing is halved, and all is tried again.
#[test]
fn an_overloaded_store_is_no_large_segment() {
    let mut fleet = Fleet::new(1);
    fleet.fault(APPEND, Fault::Refused(8, "etcdserver: too many requests"));
    fleet.append(0, 7, "entry");
    fleet.pass(1_000);
    fleet.heal();
    fleet.pass(100);
    assert_eq!(fleet.fates(), (vec![7], vec![]));
}

/// Where the store has no room entries are refused at once; what has ended is deleted all the same, and the writer finds
/// out by itself that there is room again.
#[test]
fn a_full_store_takes_only_deletions() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 2);
    fleet.etcd.is_full = true;
    fleet.append(0, 7, "entry");
    fleet.poll();
    assert_eq!(fleet.fates(), (vec![], vec![(vec![7], refused(StoreRefusal::Full))]));
    fleet.end(0, segments[0]);
    fleet.pass(4_000);
    assert_eq!(fleet.etcd.found("/j/").len(), 1);
    assert!(fleet.writers[0].is_full(), "neither a renewal nor a deletion has found room");
    fleet.etcd.is_full = false;
    fleet.pass(600);
    assert!(!fleet.writers[0].is_full());
}

/// Entries of a writer that lost its lease meanwhile are appended anew, under the new id.
#[test]
fn fenced_entries_are_appended_anew() {
    let mut fleet = Fleet::new(1);
    let old = fleet.writers[0].id();
    fleet.fault("KeepAlive", Fault::Lost);
    fleet.pass(4_995);
    fleet.millis += 10;
    fleet.heal();
    fleet.append(0, 7, "entry");
    fleet.poll();
    fleet.pass(200);
    let committed = fleet.events.iter().find_map(|(_, event)| match event {
        JournalEvent::Committed { segment, is_ours, .. } => Some((segment.writer != old, *is_ours)),
        _ => None,
    });
    assert_eq!(committed, Some((true, true)));
    assert_eq!((fleet.fates(), fleet.etcd.found("/j/").len()), ((vec![7], vec![]), 1));
}

#[test]
fn finished_segments_ride_along_with_an_append() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 3);
    segments.iter().for_each(|segment| fleet.end(0, *segment));
    fleet.append(0, 7, "entry");
    fleet.poll();
    assert_eq!(fleet.etcd.found("/j/").len(), 1);
    assert!(!fleet.writers[0].segments.has_news(fleet.writers[0].id()));
}
