//! Another configuration, while the old one drains.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::steps::{
    begun, billing, in_all, letters, named, numbers, operate, paid, pass, patient, plain_start, post, send, status,
    unhurried, update, wait_for, wait_for_status,
};
use crate::{Gateway, Reply, Scenario, Start, config, endpoint};

/// Updates a gateway while it is paused. An update may take longer than the delay of the next attempt, which must not
/// leave meanwhile.
fn update_paused(gateway: &mut dyn Gateway, to: &Start) -> Result<String> {
    operate(gateway, "PUT", "state", &json!({"state": "paused"}))?;
    let taken = update(gateway, to)?;
    operate(gateway, "DELETE", "overrides", &Value::Null)?;
    Ok(taken)
}

/// A line with the `user-agent` of each attempt, which tells the configurations apart.
fn agents(seen: &[crate::Seen]) -> String {
    let agents: Vec<&str> = seen.iter().map(|seen| seen.header("user-agent")).collect();
    format!("by {}", agents.join(", "))
}

pub fn all() -> Vec<Scenario> {
    [taken(), refused(), drained()].into_iter().flatten().collect()
}

fn taken() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "after a config change the new configuration makes the attempts that are left",
            start: || named("a"),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::RetryAfter(503, 6), Reply::Status(503)])?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                let taken = update_paused(gateway, &named("b"))?;
                let seen = wait_for(gateway, "billing", 3)?;
                Ok(vec![taken, numbers(&seen), agents(&seen)])
            },
            expected: &["taken: true", "attempts 1, 2, 3", "by a, b, b"],
        },
        Scenario {
            name: "what still comes over old connections the new configuration delivers",
            start: || named("a"),
            play: |gateway| {
                begun(gateway)?;
                send(gateway, &paid().over(0))?;
                wait_for(gateway, "billing", 1)?;
                update(gateway, &named("b"))?;
                post(gateway)?;
                wait_for(gateway, "billing", 2)?;
                for _ in 0..2 {
                    send(gateway, &paid().over(0))?;
                }
                let seen = wait_for(gateway, "billing", 4)?;
                Ok(vec![numbers(&seen), agents(&seen)])
            },
            expected: &["attempts 1, 1, 1, 1", "by a, b, b, b"],
        },
        Scenario {
            name: "a configuration that comes back while it drains delivers again",
            start: || named("a"),
            play: |gateway| {
                begun(gateway)?;
                for (sent, next) in [(1, "b"), (2, "a")] {
                    post(gateway)?;
                    wait_for(gateway, "billing", sent)?;
                    update(gateway, &named(next))?;
                }
                post(gateway)?;
                let seen = wait_for(gateway, "billing", 3)?;
                Ok(vec![numbers(&seen), agents(&seen)])
            },
            expected: &["attempts 1, 1, 1", "by a, b, a"],
        },
        Scenario {
            name: "what waits for an endpoint that is taken out of the config is a dead letter",
            start: || {
                let slow = json!({"retry": {"delays": ["0s", "10s"]}});
                config(&[endpoint("billing", slow), endpoint("audit", json!({}))])
            },
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(503)])?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                wait_for(gateway, "audit", 1)?;
                update(gateway, &config(&[endpoint("audit", json!({}))]))?;
                let mut observed = letters(gateway, 1)?;
                let answer = operate(gateway, "POST", "dead-letters/redeliver", &Value::Null)?;
                observed.push(format!(
                    "redelivered {}, skipped {}",
                    answer.text("redelivered"),
                    answer.text("skipped")
                ));
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "dead letter: paid billing endpoint_removed, 1 attempts, last answer 503",
                "redelivered 0, skipped 1",
                "1 attempts in all",
            ],
        },
        Scenario {
            name: "switched off by the config what is pending waits, and goes on when it is on again",
            start: patient,
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::RetryAfter(503, 6)])?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                update_paused(gateway, &patient().with(json!({"enabled": false})))?;
                wait_for_status(gateway, "/state", "disabled")?;
                let mut observed = vec![post(gateway)?.line()];
                pass(gateway, 8000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(status(gateway, "/pending")?);
                update(gateway, &patient())?;
                // A configuration that comes back while it drains learns by a new connection that it is the newest.
                observed.push(post(gateway)?.line());
                let mut attempts: Vec<String> =
                    wait_for(gateway, "billing", 3)?.iter().map(|seen| seen.attempt().to_owned()).collect();
                attempts.sort_unstable();
                observed.push(attempts.join(", "));
                Ok(observed)
            },
            expected: &["answered 202 disabled", "1 attempts in all", "1", "answered 202 accepted", "1, 1, 2"],
        },
        Scenario {
            name: "a longer schedule holds for what waits already",
            start: || billing(json!({"retry": {"delays": ["0s", "6s"]}})),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(503), Reply::Status(503)])?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                update_paused(gateway, &billing(json!({"retry": {"delays": ["0s", "6s", "1s"]}})))?;
                Ok(vec![numbers(&wait_for(gateway, "billing", 3)?)])
            },
            expected: &["attempts 1, 2, 3"],
        },
    ]
}

fn refused() -> Vec<Scenario> {
    vec![Scenario {
        name: "a config with a mistake is refused, and the old one serves and delivers",
        start: || named("a"),
        play: |gateway| {
            begun(gateway)?;
            gateway.script("billing", &[Reply::RetryAfter(503, 6)])?;
            post(gateway)?;
            wait_for(gateway, "billing", 1)?;
            let mut observed = Vec::new();
            for mistake in [json!({"enabld": true}), json!({"endpoints": [{"name": "billing"}]})] {
                observed.push(update(gateway, &named("b").with(mistake))?);
            }
            let seen = wait_for(gateway, "billing", 2)?;
            observed.push(post(gateway)?.line());
            observed.extend([numbers(&seen), agents(&wait_for(gateway, "billing", 3)?)]);
            observed.push(update(gateway, &named("c"))?);
            Ok(observed)
        },
        expected: &[
            "taken: false",
            "taken: false",
            "answered 202 accepted",
            "attempts 1, 2",
            "by a, a, a",
            "taken: true",
        ],
    }]
}

fn drained() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "at the end of a drain a call under way ends, and is not made again",
            start: || Start { drains_at_once: true, ..unhurried("a") },
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(12))])?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                update(gateway, &unhurried("b"))?;
                gateway.drain()?;
                wait_for_status(gateway, "/pending", "0")?;
                pass(gateway, 1000)?;
                Ok(vec![in_all(gateway, "billing")?, format!("{} dead letters", letters(gateway, 0)?.len())])
            },
            expected: &["1 attempts in all", "0 dead letters"],
        },
        Scenario {
            name: "after a drain everything that waited is the new configuration's",
            start: || Start { drains_at_once: true, ..named("a") },
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::RetryAfter(503, 8); 4])?;
                for worker in [0, 1, 0, 1] {
                    send(gateway, &paid().over(worker))?;
                }
                wait_for(gateway, "billing", 4)?;
                update_paused(gateway, &named("b"))?;
                gateway.drain()?;
                let seen = wait_for(gateway, "billing", 8)?;
                let mut observed = vec![numbers(&seen), agents(&seen)];
                observed.push(send(gateway, &paid().over(0))?.line());
                observed.push(agents(wait_for(gateway, "billing", 9)?.get(8..).unwrap_or_default()));
                Ok(observed)
            },
            expected: &[
                "attempts 1, 1, 1, 1, 2, 2, 2, 2",
                "by a, a, a, a, b, b, b, b",
                "answered 202 accepted",
                "by b",
            ],
        },
        Scenario {
            name: "a producer that waits through an update is answered",
            start: || crate::steps::waiting(plain_start()),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(4))])?;
                let ticket = gateway.begin(&paid().over(0))?;
                wait_for(gateway, "billing", 1)?;
                update(gateway, &crate::steps::waiting(named("b")))?;
                let mut observed = gateway.finish(ticket)?.lines();
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "answered 200 delivered",
                "billing delivered, 1 attempts, last answer 200",
                "1 attempts in all",
            ],
        },
    ]
}
