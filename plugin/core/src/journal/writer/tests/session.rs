//! The lease: granted, renewed, lost, given up.

use super::*;

#[test]
fn an_open_writer_renews_three_times_a_lease() {
    let mut fleet = Fleet::new(1);
    assert!(fleet.writers[0].is_alive(fleet.now()));
    assert_eq!((fleet.etcd.found("/w/").len(), fleet.etcd.found("/r/").len()), (1, 1));
    let id = fleet.writers[0].id();
    fleet.pass(20_000);
    assert!(fleet.writers[0].is_alive(fleet.now()) && fleet.writers[0].id() == id);
    assert_eq!(fleet.calls("KeepAlive").len(), 11, "every 1.67 s");
}

/// A writer whose lease is gone begins anew with another id, and nothing is its own any more.
#[test]
fn a_lost_lease_gives_a_new_id_and_drops_everything() {
    let mut fleet = Fleet::new(1);
    fleet.commit(0, 3);
    let old = fleet.writers[0].id();
    fleet.fault("/etcdserverpb", Fault::Lost);
    fleet.pass(6_000);
    assert!(!fleet.writers[0].is_alive(fleet.now()), "its own clock says so before etcd does");
    assert_eq!((fleet.writers[0].id(), fleet.writers[0].segments.size().0), (old, 3));
    fleet.heal();
    fleet.pass(200);
    assert_eq!(fleet.count(0, |event| *event == JournalEvent::Lost), 1);
    assert_ne!(fleet.writers[0].id(), old);
    assert!(fleet.writers[0].is_alive(fleet.now()));
    assert_eq!(fleet.writers[0].down_for(fleet.now()), Duration::ZERO);
}

/// A renewal that cannot be sent is tried again after a while: at once would be for ever in one callback.
#[test]
fn a_renewal_that_is_not_sent_waits() {
    let mut fleet = Fleet::new(1);
    fleet.fault("KeepAlive", Fault::NotSent);
    fleet.pass(2_700);
    let tries = fleet.calls("KeepAlive").len();
    assert!((5..=15).contains(&tries), "{tries} in a second");
    fleet.heal();
    fleet.pass(100);
    fleet.pass(4_000);
    assert!(fleet.writers[0].is_alive(fleet.now()));
    assert_eq!(fleet.count(0, |event| *event == JournalEvent::Lost), 0);
}

/// A writer that cannot be opened is tried again twice a second, and says how long it has been down.
#[test]
fn a_writer_that_cannot_be_opened_is_tried_again() {
    let mut fleet = Fleet::new(0);
    fleet.fault("/w/", Fault::Refused(7, "etcdserver: permission denied"));
    fleet.writers.push(Writer::new(Box::new(Etcd::new("/p", 5, None)), Duration::from_secs(5)));
    (fleet.running, fleet.takes) = (vec![true], vec![Takes::Here]);
    fleet.poll();
    fleet.pass(2_000);
    assert_eq!(fleet.calls("/w/").len(), 5);
    assert_eq!(fleet.writers[0].down_for(fleet.now()), Duration::from_secs(2));
    fleet.heal();
    fleet.pass(500);
    assert!(fleet.writers[0].is_alive(fleet.now()));
}

/// A writer that is to end tells the store what has ended before it gives up its lease.
#[test]
fn close_gives_the_lease_up_after_the_last_note() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 2);
    fleet.end(0, segments[0]);
    let now = fleet.now();
    fleet.writers[0].close(now);
    fleet.poll();
    fleet.poll();
    assert!(fleet.writers[0].is_closed());
    assert_eq!(fleet.etcd.found("/j/").len(), 1, "what has not ended is others' to deliver");
    assert_eq!((fleet.etcd.found("/w/").len(), fleet.etcd.found("/r/").len()), (0, 1));
    assert!(has(fleet.etcd.calls.last().unwrap(), "LeaseRevoke"));
    fleet.pass(2_000);
    assert!(fleet.writers[0].is_closed(), "and it stays closed");
    let now = fleet.now();
    fleet.writers[0].reopen(now);
    fleet.poll();
    assert!(fleet.writers[0].is_alive(fleet.now()));
}

/// An etcd that does not answer keeps no writer from ending.
#[test]
fn close_waits_three_seconds_for_the_store() {
    let mut fleet = Fleet::new(1);
    let segments = fleet.commit(0, 1);
    fleet.end(0, segments[0]);
    fleet.fault("/etcdserverpb", Fault::Lost);
    let now = fleet.now();
    fleet.writers[0].close(now);
    fleet.pass(2_900);
    assert!(!fleet.writers[0].is_closed());
    fleet.pass(200);
    assert!(fleet.writers[0].is_closed());
}

/// Work that is due is done, so that no time in the past is asked for over and over.
#[test]
fn no_time_in_the_past_stays_due() {
    for fault in [Fault::None, Fault::Lost, Fault::NotSent, Fault::AnswerLost, Fault::Refused(7, "no")] {
        let mut fleet = Fleet::new(1);
        let segments = fleet.commit(0, 3);
        fleet.fault("/etcdserverpb", fault);
        fleet.end(0, segments[0]);
        for _ in 0..2000 {
            fleet.millis += 5;
            fleet.poll();
            let due = fleet.writers[0].poll_timeout();
            assert!(due.is_none_or(|due| due > fleet.now()), "{fault:?}: {due:?} at {:?}", fleet.now());
        }
    }
}
