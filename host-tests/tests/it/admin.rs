//! What operators switch while it runs.

use host_tests::{Reply, Upstream};
use serde_json::{Value, json};

use crate::operator::{administered, done, status};
use crate::support::{
    accept, advance, answer, attempts, body, config, endpoint, event, gateway, millis, seconds, start, with,
};

#[test]
fn paused_it_accepts_and_holds_and_enabled_again_it_goes_on() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    let paused = done(&mut process, 0, "PUT", "state", &json!({"state": "paused", "reason": "a change"}));
    assert_eq!(
        (&paused["state"], &paused["configured"], &paused["reason"]),
        (&json!("paused"), &json!("enabled"), &json!("a change"))
    );
    advance(&mut process, millis(250));
    for worker in [0, 1] {
        let answer = answer(&mut process, worker, event("paid"));
        assert_eq!(body(&answer)["deliveries"][0]["status"], "held");
    }
    advance(&mut process, seconds(60));
    assert!(process.calls("billing").is_empty());
    assert_eq!(status(&mut process)["pending"], 2);
    done(&mut process, 1, "PUT", "state", &json!({"state": "enabled"}));
    advance(&mut process, millis(1_100));
    assert_eq!(attempts(&process, "billing").len(), 2);
}

#[test]
fn disabled_it_discards_new_events_and_holds_what_is_pending() {
    let failing = Upstream::always(Reply::status(503));
    let config = administered(config([with(endpoint("billing"), json!({"retry": {"delays": ["0s", "2s", "2s"]}}))]));
    let mut process = gateway(&config).cluster("billing", failing).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, millis(500));
    done(&mut process, 1, "PUT", "state", &json!({"state": "disabled"}));
    advance(&mut process, seconds(30));
    assert_eq!(body(&answer(&mut process, 0, event("paid")))["status"], "disabled");
    assert_eq!(attempts(&process, "billing").len(), 1, "the second attempt was due");
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    done(&mut process, 0, "DELETE", "overrides", &Value::Null);
    advance(&mut process, millis(1_100));
    assert_eq!(attempts(&process, "billing").len(), 2);
    assert_eq!(status(&mut process)["pending"], 0);
}

#[test]
fn an_override_ends_when_the_config_says_something_else() {
    let on = administered(config([endpoint("billing")]));
    let off = with(on.clone(), json!({"enabled": false}));
    let mut process = start(&off);
    advance(&mut process, seconds(1));
    assert_eq!(status(&mut process)["state"], "disabled");
    done(&mut process, 0, "PUT", "state", &json!({"state": "enabled"}));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    assert_eq!(attempts(&process, "billing").len(), 1);
    done(&mut process, 0, "PUT", "state", &json!({"state": "paused"}));
    process.update_config(on.to_string()).expect("it is taken");
    advance(&mut process, seconds(2));
    let status = status(&mut process);
    assert_eq!((&status["state"], &status["configured"]), (&json!("enabled"), &Value::Null));
}

#[test]
fn an_endpoint_is_disabled_and_enabled_again_while_the_other_one_goes_on() {
    let mut process = start(&administered(config([endpoint("billing"), endpoint("audit")])));
    advance(&mut process, seconds(1));
    let status = done(&mut process, 0, "PATCH", "endpoints/billing", &json!({"disabled": true}));
    assert_eq!(
        (&status["endpoints"][0]["disabled_by"], &status["endpoints"][1]["disabled"]),
        (&json!("operator"), &json!(false))
    );
    accept(&mut process, 1, event("paid"));
    advance(&mut process, seconds(30));
    assert_eq!((process.calls("billing").len(), process.calls("audit").len()), (0, 1));
    done(&mut process, 1, "PATCH", "endpoints/billing", &json!({"disabled": false}));
    advance(&mut process, millis(1_100));
    assert_eq!(process.calls("billing").len(), 1);
}

#[test]
fn an_operator_enables_an_endpoint_that_answered_410_until_it_does_so_again() {
    let gone = Upstream::replies([Reply::status(410), Reply::status(200), Reply::status(410)]);
    let mut process =
        gateway(&administered(config([endpoint("billing")]))).cluster("billing", gone).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    assert_eq!(status(&mut process)["endpoints"][0]["disabled_by"], "gone");
    done(&mut process, 0, "PATCH", "endpoints/billing", &json!({"disabled": false}));
    for _ in 0..2 {
        accept(&mut process, 0, event("paid"));
        advance(&mut process, seconds(1));
    }
    assert_eq!(process.calls("billing").len(), 3);
    assert_eq!(status(&mut process)["endpoints"][0]["disabled_by"], "gone");
}

#[test]
fn an_operator_opens_a_breaker_and_closes_it() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    let status = done(&mut process, 0, "POST", "endpoints/billing/breaker", &json!({"state": "open"}));
    assert_eq!(status["endpoints"][0]["breaker"], json!({"state": "open", "seconds_left": 60}));
    accept(&mut process, 1, event("paid"));
    advance(&mut process, seconds(50));
    assert!(process.calls("billing").is_empty());
    done(&mut process, 1, "POST", "endpoints/billing/breaker", &json!({"state": "closed"}));
    advance(&mut process, millis(1_100));
    assert_eq!(process.calls("billing").len(), 1);
}
