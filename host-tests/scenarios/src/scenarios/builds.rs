//! Another build of the filter, in VMs of its own beside the old ones. A request that only one of the builds traps at
//! shows which build serves.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::steps::{
    begun, in_all, letters, named, numbers, operate, paid, pass, plain_start, post, send, status, unhurried, update,
    wait_for, wait_for_status, waiting,
};
use crate::{Gateway, Reply, Scenario, Start};

/// Sends a request that one build traps at over a new connection, and returns the line of its answer. A VM that trapped
/// is rebuilt by the next request.
fn trap(gateway: &mut dyn Gateway) -> Result<String> {
    Ok(send(gateway, &paid().header("x-gatepost-trap", "now"))?.line())
}

fn agents(seen: &[crate::Seen]) -> String {
    let agents: Vec<&str> = seen.iter().map(|seen| seen.header("user-agent")).collect();
    format!("by {}", agents.join(", "))
}

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "another build makes the attempts that are left, and the first one those that are left then",
            start: || named("a"),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::RetryAfter(503, 3), Reply::RetryAfter(503, 3)])?;
                post(gateway)?;
                let mut observed = Vec::new();
                for (attempts, to) in [(1, named("b").trapping()), (2, named("c"))] {
                    wait_for(gateway, "billing", attempts)?;
                    // Loading a build may take longer than the delay of the next attempt, so no attempt leaves
                    // meanwhile.
                    operate(gateway, "PUT", "state", &json!({"state": "paused"}))?;
                    observed.push(update(gateway, &to)?);
                    operate(gateway, "DELETE", "overrides", &Value::Null)?;
                }
                let seen = wait_for(gateway, "billing", 3)?;
                observed.extend([numbers(&seen), agents(&seen)]);
                Ok(observed)
            },
            expected: &["taken: true", "taken: true", "attempts 1, 2, 3", "by a, b, c"],
        },
        Scenario {
            name: "a build with the same configuration takes over too, and back again within the drain",
            start: plain_start,
            play: |gateway| {
                begun(gateway)?;
                let mut observed = vec![trap(gateway)?];
                observed.push(update(gateway, &plain_start().trapping())?);
                observed.push(post(gateway)?.line());
                // An attempt that the trap cuts off would be made again.
                wait_for_status(gateway, "/pending", "0")?;
                observed.push(trap(gateway)?);
                observed.push(update(gateway, &plain_start())?);
                observed.push(trap(gateway)?);
                observed.push(numbers(&wait_for(gateway, "billing", 3)?));
                pass(gateway, 2000)?;
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "taken: true",
                "answered 202 accepted",
                "answered 503 -",
                "taken: true",
                "answered 202 accepted",
                "attempts 1, 1, 1",
                "3 attempts in all",
            ],
        },
        Scenario {
            name: "what still comes over old connections to the old build is delivered",
            start: || named("a"),
            play: |gateway| {
                begun(gateway)?;
                for worker in 0..2 {
                    send(gateway, &paid().over(worker))?;
                }
                wait_for(gateway, "billing", 2)?;
                update(gateway, &named("b").trapping())?;
                // The old build does not trap, and its events are the new one's to deliver.
                let mut observed = Vec::new();
                for worker in 0..2 {
                    let event = paid().header("x-gatepost-trap", "now").over(worker);
                    observed.push(send(gateway, &event)?.line());
                }
                let seen = wait_for(gateway, "billing", 4)?;
                observed.extend([numbers(&seen), agents(&seen)]);
                Ok(observed)
            },
            expected: &["answered 202 accepted", "answered 202 accepted", "attempts 1, 1, 1, 1", "by a, a, b, b"],
        },
        Scenario {
            name: "a build whose configuration has a mistake is refused, and the old one serves",
            start: || named("a"),
            play: |gateway| {
                begun(gateway)?;
                let mut observed = vec![update(gateway, &named("b").with(json!({"enabld": true})).trapping())?];
                observed.push(trap(gateway)?);
                observed.push(agents(&wait_for(gateway, "billing", 1)?));
                Ok(observed)
            },
            expected: &["taken: false", "answered 202 accepted", "by a"],
        },
        Scenario {
            name: "at the end of its drain a build's call under way is cut off, and made again with the same id",
            start: || Start { drains_at_once: true, ..unhurried("a") },
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(25))])?;
                post(gateway)?;
                wait_for(gateway, "billing", 1)?;
                update(gateway, &unhurried("b").trapping())?;
                gateway.drain()?;
                let seen = wait_for(gateway, "billing", 2)?;
                let same = seen.iter().all(|other| Some(other.id()) == seen.first().map(crate::Seen::id));
                wait_for_status(gateway, "/pending", "0")?;
                Ok(vec![numbers(&seen), agents(&seen), format!("same id: {same}"), in_all(gateway, "billing")?])
            },
            expected: &["attempts 1, 1", "by a, b", "same id: true", "2 attempts in all"],
        },
        Scenario {
            name: "a producer that waits through a change of the build is answered",
            start: || waiting(named("a")),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(5))])?;
                let ticket = gateway.begin(&paid().over(0))?;
                wait_for(gateway, "billing", 1)?;
                update(gateway, &waiting(named("b")).trapping())?;
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
        Scenario {
            name: "dead letters and breakers are kept over a change of the build",
            start: || named("a").with(json!({"endpoints": [nervous()]})),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(500)])?;
                post(gateway)?;
                let mut observed = letters(gateway, 1)?;
                update(gateway, &named("b").with(json!({"endpoints": [nervous()]})).trapping())?;
                observed.push(status(gateway, "/endpoints/0/breaker/state")?);
                observed.extend(letters(gateway, 1)?);
                Ok(observed)
            },
            expected: &[
                "dead letter: paid billing failed, 1 attempts, last answer 500",
                "open",
                "dead letter: paid billing failed, 1 attempts, last answer 500",
            ],
        },
    ]
}

/// An endpoint whose breaker opens at the first failure.
fn nervous() -> Value {
    crate::endpoint("billing", json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 1, "open": "60s"}}))
}
