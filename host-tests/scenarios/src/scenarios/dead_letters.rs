//! Deliveries that have failed for good, and where their dead letters go.

use anyhow::Result;
use serde_json::json;

use crate::steps::{BODY, in_all, letters, lines, paid, pass, post, send, until, wait_for};
use crate::{Gateway, Reply, Request, Scenario, Seen, config, with_sink};

/// A dead letter as its sink saw it, as a line.
fn letter(seen: &Seen) -> String {
    let part = |name| seen.header(name);
    let verified = if seen.verified { "verified" } else { "NOT verified" };
    format!(
        "{} of {}: {}, attempt {}, {verified}, {}",
        part("x-webhook-event"),
        part("x-webhook-endpoint"),
        part("x-webhook-dead-letter"),
        seen.attempt(),
        String::from_utf8_lossy(&seen.body)
    )
}

fn sunk(gateway: &mut dyn Gateway, count: usize) -> Result<Vec<String>> {
    Ok(wait_for(gateway, "sink", count)?.iter().map(letter).collect())
}

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a delivery that has failed goes to the sink, signed, with its reason and without the endpoint's headers",
            start: || {
                let policy = json!({"retry": {"delays": ["0s", "1s"]}, "headers": {"x-api-key": "secret"}});
                config(&[with_sink("billing", policy)])
            },
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(400), Reply::Status(503), Reply::Status(503)])?;
                let first = post(gateway)?;
                let mut observed = sunk(gateway, 1)?;
                post(gateway)?;
                observed.extend(sunk(gateway, 2)?);
                let seen = gateway.seen("sink")?;
                let same = seen.first().is_some_and(|seen| seen.id() == first.id());
                observed.push(format!("same id: {same}"));
                observed.push(format!("x-api-key {:?}", seen.first().map(|seen| seen.header("x-api-key"))));
                observed.extend(letters(gateway, 2)?);
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "paid of billing: failed, attempt 1, verified, {\"amount\": 42}",
                "paid of billing: failed, attempt 1, verified, {\"amount\": 42}",
                "paid of billing: failed, attempt 1, verified, {\"amount\": 42}",
                "same id: true",
                "x-api-key Some(\"\")",
                "dead letter: paid billing failed, 1 attempts, last answer 400",
                "dead letter: paid billing failed, 2 attempts, last answer 503",
                "3 attempts in all",
            ],
        },
        Scenario {
            name: "a sink that fails gets the letter by the endpoint's schedule, and it is kept in any case",
            start: || config(&[with_sink("billing", json!({"retry": {"delays": ["0s", "1s"]}}))]),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(400)])?;
                gateway.script("sink", &[Reply::Status(503), Reply::Status(503)])?;
                post(gateway)?;
                let mut observed = lines(&wait_for(gateway, "sink", 2)?);
                pass(gateway, 2000)?;
                observed.push(in_all(gateway, "sink")?);
                observed.extend(letters(gateway, 1)?);
                Ok(observed)
            },
            expected: &[
                "+0 s: attempt 1 of paid, verified, same id",
                "+1 s: attempt 2 of paid, verified, same id",
                "2 attempts in all",
                "dead letter: paid billing failed, 1 attempts, last answer 400",
            ],
        },
        Scenario {
            name: "what overflows and what expires goes to the sink",
            start: || {
                let full = json!({
                    "disabled": true, "pending": 1, "overflow": "dead_letter", "retry": {"delays": ["0s"]},
                    "max_age": "3s",
                });
                config(&[with_sink("billing", full)])
            },
            play: |gateway| {
                for _ in 0..2 {
                    send(gateway, &paid().over(0))?;
                }
                sunk(gateway, 2)
            },
            expected: &[
                "paid of billing: overflow, attempt 1, verified, {\"amount\": 42}",
                "paid of billing: expired, attempt 1, verified, {\"amount\": 42}",
            ],
        },
        Scenario {
            name: "of more dead letters than are kept the oldest go",
            start: || {
                let hasty = json!({"retry": {"delays": ["0s"]}});
                config(&[crate::endpoint("billing", hasty)]).with(json!({"limits": {"dead_letters": 2}}))
            },
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(400); 3])?;
                for number in 1..=3 {
                    send(gateway, &Request::event(&format!("/events/number-{number}"), BODY))?;
                    until(gateway, "it is kept", |gateway| {
                        let letters = letters(gateway, number.min(2))?;
                        let last = format!("number-{number}");
                        Ok(letters.iter().any(|letter| letter.contains(&last)).then_some(()))
                    })?;
                }
                letters(gateway, 2)
            },
            expected: &[
                "dead letter: number-2 billing failed, 1 attempts, last answer 400",
                "dead letter: number-3 billing failed, 1 attempts, last answer 400",
            ],
        },
        Scenario {
            name: "an endpoint that fails takes no dead letter's place but its own",
            start: || {
                let hasty = |events| json!({"retry": {"delays": ["0s"]}, "events": [events]});
                let endpoints =
                    [crate::endpoint("billing", hasty("paid")), crate::endpoint("audit", hasty("number-*"))];
                config(&endpoints).with(json!({"limits": {"dead_letters": 3}}))
            },
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(400)])?;
                gateway.script("audit", &[Reply::Status(400); 4])?;
                post(gateway)?;
                letters(gateway, 1)?;
                for number in 1..=4 {
                    send(gateway, &Request::event(&format!("/events/number-{number}"), BODY))?;
                    until(gateway, "it is kept", |gateway| {
                        let letters = letters(gateway, 3.min(number + 1))?;
                        let last = format!("number-{number}");
                        Ok(letters.iter().any(|letter| letter.contains(&last)).then_some(()))
                    })?;
                }
                letters(gateway, 3)
            },
            expected: &[
                "dead letter: paid billing failed, 1 attempts, last answer 400",
                "dead letter: number-3 audit failed, 1 attempts, last answer 400",
                "dead letter: number-4 audit failed, 1 attempts, last answer 400",
            ],
        },
    ]
}
