//! What the payload guard makes of personal data.

use anyhow::Result;
use serde_json::{Value, json};

use crate::steps::{begun, in_all, operate, pass, post, send, wait_for};
use crate::{Gateway, Request, Scenario, Start, config, endpoint};

const ADDRESS: &str = "maria@example.com";

pub fn all() -> Vec<Scenario> {
    vec![refused(), redacted(), reported()]
}

fn guarded(action: &str, rollout: Value) -> Start {
    let start = config(&[endpoint("billing", json!({}))]);
    start.with(json!({"payload_guard": {"action": action}, "rollout": rollout}))
}

/// A request with an event that says who paid, by an e-mail address.
fn personal() -> Request {
    Request::event("/events/paid", json!({"amount": 42, "payer": {"contact": [ADDRESS]}}).to_string())
}

/// Says whether any answer of the admin surface holds the address.
fn is_told(gateway: &mut dyn Gateway) -> Result<bool> {
    let mut is_told = false;
    for path in ["status", "deliveries", "dead-letters"] {
        is_told |= operate(gateway, "GET", path, &Value::Null)?.json.to_string().contains(ADDRESS);
    }
    Ok(is_told)
}

fn refused() -> Scenario {
    Scenario {
        name: "one event with an address in it ends a canary: refused, not sent, rolled back, and told nowhere",
        start: || guarded("reject", json!({"percent": 50, "guard": {"personal_data": true}})),
        play: |gateway| {
            begun(gateway)?;
            let answer = send(gateway, &personal())?;
            let mut observed = vec![answer.line(), answer.text("detail")];
            observed.push(answer.json.get("findings").cloned().unwrap_or_default().to_string());
            pass(gateway, 2000)?;
            observed.push(in_all(gateway, "billing")?);
            let status = operate(gateway, "GET", "status", &Value::Null)?;
            let rollout = ["percent", "state", "reason", "detail"].map(|key| {
                let value = status.json.pointer(&format!("/endpoints/0/rollout/{key}"));
                value.map_or("-".to_owned(), crate::gateway::plain)
            });
            observed.push(rollout.join(" "));
            let is_in_answer = format!("{:?} {}", answer.headers, answer.json).contains(ADDRESS);
            observed.push(format!("the address is told: {}", is_in_answer || is_told(gateway)?));
            Ok(observed)
        },
        expected: &[
            "answered 422 Unprocessable Content",
            "the event holds personal data; nothing of it was kept or sent",
            "[{\"kind\":\"email\",\"pointer\":\"/payer/contact/0\"}]",
            "0 attempts in all",
            "0 rolled_back personal_data email at /payer/contact/0",
            "the address is told: false",
        ],
    }
}

fn redacted() -> Scenario {
    Scenario {
        name: "an address is redacted, and what is left is signed",
        start: || guarded("redact", json!({})),
        play: arrives,
        expected: &[
            "answered 202 accepted",
            "answered 202 accepted",
            "verified: true, {\"amount\": 42}",
            "verified: true, {\"amount\":42,\"payer\":{\"contact\":[\"[redacted]\"]}}",
        ],
    }
}

fn reported() -> Scenario {
    Scenario {
        name: "an address that is only reported arrives",
        start: || guarded("report", json!({})),
        play: arrives,
        expected: &[
            "answered 202 accepted",
            "answered 202 accepted",
            "verified: true, {\"amount\": 42}",
            "verified: true, {\"amount\":42,\"payer\":{\"contact\":[\"maria@example.com\"]}}",
        ],
    }
}

fn arrives(gateway: &mut dyn Gateway) -> Result<Vec<String>> {
    begun(gateway)?;
    let mut observed = vec![send(gateway, &personal())?.line(), post(gateway)?.line()];
    // The events may have come to different workers, so either attempt may have left first.
    let mut arrived: Vec<String> = wait_for(gateway, "billing", 2)?
        .iter()
        .map(|seen| format!("verified: {}, {}", seen.verified, String::from_utf8_lossy(&seen.body)))
        .collect();
    arrived.sort();
    observed.extend(arrived);
    Ok(observed)
}
