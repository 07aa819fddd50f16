//! Requests with an `Idempotency-Key` that was used before.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use crate::steps::{
    BODY, billing, connected, in_all, numbers, paid, pass, plain_start, route, send, wait_for, waiting,
};
use crate::{Reply, Request, Scenario};

fn keyed() -> Request {
    paid().header("idempotency-key", "order-1")
}

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "the same Idempotency-Key is one event, whichever worker gets it",
            start: plain_start,
            play: |gateway| {
                let first = send(gateway, &keyed().over(0))?;
                let again = send(gateway, &keyed().over(1))?;
                let other = send(gateway, &keyed().body("{}").over(1))?;
                let renamed = Request::event("/events/refunded", BODY).header("idempotency-key", "order-1");
                let renamed = send(gateway, &renamed.over(1))?;
                wait_for(gateway, "billing", 1)?;
                pass(gateway, 1000)?;
                let same = if first.id() == again.id() { "one id" } else { "two ids" };
                let answers = [first.line(), again.line(), same.to_owned(), other.line(), renamed.line()];
                Ok(answers.into_iter().chain([in_all(gateway, "billing")?]).collect())
            },
            expected: &[
                "answered 202 accepted",
                "answered 202 accepted, replayed",
                "one id",
                "answered 422 Unprocessable Content",
                "answered 422 Unprocessable Content",
                "1 attempts in all",
            ],
        },
        Scenario {
            name: "one key from eight connections at once is one event",
            start: plain_start,
            play: |gateway| {
                connected(gateway, 8)?;
                let tickets: Vec<_> =
                    (0..8).map(|connection| gateway.begin(&keyed().over(connection))).collect::<Result<_>>()?;
                let mut ids = BTreeSet::new();
                for ticket in tickets {
                    let answer = gateway.finish(ticket)?;
                    // A request that comes while the first one is being accepted is answered 409: it may be sent again.
                    match answer.status {
                        202 => drop(ids.insert(answer.id())),
                        409 => {}
                        other => bail!("answered {other}"),
                    }
                }
                wait_for(gateway, "billing", 1)?;
                pass(gateway, 1000)?;
                Ok(vec![format!("{} id", ids.len()), in_all(gateway, "billing")?])
            },
            expected: &["1 id", "1 attempts in all"],
        },
        Scenario {
            name: "a key in progress is a conflict, and its answer is replayed later",
            start: || waiting(plain_start()),
            play: |gateway| {
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(6))])?;
                let ticket = gateway.begin(&keyed().over(0))?;
                wait_for(gateway, "billing", 1)?;
                let meanwhile = send(gateway, &keyed().over(1))?;
                let mut observed =
                    vec![format!("{}, retry-after {}", meanwhile.line(), meanwhile.header("retry-after"))];
                let first = gateway.finish(ticket)?;
                observed.extend(first.lines());
                let again = send(gateway, &keyed().over(1))?;
                observed.extend(again.lines());
                observed.push(format!("one id: {}", first.id() == again.id()));
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &[
                "answered 409 Conflict, retry-after 1",
                "answered 200 delivered",
                "billing delivered, 1 attempts, last answer 200",
                "answered 200 delivered, replayed",
                "billing delivered, 1 attempts, last answer 200",
                "one id: true",
                "1 attempts in all",
            ],
        },
        Scenario {
            name: "after a failure the same key tries again, under the same id",
            start: || waiting(plain_start()),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(400)])?;
                let first = send(gateway, &keyed().over(0))?;
                let again = send(gateway, &keyed().over(1))?;
                let seen = wait_for(gateway, "billing", 2)?;
                let one = seen.iter().all(|seen| seen.id() == again.id());
                Ok(vec![first.line(), again.line(), numbers(&seen), format!("one id: {one}")])
            },
            expected: &["answered 502 failed", "answered 200 delivered", "attempts 1, 1", "one id: true"],
        },
        Scenario {
            name: "a key refused for a full queue is not used up",
            start: || billing(json!({"pending": 1})),
            play: |gateway| {
                gateway.script("billing", &[Reply::Slow(Duration::from_secs(6))])?;
                send(gateway, &paid().over(0))?;
                let mut observed = vec![send(gateway, &keyed().over(0))?.line()];
                observed.push(send(gateway, &keyed().over(1))?.line());
                Ok(observed)
            },
            expected: &["answered 503 Service Unavailable", "answered 202 accepted"],
        },
        Scenario {
            name: "the same key of another tenant or on another route is another key",
            start: || {
                let scoped = json!({"idempotency_scope": "x-tenant-id"});
                let routes =
                    [route("ingest", "/events/{event}", scoped), route("other", "/events/other/{event}", json!({}))];
                plain_start().with(json!({"routes": routes}))
            },
            play: |gateway| {
                let other = Request::event("/events/other/paid", BODY).header("idempotency-key", "order-1");
                let tenant = |name| keyed().header("x-tenant-id", name);
                let mut observed = Vec::new();
                for request in [tenant("a"), tenant("b"), tenant("a"), other] {
                    observed.push(send(gateway, &request)?.line());
                }
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "answered 202 accepted",
                "answered 202 accepted, replayed",
                "answered 202 accepted",
            ],
        },
    ]
}
