//! What operators see and change.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::steps::{
    begun, billing, in_all, letters, numbers, operate, paid, pass, patient, plain_start, post, send, status, update,
    wait_for, wait_for_status,
};
use crate::{Gateway, OPERATE, Reply, Request, Scenario, config, endpoint};

pub fn all() -> Vec<Scenario> {
    [states(), endpoints(), dead_letters()].into_iter().flatten().collect()
}

/// Sends a command. Returns a line with the status code, and the values at these pointers of the answer.
fn change(gateway: &mut dyn Gateway, method: &str, path: &str, command: &Value, parts: &[&str]) -> Result<String> {
    let answer = operate(gateway, method, path, command)?;
    Ok(format!("{} {}", answer.status, values(&answer.json, parts)).trim_end().to_owned())
}

/// The values at these JSON pointers.
fn values(json: &Value, pointers: &[&str]) -> String {
    let value = |pointer: &&str| json.pointer(pointer).map_or_else(|| "-".to_owned(), crate::gateway::plain);
    pointers.iter().map(value).collect::<Vec<_>>().join(" ")
}

/// Posts an event to each worker, and returns the lines of the answers.
fn on_both_workers(gateway: &mut dyn Gateway) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for worker in 0..2 {
        lines.extend(send(gateway, &paid().over(worker))?.lines());
    }
    Ok(lines)
}

fn states() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "the status says what there is and how it stands",
            start: || config(&[endpoint("billing", json!({})), endpoint("audit", json!({"disabled": true}))]),
            play: |gateway| {
                begun(gateway)?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                // Counts are written once a second.
                wait_for_status(gateway, "/endpoints/0/counters/delivered", "1")?;
                let health = send(gateway, &Request::new("GET", "/gatepost/health"))?;
                let answer = operate(gateway, "GET", "status", &Value::Null)?;
                let same = ["instance", "started_at"].map(|key| health.text(key) == answer.text(key));
                let mut observed = vec![format!("{}, the same process: {same:?}", health.line())];
                for key in ["state", "draining", "pending", "dead_letters", "configured"] {
                    observed.push(format!("{key}: {}", answer.text(key)));
                }
                for endpoint in answer.json.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
                    let stands = ["/name", "/disabled", "/disabled_by", "/breaker/state", "/rollout/state"];
                    let counts = ["/pending", "/dead_letters", "/counters"];
                    observed.extend([values(endpoint, &stands), values(endpoint, &counts)]);
                }
                Ok(observed)
            },
            expected: &[
                "answered 200 ok, the same process: [true, true]",
                "state: enabled",
                "draining: false",
                "pending: 1",
                "dead_letters: 0",
                "configured: -",
                "billing false - closed fixed",
                "0 0 {\"accepted\":1,\"attempts\":1,\"delivered\":1,\"expired\":0,\"failed\":0}",
                "audit true config closed fixed",
                "1 0 {\"accepted\":1,\"attempts\":0,\"delivered\":0,\"expired\":0,\"failed\":0}",
            ],
        },
        Scenario {
            name: "paused it accepts and holds, and enabled again it goes on",
            start: plain_start,
            play: |gateway| {
                begun(gateway)?;
                let paused = json!({"state": "paused", "reason": "a change"});
                let mut observed =
                    vec![change(gateway, "PUT", "state", &paused, &["/state", "/configured", "/reason"])?];
                pass(gateway, 1000)?;
                observed.extend(on_both_workers(gateway)?);
                pass(gateway, 3000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(status(gateway, "/pending")?);
                observed.push(change(gateway, "PUT", "state", &json!({"state": "enabled"}), &["/state"])?);
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                wait_for_status(gateway, "/pending", "0")?;
                Ok(observed)
            },
            expected: &[
                "200 paused enabled a change",
                "answered 202 accepted",
                "billing held, - attempts, last answer -",
                "answered 202 accepted",
                "billing held, - attempts, last answer -",
                "0 attempts in all",
                "2",
                "200 enabled",
                "attempts 1, 1",
            ],
        },
        Scenario {
            name: "disabled it discards what is new and holds what is pending",
            start: patient,
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::RetryAfter(503, 3)])?;
                send(gateway, &paid().over(0))?;
                wait_for(gateway, "billing", 1)?;
                let mut observed = vec![change(gateway, "PUT", "state", &json!({"state": "disabled"}), &["/state"])?];
                pass(gateway, 1000)?;
                observed.extend(on_both_workers(gateway)?);
                pass(gateway, 4000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(change(gateway, "DELETE", "overrides", &Value::Null, &["/state", "/pending"])?);
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                Ok(observed)
            },
            expected: &[
                "200 disabled",
                "answered 202 disabled",
                "answered 202 disabled",
                "1 attempts in all",
                "200 enabled 1",
                "attempts 1, 2",
            ],
        },
        Scenario {
            name: "an override ends when the config says something else",
            start: || plain_start().with(json!({"enabled": false})),
            play: |gateway| {
                begun(gateway)?;
                let mut observed = vec![change(gateway, "PUT", "state", &json!({"state": "enabled"}), &["/state"])?];
                pass(gateway, 1000)?;
                observed.extend(on_both_workers(gateway)?);
                wait_for(gateway, "billing", 2)?;
                change(gateway, "PUT", "state", &json!({"state": "paused"}), &[])?;
                observed.push(update(gateway, &plain_start())?);
                wait_for_status(gateway, "/state", "enabled")?;
                observed.push(status(gateway, "/configured")?);
                observed.push(post(gateway)?.line());
                observed.push(numbers(&wait_for(gateway, "billing", 3)?));
                Ok(observed)
            },
            expected: &[
                "200 enabled",
                "answered 202 accepted",
                "billing pending, - attempts, last answer -",
                "answered 202 accepted",
                "billing pending, - attempts, last answer -",
                "taken: true",
                "-",
                "answered 202 accepted",
                "attempts 1, 1, 1",
            ],
        },
        Scenario {
            name: "a drain refuses what is new and is answered when nothing is pending",
            start: plain_start,
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(3))])?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                let drain = Request::new("POST", "/gatepost/drain");
                let ticket = gateway.begin(&drain.header("authorization", &format!("Bearer {OPERATE}")))?;
                pass(gateway, 1000)?;
                let mut observed = on_both_workers(gateway)?;
                observed.push(format!("retry-after {}", post(gateway)?.header("retry-after")));
                observed.push(gateway.finish(ticket)?.line());
                observed.push(status(gateway, "/pending")?);
                observed.push(in_all(gateway, "billing")?);
                change(gateway, "DELETE", "overrides", &Value::Null, &[])?;
                pass(gateway, 1000)?;
                observed.push(post(gateway)?.line());
                Ok(observed)
            },
            expected: &[
                "answered 503 Service Unavailable",
                "answered 503 Service Unavailable",
                "retry-after 5",
                "answered 200 drained",
                "0",
                "1 attempts in all",
                "answered 202 accepted",
            ],
        },
    ]
}

fn endpoints() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an endpoint is disabled and enabled again, and no other is touched",
            start: || config(&[endpoint("billing", json!({})), endpoint("audit", json!({}))]),
            play: |gateway| {
                begun(gateway)?;
                let parts = ["/endpoints/0/disabled_by", "/endpoints/1/disabled"];
                let mut observed =
                    vec![change(gateway, "PATCH", "endpoints/billing", &json!({"disabled": true}), &parts)?];
                pass(gateway, 1000)?;
                observed.extend(on_both_workers(gateway)?);
                wait_for(gateway, "audit", 2)?;
                pass(gateway, 2000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(change(gateway, "PATCH", "endpoints/billing", &json!({"disabled": false}), &parts)?);
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                Ok(observed)
            },
            expected: &[
                "200 operator false",
                "answered 202 accepted",
                "billing held, - attempts, last answer -",
                "audit pending, - attempts, last answer -",
                "answered 202 accepted",
                "billing held, - attempts, last answer -",
                "audit pending, - attempts, last answer -",
                "0 attempts in all",
                "200 - false",
                "attempts 1, 1",
            ],
        },
        Scenario {
            name: "an operator enables an endpoint that answered 410, until it does so again",
            start: plain_start,
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(410)])?;
                post(gateway)?;
                wait_for_status(gateway, "/endpoints/0/disabled_by", "gone")?;
                post(gateway)?;
                let parts = ["/endpoints/0/disabled"];
                let mut observed =
                    vec![change(gateway, "PATCH", "endpoints/billing", &json!({"disabled": false}), &parts)?];
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                gateway.script("billing", &[Reply::Status(410)])?;
                post(gateway)?;
                wait_for_status(gateway, "/endpoints/0/disabled_by", "gone")?;
                Ok(observed)
            },
            expected: &["200 false", "attempts 1, 1"],
        },
        Scenario {
            name: "an operator opens a breaker for both workers and closes it",
            start: plain_start,
            play: |gateway| {
                begun(gateway)?;
                let (open, closed) = (json!({"state": "open"}), json!({"state": "closed"}));
                let parts = ["/endpoints/0/breaker/state", "/endpoints/0/breaker/seconds_left"];
                let mut observed = vec![change(gateway, "POST", "endpoints/billing/breaker", &open, &parts)?];
                pass(gateway, 1000)?;
                observed.extend(on_both_workers(gateway)?);
                pass(gateway, 2000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(change(gateway, "POST", "endpoints/billing/breaker", &closed, &parts)?);
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                Ok(observed)
            },
            expected: &[
                "200 open 60",
                "answered 202 accepted",
                "billing pending, - attempts, last answer -",
                "answered 202 accepted",
                "billing pending, - attempts, last answer -",
                "0 attempts in all",
                "200 closed -",
                "attempts 1, 1",
            ],
        },
    ]
}

fn dead_letters() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "dead letters are listed, redelivered one by one or all, and discarded",
            start: || config(&[endpoint("billing", json!({})), endpoint("audit", json!({}))]),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(400); 3])?;
                gateway.script("audit", &[Reply::Status(404)])?;
                let ids: Vec<String> = (0..3).map(|_| Ok(post(gateway)?.id())).collect::<Result<_>>()?;
                let mut observed = letters(gateway, 4)?;
                observed.sort_unstable();
                let one = |id: &str| format!("dead-letters/{id}.billing");
                let [first, second, third] =
                    [0, 1, 2].map(|number: usize| ids.get(number).cloned().unwrap_or_default());
                let redelivered = ["/redelivered", "/skipped"];
                let path = format!("{}/redeliver", one(&first));
                observed.push(change(gateway, "POST", &path, &Value::Null, &redelivered)?);
                wait_for(gateway, "billing", 4)?;
                observed.push(change(gateway, "DELETE", &one(&second), &Value::Null, &["/dead_letters"])?);
                let path = "dead-letters/redeliver?endpoint=billing";
                observed.push(change(gateway, "POST", path, &Value::Null, &redelivered)?);
                let seen = wait_for(gateway, "billing", 5)?;
                let again: Vec<bool> =
                    seen.iter().skip(3).zip([first, third]).map(|(seen, id)| seen.id() == id).collect();
                observed.push(format!("the first ids again: {again:?}, {}", numbers(&seen)));
                observed.push(change(gateway, "POST", "dead-letters/redeliver", &Value::Null, &redelivered)?);
                wait_for(gateway, "audit", 4)?;
                observed.extend(letters(gateway, 0)?);
                Ok(observed)
            },
            expected: &[
                "dead letter: paid audit failed, 1 attempts, last answer 404",
                "dead letter: paid billing failed, 1 attempts, last answer 400",
                "dead letter: paid billing failed, 1 attempts, last answer 400",
                "dead letter: paid billing failed, 1 attempts, last answer 400",
                "200 1 0",
                "200 2",
                "200 1 0",
                "the first ids again: [true, true], attempts 1, 1, 1, 1, 1",
                "200 1 0",
            ],
        },
        Scenario {
            name: "a redelivery that fails has a whole schedule, and is a dead letter again",
            start: || billing(json!({"retry": {"delays": ["0s", "1s"]}, "breaker": {"failures": 100}})),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(503); 4])?;
                post(gateway)?;
                letters(gateway, 1)?;
                change(gateway, "POST", "dead-letters/redeliver", &Value::Null, &[])?;
                let mut observed = vec![numbers(&wait_for(gateway, "billing", 4)?)];
                observed.extend(letters(gateway, 1)?);
                Ok(observed)
            },
            expected: &["attempts 1, 2, 1, 2", "dead letter: paid billing failed, 2 attempts, last answer 503"],
        },
    ]
}
