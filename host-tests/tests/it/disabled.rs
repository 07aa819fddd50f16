//! A disabled endpoint's deliveries wait.

use host_tests::{Process, Reply, Upstream};
use serde_json::json;

use crate::support::{
    BODY, accept, advance, answer, attempts, body, config, endpoint, event, gateway, letters, seconds, start, with,
};

fn delivery_status(process: &mut Process, worker: usize) -> String {
    let answer = answer(process, worker, event("payment_verified"));
    assert_eq!(answer.status(), 202);
    body(&answer)["deliveries"][0]["status"].as_str().expect("a status").to_owned()
}

#[test]
fn deliveries_to_a_disabled_endpoint_are_held_until_max_age_and_then_dead_letters() {
    let disabled = json!({"disabled": true, "max_age": "60s"});
    let mut process = start(&config([with(endpoint("billing"), disabled), endpoint("audit")]));
    assert_eq!(delivery_status(&mut process, 0), "held");
    advance(&mut process, seconds(59));
    assert_eq!(attempts(&process, "audit").len(), 1, "others go on");
    assert_eq!(letters(&process, BODY), 0);
    advance(&mut process, seconds(5));
    assert!(process.calls("billing").is_empty());
    assert_eq!(letters(&process, BODY), 1);
}

#[test]
fn a_410_disables_the_endpoint_for_all_workers() {
    let gone = Upstream::replies([Reply::status(410)]);
    let mut process = gateway(&config([endpoint("billing")])).cluster("billing", gone).start().expect("it starts");
    assert_eq!(delivery_status(&mut process, 0), "pending");
    advance(&mut process, seconds(1));
    for worker in [0, 1] {
        assert_eq!(delivery_status(&mut process, worker), "held");
    }
    advance(&mut process, seconds(600));
    assert_eq!(attempts(&process, "billing").len(), 1);
}

#[test]
fn a_410_may_fail_only_its_delivery() {
    let config = config([with(endpoint("billing"), json!({"on_gone": "fail"}))]);
    let gone = Upstream::replies([Reply::status(410)]);
    let mut process = gateway(&config).cluster("billing", gone).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    assert_eq!(attempts(&process, "billing").len(), 2);
}

#[test]
fn a_changed_entry_in_the_config_enables_an_endpoint_that_was_gone() {
    let gone = Upstream::replies([Reply::status(410)]);
    let old = config([endpoint("billing")]);
    let mut process = gateway(&old).cluster("billing", gone).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));

    process.update_config(with(old, json!({"user_agent": "Shop/2"})).to_string()).expect("it is taken");
    assert_eq!(delivery_status(&mut process, 0), "held", "its entry is the same");

    let moved = config([with(endpoint("billing"), json!({"url": "https://billing.example/v2"}))]);
    process.update_config(moved.to_string()).expect("it is taken");
    assert_eq!(delivery_status(&mut process, 0), "pending");
    advance(&mut process, seconds(2));
    assert_eq!(process.calls("billing").last().expect("a call").header(":path"), "/v2");
}
