//! Notes: how segments stand, one note of an owner at a time.

use super::*;

fn changed(fleet: &mut Fleet, segment: SegmentId, trials: u8) {
    fleet.progress = vec![EventProgress { trials, deliveries: vec![delivery(1)], ..EventProgress::default() }];
    fleet.writers[0].segments.change(Origin { segment, index: 0 });
}

/// A note whose outcome is not known is repeated as it was, and the next one waits for it.
#[test]
fn notes_keep_their_order() {
    for fault in [Fault::AnswerLost, Fault::Lost, Fault::NotSent, Fault::Late] {
        let mut fleet = Fleet::new(1);
        let segment = fleet.commit(0, 1)[0];
        fleet.pass(1_000);
        fleet.fault("/p/p/", fault);
        changed(&mut fleet, segment, 1);
        fleet.poll();
        changed(&mut fleet, segment, 2);
        fleet.pass(1_500);
        let bodies: Vec<_> = fleet.calls("/p/p/").into_iter().map(|call| call.body.clone()).collect();
        assert!(bodies.len() > 10 && bodies.windows(2).all(|two| two[0] == two[1]), "{fault:?}: {}", bodies.len());
        fleet.heal();
        fleet.pass(1_000);
        let now = fleet.now();
        let newest = fleet.etcd.found("/p/p/");
        assert_eq!(newest.len(), 1);
        assert_ne!(fleet.calls("/p/p/").last().unwrap().body, bodies[0]);
        fleet.etcd.apply_late(now);
        assert_eq!(fleet.etcd.found("/p/p/"), newest, "{fault:?}: a late note changes nothing");
        assert_eq!(fleet.count(0, |event| *event == JournalEvent::Lost), 0);
    }
}

/// However much has changed and ended at once, each note has at most as many operations as etcd takes.
#[test]
fn a_note_has_no_more_operations_than_etcd_takes() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 300);
    for segment in &segments[..200] {
        changed(&mut fleet, *segment, 1);
    }
    fleet.pass(3_000);
    assert_eq!(fleet.etcd.found("/p/p/").len(), 200);
    segments[..150].iter().for_each(|segment| fleet.end(0, *segment));
    segments[200..].iter().for_each(|segment| fleet.end(0, *segment));
    for segment in &segments[150..200] {
        changed(&mut fleet, *segment, 2);
    }
    fleet.pass(6_000);
    assert_eq!((fleet.etcd.found("/p/j/").len(), fleet.etcd.found("/p/p/").len()), (50, 50));
}

/// Large progress is told in several notes, each of which etcd takes.
#[test]
fn a_note_has_no_more_bytes_than_etcd_takes() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 10);
    fleet.pass(1_000);
    fleet.progress = vec![EventProgress { deliveries: vec![delivery(500 << 10)], ..EventProgress::default() }];
    segments.iter().for_each(|segment| fleet.writers[0].segments.change(Origin { segment: *segment, index: 0 }));
    fleet.pass(4_000);
    assert_eq!(fleet.etcd.found("/p/p/").len(), 10);
}

/// Progress that no note can hold keeps no other from being told, nor anything from being deleted.
#[test]
fn progress_that_no_note_can_hold_is_left_out() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 2);
    fleet.pass(1_000);
    fleet.progress = vec![EventProgress { deliveries: vec![delivery(2 << 20)], ..EventProgress::default() }];
    fleet.writers[0].segments.change(Origin { segment: segments[0], index: 0 });
    fleet.end(0, segments[1]);
    fleet.pass(1_000);
    assert_eq!((fleet.etcd.found("/p/j/").len(), fleet.etcd.found("/p/p/").len()), (1, 0));
}

/// A note that is refused is told again, with what has ended since.
#[test]
fn a_refused_note_is_told_again() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 2);
    fleet.pass(1_000);
    fleet.fault("/p/p/", Fault::Refused(7, "etcdserver: permission denied"));
    changed(&mut fleet, segments[0], 1);
    fleet.end(0, segments[1]);
    fleet.pass(2_000);
    fleet.heal();
    fleet.pass(1_000);
    assert_eq!((fleet.etcd.found("/p/j/").len(), fleet.etcd.found("/p/p/").len()), (1, 1));
}
