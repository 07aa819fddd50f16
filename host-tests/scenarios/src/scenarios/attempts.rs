//! What the end of an attempt means.

use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::plain;
use crate::steps::{
    BODY, begun, billing, in_all, letters, numbers, one, one_and_no_more, operate, paid, pass, patient, plain_start,
    post, seconds, send, until, update, wait_for, wait_for_status,
};
use crate::{Reply, Request, Scenario, config, endpoint};

const ONCE: &[&str] = &["answered 202 accepted", "+0 s: attempt 1 of paid, verified, same id", "1 attempts in all"];
const TWICE: &[&str] = &[
    "answered 202 accepted",
    "+0 s: attempt 1 of paid, verified, same id",
    "+1 s: attempt 2 of paid, verified, same id",
];

pub fn all() -> Vec<Scenario> {
    [answers(), connections(), gone()].into_iter().flatten().collect()
}

fn answers() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an event is delivered once, with the bytes it came with",
            start: plain_start,
            play: |gateway| {
                let mut observed = one_and_no_more(gateway, &[], 1)?;
                let seen = gateway.seen("billing")?;
                observed.extend(seen.iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()));
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "1 attempts in all",
                "{\"amount\": 42}",
            ],
        },
        Scenario {
            name: "two 503 and a 200 are three attempts on schedule",
            start: patient,
            play: |gateway| one_and_no_more(gateway, &[Reply::Status(503), Reply::Status(503)], 3),
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "+1 s: attempt 2 of paid, verified, same id",
                "+1 s: attempt 3 of paid, verified, same id",
                "3 attempts in all",
            ],
        },
        Scenario {
            name: "the standard schedule waits five seconds and up to a fifth more",
            start: || billing(json!({"retry": {"preset": "standard"}})),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(503)])?;
                let mut observed = vec![post(gateway)?.line()];
                let seen = wait_for(gateway, "billing", 2)?;
                let (times, later) = (seen.iter().map(|seen| seen.at), seen.iter().skip(1).map(|seen| seen.at));
                let waits = later.zip(times).map(|(later, at)| later.saturating_sub(at).as_secs_f64());
                observed.extend(waits.map(|wait| format!("within its time: {}", (4.9..6.6).contains(&wait))));
                Ok(observed)
            },
            expected: &["answered 202 accepted", "within its time: true"],
        },
        Scenario {
            name: "a 400 is final",
            start: patient,
            play: |gateway| one_and_no_more(gateway, &[Reply::Status(400)], 1),
            expected: ONCE,
        },
        Scenario {
            name: "a redirect is final and not followed",
            start: patient,
            play: |gateway| one_and_no_more(gateway, &[Reply::Status(302)], 1),
            expected: ONCE,
        },
        Scenario {
            name: "a 408 is tried again",
            start: patient,
            play: |gateway| one(gateway, &[Reply::Status(408)], 2),
            expected: TWICE,
        },
        Scenario {
            name: "which statuses are tried again is the endpoint's to say",
            start: || billing(json!({"retry": {"delays": ["0s", "1s"], "statuses": [404]}})),
            play: |gateway| {
                let mut observed = one(gateway, &[Reply::Status(404)], 2)?;
                gateway.script("billing", &[Reply::Status(503)])?;
                post(gateway)?;
                wait_for(gateway, "billing", 3)?;
                pass(gateway, 3000)?;
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "+1 s: attempt 2 of paid, verified, same id",
                "3 attempts in all",
            ],
        },
        Scenario {
            name: "Retry-After lengthens the wait",
            start: patient,
            play: |gateway| one(gateway, &[Reply::RetryAfter(429, 3)], 2),
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "+3 s: attempt 2 of paid, verified, same id",
            ],
        },
        Scenario {
            name: "Retry-After may be a date",
            start: patient,
            play: |gateway| {
                let date = gateway.now().as_secs() + 4;
                gateway.script("billing", &[Reply::RetryAt(503, date)])?;
                post(gateway)?;
                let seen = wait_for(gateway, "billing", 2)?;
                let late = seen.last().map(|seen| seen.wall.checked_sub(Duration::from_secs(date)));
                Ok(vec![match late.flatten() {
                    Some(late) => format!("+{} s after the date", seconds(late)),
                    None => "before the date".to_owned(),
                }])
            },
            expected: &["+0 s after the date"],
        },
        Scenario {
            name: "a shorter Retry-After does not shorten the wait",
            start: || billing(json!({"retry": {"delays": ["0s", "3s"]}})),
            play: |gateway| one(gateway, &[Reply::RetryAfter(503, 1)], 2),
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "+3 s: attempt 2 of paid, verified, same id",
            ],
        },
        Scenario {
            name: "an event goes to every endpoint that wants it",
            start: || config(&[endpoint("billing", json!({"events": ["paid"]})), endpoint("audit", json!({}))]),
            play: |gateway| {
                let mut observed = Vec::new();
                for event in ["paid", "refunded"] {
                    observed.push(send(gateway, &Request::event(&format!("/events/{event}"), BODY))?.line());
                }
                wait_for(gateway, "audit", 2)?;
                wait_for(gateway, "billing", 1)?;
                pass(gateway, 1000)?;
                observed.push(format!(
                    "{} at billing, {} at audit",
                    gateway.arrived("billing")?,
                    gateway.arrived("audit")?
                ));
                Ok(observed)
            },
            expected: &["answered 202 accepted", "answered 202 accepted", "1 at billing, 2 at audit"],
        },
    ]
}

fn connections() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a connection that breaks within the answer is tried again",
            start: patient,
            play: |gateway| one(gateway, &[Reply::Drop], 2),
            expected: TWICE,
        },
        Scenario {
            name: "a connection that breaks before the answer is tried again",
            start: patient,
            play: |gateway| one(gateway, &[Reply::Reset], 2),
            expected: TWICE,
        },
        Scenario {
            name: "an answer that is no HTTP, and a 101 as the last word, are resets",
            start: || billing(json!({"retry": {"delays": ["0s", "1s", "1s"]}})),
            play: |gateway| {
                begun(gateway)?;
                gateway.script("billing", &[Reply::NoHttp, Reply::Status(101)])?;
                let id = post(gateway)?.id();
                wait_for(gateway, "billing", 3)?;
                let outcomes = until(gateway, "three attempts are told of", |gateway| {
                    let event = operate(gateway, "GET", &format!("events/{id}"), &Value::Null)?.json;
                    let outcome = |number| event.pointer(&format!("/deliveries/0/attempts/{number}/outcome"));
                    Ok(outcome(2).map(|_| (0..3).filter_map(outcome).map(plain).collect::<Vec<_>>().join(", ")))
                })?;
                Ok(vec![outcomes])
            },
            expected: &["reset, reset, 2xx"],
        },
        Scenario {
            name: "an attempt that times out is made again the delay after it ended",
            start: || billing(json!({"timeout": "1s", "retry": {"delays": ["0s", "1s"]}})),
            play: |gateway| one(gateway, &[Reply::Hang], 2),
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "+2 s: attempt 2 of paid, verified, same id",
            ],
        },
        Scenario {
            name: "while nobody listens attempts are used up, and one after that delivers",
            start: || {
                billing(
                    json!({"retry": {"delays": ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]}, "breaker": {"failures": 100}}),
                )
            },
            play: |gateway| {
                gateway.shut()?;
                let mut observed = vec![post(gateway)?.line()];
                pass(gateway, 1500)?;
                gateway.reopen()?;
                let seen = wait_for(gateway, "billing", 1)?;
                let later = seen.iter().all(|seen| seen.attempt() > "1" && seen.verified);
                observed.push(if later { "a later attempt delivers" } else { "not a later attempt" }.to_owned());
                pass(gateway, 2000)?;
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &["answered 202 accepted", "a later attempt delivers", "1 attempts in all"],
        },
        Scenario {
            name: "when nobody ever listens the schedule ends in a dead letter without an answer",
            start: || billing(json!({"retry": {"delays": ["0s", "1s"]}})),
            play: |gateway| {
                gateway.shut()?;
                post(gateway)?;
                letters(gateway, 1)
            },
            expected: &["dead letter: paid billing failed, 2 attempts, last answer null"],
        },
        Scenario {
            name: "an endpoint that hangs holds up no other",
            start: || config(&[endpoint("billing", json!({"max_in_flight": 1})), endpoint("audit", json!({}))]),
            play: |gateway| {
                gateway.script("billing", &[Reply::Hang; 4])?;
                for worker in [0, 1, 0, 1, 0, 1] {
                    send(gateway, &paid().over(worker))?;
                }
                let audit = wait_for(gateway, "audit", 6)?.len();
                let billing = wait_for(gateway, "billing", 2)?.len();
                Ok(vec![format!("{audit} at audit, {billing} at billing")])
            },
            expected: &["6 at audit, 2 at billing"],
        },
    ]
}

fn gone() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a 410 disables the endpoint until its entry in the config changes",
            start: plain_start,
            play: |gateway| {
                begun(gateway)?;
                let mut observed = one(gateway, &[Reply::Status(410)], 1)?;
                wait_for_status(gateway, "/endpoints/0/disabled_by", "gone")?;
                observed.extend(post(gateway)?.lines());
                pass(gateway, 2000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(update(gateway, &billing(json!({"timeout": "9s"})))?);
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                observed.extend(letters(gateway, 1)?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "answered 202 accepted",
                "billing held, - attempts, last answer -",
                "1 attempts in all",
                "taken: true",
                "attempts 1, 1",
                "dead letter: paid billing failed, 1 attempts, last answer 410",
            ],
        },
        Scenario {
            name: "where on_gone is fail a 410 disables nothing",
            start: || billing(json!({"on_gone": "fail"})),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(410)])?;
                post(gateway)?;
                let mut observed = letters(gateway, 1)?;
                observed.extend(post(gateway)?.lines());
                observed.push(numbers(&wait_for(gateway, "billing", 2)?));
                Ok(observed)
            },
            expected: &[
                "dead letter: paid billing failed, 1 attempts, last answer 410",
                "answered 202 accepted",
                "billing pending, - attempts, last answer -",
                "attempts 1, 1",
            ],
        },
    ]
}
