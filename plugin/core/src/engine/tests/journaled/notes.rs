//! What the journal is told of deliveries that have failed.

use super::*;

/// A gateway whose receiver has just failed so many events, each in a segment of its own.
fn with_failed(events: u32) -> Gateways {
    let endpoints = billing(r#", "breaker": null, "retry": {"delays": ["0s", "60s"]}"#);
    let mut gateways = Gateways::new(&[&endpoints]);
    for stream in 0..events {
        gateways.offer(0, stream);
        for (gateway, sent) in gateways.poll() {
            gateways.processes[gateway].end(&sent, Ending::Status(503));
        }
    }
    assert_eq!(gateways.etcd.found("/p/j/").len(), events as usize);
    gateways
}

/// However many deliveries have failed, the journal knows of each within a second: what fits into no note is in the next.
#[test]
fn failures_of_many_are_all_noted_within_a_second() {
    let mut gateways = with_failed(300);
    gateways.answer_all(1_000, |_| 503);
    assert_eq!(gateways.etcd.found("/p/p/").len(), 300);
}

/// A store that has no room is asked twice a second to keep what has failed, however much that is.
#[test]
fn full_store_is_not_asked_again_at_once() {
    let mut gateways = with_failed(300);
    gateways.etcd.is_full = true;
    gateways.etcd.calls.clear();
    gateways.answer_all(3_000, |_| 503);
    let notes = gateways.etcd.calls.iter().filter(|call| crate::journal::memory::has(call, "/p/p/")).count();
    assert!((2..=8).contains(&notes), "{notes} notes in 3 s");
}
