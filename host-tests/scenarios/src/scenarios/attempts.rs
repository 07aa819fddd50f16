//! The scenarios.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{Gateway, Reply, Scenario, config, endpoint, lines, merge};

/// Three attempts, a second apart, and a breaker that stays out of it.
fn patient() -> Value {
    config(&[endpoint("billing", json!({"retry": {"delays": ["0s", "1s", "1s"]}, "breaker": {"failures": 100}}))])
}

fn plain() -> Value {
    config(&[endpoint("billing", json!({}))])
}

fn waiting() -> Value {
    let mut config = patient();
    let route = json!({"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}", "ack": "delivered"});
    merge(&mut config, json!({"routes": [route]}));
    config
}

const BODY: &[u8] = br#"{"amount": 42}"#;

/// Posts one event; the answer, then the attempts at the billing endpoint.
fn one(gateway: &mut dyn Gateway, replies: &[Reply], attempts: usize) -> Result<Vec<String>> {
    gateway.script("billing", replies)?;
    let mut observed = vec![gateway.post("/events/paid", &[], BODY)?.line()];
    observed.extend(lines(&gateway.wait_for("billing", attempts)?));
    Ok(observed)
}

/// The same, and that nothing follows within three seconds.
fn one_and_no_more(gateway: &mut dyn Gateway, replies: &[Reply], attempts: usize) -> Result<Vec<String>> {
    let mut observed = one(gateway, replies, attempts)?;
    gateway.pass(Duration::from_secs(3))?;
    observed.push(format!("{} attempts in all", gateway.wait_for("billing", attempts)?.len()));
    Ok(observed)
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an event is delivered once, with the bytes it came with",
            config: plain,
            play: |gateway| {
                let mut observed = one_and_no_more(gateway, &[], 1)?;
                let seen = gateway.wait_for("billing", 1)?;
                observed.extend(seen.iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()));
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "+0.0 s: attempt 1 of paid, verified, same id",
                "1 attempts in all",
                "{\"amount\": 42}",
            ],
        },
        Scenario {
            name: "two 503 and a 200 are three attempts on schedule",
            config: patient,
            play: |gateway| one_and_no_more(gateway, &[Reply::Status(503), Reply::Status(503)], 3),
            expected: &[
                "answered 202 accepted",
                "+0.0 s: attempt 1 of paid, verified, same id",
                "+1.0 s: attempt 2 of paid, verified, same id",
                "+1.0 s: attempt 3 of paid, verified, same id",
                "3 attempts in all",
            ],
        },
        Scenario {
            name: "a 400 is final",
            config: patient,
            play: |gateway| one_and_no_more(gateway, &[Reply::Status(400)], 1),
            expected: &["answered 202 accepted", "+0.0 s: attempt 1 of paid, verified, same id", "1 attempts in all"],
        },
        Scenario {
            name: "a redirect is final and not followed",
            config: patient,
            play: |gateway| one_and_no_more(gateway, &[Reply::Status(302)], 1),
            expected: &["answered 202 accepted", "+0.0 s: attempt 1 of paid, verified, same id", "1 attempts in all"],
        },
        Scenario {
            name: "Retry-After lengthens the wait",
            config: patient,
            play: |gateway| one(gateway, &[Reply::RetryAfter(429, 3)], 2),
            expected: &[
                "answered 202 accepted",
                "+0.0 s: attempt 1 of paid, verified, same id",
                "+3.0 s: attempt 2 of paid, verified, same id",
            ],
        },
        Scenario {
            name: "a connection that breaks within the answer is tried again",
            config: patient,
            play: |gateway| one(gateway, &[Reply::Drop], 2),
            expected: &[
                "answered 202 accepted",
                "+0.0 s: attempt 1 of paid, verified, same id",
                "+1.0 s: attempt 2 of paid, verified, same id",
            ],
        },
        Scenario {
            name: "an attempt that times out is made again the delay after it ended",
            config: || {
                let hasty = json!({"timeout": "1s", "retry": {"delays": ["0s", "1s"]}});
                config(&[endpoint("billing", hasty)])
            },
            play: |gateway| one(gateway, &[Reply::Hang], 2),
            expected: &[
                "answered 202 accepted",
                "+0.0 s: attempt 1 of paid, verified, same id",
                "+2.0 s: attempt 2 of paid, verified, same id",
            ],
        },
        Scenario {
            name: "an event goes to every endpoint that wants it",
            config: || {
                let paid = json!({"events": ["paid"]});
                config(&[endpoint("billing", paid), endpoint("audit", json!({}))])
            },
            play: |gateway| {
                let mut observed = Vec::new();
                for event in ["paid", "refunded"] {
                    observed.push(gateway.post(&format!("/events/{event}"), &[], BODY)?.line());
                    gateway.pass(Duration::from_millis(500))?;
                }
                let (billing, audit) = (gateway.wait_for("billing", 1)?, gateway.wait_for("audit", 2)?);
                observed.push(format!("{} at billing, {} at audit", billing.len(), audit.len()));
                Ok(observed)
            },
            expected: &["answered 202 accepted", "answered 202 accepted", "1 at billing, 2 at audit"],
        },
        Scenario {
            name: "five failures open the breaker, and one probe closes it",
            config: || {
                let nervous = json!({"retry": {"delays": ["0s", "1s"]}, "breaker": {"failures": 2, "open": "3s"}});
                config(&[endpoint("billing", nervous)])
            },
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(500), Reply::Status(500)])?;
                for _ in 0..2 {
                    gateway.post("/events/paid", &[], BODY)?;
                    gateway.pass(Duration::from_millis(300))?;
                }
                gateway.pass(Duration::from_millis(1500))?;
                let mut observed = vec![format!("{} while open", gateway.wait_for("billing", 2)?.len())];
                let seen = gateway.wait_for("billing", 4)?;
                let tries: Vec<&str> = seen.iter().map(|seen| seen.attempt.as_str()).collect();
                observed.push(format!("attempts {tries:?}"));
                Ok(observed)
            },
            expected: &["2 while open", "attempts [\"1\", \"1\", \"2\", \"2\"]"],
        },
        Scenario {
            name: "the same Idempotency-Key is one event",
            config: plain,
            play: |gateway| {
                let key = [("idempotency-key", "order-1")];
                let first = gateway.post("/events/paid", &key, BODY)?;
                let again = gateway.post("/events/paid", &key, BODY)?;
                let other = gateway.post("/events/paid", &key, b"{}")?;
                gateway.pass(Duration::from_secs(1))?;
                let attempts = gateway.wait_for("billing", 1)?.len();
                let same = if first.id() == again.id() { "one id" } else { "two ids" };
                Ok(vec![first.line(), again.line(), same.to_owned(), other.line(), format!("{attempts} attempts")])
            },
            expected: &[
                "answered 202 accepted",
                "answered 202 accepted, replayed",
                "one id",
                "answered 422 Unprocessable Content",
                "1 attempts",
            ],
        },
        Scenario {
            name: "a producer that asks for it is answered when all is delivered, or failed",
            config: waiting,
            play: |gateway| {
                let delivered = gateway.post("/events/paid", &[], BODY)?.line();
                gateway.script("billing", &[Reply::Status(400)])?;
                Ok(vec![delivered, gateway.post("/events/paid", &[], BODY)?.line()])
            },
            expected: &["answered 200 delivered", "answered 502 failed"],
        },
        Scenario {
            name: "what is no event is refused with its reason",
            config: plain,
            play: |gateway| {
                let large = vec![b'x'; 300 * 1024];
                let long = format!("/events/{}", "x".repeat(1000));
                let refused = [("/events/paid", large.as_slice()), (long.as_str(), BODY), ("/events/a%20b", BODY)];
                refused.into_iter().map(|(path, body)| Ok(gateway.post(path, &[], body)?.line())).collect()
            },
            expected: &["answered 413 Content Too Large", "answered 400 Bad Request", "answered 400 Bad Request"],
        },
        Scenario {
            name: "switched off it answers 202 and sends nothing",
            config: || {
                let mut config = plain();
                merge(&mut config, json!({"enabled": false}));
                config
            },
            play: |gateway| {
                let answer = gateway.post("/events/paid", &[], BODY)?.line();
                gateway.pass(Duration::from_secs(2))?;
                Ok(vec![answer, format!("{} attempts", gateway.wait_for("billing", 0)?.len())])
            },
            expected: &["answered 202 disabled", "0 attempts"],
        },
        Scenario {
            name: "after a config change the new configuration makes the attempts that are left",
            config: patient,
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(503), Reply::Status(503)])?;
                gateway.post("/events/paid", &[], BODY)?;
                gateway.wait_for("billing", 1)?;
                let mut newer = patient();
                merge(&mut newer, json!({"user_agent": "newer"}));
                gateway.update(&newer)?;
                let seen = gateway.wait_for("billing", 3)?;
                let last = seen.last().map(|seen| seen.agent.clone()).unwrap_or_default();
                let tries: Vec<&str> = seen.iter().map(|seen| seen.attempt.as_str()).collect();
                Ok(vec![format!("attempts {tries:?}"), format!("the last by {last}")])
            },
            expected: &["attempts [\"1\", \"2\", \"3\"]", "the last by newer"],
        },
    ]
}
