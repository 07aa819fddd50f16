//! What the payload guard makes of personal data.

use anyhow::Result;
use serde_json::{Value, json};

use crate::steps::{begun, in_all, operate, pass, post, send, wait_for};
use crate::{Gateway, Request, Scenario, Start, config, endpoint};

const ADDRESS: &str = "maria@example.com";

pub fn all() -> Vec<Scenario> {
    vec![refused(), redacted(), reported(), unreadable(), besides(), forms_and_strings()]
}

/// The answer to a request: its line, and each finding as `kind pointer`, with its part.
fn verdict(gateway: &mut dyn Gateway, request: &Request) -> Result<String> {
    let answer = send(gateway, request)?;
    let mut verdict = answer.line();
    let findings = answer.json.get("findings").and_then(Value::as_array);
    for finding in findings.into_iter().flatten() {
        let part = |key| finding.get(key).map_or(String::new(), |value| format!(" {}", crate::gateway::plain(value)));
        verdict.extend([";", &part("kind"), &part("in"), &part("pointer")]);
    }
    Ok(verdict.trim_end().to_owned())
}

fn typed(content_type: &str, body: &str) -> Request {
    Request::new("POST", "/events/paid").header("content-type", content_type).body(body)
}

fn unreadable() -> Scenario {
    Scenario {
        name: "what the guard cannot read is refused whatever its action, and rolls nothing back",
        start: || guarded("report", json!({"guard": {"personal_data": true}})),
        play: |gateway| {
            begun(gateway)?;
            let bodies =
                ["{\"a\": NaN}", "[1,]", "{} {}", "{\"a\": 1}\n{\"a\": 2}", "\u{feff}\u{feff}{}", "{\"a\": \"\u{1}\"}"];
            let mut refused: Vec<Request> = bodies.iter().map(|body| typed("text/plain", body)).collect();
            refused.push(typed("application/json", "email=x"));
            refused.push(typed("application/json", "{}").header("content-encoding", "x-odd"));
            refused.push(typed("multipart/form-data; boundary=x", "--x--"));
            refused.push(typed("text/csv", "a,b"));
            let mut observed = Vec::new();
            for request in &refused {
                observed.push(verdict(gateway, request)?);
            }
            observed.dedup();
            observed.push(post(gateway)?.line());
            wait_for(gateway, "billing", 1)?;
            observed.push(in_all(gateway, "billing")?);
            Ok(observed)
        },
        expected: &["answered 422 Unprocessable Content; unreadable", "answered 202 accepted", "1 attempts in all"],
    }
}

fn besides() -> Scenario {
    Scenario {
        name: "what leaves besides the body is looked at: the type, the path, headers, metadata",
        start: || {
            let envelope = json!({"payload": "envelope", "metadata": {"who": "{header:x-who}", "at": "from-{event}"}});
            let routes = [
                crate::steps::route("ingest", "/events/{event}", json!({})),
                crate::steps::route("told", "/events/told/{event}/{tenant}", envelope),
            ];
            guarded("reject", json!({})).with(json!({"routes": routes}))
        },
        play: |gateway| {
            begun(gateway)?;
            let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let requests = [
                Request::event("/events/order:203.0.113.7", "{}"),
                typed("application/json; by=\"maria@example.com\"", "{}"),
                Request::event("/events/paid", "{}")
                    .header("traceparent", trace)
                    .header("tracestate", "a=maria@example.com"),
                Request::event("/events/told/paid/maria@example.com", "{}"),
                Request::event("/events/told/203.0.113.7/acme", "{}"),
                Request::event("/events/told/paid/acme", "{}").header("x-who", "+1 415 555 0123"),
                Request::event("/events/told/paid/acme", "{}").header("x-who", "u-1"),
            ];
            requests.iter().map(|request| verdict(gateway, request)).collect()
        },
        expected: &[
            "answered 422 Unprocessable Content; ipv4 event_type",
            "answered 422 Unprocessable Content; email content-type",
            "answered 422 Unprocessable Content; email tracestate",
            "answered 422 Unprocessable Content; email path /1",
            "answered 422 Unprocessable Content; ipv4 event_type",
            "answered 422 Unprocessable Content; phone metadata /who",
            "answered 202 accepted",
        ],
    }
}

fn forms_and_strings() -> Scenario {
    Scenario {
        name: "forms and the JSON of strings are looked into, and a key without a value is none",
        start: || guarded("reject", json!({})),
        play: |gateway| {
            begun(gateway)?;
            let form = |body: &str| typed("application/x-www-form-urlencoded", body);
            let json = |body: Value| Request::event("/events/paid", body.to_string());
            let inner = json!({"user": {"password": "x"}}).to_string();
            let requests = [
                form("From=%2B14155550123&user%5Bemail%5D=x&n=1"),
                form("cart_token=1&email="),
                json(json!({"Message": inner})),
                json(json!({"body": json!({"Message": inner}).to_string()})),
                json(json!({"email": null, "address": {"city": null}, "image": "app:1.2.3.4", "cart_token": "a"})),
                json(json!({"user.password": "x", "tel": "0049\u{202f}30\u{a0}123456", "to": "maria＠example.com"})),
            ];
            requests.iter().map(|request| verdict(gateway, request)).collect()
        },
        expected: &[
            "answered 422 Unprocessable Content; phone /From; key /user[email]",
            "answered 202 accepted",
            "answered 422 Unprocessable Content; key /Message",
            "answered 422 Unprocessable Content; key /body",
            "answered 202 accepted",
            "answered 422 Unprocessable Content; phone /tel; email /to; key /user.password",
        ],
    }
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
