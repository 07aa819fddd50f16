//! What a producer is answered when its event is taken or not.

use host_tests::{Answer, Request, StreamId};
use serde_json::{Value, json};

use crate::support::{accept, advance, answer, answered, body, config, endpoint, event, seconds, start, with};

fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let body = body(answer);
    assert_eq!(body["status"], status);
    assert!(body["title"].is_string() && body["type"].is_string(), "{body}");
}

fn envelope() -> Value {
    let mut config = config([endpoint("billing")]);
    config["routes"][0]["payload"] = json!("envelope");
    config
}

/// An accepted event is answered with its id type and deliveries.
#[test]
fn accepted_event_is_answered_with_id_type_and_deliveries() {
    let mut process = start(&config([endpoint("billing"), endpoint("audit")]));
    let answer = answer(&mut process, 0, event("payment_verified"));
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.header("content-type"), "application/json");
    let id = answer.header("x-webhook-id");
    let expected = json!({
        "id": id,
        "event": "payment_verified",
        "status": "accepted",
        "deliveries": [{"endpoint": "billing", "status": "pending"}, {"endpoint": "audit", "status": "pending"}],
    });
    assert_eq!(body(&answer), expected);
}

#[test]
fn no_event_type_or_a_bad_one_is_400() {
    let mut config = config([endpoint("billing")]);
    config["routes"] = json!([
        {"name": "header", "match": {"path": "/header"}, "event": "{header:x-event-type}"},
        {"name": "body", "match": {"path": "/body"}, "event": "{body:/event}"},
        {"name": "path", "match": {"path": "/events/{event}"}, "event": "{event}"},
    ]);
    let mut process = start(&config);
    let header = |value: &[u8]| Request::post("/header").header("x-event-type", value).body("{}");
    let cases = [
        Request::post("/header").body("{}"),
        header(b""),
        header(b"a b"),
        header(b"a\r\nx-injected: 1"),
        header(b"\xff\xfe"),
        header("a".repeat(129).as_bytes()),
        header("a".repeat(10_000).as_bytes()),
        Request::post("/body").body("{}"),
        Request::post("/body").body(r#"{"event": {}}"#),
        Request::post("/body").body(r#"{"event": "a\u0000b"}"#),
        Request::post("/body").body("not json"),
        Request::post("/body"),
        Request::post("/events/a%20b").body("{}"),
        Request::post("/events/a%0d%0ab").body("{}"),
    ];
    for request in cases {
        let answer = answer(&mut process, 0, request.clone());
        assert_eq!(answer.status(), 400, "{request:?}");
        assert_problem(&answer, 400);
    }
    accept(&mut process, 0, header("a".repeat(128).as_bytes()));
    advance(&mut process, seconds(1));
    assert_eq!(process.calls("billing").len(), 1);
}

#[test]
fn json_nested_too_deep_is_refused_where_json_is_needed() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let mut process = start(&envelope());
    accept(&mut process, 0, event("payment_verified").body(deep(127)));
    for body in [deep(128), deep(100_000), "[".repeat(100_000)] {
        assert_problem(&answer(&mut process, 0, event("payment_verified").body(body)), 400);
    }
    advance(&mut process, seconds(1));
    let sent = String::from_utf8(process.calls("billing")[0].body.clone()).expect("JSON");
    assert!(sent.contains(&deep(127)));
    // A raw body that nobody reads is any bytes.
    let mut process = start(&config([endpoint("billing")]));
    accept(&mut process, 0, event("payment_verified").body(deep(100_000)));
}

#[test]
fn trailers_and_repeated_headers_do_no_harm() {
    let mut process = start(&envelope());
    let request = event("payment_verified")
        .header("content-type", "text/plain")
        .header("traceparent", "junk")
        .header("traceparent", "more junk")
        .header("x-strange", b"\xff\xfe".as_slice())
        .trailers([("x-checksum", "1")]);
    accept(&mut process, 0, request);
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    assert_eq!(process.calls("billing").len(), 2);
}

#[test]
fn a_bad_event_is_kept_nowhere_and_the_worker_lives_on() {
    let mut process = start(&with(envelope(), json!({"limits": {"body": 1000}})));
    for _ in 0..3 {
        answer(&mut process, 0, event("payment_verified").body("nope"));
        answer(&mut process, 0, event("payment_verified").body(vec![b' '; 2000]));
    }
    advance(&mut process, seconds(10));
    assert!(process.calls("billing").is_empty());
    assert!(!process.shared_data().any(|(key, _)| key.contains("/body/")));
    accept(&mut process, 0, event("payment_verified"));
}

/// Producers that wait on one worker are each answered for their own event.
#[test]
fn concurrent_producers_each_get_their_own_answer() {
    let mut config = config([endpoint("billing"), endpoint("audit")]);
    config["routes"][0]["ack"] = json!("delivered");
    let mut process = start(&config);
    let streams: Vec<StreamId> =
        (0..20).map(|_| process.request(0, event("payment_verified")).expect("the filter bears it")).collect();
    advance(&mut process, seconds(1));
    let mut ids: Vec<String> =
        streams.iter().map(|stream| answered(&process, *stream).header("x-webhook-id").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn an_idempotency_key_that_is_far_too_long_is_400() {
    let mut process = start(&config([endpoint("billing")]));
    let long = event("payment_verified").header("idempotency-key", "k".repeat(10_000));
    assert_problem(&answer(&mut process, 0, long), 400);
}
