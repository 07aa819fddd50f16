//! How often an event and a verified request cross between Envoy and the filter: what a gateway pays for them, counted
//! exactly. When a change is meant, `cargo test -p host-tests crossings -- --nocapture` lists the calls.

use host_tests::{Crossings, Process};
use serde_json::json;

use crate::support::{advance, config, endpoint, event, millis, seconds, start};

/// Host calls, callbacks, and allocations by the host.
type Counts = (u64, u64, u64);

/// From the request's headers to the 202 and the end of its stream.
const ACCEPTED: Counts = (10, 9, 3);
/// From there until it is delivered, its slot is free, and it stands in the history.
const DELIVERED: Counts = (17, 2, 2);
/// From the headers of an inbound request until the application's answer is through.
const VERIFIED: Counts = (13, 8, 4);

fn counted(process: &mut Process, what: &str, run: impl FnOnce(&mut Process)) -> Counts {
    let before: Crossings = process.crossings().clone();
    run(process);
    let crossings = process.crossings().since(&before);
    println!("{what}: {crossings}");
    (crossings.host_calls(), crossings.callbacks(), crossings.allocations())
}

#[test]
fn an_event_crosses_no_more_often_than_it_did() {
    let mut process = start(&config([endpoint("billing")]));
    let request = event("payment_verified").body(format!("{{\"text\": \"{}\"}}", "x".repeat(1011)));
    let deliver = |process: &mut Process| advance(process, millis(2));
    // The first event claims the partition. Then what is looked at once a second has just been looked at, and what four
    // times a second is with the event before the one that counts.
    let connection = process.request(0, request.clone()).expect("it is taken");
    advance(&mut process, seconds(2));
    process.request_again(connection, request.clone()).expect("it is taken");
    deliver(&mut process);

    let accepted = counted(&mut process, "accepted", |process| {
        process.request_again(connection, request).expect("it is taken");
    });
    let delivered = counted(&mut process, "delivered", deliver);
    assert_eq!(process.calls("billing").len(), 3);
    assert_eq!((accepted, delivered), (ACCEPTED, DELIVERED));
}

#[test]
fn a_verified_request_crosses_no_more_often_than_it_did() {
    let rule = json!({"name": "partner", "match": {"path": "/in"}, "secrets": [{"value": "secret"}]});
    let mut process = start(&json!({"inbound": [rule]}));
    crate::fuel::verify(&mut process, 1);
    let verified = counted(&mut process, "verified", |process| crate::fuel::verify(process, 2));
    assert_eq!(verified, VERIFIED);
}
