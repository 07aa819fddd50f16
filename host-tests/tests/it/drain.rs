//! Before a shutdown: new events are refused, and what was accepted is delivered.

use host_tests::{Reply, Upstream};
use serde_json::json;

use crate::operator::{administered, request};
use crate::support::{accept, advance, answered, body, config, endpoint, event, gateway, seconds, start, with};

#[test]
fn a_drain_does_not_wait_long_for_what_is_held_and_says_how_much_it_is() {
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

#[test]
fn a_drain_that_takes_too_long_says_how_much_is_left_and_can_be_asked_again() {
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
