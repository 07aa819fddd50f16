//! `ack: delivered`: the producer waits for the end of its event's deliveries.

use host_tests::{Process, Reply, StreamId, Thread, Upstream};
use serde_json::{Value, json};

use crate::support::{
    accept, advance, answered, attempts, body, config, endpoint, event, gateway, millis, seconds, with,
};

fn acknowledged() -> Value {
    let mut config = config([endpoint("billing"), endpoint("audit")]);
    config["routes"][0]["ack"] = json!("delivered");
    config["routes"][0]["ack_timeout"] = json!("30s");
    config
}

/// A process whose `billing` answers like this, and a request that waits there.
fn waiting(config: &Value, billing: Upstream) -> (Process, StreamId) {
    let mut process = gateway(config).cluster("billing", billing).start().expect("it starts");
    let stream = request(&mut process);
    assert!(process.answer(stream).is_none(), "it waits");
    (process, stream)
}

fn request(process: &mut Process) -> StreamId {
    process.request(0, event("payment_verified")).expect("the filter bears it")
}

#[test]
fn all_delivered_is_200_with_attempts_and_statuses() {
    let replies = [Reply::status(503), Reply::status(201)];
    let (mut process, stream) = waiting(&acknowledged(), Upstream::replies(replies));
    advance(&mut process, seconds(3));
    let answer = answered(&process, stream);
    assert_eq!(answer.status(), 200);
    let expected = json!({
        "id": answer.header("x-webhook-id"),
        "event": "payment_verified",
        "status": "delivered",
        "deliveries": [
            {"endpoint": "billing", "status": "delivered", "attempts": 2, "response_status": 201},
            {"endpoint": "audit", "status": "delivered", "attempts": 1, "response_status": 200},
        ],
    });
    assert_eq!(body(&answer), expected);
}

#[test]
fn one_that_failed_makes_it_502_with_the_same_body() {
    let (mut process, stream) = waiting(&acknowledged(), Upstream::always(Reply::status(400)));
    advance(&mut process, seconds(1));
    let answer = answered(&process, stream);
    assert_eq!(answer.status(), 502);
    let deliveries = &body(&answer)["deliveries"];
    assert_eq!(
        deliveries[0],
        json!({"endpoint": "billing", "status": "failed", "attempts": 1, "response_status": 400})
    );
    assert_eq!(deliveries[1]["status"], "delivered");
}

#[test]
fn after_ack_timeout_it_is_202_pending_and_delivery_goes_on() {
    let late = Upstream::always(Reply::status(200).after(seconds(8)));
    let mut config = acknowledged();
    config["routes"][0]["ack_timeout"] = json!("5s");
    let (mut process, stream) = waiting(&config, late);
    advance(&mut process, millis(4990));
    assert!(process.answer(stream).is_none());
    advance(&mut process, millis(30));
    let answer = answered(&process, stream);
    assert_eq!(answer.status(), 202);
    assert_eq!(body(&answer)["status"], "pending");
    advance(&mut process, seconds(10));
    assert_eq!(attempts(&process, "billing").len(), 1);
    assert_eq!(process.metric("endpoint=.=billing;.;result=.=delivered;.;gatepost_deliveries_total"), Some(1));
}

#[test]
fn an_open_breaker_is_503_at_once_with_the_time_to_come_back() {
    let mut config = acknowledged();
    config["endpoints"][0] = with(endpoint("billing"), json!({"retry": {"delays": ["0s"]}}));
    let failing = Upstream::always(Reply::status(503));
    let mut process = gateway(&config).cluster("billing", failing).start().expect("it starts");
    for _ in 0..5 {
        let stream = request(&mut process);
        advance(&mut process, millis(100));
        assert_eq!(answered(&process, stream).status(), 502);
    }
    let stream = request(&mut process);
    let answer = answered(&process, stream);
    assert_eq!(answer.status(), 503);
    let seconds_left: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((59..=60).contains(&seconds_left), "{seconds_left}");
}

#[test]
fn a_client_that_leaves_stops_nothing() {
    let slow = Upstream::always(Reply::status(200).after(seconds(2)));
    let (mut process, stream) = waiting(&acknowledged(), slow);
    advance(&mut process, seconds(1));
    process.disconnect(stream).expect("the filter bears it");
    advance(&mut process, seconds(10));
    assert!(process.answer(stream).is_none());
    assert_eq!(attempts(&process, "billing").len(), 1);
    assert_eq!(process.metric("endpoint=.=billing;.;result=.=delivered;.;gatepost_deliveries_total"), Some(1));
}

/// As in Envoy: nothing fails a stream that no callback runs for.
#[test]
fn a_producer_whose_workers_vm_is_lost_waits_until_envoy_gives_it_up_and_its_event_arrives() {
    let slow = Upstream::replies([Reply::status(200).after(seconds(2))]);
    let (mut process, stream) = waiting(&acknowledged(), slow);
    advance(&mut process, seconds(1));
    process.kill_vm(Thread::Worker(0));
    advance(&mut process, seconds(298));
    assert!(process.is_open(stream));
    let numbers: Vec<u32> = attempts(&process, "billing").into_iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 1]);
    advance(&mut process, seconds(2));
    assert_eq!(answered(&process, stream).status(), 503);
}

#[test]
fn a_held_delivery_is_not_waited_for() {
    let mut config = acknowledged();
    config["endpoints"][0]["disabled"] = json!(true);
    let mut process = gateway(&config).start().expect("it starts");
    let stream = request(&mut process);
    advance(&mut process, seconds(1));
    let answer = answered(&process, stream);
    assert_eq!(answer.status(), 202);
    assert_eq!(body(&answer)["deliveries"][0]["status"], "held");
}

#[test]
fn producers_on_one_worker_are_each_answered_for_their_own_event() {
    let mut process = gateway(&acknowledged()).start().expect("it starts");
    let streams: Vec<StreamId> = (0..20).map(|_| request(&mut process)).collect();
    advance(&mut process, seconds(1));
    let mut ids: Vec<String> =
        streams.iter().map(|stream| answered(&process, *stream).header("x-webhook-id").to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn an_accepting_route_beside_it_still_answers_at_once() {
    let mut config = acknowledged();
    let quick = json!({"name": "quick", "match": {"path": "/quick"}, "event": "quick"});
    config["routes"].as_array_mut().expect("a list").push(quick);
    let mut process = gateway(&config).start().expect("it starts");
    accept(&mut process, 0, host_tests::Request::post("/quick").body("{}"));
}
