//! A worker's VM traps: another worker delivers the events that it held.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::steps::{
    begun, billing, connected, in_all, numbers, operate, paid, pass, plain_start, send, status, until, update,
    wait_for, wait_for_status, waiting,
};
use crate::{Gateway, Reply, Request, Scenario, Seen, Start};

/// Makes the VM of a connection's worker trap. Returns the line of the answer to the request that did it.
fn trap(gateway: &mut dyn Gateway, connection: usize) -> Result<String> {
    Ok(send(gateway, &trapping().over(connection))?.line())
}

fn trapping() -> Request {
    paid().header("x-gatepost-trap", "now")
}

/// Posts to a worker until it takes an event again. Returns the line of the last answer.
fn until_it_serves(gateway: &mut dyn Gateway, worker: usize) -> Result<String> {
    until(gateway, "the VM is rebuilt", |gateway| {
        let answer = send(gateway, &paid().over(worker))?;
        Ok((answer.status != 503).then(|| answer.line()))
    })
}

/// The delay of the first attempt: the trap is to come before that attempt.
const DELAY: &str = "3s";

/// Says of each attempt whether it came in time or after the lease of a worker whose VM trapped at the moment
/// `trapped`. A lease is ten seconds, renewed every three; where time is exact, attempts that wait for its end come
/// soon after it.
fn when(gateway: &dyn Gateway, seen: &[Seen], trapped: Duration) -> String {
    let when = |seen: &Seen| match seen.wall.saturating_sub(trapped).as_secs() {
        0..5 => "in time",
        16.. if gateway.is_exact() => "at another time",
        _ => "after the lease",
    };
    seen.iter().map(when).collect::<Vec<_>>().join(", ")
}

pub fn all() -> Vec<Scenario> {
    [adopted(), served()].into_iter().flatten().collect()
}

fn adopted() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "what waits at a worker whose VM traps arrives after the lease, the other worker's in time",
            start: || billing(json!({"retry": {"delays": [DELAY]}})).trapping(),
            play: |gateway| {
                begun(gateway)?;
                connected(gateway, 3)?;
                let mut ids = BTreeSet::new();
                for worker in [1, 0, 0, 0] {
                    ids.insert(send(gateway, &paid().over(worker))?.id());
                }
                let trapped = gateway.now();
                let mut observed = vec![trap(gateway, 2)?];
                let seen = wait_for(gateway, "billing", 4)?;
                observed.push(format!("{}: {}", numbers(&seen), when(gateway, &seen, trapped)));
                let arrived: BTreeSet<String> = seen.iter().map(|seen| seen.id().to_owned()).collect();
                observed.push(format!("the ids that were accepted: {}", arrived == ids));
                pass(gateway, 3000)?;
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "answered 503 -",
                "attempts 1, 1, 1, 1: in time, after the lease, after the lease, after the lease",
                "the ids that were accepted: true",
                "4 attempts in all",
            ],
        },
        Scenario {
            name: "a retry that waits at a worker whose VM traps goes on where it stood",
            start: || {
                let breaker = json!({"failures": 1, "open": "1s"});
                billing(json!({"retry": {"delays": ["0s", DELAY, "1s"]}, "breaker": breaker})).trapping()
            },
            play: |gateway| {
                begun(gateway)?;
                connected(gateway, 3)?;
                gateway.script("billing", &[Reply::Status(503), Reply::Status(503)])?;
                send(gateway, &paid().over(0))?;
                // The open breaker shows that the worker knows how the attempt ended.
                wait_for_status(gateway, "/endpoints/0/breaker/state", "open")?;
                let trapped = gateway.now();
                trap(gateway, 2)?;
                let seen = wait_for(gateway, "billing", 3)?;
                let same = seen.iter().all(|other| Some(other.id()) == seen.first().map(Seen::id));
                Ok(vec![format!("{}: {}, same id: {same}", numbers(&seen), when(gateway, &seen, trapped))])
            },
            expected: &["attempts 1, 2, 3: in time, after the lease, after the lease, same id: true"],
        },
        Scenario {
            name: "an attempt that is under way when its VM traps is made again, with the same id and number",
            start: || plain_start().trapping(),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(6))])?;
                connected(gateway, 3)?;
                send(gateway, &paid().over(0))?;
                wait_for(gateway, "billing", 1)?;
                let trapped = gateway.now();
                trap(gateway, 2)?;
                let seen = wait_for(gateway, "billing", 2)?;
                let same = seen.iter().all(|other| Some(other.id()) == seen.first().map(Seen::id));
                pass(gateway, 3000)?;
                let line = format!("{}: {}, same id: {same}", numbers(&seen), when(gateway, &seen, trapped));
                Ok(vec![line, in_all(gateway, "billing")?])
            },
            expected: &["attempts 1, 1: in time, after the lease, same id: true", "2 attempts in all"],
        },
        Scenario {
            name: "when both workers' VMs trap the main thread delivers",
            start: || billing(json!({"retry": {"delays": [DELAY]}})).trapping(),
            play: |gateway| {
                begun(gateway)?;
                connected(gateway, 4)?;
                for worker in 0..2 {
                    send(gateway, &paid().over(worker))?;
                }
                let mut observed = vec![trap(gateway, 2)?, trap(gateway, 3)?];
                let seen = wait_for(gateway, "billing", 2)?;
                observed.push(numbers(&seen));
                Ok(observed)
            },
            expected: &["answered 503 -", "answered 503 -", "attempts 1, 1"],
        },
        Scenario {
            name: "with FAIL_CLOSED a worker whose VM trapped answers 503 for ever, and what it held arrives",
            start: || Start { fail_closed: true, ..billing(json!({"retry": {"delays": [DELAY]}})).trapping() },
            play: |gateway| {
                begun(gateway)?;
                connected(gateway, 3)?;
                for worker in [1, 0] {
                    send(gateway, &paid().over(worker))?;
                }
                let trapped = gateway.now();
                let mut observed = vec![trap(gateway, 2)?];
                let seen = wait_for(gateway, "billing", 2)?;
                observed.push(format!("{}: {}", numbers(&seen), when(gateway, &seen, trapped)));
                observed.push(send(gateway, &paid().over(0))?.line());
                observed.push(send(gateway, &paid().over(1))?.line());
                Ok(observed)
            },
            expected: &[
                "answered 503 -",
                "attempts 1, 1: in time, after the lease",
                "answered 503 -",
                "answered 202 accepted",
            ],
        },
    ]
}

fn served() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a VM that traps is rebuilt by the next request, but not twice within the back-off",
            start: || plain_start().trapping(),
            play: |gateway| {
                begun(gateway)?;
                // The connections are opened beforehand, so that all requests come within a second of the rebuild.
                connected(gateway, 5)?;
                let mut observed = Vec::new();
                for connection in [2, 4] {
                    observed.push(trap(gateway, connection)?);
                    observed.push(send(gateway, &paid().over(0))?.line());
                    observed.push(send(gateway, &paid().over(1))?.line());
                }
                observed.push(until_it_serves(gateway, 0)?);
                observed.push(numbers(&wait_for(gateway, "billing", 4)?));
                Ok(observed)
            },
            expected: &[
                "answered 503 -",
                "answered 202 accepted",
                "answered 202 accepted",
                "answered 503 -",
                "answered 503 -",
                "answered 202 accepted",
                "answered 202 accepted",
                "attempts 1, 1, 1, 1",
            ],
        },
        Scenario {
            name: "a VM that traps again and again is rebuilt again and again",
            start: || plain_start().trapping(),
            play: |gateway| {
                begun(gateway)?;
                let mut observed: Vec<String> = Vec::new();
                for _ in 0..3 {
                    observed.push(trap(gateway, 0)?);
                    observed.push(until_it_serves(gateway, 0)?);
                    // An attempt that the next trap cuts off would be made again.
                    wait_for_status(gateway, "/pending", "0")?;
                }
                observed.push(numbers(&wait_for(gateway, "billing", 3)?));
                Ok(observed)
            },
            expected: &[
                "answered 503 -",
                "answered 202 accepted",
                "answered 503 -",
                "answered 202 accepted",
                "answered 503 -",
                "answered 202 accepted",
                "attempts 1, 1, 1",
            ],
        },
        Scenario {
            name: "a producer that waits at a worker whose VM traps is left waiting by Envoy, and its event arrives",
            start: || waiting(billing(json!({"retry": {"delays": [DELAY]}}))).trapping(),
            play: |gateway| {
                begun(gateway)?;
                connected(gateway, 3)?;
                let ticket = gateway.begin(&paid().over(0))?;
                wait_for_status(gateway, "/pending", "1")?;
                let mut observed = vec![trap(gateway, 2)?];
                observed.push(numbers(&wait_for(gateway, "billing", 1)?));
                pass(gateway, 1000)?;
                observed.push(format!("answered: {}", gateway.is_answered(ticket)?));
                gateway.leave(ticket)?;
                observed.push(send(gateway, &paid().over(0))?.line());
                Ok(observed)
            },
            expected: &["answered 503 -", "attempts 1", "answered: false", "answered 200 delivered"],
        },
        Scenario {
            name: "a config update gives a worker whose VM trapped another one",
            start: || Start { fail_closed: true, ..plain_start().trapping() },
            play: |gateway| {
                begun(gateway)?;
                let mut observed = vec![trap(gateway, 0)?];
                for worker in 0..2 {
                    observed.push(send(gateway, &paid().over(worker))?.line());
                }
                let newer = plain_start().with(json!({"user_agent": "newer"}));
                observed.push(update(gateway, &Start { fail_closed: true, ..newer.trapping() })?);
                for connection in 2..4 {
                    observed.push(send(gateway, &paid().over(connection))?.line());
                }
                observed.push(numbers(&wait_for(gateway, "billing", 3)?));
                Ok(observed)
            },
            expected: &[
                "answered 503 -",
                "answered 503 -",
                "answered 202 accepted",
                "taken: true",
                "answered 202 accepted",
                "answered 202 accepted",
                "attempts 1, 1, 1",
            ],
        },
        Scenario {
            name: "what operators have switched outlives every VM",
            start: || plain_start().trapping(),
            play: |gateway| {
                begun(gateway)?;
                operate(gateway, "PUT", "state", &json!({"state": "paused"}))?;
                trap(gateway, 0)?;
                trap(gateway, 1)?;
                let mut observed = vec![until_it_serves(gateway, 0)?, until_it_serves(gateway, 1)?];
                observed.push(status(gateway, "/state")?);
                pass(gateway, 2000)?;
                observed.push(in_all(gateway, "billing")?);
                operate(gateway, "DELETE", "overrides", &serde_json::Value::Null)?;
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "answered 202 accepted",
                "paused",
                "0 attempts in all",
                "attempts 1, 1",
            ],
        },
        Scenario {
            name: "an open breaker outlives the VM that opened it",
            start: || {
                billing(json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 1, "open": "60s"}})).trapping()
            },
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(500)])?;
                send(gateway, &paid().over(0))?;
                wait_for_status(gateway, "/endpoints/0/breaker/state", "open")?;
                trap(gateway, 0)?;
                let mut observed = vec![send(gateway, &paid().over(1))?.line()];
                pass(gateway, 3000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(status(gateway, "/endpoints/0/breaker/state")?);
                Ok(observed)
            },
            expected: &["answered 202 accepted", "1 attempts in all", "open"],
        },
    ]
}
