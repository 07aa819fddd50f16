//! What the gateway tells of itself, as ordinary signed events to the endpoints that ask for it by name.

use host_tests::{Process, Reply, Upstream};
use serde_json::{Value, json};

use crate::operator::{administered, done, get, status};
use crate::support::{
    accept, advance, answer, attempts, body, config, endpoint, event, gateway, millis, seconds, with,
};

/// An endpoint that wants to know, and no event of a producer.
fn ops() -> Value {
    with(endpoint("ops"), json!({"events": ["gatepost.**"]}))
}

fn billing(more: Value) -> Value {
    with(endpoint("billing"), more)
}

/// What `endpoint` was told, each verified: type and payload.
fn told(process: &Process, endpoint: &str) -> Vec<(String, Value)> {
    let told = attempts(process, endpoint).into_iter().filter(|made| made.event.starts_with("gatepost."));
    told.map(|made| (made.event, serde_json::from_slice(&made.body).expect("JSON"))).collect()
}

fn types(process: &Process, endpoint: &str) -> Vec<String> {
    told(process, endpoint).into_iter().map(|(event_type, _)| event_type).collect()
}

/// A breaker that opens and closes is told once over all workers.
#[test]
fn breaker_open_and_close_are_told_once_over_all_workers() {
    let config = administered(config([billing(json!({"retry": {"delays": ["0s", "20s", "60s"]}})), ops()]));
    let mut process =
        gateway(&config).cluster("billing", Upstream::always(Reply::status(503))).start().expect("it starts");
    (0..6).for_each(|number| drop(accept(&mut process, number % 2, event("paid"))));
    advance(&mut process, seconds(2));
    let opened = told(&process, "ops");
    assert_eq!(opened.len(), 1, "{opened:?}");
    let (event_type, payload) = &opened[0];
    assert_eq!(event_type, "gatepost.breaker.opened");
    assert_eq!((&payload["type"], &payload["endpoint"]), (&json!(event_type), &json!("billing")));
    assert_eq!((&payload["reason"], &payload["instance"]), (&json!("5xx"), &status(&mut process)["instance"]));
    assert!(payload["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{payload}");
    assert_eq!(process.calls("ops")[0].header("content-type"), "application/json");
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(90));
    assert_eq!(types(&process, "ops"), ["gatepost.breaker.opened", "gatepost.breaker.closed"]);
}

#[test]
fn whoever_does_not_ask_by_name_is_told_nothing() {
    let patterns = [("all", json!(["**"])), ("any", json!(["*.**"])), ("stars", json!(["gate*.**"]))];
    let [all, any, stars] = patterns.map(|(name, events)| with(endpoint(name), json!({"events": events})));
    let config = administered(config([billing(json!({})), all, any, stars, ops()]));
    let mut process =
        gateway(&config).cluster("billing", Upstream::always(Reply::status(400))).start().expect("it starts");
    accept(&mut process, 0, event("a.b"));
    advance(&mut process, seconds(2));
    assert_eq!(types(&process, "ops"), ["gatepost.dead_letter"]);
    for endpoint in ["all", "any", "stars"] {
        assert_eq!(types(&process, endpoint), [""; 0], "{endpoint}");
    }
    assert_eq!(process.calls("ops").len(), 1, "it wants no event of a producer");
}

/// A dead letter is told with its delivery and nothing of the event.
#[test]
fn dead_letter_event_names_its_delivery_and_no_event_data() {
    let config = administered(config([billing(json!({})), ops()]));
    let mut process =
        gateway(&config).cluster("billing", Upstream::always(Reply::status(400))).start().expect("it starts");
    let id = accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(2));
    let (_, payload) = &told(&process, "ops")[0];
    assert_eq!(
        (&payload["delivery"], &payload["reason"], &payload["attempts"]),
        (&json!(format!("{id}.billing")), &json!("failed"), &json!(1))
    );
    let mut members: Vec<&str> = payload.as_object().expect("an object").keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["at", "attempts", "delivery", "endpoint", "instance", "reason", "type"]);
    assert_eq!(get(&mut process, "dead-letters")["dead_letters"][0]["delivery"], payload["delivery"]);
}

/// A rollback a promotion and a 410 are told by the worker that made them.
#[test]
fn rollback_promotion_and_410_are_told_by_their_worker() {
    let phases = json!([{"percent": 50, "for": "10s"}, {"percent": 100}]);
    let rollout = json!({"phases": phases, "guard": {"max_breaker_opens": 0}});
    let gone = with(endpoint("gone"), json!({"events": ["bye"]}));
    let config =
        with(administered(config([billing(json!({"events": ["paid"]})), gone, ops()])), json!({"rollout": rollout}));
    let mut process = gateway(&config)
        .cluster("billing", Upstream::always(Reply::status(503)))
        .cluster("gone", Upstream::always(Reply::status(410)))
        .start()
        .expect("it starts");
    advance(&mut process, seconds(15));
    let mut promoted = told(&process, "ops");
    promoted.sort_by_key(|(_, payload)| payload["endpoint"].to_string());
    let about: Vec<&Value> = promoted.iter().map(|(_, payload)| &payload["endpoint"]).collect();
    // Nobody is told of itself.
    assert_eq!(about, [&json!("billing"), &json!("gone")]);
    let (event_type, payload) = &promoted[0];
    assert_eq!((event_type.as_str(), &payload["reason"]), ("gatepost.rollout.promoted", &json!("schedule")));
    assert_eq!((&payload["phase"], &payload["percent"]), (&json!(2), &json!(100)));
    (0..6).for_each(|number| drop(accept(&mut process, number % 2, event("paid"))));
    accept(&mut process, 1, event("bye"));
    advance(&mut process, seconds(5));
    let mut later = types(&process, "ops").split_off(2);
    later.sort();
    let expected = [
        "gatepost.breaker.opened",
        "gatepost.dead_letter",
        "gatepost.endpoint.disabled",
        "gatepost.rollout.rolled_back",
    ];
    assert_eq!(later, expected);
    let told = told(&process, "ops");
    let rolled_back = told.iter().find(|(event_type, _)| event_type.ends_with("rolled_back")).expect("it is told");
    assert_eq!(
        (&rolled_back.1["reason"], &rolled_back.1["detail"]),
        (&json!("breaker_opens"), &json!("1 openings in 24 hours"))
    );
}

/// What an operator does is told once and only when it changes something.
#[test]
fn operator_change_is_told_once_and_only_if_effective() {
    let config = administered(config([billing(json!({})), endpoint("audit"), ops()]));
    let mut process = gateway(&config).start().expect("it starts");
    advance(&mut process, seconds(1));
    for worker in [0, 1] {
        done(&mut process, worker, "PATCH", "endpoints/billing", &json!({"disabled": true}));
        done(&mut process, worker, "POST", "rollout/rollback?endpoint=audit", &Value::Null);
    }
    done(&mut process, 0, "POST", "endpoints/audit/breaker", &json!({"state": "open"}));
    done(&mut process, 1, "POST", "endpoints/audit/breaker", &json!({"state": "closed"}));
    advance(&mut process, seconds(3));
    let mut told = told(&process, "ops");
    assert!(told.iter().all(|(_, payload)| payload["reason"] == "operator"), "{told:?}");
    told.sort_by_key(|(event_type, _)| event_type.clone());
    let told: Vec<(&str, &Value)> =
        told.iter().map(|(event_type, payload)| (&event_type[..], &payload["endpoint"])).collect();
    let [billing, audit] = [json!("billing"), json!("audit")];
    let expected = [
        ("gatepost.breaker.closed", &audit),
        ("gatepost.breaker.opened", &audit),
        ("gatepost.endpoint.disabled", &billing),
        ("gatepost.rollout.rolled_back", &audit),
    ];
    assert_eq!(told, expected);
}

#[test]
fn operational_event_is_retried_but_its_death_is_not_told() {
    let second = with(endpoint("second"), json!({"events": ["gatepost.**"]}));
    let config = administered(config([billing(json!({})), ops(), second]));
    let mut process = gateway(&config)
        .cluster("billing", Upstream::always(Reply::status(400)))
        .cluster("ops", Upstream::always(Reply::status(503)))
        .start()
        .expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(20));
    assert_eq!(types(&process, "ops").len(), 3, "its schedule");
    assert_eq!(types(&process, "second"), ["gatepost.dead_letter"]);
    let letters = get(&mut process, "dead-letters");
    let mut endpoints: Vec<&Value> =
        letters["dead_letters"].as_array().expect("two").iter().map(|one| &one["endpoint"]).collect();
    endpoints.sort_by_key(|name| name.to_string());
    assert_eq!(endpoints, [&json!("billing"), &json!("ops")]);
}

#[test]
fn two_endpoints_that_are_down_do_not_keep_each_other_busy() {
    let curious = |name: &str| {
        with(endpoint(name), json!({"events": ["paid", "gatepost.**"], "max_age": "1h", "breaker": {"failures": 1}}))
    };
    let config = administered(config([curious("one"), curious("two")]));
    let down = || Upstream::always(Reply::status(503));
    let mut process = gateway(&config).cluster("one", down()).cluster("two", down()).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(4 * 3600));
    let calls = process.calls("one").len() + process.calls("two").len();
    assert_eq!(status(&mut process)["pending"], 0);
    advance(&mut process, seconds(4 * 3600));
    assert_eq!(process.calls("one").len() + process.calls("two").len(), calls);
    assert!(calls < 50, "{calls}");
}

#[test]
fn full_queue_drops_operational_event_and_counts_it() {
    let ops = with(ops(), json!({"pending": 2, "disabled": true}));
    let config = administered(config([billing(json!({})), ops]));
    let mut process = gateway(&config)
        .workers(1)
        .cluster("billing", Upstream::always(Reply::status(400)))
        .start()
        .expect("it starts");
    for _ in 0..5 {
        accept(&mut process, 0, event("paid"));
        advance(&mut process, millis(100));
    }
    assert_eq!(process.metric("gatepost_operational_dropped_total"), Some(3));
    let lines = process
        .log()
        .iter()
        .filter(|line| line.message.contains("event=operational_event_dropped endpoint=ops type=gatepost.dead_letter"))
        .count();
    assert_eq!((lines, status(&mut process)["pending"].as_u64()), (3, Some(2)));
    done(&mut process, 0, "PATCH", "endpoints/ops", &json!({"disabled": false}));
    advance(&mut process, seconds(2));
    assert_eq!(types(&process, "ops").len(), 2);
}

#[test]
fn operational_event_is_unsampled_and_absent_when_disabled() {
    let config = with(administered(config([billing(json!({})), ops()])), json!({"rollout": {"percent": 0}}));
    let mut process = gateway(&config).start().expect("it starts");
    advance(&mut process, seconds(1));
    done(&mut process, 0, "POST", "rollout/rollback?endpoint=billing", &Value::Null);
    advance(&mut process, seconds(2));
    assert_eq!(types(&process, "ops"), ["gatepost.rollout.rolled_back"]);
    done(&mut process, 0, "PUT", "state", &json!({"state": "disabled"}));
    done(&mut process, 0, "PATCH", "endpoints/billing", &json!({"disabled": true}));
    done(&mut process, 0, "PUT", "state", &json!({"state": "enabled"}));
    advance(&mut process, seconds(5));
    assert_eq!(types(&process, "ops").len(), 1);
}

#[test]
fn no_producer_may_send_one() {
    let config = administered(config([ops()]));
    let mut process = gateway(&config).start().expect("it starts");
    for event_type in ["gatepost.dead_letter", "gatepost.", "gatepost.anything"] {
        let refused = answer(&mut process, 0, event(event_type));
        let says = body(&refused)["detail"].clone();
        assert_eq!(
            (refused.status(), says),
            (400, json!("event types that begin with gatepost. are the gateway's own"))
        );
    }
    assert_eq!(answer(&mut process, 0, event("gatepost")).status(), 202);
}
