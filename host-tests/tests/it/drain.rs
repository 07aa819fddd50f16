//! Before a shutdown: new events are refused, and what was accepted is delivered.

use host_tests::{Reply, Upstream};
use serde_json::json;

use crate::operator::{administered, request};
use crate::support::{accept, advance, answered, body, config, endpoint, event, gateway, seconds, start, with};

/// A drain does not wait long for what is held and says how much it is.
#[test]
fn drain_waits_briefly_for_held_and_tells_how_many() {
    let disabled = with(endpoint("billing"), json!({"disabled": true}));
    let mut process = start(&administered(config([disabled])));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    let drain = process.request(0, request("POST", "drain", "may-change")).expect("it is taken");
    advance(&mut process, seconds(9));
    assert!(process.is_open(drain), "an attempt may have been under way when it was disabled");
    advance(&mut process, seconds(3));
    let left = answered(&process, drain);
    let problem = body(&left);
    assert_eq!((left.status(), &problem["pending"], &problem["held"]), (503, &json!(0), &json!(1)));
    assert!(problem["detail"].as_str().expect("a detail").starts_with("1 deliveries are held"), "{problem}");
    assert!(problem["instance"].is_string());
}

/// A drain that takes too long says how much is left and can be asked again.
#[test]
fn slow_drain_tells_what_is_left_and_can_be_repeated() {
    let hanging = Upstream::always(Reply::hang());
    let config = administered(config([with(endpoint("billing"), json!({"timeout": "70s"}))]));
    let mut process = gateway(&config).cluster("billing", hanging).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    let drain = process.request(1, request("POST", "drain", "may-change")).expect("it is taken");
    advance(&mut process, seconds(59));
    assert!(process.is_open(drain));
    advance(&mut process, seconds(3));
    let left = answered(&process, drain);
    assert_eq!((left.status(), &body(&left)["pending"], &body(&left)["held"]), (503, &json!(1), &json!(0)));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    let again = process.request(0, request("POST", "drain", "may-change")).expect("it is taken");
    advance(&mut process, seconds(20));
    assert_eq!(body(&answered(&process, again))["status"], "drained");
}
