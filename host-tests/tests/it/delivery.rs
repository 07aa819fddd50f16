//! When attempts are made, and what their ends mean.

use std::time::Duration;

use host_tests::{Reply, Upstream};
use serde_json::json;

use crate::support::{
    Attempt, about, accept, advance, attempts, config, endpoint, event, gateway, millis, seconds, waits, with,
};

/// The latency of the receivers here, so that a wait from the attempt's end differs from one from its start.
const LATENCY: Duration = Duration::from_millis(300);

#[test]
fn an_event_leaves_within_a_millisecond_of_its_202() {
    let config = config([endpoint("billing")]);
    let mut process = gateway(&config).start().expect("it starts");
    advance(&mut process, seconds(5));
    for worker in [0, 1] {
        let before = process.clock().elapsed();
        accept(&mut process, worker, event("payment_verified"));
        advance(&mut process, seconds(1));
        let left = attempts(&process, "billing")[worker].at - before;
        assert!(left < millis(1), "{left:?}");
    }
}

#[test]
fn the_first_delay_is_the_wait_before_the_first_attempt() {
    let mut process =
        gateway(&config([with(endpoint("billing"), json!({"retry": {"delays": ["3s"]}}))])).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    let accepted = process.clock().elapsed();
    advance(&mut process, seconds(10));
    assert!(about(seconds(3)).contains(&(attempts(&process, "billing")[0].at - accepted)));
}

#[test]
fn retry_after_lengthens_a_wait_and_never_shortens_one() {
    for (status, header, expected) in [
        (429, "3", seconds(3)),
        (503, "3", seconds(3)),
        (503, "1", seconds(2)),
        (503, "soon", seconds(2)),
        (500, "30", seconds(2)),
    ] {
        let first = Reply::status(status).after(LATENCY).header("retry-after", header);
        let billing = Upstream::replies([first]);
        let mut process =
            gateway(&config([endpoint("billing")])).cluster("billing", billing).start().expect("it starts");
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, seconds(60));
        let waits = waits(&attempts(&process, "billing"), LATENCY);
        assert!(matches!(waits.as_slice(), [wait] if about(expected).contains(wait)), "{status}, {header}: {waits:?}");
    }
}

#[test]
fn jitter_lengthens_waits_by_up_to_its_share_and_not_all_alike() {
    let more = json!({"retry": {"delays": ["0s", "10s"], "jitter": 0.5}, "breaker": {"failures": 100}});
    let config = config([with(endpoint("billing"), more)]);
    let failing = Upstream::always(Reply::status(503).after(LATENCY));
    let mut process = gateway(&config).cluster("billing", failing).start().expect("it starts");
    let ids: Vec<String> = (0..20).map(|_| accept(&mut process, 0, event("payment_verified"))).collect();
    advance(&mut process, seconds(60));
    let all = attempts(&process, "billing");
    let mut seen = Vec::new();
    for id in ids {
        let own: Vec<Attempt> = all.iter().filter(|attempt| attempt.id == id).cloned().collect();
        seen.extend(waits(&own, LATENCY));
    }
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|wait| (seconds(10)..about(seconds(15)).end).contains(wait)), "{seen:?}");
    let spread = *seen.iter().max().expect("some") - *seen.iter().min().expect("some");
    assert!(spread > seconds(1), "{seen:?}");
}

/// An endpoint whose cluster Envoy does not know waits until it does.
#[test]
fn endpoint_with_unknown_cluster_waits_until_it_is_known() {
    let config = config([with(endpoint("billing"), json!({"cluster": "later"})), endpoint("audit")]);
    let unknown = with(config.clone(), json!({"endpoints": [config["endpoints"][1]]}));
    let mut process = gateway(&unknown).config(config.to_string()).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(60));
    assert_eq!(attempts(&process, "audit").len(), 1, "the other endpoint has it");
    process.set_upstream("later", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(2));
    assert_eq!(process.calls("later").len(), 1);
    assert_eq!(process.calls("later")[0].header("x-webhook-attempt"), "1");
}
