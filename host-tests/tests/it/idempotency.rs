//! `Idempotency-Key`: the same key gives the same answer, and one event.

use host_tests::{Answer, Process, Reply, Request, Upstream};
use serde_json::{Value, json};

use crate::support::{
    accept, advance, answer, answered, attempts, body, config, endpoint, event, gateway, millis, seconds, start, with,
};

fn keyed(key: &str) -> Request {
    event("payment_verified").header("idempotency-key", key)
}

fn deliveries(process: &mut Process) -> usize {
    advance(process, seconds(1));
    attempts(process, "billing").len()
}

fn assert_replayed(first: &Answer, second: &Answer) {
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.status(), first.status());
    assert_eq!(second.body, first.body);
    assert_eq!(second.header("x-webhook-id"), first.header("x-webhook-id"));
}

fn acknowledged() -> Value {
    let mut config = config([with(endpoint("billing"), json!({"retry": {"delays": ["0s"]}}))]);
    config["routes"][0]["ack"] = json!("delivered");
    config
}

#[test]
fn the_same_key_on_two_workers_is_one_event_and_one_answer() {
    let mut process = start(&config([endpoint("billing")]));
    let first = answer(&mut process, 0, keyed("order-1"));
    assert_eq!(first.status(), 202);
    assert_eq!(first.header("idempotent-replayed"), "");
    for worker in [1, 0, 1] {
        assert_replayed(&first, &answer(&mut process, worker, keyed("order-1")));
    }
    assert_eq!(deliveries(&mut process), 1);
}

#[test]
fn a_key_is_remembered_for_ten_minutes() {
    let mut process = start(&config([endpoint("billing")]));
    let first = answer(&mut process, 0, keyed("order-1"));
    advance(&mut process, seconds(599));
    assert_replayed(&first, &answer(&mut process, 1, keyed("order-1")));
    advance(&mut process, seconds(2));
    assert_ne!(accept(&mut process, 1, keyed("order-1")), first.header("x-webhook-id"));
    assert_eq!(deliveries(&mut process), 2);
}

#[test]
fn the_same_key_for_another_body_is_422() {
    let mut process = start(&config([endpoint("billing")]));
    accept(&mut process, 0, keyed("order-1"));
    let other = answer(&mut process, 1, keyed("order-1").body(r#"{"amount": 43}"#));
    assert_eq!(other.status(), 422);
    assert_eq!(other.header("content-type"), "application/problem+json");
    assert_eq!(deliveries(&mut process), 1);
}

#[test]
fn other_keys_scopes_and_routes_are_other_events() {
    let mut config = config([endpoint("billing")]);
    config["routes"] = json!([
        {"name": "a", "match": {"path": "/a"}, "event": "a", "idempotency_scope": "X-Tenant-Id"},
        {"name": "b", "match": {"path": "/b"}, "event": "a", "idempotency_scope": "x-tenant-id"},
    ]);
    let mut process = start(&config);
    let request = |path: &str, tenant: &str, key: &str| {
        Request::post(path).header("x-tenant-id", tenant).header("idempotency-key", key).body("{}")
    };
    for request in [
        request("/a", "acme", "1"),
        request("/a", "acme", "2"),
        request("/a", "other", "1"),
        request("/b", "acme", "1"),
    ] {
        accept(&mut process, 0, request);
    }
    let again = answer(&mut process, 1, request("/a", "acme", "1"));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(deliveries(&mut process), 4);
}

#[test]
fn while_the_first_request_waits_the_same_key_is_409_with_a_second_to_wait() {
    let slow = Upstream::always(Reply::status(200).after(millis(500)));
    let mut process = gateway(&acknowledged()).cluster("billing", slow).start().expect("it starts");
    let stream = process.request(0, keyed("order-1")).expect("the filter bears it");
    for worker in [0, 1] {
        let meanwhile = answer(&mut process, worker, keyed("order-1"));
        assert_eq!(meanwhile.status(), 409);
        assert_eq!(meanwhile.header("retry-after"), "1");
    }
    advance(&mut process, seconds(1));
    let first = answered(&process, stream);
    assert_eq!(first.status(), 200);
    assert_replayed(&first, &answer(&mut process, 1, keyed("order-1")));
    assert_eq!(deliveries(&mut process), 1);
}

#[test]
fn after_a_failure_the_same_key_tries_again_with_the_same_id() {
    let failing = Upstream::replies([Reply::status(400)]);
    let mut process = gateway(&acknowledged()).cluster("billing", failing).start().expect("it starts");
    let stream = process.request(0, keyed("order-1")).expect("the filter bears it");
    advance(&mut process, seconds(1));
    let failed = answered(&process, stream);
    assert_eq!(failed.status(), 502);

    let stream = process.request(1, keyed("order-1")).expect("the filter bears it");
    advance(&mut process, seconds(1));
    let second = answered(&process, stream);
    assert_eq!(second.status(), 200);
    assert_eq!(second.header("x-webhook-id"), failed.header("x-webhook-id"));
    assert_eq!(attempts(&process, "billing").len(), 2);
}

#[test]
fn a_key_that_got_503_is_free_to_try_again() {
    let mut config = config([with(endpoint("billing"), json!({"pending": 1, "max_in_flight": 1}))]);
    config["limits"] = json!({"pending": 1});
    let slow = Upstream::always(Reply::status(200).after(millis(500)));
    let mut process = gateway(&config).cluster("billing", slow).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    assert_eq!(answer(&mut process, 0, keyed("order-1")).status(), 503);
    advance(&mut process, seconds(1));
    accept(&mut process, 0, keyed("order-1"));
    assert_eq!(deliveries(&mut process), 2);
}

#[test]
fn many_keys_take_bounded_room() {
    let mut config = config([endpoint("billing")]);
    config["limits"] = json!({"idempotency_keys": 160});
    let mut process = start(&config);
    for number in 0..1000 {
        answer(&mut process, number % 2, keyed(&format!("order-{number}")));
        advance(&mut process, millis(5));
    }
    let table: Vec<usize> =
        process.shared_data().filter(|(key, _)| key.contains("/idempotency/")).map(|(_, value)| value.len()).collect();
    assert!(table.len() <= 160, "{} keys", table.len());
    assert!(table.iter().sum::<usize>() <= 160 * 400, "{} bytes", table.iter().sum::<usize>());
}

#[test]
fn a_key_that_is_far_too_long_is_400() {
    let mut process = start(&config([endpoint("billing")]));
    let long = answer(&mut process, 0, keyed(&"k".repeat(10_000)));
    assert_eq!(long.status(), 400);
    assert!(body(&long)["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}
