//! A disabled endpoint's deliveries wait.

use host_tests::{Process, Reply, Upstream};
use serde_json::json;

use crate::support::{accept, advance, answer, body, config, endpoint, event, gateway, seconds, with};

fn delivery_status(process: &mut Process, worker: usize) -> String {
    let answer = answer(process, worker, event("payment_verified"));
    assert_eq!(answer.status(), 202);
    body(&answer)["deliveries"][0]["status"].as_str().expect("a status").to_owned()
}

/// A changed entry in the config enables an endpoint that was gone.
#[test]
fn changed_config_entry_enables_a_gone_endpoint() {
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
