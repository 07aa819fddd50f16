//! The queue is bounded, and each endpoint has a share of its own.

use std::time::Duration;

use host_tests::{Process, Reply, Request, Upstream};
use serde_json::{Value, json};

use crate::support::{
    BODY, accept, advance, answer, attempts, config, endpoint, event, gateway, letters, millis, seconds, with,
};

/// `billing` hangs and keeps only one attempt under way; `audit` is well.
fn start(billing: Value) -> Process {
    let billing = with(with(endpoint("billing"), json!({"max_in_flight": 1, "events": ["payment_*"]})), billing);
    let config = config([billing, endpoint("audit")]);
    gateway(&config).cluster("billing", Upstream::always(Reply::hang())).start().expect("it starts")
}

fn assert_full(process: &mut Process, event: Request) {
    let answer = answer(process, 0, event);
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[test]
fn a_dead_endpoint_fills_its_own_share_and_the_others_stay_as_quick() {
    let mut process = start(json!({"pending": 5}));
    for _ in 0..5 {
        accept(&mut process, 0, event("payment_verified"));
    }
    assert_full(&mut process, event("payment_verified"));
    for _ in 0..50 {
        let before = process.clock().elapsed();
        accept(&mut process, 0, event("refund"));
        advance(&mut process, millis(10));
        let left = attempts(&process, "audit").last().expect("an attempt").at - before;
        assert!(left < Duration::from_millis(1), "{left:?}");
    }
}

#[test]
fn what_was_accepted_before_the_share_was_full_is_still_delivered() {
    let mut process = start(json!({"pending": 2, "timeout": "1s", "breaker": {"failures": 100}}));
    let ids = [accept(&mut process, 0, event("payment_verified")), accept(&mut process, 0, event("payment_verified"))];
    assert_full(&mut process, event("payment_verified"));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(20));
    let arrived: Vec<String> = attempts(&process, "billing").into_iter().map(|attempt| attempt.id).collect();
    assert!(ids.iter().all(|id| arrived.contains(id)));
    accept(&mut process, 0, event("payment_verified"));
}

#[test]
fn an_endpoint_may_have_the_overflow_as_dead_letters_instead() {
    let mut process = start(json!({"pending": 2, "overflow": "dead_letter"}));
    for _ in 0..6 {
        accept(&mut process, 0, event("payment_verified"));
    }
    advance(&mut process, millis(50));
    assert_eq!(attempts(&process, "audit").len(), 6, "the other endpoint gets all");
    assert_eq!(letters(&process, BODY), 4);
}

#[test]
fn the_queue_of_a_worker_is_bounded_in_deliveries_and_in_bytes() {
    for (limits, pending, expected) in
        [(json!({"pending": 8}), 8, 8), (json!({"pending_bytes": 4096, "body": 1024}), 10_000, 4)]
    {
        let mut config = config([with(endpoint("billing"), json!({"pending": pending}))]);
        config["limits"] = limits;
        let hanging = Upstream::always(Reply::hang());
        let mut process = gateway(&config).cluster("billing", hanging).start().expect("it starts");
        let large = event("payment_verified").body(vec![b'x'; 1000]);
        let mut taken = 0;
        while answer(&mut process, 0, large.clone()).status() == 202 {
            taken += 1;
            assert!(taken < 100, "the queue has no end");
        }
        assert_eq!(taken, expected);
        assert_full(&mut process, large);
        accept(&mut process, 1, event("payment_verified"));
    }
}
