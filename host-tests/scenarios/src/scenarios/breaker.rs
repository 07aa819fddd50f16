//! One circuit breaker for all workers.

use serde_json::json;

use crate::steps::{
    begun, billing, connected, in_all, letters, lines, numbers, one, operate, paid, pass, patient, post, send, status,
    wait_for, wait_for_status, waiting,
};
use crate::{Reply, Scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "failures open the breaker for both workers, and one probe closes it",
            start: || billing(json!({"retry": {"delays": ["0s", "4s"]}, "breaker": {"failures": 2, "open": "9s"}})),
            play: |gateway| {
                connected(gateway, 2)?;
                gateway.script("billing", &[Reply::Status(500), Reply::Status(500)])?;
                for worker in 0..2 {
                    send(gateway, &paid().over(worker))?;
                    wait_for(gateway, "billing", worker + 1)?;
                }
                wait_for_status(gateway, "/endpoints/0/breaker/state", "open")?;
                // Both deliveries would have been tried again by now.
                pass(gateway, 5500)?;
                let mut observed = vec![format!("{} while open", gateway.arrived("billing")?)];
                observed.push(numbers(&wait_for(gateway, "billing", 4)?));
                wait_for_status(gateway, "/endpoints/0/breaker/state", "closed")?;
                Ok(observed)
            },
            expected: &["2 while open", "attempts 1, 1, 2, 2"],
        },
        Scenario {
            name: "a probe that fails opens the breaker again",
            start: || {
                billing(json!({"retry": {"delays": ["0s", "1s", "1s"]}, "breaker": {"failures": 1, "open": "2s"}}))
            },
            play: |gateway| one(gateway, &[Reply::Status(500), Reply::Status(500)], 3),
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "+2 s: attempt 2 of paid, verified, same id",
                "+2 s: attempt 3 of paid, verified, same id",
            ],
        },
        Scenario {
            name: "timeouts and broken connections count, final answers do not",
            start: || {
                let breaker = json!({"failures": 2, "open": "60s"});
                billing(json!({"timeout": "3s", "retry": {"delays": ["0s"]}, "breaker": breaker}))
            },
            play: |gateway| {
                let replies = [Reply::Status(404), Reply::Status(401), Reply::Hang, Reply::Drop];
                gateway.script("billing", &replies)?;
                let mut observed = Vec::new();
                for sent in 1..=4 {
                    post(gateway)?;
                    observed.extend(letters(gateway, sent)?.into_iter().last());
                    observed.push(status(gateway, "/endpoints/0/breaker/state")?);
                }
                Ok(observed)
            },
            expected: &[
                "dead letter: paid billing failed, 1 attempts, last answer 404",
                "closed",
                "dead letter: paid billing failed, 1 attempts, last answer 401",
                "closed",
                "dead letter: paid billing failed, 1 attempts, last answer null",
                "closed",
                "dead letter: paid billing failed, 1 attempts, last answer null",
                "open",
            ],
        },
        Scenario {
            name: "where deliveries count a retry that succeeds opens nothing",
            start: || {
                let breaker = json!({"failures": 1, "count": "deliveries"});
                billing(json!({"retry": {"delays": ["0s", "1s"]}, "breaker": breaker}))
            },
            play: |gateway| {
                let mut observed =
                    one(gateway, &[Reply::Status(500), Reply::Status(200), Reply::Status(500), Reply::Status(500)], 2)?;
                post(gateway)?;
                wait_for(gateway, "billing", 4)?;
                wait_for_status(gateway, "/endpoints/0/breaker/state", "open")?;
                observed.push(numbers(&gateway.seen("billing")?));
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "+1 s: attempt 2 of paid, verified, same id",
                "attempts 1, 2, 1, 2",
            ],
        },
        Scenario {
            name: "while the breaker is open a producer that waits is refused, and told when to come back",
            start: || waiting(billing(json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 1, "open": "60s"}}))),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(500)])?;
                let mut observed = post(gateway)?.lines();
                for worker in 0..2 {
                    let answer = send(gateway, &paid().over(worker))?;
                    let told = answer.header("retry-after").parse::<u64>()?;
                    observed.push(format!(
                        "{}, retry-after within a minute: {}",
                        answer.line(),
                        told > 30 && told <= 60
                    ));
                }
                Ok(observed)
            },
            expected: &[
                "answered 502 failed",
                "billing failed, 1 attempts, last answer 500",
                "answered 503 Service Unavailable, retry-after within a minute: true",
                "answered 503 Service Unavailable, retry-after within a minute: true",
            ],
        },
        Scenario {
            name: "an endpoint without a breaker is never left alone, and says so",
            start: || billing(json!({"retry": {"delays": ["0s"]}, "breaker": null})),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::Status(500); 8])?;
                for _ in 0..9 {
                    post(gateway)?;
                }
                wait_for(gateway, "billing", 9)?;
                let mut observed = vec![in_all(gateway, "billing")?, status(gateway, "/endpoints/0/breaker/state")?];
                for state in ["open", "closed"] {
                    let told = operate(gateway, "POST", "endpoints/billing/breaker", &json!({"state": state}))?;
                    observed.push(format!("{}: {}", told.line(), told.text("detail")));
                }
                Ok(observed)
            },
            expected: &[
                "9 attempts in all",
                "none",
                "answered 409 Conflict: endpoint billing: it has no breaker (breaker: null); it can be disabled instead",
                "answered 409 Conflict: endpoint billing: it has no breaker (breaker: null); it can be disabled instead",
            ],
        },
        Scenario {
            name: "what the breaker holds back costs no attempts",
            start: patient,
            play: |gateway| {
                begun(gateway)?;
                operate(gateway, "POST", "endpoints/billing/breaker", &json!({"state": "open"}))?;
                pass(gateway, 1000)?;
                post(gateway)?;
                pass(gateway, 3000)?;
                let mut observed = vec![format!("{} while open", gateway.arrived("billing")?)];
                operate(gateway, "POST", "endpoints/billing/breaker", &json!({"state": "closed"}))?;
                observed.extend(lines(&wait_for(gateway, "billing", 1)?));
                Ok(observed)
            },
            expected: &["0 while open", "+0 s: attempt 1 of paid, verified, same id"],
        },
    ]
}
