//! What fails for good is kept with its body, and goes to the sink where there is one.

use host_tests::{Process, Reply, Upstream};
use serde_json::{Value, json};

use crate::support::{BODY, accept, advance, attempts, config, endpoint, event, gateway, letters, seconds, with};

/// A process whose `billing` answers like this.
fn start(upstream: Upstream, more: Value) -> Process {
    let config = config([with(endpoint("billing"), more)]);
    gateway(&config).cluster("billing", upstream).start().expect("it starts")
}

#[test]
fn a_delivery_that_failed_for_good_is_kept_with_its_body() {
    for (reply, more) in [
        (Reply::status(400), json!({})),
        (Reply::status(503), json!({})),
        (Reply::hang(), json!({"max_age": "15s", "timeout": "5s"})),
    ] {
        let mut process = start(Upstream::always(reply), more);
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, seconds(120));
        assert_eq!(letters(&process, BODY), 1);
    }
}

#[test]
fn a_delivery_that_arrived_leaves_no_letter() {
    let mut process = start(Upstream::replies([Reply::status(503)]), json!({}));
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(120));
    assert_eq!(letters(&process, BODY), 0);
}

#[test]
fn a_full_ring_gives_up_its_oldest_letter_and_counts_it() {
    let mut config = config([endpoint("billing")]);
    config["limits"] = json!({"dead_letters": 3});
    let rejecting = Upstream::always(Reply::status(400));
    let mut process = gateway(&config).cluster("billing", rejecting).start().expect("it starts");
    for number in 0..5 {
        accept(&mut process, 0, event("payment_verified").body(format!("body number {number}")));
        advance(&mut process, seconds(1));
    }
    let kept: Vec<usize> = (0..5).map(|number| letters(&process, &format!("body number {number}"))).collect();
    assert_eq!(kept, [0, 0, 1, 1, 1]);
    assert_eq!(process.metric("gatepost_dead_letters_evicted_total"), Some(2));
}

#[test]
fn a_dead_letter_goes_to_the_sink_with_its_body_and_why() {
    let sink = json!({"dead_letter": {"cluster": "dlq", "url": "https://dlq.internal/failed"}});
    let mut process = start(Upstream::always(Reply::status(400)), sink);
    let id = accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(10));
    let calls = process.calls("dlq");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body, BODY.as_bytes());
    assert_eq!(calls[0].header(":authority"), "dlq.internal");
    assert_eq!(calls[0].header(":path"), "/failed");
    assert_eq!(calls[0].header("x-webhook-id"), id);
    assert_eq!(calls[0].header("x-webhook-endpoint"), "billing");
    assert_eq!(letters(&process, BODY), 1, "it is kept as well");
}

#[test]
fn a_sink_that_fails_is_tried_by_the_schedule_and_never_makes_another_letter() {
    let sink = json!({"dead_letter": {"cluster": "dlq", "url": "https://dlq.internal/failed"}});
    let mut process = start(Upstream::always(Reply::status(400)), sink);
    process.set_upstream("dlq", Upstream::always(Reply::status(500)));
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(60));
    assert_eq!(process.calls("dlq").len(), 3);
    assert_eq!(attempts(&process, "billing").len(), 1);
    assert_eq!(letters(&process, BODY), 1);
}
