//! The rollout of an endpoint, over hours and days.

use host_tests::{Process, Reply, Request, Thread, Upstream};
use serde_json::{Value, json};

use crate::support::{advance, answer, body, config, endpoint, event, gateway, millis, seconds, start, with};

const DAY: u64 = 24 * 3600;

/// A configuration with this rollout and an admin surface.
fn rolling<const N: usize>(endpoints: [Value; N], rollout: Value) -> Value {
    let admin = json!({"tokens": [{"value": "operator", "role": "operate"}]});
    with(config(endpoints), json!({"rollout": rollout, "admin": admin}))
}

/// An endpoint that fails at its first answer that is no 2xx, and whose breaker lets it.
fn hasty(name: &str) -> Value {
    with(endpoint(name), json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 100}}))
}

fn operate(process: &mut Process, method: &str, path: &str, command: &str) -> Value {
    let request = Request::new(method, &format!("/gatepost/{path}")).header("authorization", "Bearer operator");
    let request = if command.is_empty() { request } else { request.body(command) };
    let answer = answer(process, 0, request);
    with(body(&answer), json!({"status_code": answer.status()}))
}

fn rollout(process: &mut Process, endpoint: usize) -> Value {
    operate(process, "GET", "status", "")["endpoints"][endpoint]["rollout"].clone()
}

/// Sends events for some seconds, so many a second, to both workers in turn. How each was answered.
fn play(process: &mut Process, for_seconds: u64, per_second: u64) -> Vec<Value> {
    let mut answers = Vec::new();
    for number in 0..for_seconds * per_second {
        let answer = answer(process, number as usize % 2, event("paid"));
        assert_eq!(answer.status(), 202, "{answer:?}");
        answers.push(body(&answer));
        advance(process, millis(1000 / per_second));
    }
    answers
}

fn count(answers: &[Value], status: &str) -> usize {
    answers.iter().filter(|answer| answer["status"] == status).count()
}

#[test]
fn a_phase_of_a_day_promotes_itself_when_the_day_is_over() {
    let phases = json!([{"percent": 5, "for": "24h"}, {"percent": 25, "for": "90m"}, {"percent": 100}]);
    let config = rolling([endpoint("billing")], json!({"phases": phases, "guard": {}}));
    let mut process = gateway(&config).workers(1).start().expect("it starts");
    let hour = seconds(3600);
    let mut seen = Vec::new();
    for hours in 0..27 {
        advance(&mut process, hour);
        let percent = process.metric("endpoint=.=billing;.;gatepost_rollout_percent");
        if seen.last().is_none_or(|(_, last)| *last != percent) {
            seen.push((hours + 1, percent));
        }
    }
    assert_eq!(seen, [(1, Some(5)), (25, Some(25)), (26, Some(100))]);
    assert_eq!(rollout(&mut process, 0)["state"], "complete");
}

#[test]
fn at_a_share_of_events_the_others_are_answered_and_not_sent() {
    let mut process = start(&rolling([endpoint("billing")], json!({"percent": 25})));
    let answers = play(&mut process, 40, 10);
    let accepted = count(&answers, "accepted");
    assert!((70..130).contains(&accepted), "{accepted} of 400");
    assert_eq!(accepted + count(&answers, "not_sampled"), 400);
    assert_eq!(process.calls("billing").len(), accepted);
    assert_eq!(
        process.metric("route=.=ingest;.;result=.=not_sampled;.;gatepost_events_total"),
        Some(400 - accepted as u64)
    );
}

#[test]
fn a_tenant_is_in_or_out_whatever_it_sends() {
    let mut process = start(&rolling([endpoint("billing")], json!({"percent": 50, "key": "{header:x-tenant}"})));
    for tenant in 0..20 {
        let statuses: Vec<Value> = (0..4)
            .map(|number| {
                let request = event("paid").header("x-tenant", format!("tenant-{tenant}"));
                body(&answer(&mut process, number % 2, request))["status"].clone()
            })
            .collect();
        assert!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:?}");
    }
}

/// A breaker that opens too often within a day is a rollback and what opened the day before counts no more.
#[test]
fn breaker_opening_too_often_in_a_day_rolls_back() {
    let guard = json!({"guard": {"max_breaker_opens": 3}});
    let breaker = json!({"failures": 1, "window": "120s", "open": "1s"});
    let billing = with(endpoint("billing"), json!({"retry": {"delays": ["0s"]}, "breaker": breaker}));
    let mut process = start(&rolling([billing], guard));
    let open = |process: &mut Process| {
        process.set_upstream("billing", Upstream::replies([Reply::status(500)]));
        assert_eq!(answer(process, 0, event("paid")).status(), 202);
        advance(process, seconds(2));
        // The probe closes it again.
        assert_eq!(answer(process, 0, event("paid")).status(), 202);
        advance(process, seconds(1));
    };
    let standing = |process: &mut Process| {
        let status = operate(process, "GET", "status", "");
        let endpoint = &status["endpoints"][0];
        (endpoint["breaker_opens_24h"].clone(), endpoint["rollout"]["state"].clone())
    };
    for _ in 0..3 {
        open(&mut process);
        advance(&mut process, seconds(6 * 3600));
    }
    assert_eq!(standing(&mut process), (json!(3), json!("fixed")));
    advance(&mut process, seconds(7 * 3600));
    // 25 hours after the first.
    assert_eq!(standing(&mut process), (json!(2), json!("fixed")));
    open(&mut process);
    assert_eq!(standing(&mut process), (json!(3), json!("fixed")));
    open(&mut process);
    assert_eq!(standing(&mut process), (json!(4), json!("rolled_back")));
    assert_eq!(rollout(&mut process, 0)["reason"], "breaker_opens");
}

/// A rollback outlives the VM that saw it and the configuration.
#[test]
fn rollback_outlives_the_vm_and_the_config() {
    let guard = json!({"guard": {"for": "5s", "min_events": 5}});
    let config = rolling([hasty("billing")], guard);
    let mut process =
        gateway(&config).cluster("billing", Upstream::always(Reply::status(400))).start().expect("it starts");
    play(&mut process, 7, 10);
    assert_eq!(rollout(&mut process, 0)["state"], "rolled_back");
    (0..2).for_each(|worker| process.kill_vm(Thread::Worker(worker)));
    process
        .update_config(with(config, json!({"rollout": {"percent": 50, "guard": {}}})).to_string())
        .expect("it is taken");
    advance(&mut process, seconds(3));
    assert_eq!(rollout(&mut process, 0)["state"], "rolled_back");
}

/// Operators set promote hold and roll back and are told what cannot be.
#[test]
fn operators_can_set_promote_hold_and_roll_back() {
    let phases =
        json!([{"percent": 5, "for": "1h", "approval": "manual"}, {"percent": 50, "for": "1h"}, {"percent": 100}]);
    let mut process = start(&rolling([endpoint("billing"), endpoint("audit")], json!({"phases": phases})));
    advance(&mut process, seconds(2));
    let shown = |status: &Value, endpoint: usize| {
        let rollout = &status["endpoints"][endpoint]["rollout"];
        format!("{} {}", rollout["percent"], rollout["state"].as_str().unwrap_or_default())
    };
    advance(&mut process, seconds(3700));
    assert_eq!(rollout(&mut process, 0)["state"], "waiting");
    let waits = |process: &Process, endpoint| {
        let line = format!("event=waiting_for_approval endpoint={endpoint} phase=1");
        process.log().iter().filter(|logged| logged.message == line).count()
    };
    assert_eq!((waits(&process, "billing"), waits(&process, "audit")), (1, 1), "each is told once, over all workers");
    let status = operate(&mut process, "POST", "rollout/promote?endpoint=billing", "");
    assert_eq!((shown(&status, 0), shown(&status, 1)), ("50 running".to_owned(), "5 waiting".to_owned()));
    let status = operate(&mut process, "POST", "rollout/hold?endpoint=billing", "");
    assert_eq!(shown(&status, 0), "50 held");
    advance(&mut process, seconds(3700));
    assert_eq!(rollout(&mut process, 0)["state"], "held");
    let status = operate(&mut process, "PUT", "rollout?endpoint=billing", r#"{"percent": 12.5}"#);
    assert_eq!(shown(&status, 0), "12.5 overridden");
    let status = operate(&mut process, "DELETE", "overrides", "");
    assert_eq!(shown(&status, 0), "50 running");
    let status = operate(&mut process, "POST", "rollout/rollback", "");
    assert_eq!((shown(&status, 0), shown(&status, 1)), ("0 rolled_back".to_owned(), "0 rolled_back".to_owned()));
    assert_eq!(status["endpoints"][0]["rollout"]["reason"], "operator");
    advance(&mut process, seconds(1));
    for endpoint in ["billing", "audit"] {
        let metric = format!("endpoint=.={endpoint};.;reason=.=operator;.;gatepost_rollbacks_total");
        assert_eq!(process.metric(&metric), Some(1), "{endpoint}");
    }

    let refused = operate(&mut process, "POST", "rollout/promote?endpoint=billing", "");
    assert_eq!(refused["status_code"], 409);
    assert_eq!(refused["detail"], "endpoint billing: it is rolled back: resume it first");
    for (method, path, command, code) in [
        ("PUT", "rollout", r#"{"percent": 101}"#, 400),
        ("PUT", "rollout?endpoint=nobody", r#"{"percent": 1}"#, 404),
        ("POST", "rollout/launch", "", 404),
        ("GET", "rollout", "", 405),
    ] {
        assert_eq!(operate(&mut process, method, path, command)["status_code"], code, "{method} {path}");
    }
}

/// 5 % for a day, then 25, then all.
fn daily() -> Value {
    json!({"phases": [{"percent": 5, "for": "24h"}, {"percent": 25, "for": "24h"}, {"percent": 100}], "guard": {}})
}

#[test]
fn the_days_on_which_nothing_is_sent_are_not_part_of_a_phase() {
    let off = with(rolling([endpoint("billing")], daily()), json!({"enabled": false}));
    let mut process = start(&off);
    advance(&mut process, seconds(6 * DAY));
    operate(&mut process, "PUT", "state", r#"{"state": "enabled"}"#);
    advance(&mut process, seconds(DAY / 2));
    assert_eq!(rollout(&mut process, 0)["percent"], 5);
    for (method, path, off, on) in [
        ("PUT", "state", r#"{"state": "paused"}"#, r#"{"state": "enabled"}"#),
        ("PATCH", "endpoints/billing", r#"{"disabled": true}"#, r#"{"disabled": false}"#),
    ] {
        operate(&mut process, method, path, off);
        advance(&mut process, seconds(3 * DAY));
        operate(&mut process, method, path, on);
        advance(&mut process, seconds(DAY / 8));
        assert_eq!(rollout(&mut process, 0)["percent"], 5, "{path}");
    }
    advance(&mut process, seconds(DAY / 3));
    assert_eq!(rollout(&mut process, 0)["percent"], 25);
}

/// An override whose value has changed in the config is not in force when that changes back.
#[test]
fn override_does_not_revive_when_config_changes_back() {
    let with_state = |enabled: bool, disabled: bool, percent: u32| {
        let billing = with(endpoint("billing"), json!({"disabled": disabled}));
        with(rolling([billing], json!({"percent": percent})), json!({"enabled": enabled}))
    };
    let mut process = start(&with_state(false, true, 10));
    advance(&mut process, seconds(2));
    operate(&mut process, "PUT", "state", r#"{"state": "enabled"}"#);
    operate(&mut process, "PATCH", "endpoints/billing", r#"{"disabled": false}"#);
    operate(&mut process, "PUT", "rollout", r#"{"percent": 100}"#);
    let standing = |process: &mut Process| {
        let status = operate(process, "GET", "status", "");
        let endpoint = &status["endpoints"][0];
        format!("{} {} {}", status["state"], endpoint["disabled"], endpoint["rollout"]["percent"])
    };
    assert_eq!(standing(&mut process), "\"enabled\" false 100");
    for (config, expected) in
        [(with_state(true, false, 50), "\"enabled\" false 50"), (with_state(false, true, 10), "\"disabled\" true 10")]
    {
        process.update_config(config.to_string()).expect("it is taken");
        // The first configuration is revived as it was: a request tells it so.
        standing(&mut process);
        advance(&mut process, seconds(15));
        assert_eq!(standing(&mut process), expected);
    }
}

/// Another guard and what an older configuration sees leave an operators share in force.
#[test]
fn operators_share_survives_new_guard_and_old_config() {
    let config = |min_events: u32| {
        let rollout = json!({"percent": 50, "guard": {"min_events": min_events}});
        with(rolling([hasty("billing")], rollout), json!({"payload_guard": {"action": "report"}}))
    };
    let mut process = start(&config(20));
    let kept = process.request(1, event("paid")).expect("no fault");
    advance(&mut process, seconds(2));
    operate(&mut process, "PUT", "rollout", r#"{"percent": 0}"#);
    process.update_config(config(30).to_string()).expect("it is taken");
    advance(&mut process, seconds(3));
    assert_eq!(rollout(&mut process, 0)["percent"], 0);
    let plan = with(config(30), json!({"rollout": {"percent": 60, "guard": {}}}));
    process.update_config(plan.to_string()).expect("it is taken");
    advance(&mut process, seconds(3));
    operate(&mut process, "PUT", "rollout", r#"{"percent": 1}"#);
    // A connection of the first configuration: its worker rolls back, and changes nothing else.
    let personal = event("paid").body(r#"{"to": "bob@example.com"}"#);
    process.request_again(kept, personal).expect("no fault");
    advance(&mut process, seconds(2));
    assert_eq!(rollout(&mut process, 0)["reason"], "personal_data");
    operate(&mut process, "POST", "rollout/resume", "");
    assert_eq!(rollout(&mut process, 0)["percent"], 1);
}

/// What a rolled back endpoint has no room to hold is a dead letter and the others get theirs.
#[test]
fn overflow_of_a_rolled_back_endpoint_is_a_dead_letter() {
    let billing = with(hasty("billing"), json!({"pending": 20}));
    let mut process = start(&rolling([billing, hasty("audit")], json!({"guard": {}})));
    advance(&mut process, seconds(2));
    operate(&mut process, "POST", "rollout/rollback?endpoint=billing", "");
    advance(&mut process, seconds(2));
    play(&mut process, 10, 10);
    assert_eq!((process.calls("billing").len(), process.calls("audit").len()), (0, 100));
    let letters = operate(&mut process, "GET", "dead-letters", "");
    assert_eq!((&letters["total"], &letters["dead_letters"][0]["reason"]), (&json!(60), &json!("overflow")));
    operate(&mut process, "POST", "rollout/resume?endpoint=billing", "");
    advance(&mut process, seconds(3));
    assert_eq!(process.calls("billing").len(), 40);
}

/// What grew too old while it was held is no fault of the receiver.
#[test]
fn expiry_while_held_is_not_blamed_on_the_receiver() {
    let billing = with(hasty("billing"), json!({"max_age": "2m"}));
    let mut process = start(&rolling([billing], json!({"guard": {"for": "30s", "min_events": 5}})));
    play(&mut process, 5, 5);
    operate(&mut process, "PUT", "state", r#"{"state": "paused"}"#);
    play(&mut process, 180, 5);
    advance(&mut process, seconds(60));
    assert_eq!(rollout(&mut process, 0)["state"], "fixed");
}

/// A receiver that nothing gets through to is rolled back although its breaker is open.
#[test]
fn unreachable_receiver_is_rolled_back_with_open_breaker() {
    let phases = json!([{"percent": 50, "for": "2m"}, {"percent": 100}]);
    let rollout = json!({"phases": phases, "guard": {"for": "5m"}});
    let down = Upstream::always(Reply::connect_failure());
    let mut process =
        gateway(&rolling([endpoint("billing")], rollout)).cluster("billing", down).start().expect("it starts");
    advance(&mut process, seconds(2));
    let mut before = Value::Null;
    for _ in 0..40 {
        before = operate(&mut process, "GET", "status", "")["endpoints"][0]["rollout"].clone();
        if before["state"] == "rolled_back" {
            break;
        }
        assert_eq!(before["percent"], 50);
        play(&mut process, 10, 5);
    }
    assert_eq!((&before["reason"], &before["state"]), (&json!("success"), &json!("rolled_back")));
    let detail = before["detail"].as_str().expect("a detail");
    assert!(detail.starts_with("the breaker has not closed for 300 s; "), "{detail}");
}
