//! Rollouts that climb, stop and go back by themselves. Phases of a day are played on the simulated gateway only: see
//! `host-tests/tests/it/rollout.rs`.

use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

use crate::gateway::plain;
use crate::steps::{begun, operate, paid, pass, post, send, status, until, wait_for, wait_for_status};
use crate::{Gateway, Reply, Scenario, Start, config, endpoint};

pub fn all() -> Vec<Scenario> {
    vec![climbs(), goes_back(), is_held(), unauthorized(), by_hand()]
}

/// The config entry of an endpoint that has one attempt, and a breaker that does not open.
fn hasty(name: &str) -> Value {
    endpoint(name, json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 100}}))
}

fn rolling(endpoints: &[Value], rollout: Value) -> Start {
    config(endpoints).with(json!({"rollout": rollout}))
}

/// Posts events to both workers in turn until the billing endpoint's rollout is in this state. Returns a line with the
/// shares that the rollout went through, and a line with its state and why.
fn until_it_is(gateway: &mut dyn Gateway, state: &str) -> Result<Vec<String>> {
    let (mut shares, mut worker) = (Vec::new(), 0);
    let rollout = until(gateway, &format!("the rollout is {state}"), |gateway| {
        worker += 1;
        // The same two connections: to open one to a certain worker takes a while.
        send(gateway, &paid().over(worker % 2))?;
        let status = operate(gateway, "GET", "status", &Value::Null)?;
        let rollout = status.json.pointer("/endpoints/0/rollout").cloned().unwrap_or_default();
        let share = part(&rollout, "percent");
        if shares.last() != Some(&share) {
            shares.push(share);
        }
        Ok((part(&rollout, "state") == state).then_some(rollout))
    })?;
    // The other worker reads the new state within a second.
    pass(gateway, 1000)?;
    let why = ["reason", "breached"].map(|key| part(&rollout, key));
    Ok(vec![format!("percent {}", shares.join(", ")), format!("{state}, {}", why.join(", "))])
}

fn part(value: &Value, key: &str) -> String {
    value.get(key).map_or("-".to_owned(), plain)
}

fn climbs() -> Scenario {
    Scenario {
        name: "a rollout whose receiver is healthy climbs to 100 percent by itself",
        start: || {
            let phases = json!([{"percent": 5, "for": "5s"}, {"percent": 25, "for": "5s"},
                {"percent": 50, "for": "5s"}, {"percent": 100}]);
            rolling(&[hasty("billing")], json!({"phases": phases, "guard": {"for": "2s", "min_events": 5}}))
        },
        play: |gateway| {
            begun(gateway)?;
            let mut observed = until_it_is(gateway, "complete")?;
            observed.extend(post(gateway)?.lines());
            Ok(observed)
        },
        expected: &[
            "percent 5, 25, 50, 100",
            "complete, -, -",
            "answered 202 accepted",
            "billing pending, - attempts, last answer -",
        ],
    }
}

fn goes_back() -> Scenario {
    Scenario {
        name: "an endpoint that fails half the time is rolled back, no other is, and resumed it gets what was held",
        start: || rolling(&[hasty("billing"), hasty("audit")], json!({"guard": {"for": "6s", "min_events": 10}})),
        play: |gateway| {
            begun(gateway)?;
            let half: Vec<Reply> =
                (0..400).map(|number| Reply::Status(if number % 2 == 0 { 200 } else { 400 })).collect();
            gateway.script("billing", &half)?;
            let mut observed = until_it_is(gateway, "rolled_back")?;
            observed.push(format!("audit: {}", status(gateway, "/endpoints/1/rollout")?));
            let held = post(gateway)?;
            observed.extend(held.lines());
            gateway.script("billing", &[])?;
            let resumed = operate(gateway, "POST", "rollout/resume?endpoint=billing", &Value::Null)?;
            observed.push(format!("resumed: {}", resumed.status));
            wait_for_status(gateway, "/pending", "0")?;
            let arrived = gateway.seen("billing")?.iter().any(|seen| seen.id() == held.id() && seen.verified);
            observed.push(format!("it has arrived: {arrived}"));
            Ok(observed)
        },
        expected: &[
            "percent 100, 0",
            "rolled_back, success, -",
            "audit: {\"percent\":100,\"state\":\"fixed\"}",
            "answered 202 accepted",
            "billing held, - attempts, last answer -",
            "audit pending, - attempts, last answer -",
            "resumed: 200",
            "it has arrived: true",
        ],
    }
}

fn is_held() -> Scenario {
    Scenario {
        name: "a rollout whose receiver is slow stays where it is",
        start: || {
            let guard = json!({"for": "6s", "min_events": 5, "hold": {"max_p95": "200ms"}});
            // The first phase is long enough for events to come, and be answered, before it ends: without any there is
            // no verdict.
            let phases = json!([{"percent": 50, "for": "8s"}, {"percent": 100}]);
            rolling(&[hasty("billing")], json!({"phases": phases, "guard": guard}))
        },
        play: |gateway| {
            begun(gateway)?;
            gateway.script("billing", &[Reply::Slow(Duration::from_millis(400)); 400])?;
            let mut observed = until_it_is(gateway, "held")?;
            gateway.pass(Duration::from_secs(2))?;
            observed.push(status(gateway, "/endpoints/0/rollout/percent")?);
            Ok(observed)
        },
        expected: &["percent 50", "held, -, p95", "50"],
    }
}

fn unauthorized() -> Scenario {
    Scenario {
        name: "a receiver that rejects the signatures is rolled back",
        start: || rolling(&[hasty("billing")], json!({"guard": {"for": "6s", "min_success": null, "min_events": 5}})),
        play: |gateway| {
            begun(gateway)?;
            gateway.script("billing", &[Reply::Status(401); 400])?;
            until_it_is(gateway, "rolled_back")
        },
        expected: &["percent 100, 0", "rolled_back, unauthorized, -"],
    }
}

fn by_hand() -> Scenario {
    Scenario {
        name: "an operator sets a rollout, promotes it, rolls it back and resumes it",
        start: || {
            let phases = json!([{"percent": 1, "for": "1h"}, {"percent": 100, "for": "1h"}, {"percent": 100}]);
            rolling(&[hasty("billing")], json!({"phases": phases}))
        },
        play: |gateway| {
            begun(gateway)?;
            let mut observed = Vec::new();
            for (method, word, command) in [
                ("PUT", "rollout", json!({"percent": 12.5})),
                ("DELETE", "overrides", Value::Null),
                ("POST", "rollout/promote", Value::Null),
                ("POST", "rollout/hold", Value::Null),
                ("POST", "rollout/rollback", Value::Null),
                ("POST", "rollout/promote", Value::Null),
            ] {
                let answer = operate(gateway, method, word, &command)?;
                let rollout = answer.json.pointer("/endpoints/0/rollout").cloned().unwrap_or_default();
                let state = ["percent", "state"].map(|key| part(&rollout, key)).join(" ");
                observed.push(format!("{word}: {} {state} {}", answer.status, answer.text("detail")));
            }
            gateway.pass(Duration::from_millis(1000))?;
            let held = post(gateway)?;
            observed.extend(held.lines());
            operate(gateway, "POST", "rollout/resume", &Value::Null)?;
            let seen = wait_for(gateway, "billing", 1)?;
            observed.push(format!("it has arrived: {}", seen.iter().all(|seen| seen.id() == held.id())));
            Ok(observed)
        },
        expected: &[
            "rollout: 200 12.5 overridden -",
            "overrides: 200 1 running -",
            "rollout/promote: 200 100 running -",
            "rollout/hold: 200 100 held -",
            "rollout/rollback: 200 0 rolled_back -",
            "rollout/promote: 409 - - endpoint billing: it is rolled back: resume it first",
            "answered 202 accepted",
            "billing held, - attempts, last answer -",
            "it has arrived: true",
        ],
    }
}
