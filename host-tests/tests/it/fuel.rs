//! What the filter costs: the work of an event in fuel, about one unit for each instruction, so a regression shows without
//! a clock.
//!
//! When a change is meant, `cargo test -p host-tests fuel -- --nocapture` prints what to write here.

use host_tests::{Process, Request};
use serde_json::json;

use crate::support::{accept, advance, answer, config, endpoint, event, hex, millis, seconds, start};

/// Fuel from the request's headers to the 202, for 1 KiB that one endpoint wants.
const PER_ACCEPTED_EVENT: u64 = 59_601;
/// Fuel from there until the event is delivered, its slot is free, and it stands in the history.
const PER_DELIVERED_EVENT: u64 = 123_986;
/// Fuel from the headers of an inbound request of 1 KiB until the application's answer is through, with a replay table
/// that is as full as it should be.
const PER_VERIFIED_REQUEST: u64 = 142_442;

const EVENTS: u64 = 200;

#[test]
fn an_event_costs_no_more_fuel_than_it_did() {
    let mut process = start(&config([endpoint("billing")]));
    let request = event("payment_verified").body(format!("{{\"text\": \"{}\"}}", "x".repeat(1011)));
    // The first events claim the partition and grow the memory.
    for _ in 0..20 {
        accept(&mut process, 0, request.clone());
        advance(&mut process, millis(5));
    }
    advance(&mut process, seconds(2));

    let (mut accepting, mut delivering) = (0, 0);
    for _ in 0..EVENTS {
        let start = process.fuel();
        accept(&mut process, 0, request.clone());
        accepting += process.fuel() - start;
        let start = process.fuel();
        advance(&mut process, millis(2));
        delivering += process.fuel() - start;
    }
    assert_eq!(process.calls("billing").len() as u64, 20 + EVENTS);
    let (accepting, delivering) = (accepting / EVENTS, delivering / EVENTS);
    println!("PER_ACCEPTED_EVENT: {accepting}, PER_DELIVERED_EVENT: {delivering}");
    assert_near(accepting, PER_ACCEPTED_EVENT);
    assert_near(delivering, PER_DELIVERED_EVENT);
}

#[test]
fn a_verified_request_costs_no_more_fuel_than_it_did() {
    const CAPACITY: u64 = 500;
    let rule = json!({
        "name": "partner", "match": {"path": "/in"}, "secrets": [{"value": "secret"}], "replay": {"capacity": CAPACITY},
    });
    let mut process = start(&json!({"inbound": [rule]}));
    for number in 0..CAPACITY {
        verify(&mut process, number);
    }
    let start = process.fuel();
    for number in CAPACITY..CAPACITY + EVENTS {
        verify(&mut process, number);
    }
    let verifying = (process.fuel() - start) / EVENTS;
    println!("PER_VERIFIED_REQUEST: {verifying}");
    assert_near(verifying, PER_VERIFIED_REQUEST);
}

/// A message of its own, which must reach the application.
pub fn verify(process: &mut Process, number: u64) {
    let (at, body) = ((process.clock().wall_nanos() / 1_000_000).to_string(), format!("{number:01024}"));
    let signature = hex(&hmac_sha256::HMAC::mac([&at, ".", &body].concat(), "secret"));
    let request = Request::post("/in")
        .header("x-webhook-timestamp", at)
        .header("x-webhook-id", number.to_string())
        .header("x-webhook-signature", signature)
        .body(body);
    assert_eq!(answer(process, 0, request).status(), 200);
}

fn assert_near(measured: u64, recorded: u64) {
    assert!(measured.abs_diff(recorded) * 10 <= recorded, "{measured} is not within 10 % of {recorded}");
}
