//! Faults of single calls: what the filter hears, and what became of its call.

use etcd_model::{Disruption, Etcd, Mishap, Status};

use crate::gateway::{Gateway, TIMEOUT, get, millis, put, seconds, value};

/// A call that a mishap befalls: the gRPC status that the filter hears, when, and whether the call was applied.
fn befallen(mishap: Mishap) -> (Option<u32>, u128, bool) {
    let etcd = Etcd::new(1);
    let mut gateway = Gateway::start(&etcd, "one", &[put("a", "1")]);
    etcd.disrupt(Disruption::new(mishap));
    assert!(gateway.call(0));
    let began = gateway.process.clock().elapsed();
    let ended = gateway
        .process
        .run_until(|process| process.log().iter().any(|line| line.message.starts_with("http_call")), TIMEOUT);
    assert!(ended.expect("nothing goes wrong"), "the timeout ends it at the latest");
    let after = gateway.process.clock().elapsed() - began;
    (gateway.statuses()[0], after.as_millis(), etcd.get("a").is_some())
}

#[test]
fn what_is_heard_of_a_call_and_what_became_of_it() {
    let timeout = TIMEOUT.as_millis();
    let cases = [
        (Mishap::Pass, Some(0), 1, true),
        (Mishap::Unreachable, Some(14), 1, false),
        (Mishap::Refused(Status::new(14, "etcdserver: leader changed")), Some(14), 1, false),
        (Mishap::Unanswered { is_applied: true }, Some(14), timeout, true),
        (Mishap::Unanswered { is_applied: false }, Some(14), timeout, false),
        (Mishap::Disconnected { is_applied: true }, Some(14), 1, true),
        (Mishap::Disconnected { is_applied: false }, Some(14), 1, false),
        (Mishap::Reset, None, 1, true),
        (Mishap::Slow(millis(300)), Some(0), 301, true),
        (Mishap::Slow(seconds(2)), Some(14), timeout, true),
        (Mishap::Late(millis(300)), Some(0), 301, true),
        (Mishap::Late(seconds(2)), Some(14), timeout, false),
    ];
    for (mishap, status, after, is_applied) in cases {
        assert_eq!(befallen(mishap.clone()), (status, after, is_applied), "{mishap:?}");
    }
}

#[test]
fn a_call_that_is_not_sent_fails_at_once() {
    let etcd = Etcd::new(1);
    let mut gateway = Gateway::start(&etcd, "one", &[put("a", "1")]);
    let id = etcd.disrupt(Disruption::new(Mishap::NotSent));
    assert!(!gateway.call(0));
    etcd.remove_disruption(id);
    assert!(gateway.call(0));
    gateway.advance(TIMEOUT);
    assert_eq!(gateway.statuses(), [Some(0)]);
}

/// A call that its caller has given up is applied behind one that came later.
#[test]
fn a_late_call_is_applied_behind_later_ones() {
    let etcd = Etcd::new(1);
    let mut gateway = Gateway::start(&etcd, "one", &[put("a", "old"), put("a", "new"), get("a", false)]);
    etcd.disrupt(Disruption::new(Mishap::Late(seconds(3))).touching("old"));
    assert!(gateway.call(0));
    gateway.advance(TIMEOUT);
    assert!(gateway.call(1));
    gateway.advance(seconds(1));
    assert_eq!((value(&etcd, "a").as_deref(), etcd.waiting()), (Some("new"), 1));
    gateway.advance(seconds(1));
    assert!(gateway.call(2), "its arrival is what moves the clock");
    assert_eq!((value(&etcd, "a").as_deref(), etcd.waiting()), (Some("old"), 0));
    gateway.advance(TIMEOUT);
    assert_eq!(gateway.statuses(), [Some(14), Some(0), Some(0)]);
}

/// Calls under way at the same time overtake each other and each is answered with what it found.
#[test]
fn calls_overtake_each_other_within_the_jitter() {
    let etcd = Etcd::new(3);
    etcd.set_jitter(millis(10));
    let calls: Vec<_> = (0..10).map(|number| put("a", &number.to_string())).collect();
    let mut gateway = Gateway::start(&etcd, "one", &calls);
    (0..10).for_each(|call| assert!(gateway.call(call)));
    gateway.advance(millis(11));
    let values =
        etcd.applied_since(0).into_iter().map(|applied| applied.changes[0].after.clone().expect("a put").value[0]);
    let values: Vec<u8> = values.collect();
    assert!(values.len() == 10 && !values.is_sorted(), "{values:?}");
    assert_eq!(gateway.statuses(), [Some(0); 10]);
}

#[test]
fn a_disruption_meets_only_the_process_that_it_names() {
    let etcd = Etcd::new(1);
    let mut one = Gateway::start(&etcd, "one", &[put("a", "1")]);
    let mut two = Gateway::start(&etcd, "two", &[put("b", "1")]);
    etcd.disrupt(Disruption::new(Mishap::Unreachable).by("two").until(seconds(5)));
    assert!(one.call(0) && two.call(0));
    for gateway in [&mut one, &mut two] {
        gateway.advance(seconds(5));
    }
    assert!(two.call(0));
    for gateway in [&mut one, &mut two] {
        gateway.advance(seconds(1));
    }
    assert_eq!((one.statuses(), two.statuses()), (vec![Some(0)], vec![Some(14), Some(0)]));
    etcd.clear_disruptions();
}
