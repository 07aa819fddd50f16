//! What the gateway tells: what became of an event, to whoever asks, and what happened to itself, to whoever subscribes.

use std::time::Duration;

use anyhow::Result;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::admin::Operator;

const DEADLINE: Duration = Duration::from_secs(60);

/// An event is found by its id with every attempt whichever worker delivered it.
#[test]
fn event_is_found_by_id_whichever_worker_delivered_it() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let policy = json!({"retry": {"delays": ["0s", "0.1s"]}});
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", policy)]))?;
    let operator = Operator::of(&gateway)?;
    for _ in 0..4 {
        receiver.script("a", &json!({"replies": [{"status": 503}]}))?;
        let id = gateway.send(&Event::new("paid", "{\"secret\": 1}"))?.id()?;
        let shown = wait::until("it has ended", DEADLINE, || {
            let (status, shown) = operator.ask("GET", &format!("events/{id}"), "")?;
            Ok((status == 200 && shown["deliveries"][0]["status"] == "delivered").then_some(shown))
        })?;
        assert_eq!((&shown["id"], &shown["event"], &shown["route"]), (&json!(id), &json!("paid"), &json!("ingest")));
        let attempts = shown["deliveries"][0]["attempts"].as_array().cloned().unwrap_or_default();
        let outcomes: Vec<_> = attempts.iter().map(|made| (&made["outcome"], &made["response_status"])).collect();
        assert_eq!(outcomes, [(&json!("5xx"), &json!(503)), (&json!("2xx"), &json!(200))]);
        assert!(!shown.to_string().contains("secret"), "{shown}");
    }
    let listed = operator.done("GET", "deliveries?event=pa*&status=delivered&limit=2", &Value::Null)?;
    assert_eq!((&listed["total"], listed["deliveries"].as_array().map(Vec::len)), (&json!(4), Some(2)));
    for (counter, count) in [("accepted", 4), ("attempts", 8), ("delivered", 4), ("failed", 0)] {
        operator.wait_for_status(&format!("/counters/{counter}"), &json!(count))?;
    }
    Ok(())
}

/// A breaker and a dead letter are told once to the endpoint that asks by name.
#[test]
fn breaker_and_dead_letter_events_are_sent_once_by_name() -> Result<()> {
    let names = ["a", "all", "ops"];
    let secrets = names.map(|name| format!("secret-of-{name}"));
    let served: Vec<(&str, &str)> = names.into_iter().zip(secrets.iter().map(String::as_str)).collect();
    let receiver = Receiver::start(&served, &Options::default())?;
    let policy = json!({"events": ["paid"], "retry": {"delays": ["0s"]}, "breaker": {"failures": 3, "open": "2s"}});
    let endpoints = [
        endpoint("a", &secrets[0], policy),
        endpoint("all", &secrets[1], json!({"events": ["**"]})),
        endpoint("ops", &secrets[2], json!({"events": ["gatepost.**"]})),
    ];
    let gateway = Gateway::start(&Setup::new(&receiver, &endpoints))?;
    let operator = Operator::of(&gateway)?;
    receiver.script("a", &json!({"replies": [{"status": 503}, {"status": 503}, {"status": 503}]}))?;
    for _ in 0..3 {
        gateway.send(&Event::new("paid", "{}"))?;
    }
    // Three dead letters and opened. Only then the fourth event: beside the third, its success could come first, and a
    // breaker that opens after the last event has nothing to close it.
    receiver.wait_for("ops", 4, DEADLINE)?;
    gateway.send(&Event::new("paid", "{}"))?;
    let told = receiver.wait_for("ops", 5, DEADLINE)?;
    assert!(told.iter().all(|record| record.problem.is_none()), "each is signed");
    let mut types: Vec<&str> = told.iter().map(|record| record.header("x-webhook-event")).collect();
    types.sort_unstable();
    let [opened, closed, letter] = ["gatepost.breaker.opened", "gatepost.breaker.closed", "gatepost.dead_letter"];
    assert_eq!(types, [closed, opened, letter, letter, letter]);
    let instance = operator.status("/instance")?;
    for record in &told {
        let payload: Value = serde_json::from_slice(&record.body())?;
        assert_eq!((&payload["endpoint"], &payload["instance"]), (&json!("a"), &instance), "{payload}");
        assert_eq!(payload["type"], record.header("x-webhook-event"));
    }
    operator.done("POST", "rollout/rollback?endpoint=a", &Value::Null)?;
    let told = receiver.wait_for("ops", 6, DEADLINE)?;
    assert_eq!(told[5].header("x-webhook-event"), "gatepost.rollout.rolled_back");
    assert_eq!(receiver.counters("all")?.requests, 4, "the producer's events alone");
    let refused = gateway.send(&Event::new("gatepost.dead_letter", "{}"))?;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("are the gateway's own"), "{}", refused.text());
    Ok(())
}
