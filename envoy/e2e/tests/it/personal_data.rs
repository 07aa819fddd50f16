//! Personal data in an event: where Envoy itself might tell it too, in its statistics, its config dump and its log.

use std::time::Duration;

use anyhow::Result;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::admin::Operator;

const DEADLINE: Duration = Duration::from_secs(60);

/// An event with an address in it during a canary is refused rolled back and told nowhere.
#[test]
fn personal_data_in_a_canary_is_refused_and_rolls_it_back() -> Result<()> {
    const ADDRESS: &str = "maria.rossi@example.com";
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]).with(json!({
        "rollout": {"percent": 5, "guard": {"personal_data": true}},
        "payload_guard": {},
    }));
    let gateway = Gateway::start(&setup)?;
    let operator = Operator::of(&gateway)?;
    let body = json!({"amount": 42, "payer": {"contact": [ADDRESS]}}).to_string();
    let answer = gateway.send(&Event::new("paid", body))?;
    assert_eq!(answer.status, 422);
    let mut told = vec![format!("{:?}", answer.headers), answer.text()];
    assert_eq!(answer.json()?["findings"], json!([{"pointer": "/payer/contact/0", "kind": "email"}]));
    let rollout = operator.status("/endpoints/0/rollout")?;
    assert_eq!((&rollout["percent"], &rollout["reason"]), (&json!(0), &json!("personal_data")));
    for path in ["status", "deliveries", "dead-letters"] {
        told.push(operator.done("GET", path, &Value::Null)?.to_string());
    }
    let series = "gatepost_payload_findings_total{kind=\"email\"}";
    // It is told at the worker's next tick.
    wait::until("it is counted", DEADLINE, || Ok((gateway.envoy.series(series)? == Some(1.0)).then_some(())))?;
    for path in ["/stats/prometheus", "/stats", "/config_dump"] {
        told.push(gateway.envoy.admin(path)?);
    }
    told.push(gateway.envoy.log()?);
    assert!(told.last().is_some_and(|log| log.contains("event=rolled_back endpoint=a reason=personal_data ")));
    let parts = ["maria", "rossi", "example.com"];
    let of_whom = |text: &&String| parts.iter().any(|part| text.contains(part));
    assert_eq!(told.iter().filter(of_whom).collect::<Vec<_>>(), Vec::<&String>::new());
    // What arrives after it is all that ever left.
    operator.done("PUT", "rollout", &json!({"percent": 100}))?;
    operator.done("POST", "rollout/resume", &Value::Null)?;
    let last = wait::until("an ordinary one is accepted", DEADLINE, || {
        let answer = gateway.send(&Event::new("paid", "{}"))?;
        Ok((answer.json()?["status"] == "accepted").then_some(answer.id()?))
    })?;
    wait::until("it arrives", DEADLINE, || {
        Ok(receiver.records("a", 0)?.iter().any(|record| record.id == last).then_some(()))
    })?;
    let bodies: Vec<Vec<u8>> = receiver.records("a", 0)?.iter().map(|record| record.body()).collect();
    assert!(bodies.iter().all(|body| body == b"{}"), "{bodies:?}");
    Ok(())
}
