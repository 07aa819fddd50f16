//! What is counted, under the names that Envoy's stats carry.

use host_tests::{Process, Reply, Thread, Upstream};
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

/// Each delivery is counted by its end and timed from its acceptance.
#[test]
fn delivery_is_counted_by_result_and_timed_from_acceptance() {
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

#[test]
fn every_series_is_there_at_zero_before_anything_happens() {
    let mut process = gateway(&config([endpoint("billing")])).start().expect("it starts");
    advance(&mut process, seconds(5));
    let of_billing = |rest: &str| process.metric(&format!("endpoint=.=billing;.;{rest}"));
    for outcome in ["2xx", "3xx", "4xx", "5xx", "timeout", "reset", "connect", "rejected"] {
        assert_eq!(of_billing(&format!("outcome=.={outcome};.;gatepost_attempts_total")), Some(0), "{outcome}");
    }
    for result in ["delivered", "failed", "expired"] {
        assert_eq!(of_billing(&format!("result=.={result};.;gatepost_deliveries_total")), Some(0), "{result}");
    }
    for reason in ["success", "p95", "breaker_opens", "unauthorized", "personal_data", "operator"] {
        assert_eq!(of_billing(&format!("reason=.={reason};.;gatepost_rollbacks_total")), Some(0), "{reason}");
    }
    for (metric, value) in [
        ("gatepost_breaker_opens_total", 0),
        ("gatepost_breaker_state", 0),
        ("gatepost_pending", 0),
        ("gatepost_endpoint_disabled", 0),
        ("gatepost_rollout_percent", 100),
    ] {
        assert_eq!(of_billing(metric), Some(value), "{metric}");
    }
    for result in
        ["accepted", "disabled", "no_subscriber", "not_sampled", "replayed", "invalid", "unavailable", "overloaded"]
    {
        let metric = format!("route=.=ingest;.;result=.={result};.;gatepost_events_total");
        assert_eq!(process.metric(&metric), Some(0), "{result}");
    }
    for kind in ["email", "ipv4", "ipv6", "phone", "card", "key", "string", "unreadable"] {
        assert_eq!(process.metric(&format!("kind=.={kind};.;gatepost_payload_findings_total")), Some(0), "{kind}");
    }
    for reason in ["token", "throttled", "overloaded"] {
        assert_eq!(process.metric(&format!("reason=.={reason};.;gatepost_admin_refused_total")), Some(0), "{reason}");
    }
    for metric in [
        "gatepost_dead_letters",
        "gatepost_dead_letters_evicted_total",
        "gatepost_oldest_pending_seconds",
        "gatepost_adopted_total",
        "gatepost_operational_dropped_total",
    ] {
        assert_eq!(process.metric(metric), Some(0), "{metric}");
    }
    // So many that a gateway pays for them, and no more.
    assert_eq!(process.metrics().filter(|name| name.contains("gatepost_")).count(), 16 + 8 + 24);
}

/// A hundred endpoints have all their series within half a minute.
#[test]
fn hundred_endpoints_have_all_series_within_half_a_minute() {
    let names: Vec<String> = (0..100).map(|number| format!("endpoint-{number}")).collect();
    let mut all = config([]);
    all["endpoints"] = names.iter().map(|name| endpoint(name)).collect();
    let mut process = gateway(&all).start().expect("it starts");
    advance(&mut process, seconds(30));
    for name in &names {
        let metric = format!("endpoint=.={name};.;result=.=failed;.;gatepost_deliveries_total");
        assert_eq!(process.metric(&metric), Some(0), "{name}");
    }
}

/// What is pending is shown for all workers and goes with the VM that takes it over.
#[test]
fn pending_gauge_covers_all_workers_and_survives_takeover() {
    let waiting = json!({"retry": {"delays": ["0s", "60s"]}, "breaker": {"failures": 100}});
    let config = config([with(endpoint("billing"), waiting), endpoint("audit")]);
    let down = Upstream::always(Reply::status(503));
    let mut process = gateway(&config).cluster("billing", down).start().expect("it starts");
    advance(&mut process, seconds(2));
    (0..5).for_each(|number| drop(accept(&mut process, number % 2, event("paid"))));
    advance(&mut process, seconds(2));
    let pending = |process: &Process| {
        let of = |name| count(process, &format!("endpoint=.={name};.;gatepost_pending"));
        (of("billing"), of("audit"), count(process, "gatepost_oldest_pending_seconds"))
    };
    let (billing, audit, age) = pending(&process);
    assert_eq!((billing, audit), (5, 0));
    assert!((1..=2).contains(&age), "{age}");
    process.kill_vm(Thread::Worker(0));
    advance(&mut process, seconds(15));
    assert_eq!(pending(&process), (5, 0, age + 15));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(60));
    assert_eq!(pending(&process), (0, 0, 0));
}

/// Dead letters and disabled endpoints are shown within a second.
#[test]
fn dead_letter_and_disabled_gauges_update_within_a_second() {
    let config = config([endpoint("billing"), endpoint("audit")]);
    let gone = Upstream::always(Reply::status(410));
    let mut process = gateway(&config).cluster("billing", gone).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(2));
    let disabled = |process: &Process, name| count(process, &format!("endpoint=.={name};.;gatepost_endpoint_disabled"));
    assert_eq!((disabled(&process, "billing"), disabled(&process, "audit")), (1, 0));
    assert_eq!(count(&process, "gatepost_dead_letters"), 1);
}

/// Each delivery is counted once whatever VMs and configurations it outlives.
#[test]
fn delivery_is_counted_once_across_vms_and_configs() {
    let slow = Upstream::always(Reply::status(200).after(millis(700)));
    let first = config([endpoint("billing")]);
    let mut process = gateway(&first).cluster("billing", slow).start().expect("it starts");
    let mut accepted = 0;
    for round in 0..6 {
        for number in 0..20 {
            // A worker whose VM was lost a moment ago answers 503.
            accepted += u64::from(answer(&mut process, number % 2, event("paid")).status() == 202);
            advance(&mut process, millis(40));
        }
        if round % 2 == 0 {
            process.kill_vm(Thread::Worker(round / 2 % 2));
        } else {
            let next = with(first.clone(), json!({"user_agent": format!("round-{round}")}));
            process.update_config(next.to_string()).expect("it is taken");
        }
    }
    advance(&mut process, seconds(60));
    let ended =
        |result: &str| count(&process, &format!("endpoint=.=billing;.;result=.={result};.;gatepost_deliveries_total"));
    assert!(accepted > 90, "{accepted}");
    assert_eq!((ended("delivered"), ended("failed"), ended("expired")), (accepted, 0, 0));
    assert_eq!(count(&process, "route=.=ingest;.;result=.=accepted;.;gatepost_events_total"), accepted);
}

/// The gauges of an endpoint that is gone from the config say nothing any more.
#[test]
fn gauges_of_a_removed_endpoint_are_reset() {
    let both = config([endpoint("billing"), endpoint("audit")]);
    let gone = Upstream::always(Reply::status(410));
    let mut process = gateway(&both).cluster("billing", gone).start().expect("it starts");
    (0..3).for_each(|number| drop(accept(&mut process, number % 2, event("paid"))));
    advance(&mut process, seconds(2));
    let of_billing = |process: &Process, metric| process.metric(&format!("endpoint=.=billing;.;{metric}"));
    assert_eq!(of_billing(&process, "gatepost_endpoint_disabled"), Some(1));
    process.update_config(config([endpoint("audit")]).to_string()).expect("it is taken");
    advance(&mut process, seconds(3));
    for (metric, value) in [
        ("gatepost_endpoint_disabled", 0),
        ("gatepost_pending", 0),
        ("gatepost_breaker_state", 0),
        ("gatepost_rollout_percent", 100),
    ] {
        assert_eq!(of_billing(&process, metric), Some(value), "{metric}");
    }
}

#[test]
fn letters_that_a_full_ring_gives_up_are_counted() {
    let full = with(config([endpoint("billing")]), json!({"limits": {"dead_letters": 3}}));
    let rejecting = Upstream::always(Reply::status(400));
    let mut process = gateway(&full).cluster("billing", rejecting).start().expect("it starts");
    for _ in 0..5 {
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, seconds(1));
    }
    assert_eq!(count(&process, "gatepost_dead_letters_evicted_total"), 2);
}

/// The series of the journal are there where one is configured, and say that it does not serve.
#[test]
fn series_of_the_journal_are_there_with_one() {
    let journal = json!({"journal": {"etcd": {"cluster": "etcd", "prefix": "/g"}}});
    let nobody = Upstream::always(Reply::connect_failure());
    let all = with(config([endpoint("billing")]), journal);
    let mut process = gateway(&all).cluster("etcd", nobody).start().expect("it starts");
    advance(&mut process, seconds(10));
    for result in ["applied", "already", "fenced", "refused", "unknown"] {
        assert_eq!(process.metric(&format!("result=.={result};.;gatepost_journal_appends_total")), Some(0), "{result}");
    }
    for metric in [
        "gatepost_takeovers_total",
        "gatepost_events_memory_only_total",
        "gatepost_inbound_memory_only_total",
        "gatepost_fleet_gateways",
    ] {
        assert_eq!(process.metric(metric), Some(0), "{metric}");
    }
    assert_eq!((process.metric("gatepost_journal_up"), process.metric("gatepost_journal_full")), (Some(0), Some(0)));
    assert_eq!(process.metrics().filter(|name| name.contains("gatepost_")).count(), 16 + 8 + 24 + 15);
    let told: Vec<&str> =
        process.log().iter().map(|line| line.message.as_str()).filter(|line| line.contains("event=journal_")).collect();
    assert_eq!(told.len(), 1, "one of the workers tells it: {told:?}");
    assert!(told[0].contains("event=journal_unavailable reason="), "{told:?}");
}
