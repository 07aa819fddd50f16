//! Limits: how much may wait, how fast and how long attempts are made, how large a body may be.

use std::time::Duration;

use serde_json::json;

use crate::steps::{
    BODY, billing, connected, in_all, letters, lines, one, paid, pass, plain_start, post, seconds, send, wait_for,
    wait_for_status,
};
use crate::{Reply, Request, Scenario, config, endpoint};

const SLOW: Reply = Reply::Slow(Duration::from_secs(6));

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "what is over the rate waits, whichever worker took it",
            start: || billing(json!({"rate": {"per_second": 1, "burst": 1}})),
            play: |gateway| {
                for worker in [0, 1, 0] {
                    send(gateway, &paid().over(worker))?;
                }
                Ok(lines(&wait_for(gateway, "billing", 3)?))
            },
            expected: &[
                "+0 s: attempt 1 of paid, verified, same id",
                "+1 s: attempt 1 of paid, verified, another id",
                "+1 s: attempt 1 of paid, verified, another id",
            ],
        },
        Scenario {
            name: "of an endpoint's attempts one is under way at each worker, if it says so",
            start: || billing(json!({"max_in_flight": 1})),
            play: |gateway| {
                connected(gateway, 2)?;
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(3)); 4])?;
                let mut ids = Vec::new();
                for worker in [0, 1, 0, 1] {
                    ids.push(send(gateway, &paid().over(worker))?.id());
                }
                let seen = wait_for(gateway, "billing", 4)?;
                let at = |id: &str| seen.iter().find(|seen| seen.id() == id).map_or(Duration::ZERO, |seen| seen.at);
                let (first, next) = ids.split_at(2);
                let waits = first.iter().zip(next).map(|(first, next)| seconds(at(next).saturating_sub(at(first))));
                let mut observed: Vec<String> = waits.map(|wait| format!("+{wait} s: a worker's next one")).collect();
                let at_both = first.iter().map(|id| at(id)).max() < next.iter().map(|id| at(id)).min();
                observed.push(format!("first one at both: {at_both}"));
                Ok(observed)
            },
            expected: &["+3 s: a worker's next one", "+3 s: a worker's next one", "first one at both: true"],
        },
        Scenario {
            name: "what waits longer than max_age is a dead letter",
            start: || billing(json!({"disabled": true, "retry": {"delays": ["0s"]}, "max_age": "2s"})),
            play: |gateway| {
                let mut observed = post(gateway)?.lines();
                observed.extend(letters(gateway, 1)?);
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "billing held, - attempts, last answer -",
                "dead letter: paid billing expired, 0 attempts, last answer null",
                "0 attempts in all",
            ],
        },
        Scenario {
            name: "max_age ends a wait that the receiver asked for",
            start: || billing(json!({"retry": {"delays": ["0s", "1s"]}, "max_age": "3s"})),
            play: |gateway| {
                let mut observed = one(gateway, &[Reply::RetryAfter(429, 30)], 1)?;
                observed.extend(letters(gateway, 1)?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "+0 s: attempt 1 of paid, verified, same id",
                "dead letter: paid billing expired, 1 attempts, last answer 429",
            ],
        },
        Scenario {
            name: "a full endpoint's events are refused, and taken again once there is room",
            start: || billing(json!({"pending": 1})),
            play: |gateway| {
                gateway.script("billing", &[SLOW])?;
                let mut observed = Vec::new();
                for _ in 0..2 {
                    let answer = send(gateway, &paid().over(0))?;
                    observed.push(format!("{}, retry-after {:?}", answer.line(), answer.header("retry-after")));
                }
                wait_for_status(gateway, "/pending", "0")?;
                observed.push(send(gateway, &paid().over(0))?.line());
                observed.push(format!("{} attempts", wait_for(gateway, "billing", 2)?.len()));
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted, retry-after \"\"",
                "answered 503 Service Unavailable, retry-after \"1\"",
                "answered 202 accepted",
                "2 attempts",
            ],
        },
        Scenario {
            name: "where overflow says so, a full endpoint's events are dead letters",
            start: || billing(json!({"pending": 1, "overflow": "dead_letter"})),
            play: |gateway| {
                gateway.script("billing", &[SLOW])?;
                let mut observed = Vec::new();
                for _ in 0..2 {
                    observed.extend(send(gateway, &paid().over(0))?.lines());
                }
                observed.extend(letters(gateway, 1)?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "billing pending, - attempts, last answer -",
                "answered 202 accepted",
                "billing failed, - attempts, last answer -",
                "dead letter: paid billing overflow, 0 attempts, last answer null",
            ],
        },
        Scenario {
            name: "a full endpoint takes no room from another",
            start: || {
                let full = endpoint("billing", json!({"pending": 1, "overflow": "dead_letter", "events": ["paid"]}));
                config(&[full, endpoint("audit", json!({}))])
            },
            play: |gateway| {
                gateway.script("billing", &[SLOW])?;
                for _ in 0..5 {
                    send(gateway, &paid().over(0))?;
                }
                let audit = wait_for(gateway, "audit", 5)?.len();
                let letters = letters(gateway, 4)?.len();
                Ok(vec![format!("{audit} at audit, {letters} dead letters")])
            },
            expected: &["5 at audit, 4 dead letters"],
        },
        Scenario {
            name: "a full worker refuses events, and the other one takes them",
            start: || plain_start().with(json!({"limits": {"pending": 1}})),
            play: |gateway| {
                gateway.script("billing", &[SLOW])?;
                let connections = [0, 0, 1];
                connections.into_iter().map(|worker| Ok(send(gateway, &paid().over(worker))?.line())).collect()
            },
            expected: &["answered 202 accepted", "answered 503 Service Unavailable", "answered 202 accepted"],
        },
        Scenario {
            name: "a body over the limit is refused, whole or in pieces, announced or not",
            start: || plain_start().with(json!({"limits": {"body": "1KiB"}})),
            play: |gateway| {
                let (fits, large) = (vec![b' '; 1024], vec![b' '; 1025]);
                let mut observed = Vec::new();
                for body in [fits, large] {
                    let event = Request::event("/events/paid", body);
                    let chunked = event.clone().in_chunks(100);
                    for request in [event.clone(), event.http2(), chunked.clone(), chunked.http2()] {
                        observed.push(send(gateway, &request)?.line());
                    }
                }
                wait_for(gateway, "billing", 4)?;
                pass(gateway, 1000)?;
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "answered 202 accepted",
                "answered 202 accepted",
                "answered 202 accepted",
                "answered 413 Content Too Large",
                "answered 413 Content Too Large",
                "answered 413 Content Too Large",
                "answered 413 Content Too Large",
                "4 attempts in all",
            ],
        },
        Scenario {
            name: "after a body of 5 MiB in pieces the next event is taken",
            start: plain_start,
            play: |gateway| {
                let large = Request::event("/events/paid", vec![b' '; 5 << 20]).in_chunks(64 << 10);
                let mut observed = vec![send(gateway, &large.http2())?.line()];
                observed.push(send(gateway, &Request::event("/events/paid", BODY).over(0))?.line());
                Ok(observed)
            },
            expected: &["answered 413 Content Too Large", "answered 202 accepted"],
        },
    ]
}
