//! What is counted, under the names that Envoy's stats carry.

use host_tests::{Process, Reply, Upstream};
use serde_json::json;

use crate::support::{accept, advance, answer, config, endpoint, event, gateway, millis, seconds, with};

fn count(process: &Process, name: &str) -> u64 {
    process.metric(name).unwrap_or_default()
}

#[test]
fn each_request_on_an_event_route_is_counted_by_its_result() {
    let mut process =
        gateway(&config([with(endpoint("billing"), json!({"events": ["payment_*"]}))])).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    accept(&mut process, 1, event("payment_verified"));
    answer(&mut process, 0, event("refund"));
    answer(&mut process, 1, event("no good"));
    let events = |result: &str| count(&process, &format!("route=.=ingest;.;result=.={result};.;gatepost_events_total"));
    assert_eq!((events("accepted"), events("no_subscriber"), events("invalid")), (2, 1, 1));
}

#[test]
fn each_attempt_is_counted_by_its_outcome_and_timed() {
    let replies = [
        Reply::status(204),
        Reply::status(302),
        Reply::status(404),
        Reply::status(500),
        Reply::hang(),
        Reply::reset(),
        Reply::connect_failure(),
        Reply::refused(),
    ];
    let once = json!({"retry": {"delays": ["0s"]}, "timeout": "1s", "breaker": {"failures": 100}});
    let config = config([with(endpoint("billing"), once)]);
    let mut process = gateway(&config).cluster("billing", Upstream::replies(replies)).start().expect("it starts");
    for number in 0..8 {
        accept(&mut process, number % 2, event("payment_verified"));
        advance(&mut process, seconds(2));
    }
    let attempts =
        |outcome: &str| count(&process, &format!("endpoint=.=billing;.;outcome=.={outcome};.;gatepost_attempts_total"));
    // The last delivery was refused once, then arrived.
    assert_eq!(attempts("2xx"), 2);
    for outcome in ["3xx", "4xx", "5xx", "timeout", "reset", "connect", "rejected"] {
        assert_eq!(attempts(outcome), 1, "{outcome}");
    }
    let durations = process.histogram("endpoint=.=billing;.;gatepost_attempt_duration_ms").expect("a histogram");
    assert_eq!(durations.len(), 8, "a refusal is no attempt");
    assert_eq!(durations.iter().max(), Some(&1000));
}

#[test]
fn each_delivery_is_counted_by_its_end_and_timed_from_its_acceptance() {
    let replies = [Reply::status(503), Reply::status(200).after(millis(10)), Reply::status(400)];
    let config = config([endpoint("billing")]);
    let mut process = gateway(&config).cluster("billing", Upstream::replies(replies)).start().expect("it starts");
    for _ in 0..2 {
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, seconds(5));
    }
    let ended =
        |result: &str| count(&process, &format!("endpoint=.=billing;.;result=.={result};.;gatepost_deliveries_total"));
    assert_eq!((ended("delivered"), ended("failed"), ended("expired")), (1, 1, 0));
    let durations = process.histogram("endpoint=.=billing;.;gatepost_delivery_duration_ms").expect("a histogram");
    assert!((2010..2020).contains(&durations[0]), "{durations:?}");
}
