//! What producers are answered.

use std::time::Duration;

use serde_json::json;

use crate::steps::{
    BODY, billing, in_all, letters, numbers, paid, pass, patient, plain_start, post, route, send, wait_for, waiting,
};
use crate::{Reply, Request, Scenario, config, endpoint};

const SLOW: Reply = Reply::Slow(Duration::from_secs(3));

pub fn all() -> Vec<Scenario> {
    [waits(), requests()].into_iter().flatten().collect()
}

fn waits() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a producer that waits is answered when all is delivered, retries included",
            start: || waiting(patient()),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(503)])?;
                Ok(post(gateway)?.lines())
            },
            expected: &["answered 200 delivered", "billing delivered, 2 attempts, last answer 200"],
        },
        Scenario {
            name: "one delivery that fails makes it 502, with how each of them ended",
            start: || waiting(config(&[endpoint("billing", json!({})), endpoint("audit", json!({}))])),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(400)])?;
                Ok(post(gateway)?.lines())
            },
            expected: &[
                "answered 502 failed",
                "billing failed, 1 attempts, last answer 400",
                "audit delivered, 1 attempts, last answer 200",
            ],
        },
        Scenario {
            name: "a producer waits no longer than ack_timeout, and the delivery goes on",
            start: || {
                let ack = json!({"ack": "delivered", "ack_timeout": "1s"});
                plain_start().with(json!({"routes": [route("ingest", "/events/{event}", ack)]}))
            },
            play: |gateway| {
                gateway.script("billing", &[SLOW])?;
                let mut observed = post(gateway)?.lines();
                pass(gateway, 4000)?;
                observed.push(in_all(gateway, "billing")?);
                observed.push(format!("{} dead letters", letters(gateway, 0)?.len()));
                Ok(observed)
            },
            expected: &[
                "answered 202 pending",
                "billing pending, 0 attempts, last answer -",
                "1 attempts in all",
                "0 dead letters",
            ],
        },
        Scenario {
            name: "a producer that waits and leaves changes nothing for its event",
            start: || waiting(patient()),
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(503)])?;
                let ticket = gateway.begin(&paid().over(0))?;
                wait_for(gateway, "billing", 1)?;
                gateway.leave(ticket)?;
                let mut observed = vec![numbers(&wait_for(gateway, "billing", 2)?)];
                observed.push(send(gateway, &paid().over(0))?.line());
                Ok(observed)
            },
            expected: &["attempts 1, 2", "answered 200 delivered"],
        },
        Scenario {
            name: "a producer is not kept waiting for an endpoint that is disabled",
            start: || waiting(billing(json!({"disabled": true}))),
            play: |gateway| {
                let asked = gateway.now();
                let mut observed = post(gateway)?.lines();
                // A producer waits 30 s for a delivery that is not held.
                let at_once = gateway.now().saturating_sub(asked) < Duration::from_secs(10);
                observed.push(format!("at once: {at_once}"));
                Ok(observed)
            },
            expected: &["answered 202 accepted", "billing held, 0 attempts, last answer -", "at once: true"],
        },
    ]
}

fn requests() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "what is no event is refused with its reason",
            start: plain_start,
            play: |gateway| {
                let large = vec![b'x'; 300 * 1024];
                let long = format!("/events/{}", "x".repeat(1000));
                let refused = [
                    Request::event("/events/paid", large),
                    Request::event(&long, BODY),
                    Request::event("/events/a%20b", BODY),
                ];
                let mut observed = Vec::new();
                for request in refused {
                    observed.push(send(gateway, &request)?.line());
                }
                let other = send(gateway, &Request::new("GET", "/events/paid"))?;
                observed.push(format!("{}, allow {}", other.line(), other.header("allow")));
                Ok(observed)
            },
            expected: &[
                "answered 413 Content Too Large",
                "answered 400 Bad Request",
                "answered 400 Bad Request",
                "answered 405 Method Not Allowed, allow POST",
            ],
        },
        Scenario {
            name: "refusals are problems that name the detail",
            start: plain_start,
            play: |gateway| {
                let answer = send(gateway, &Request::event("/events/a%20b", BODY))?;
                Ok(vec![answer.header("content-type").to_owned(), answer.text("type"), answer.text("detail")])
            },
            expected: &[
                "application/problem+json",
                "about:blank",
                "byte 1 of the event type is not one of A-Z a-z 0-9 _ . : -; the route's option event_type: {map: {\"/\": \".\"}} \
                 says what stands for such a character",
            ],
        },
        Scenario {
            name: "a body in pieces is one event, over HTTP/1 and HTTP/2, with trailers too",
            start: plain_start,
            play: |gateway| {
                let event = paid().in_chunks(3);
                let requests = [event.clone(), event.clone().http2(), event.trailer("x-checksum", "1")];
                let mut observed = Vec::new();
                for request in requests {
                    observed.push(send(gateway, &request)?.line());
                }
                for seen in wait_for(gateway, "billing", 3)? {
                    observed.push(format!("{}, verified: {}", String::from_utf8_lossy(&seen.body), seen.verified));
                }
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "answered 202 accepted",
                "answered 202 accepted",
                "{\"amount\": 42}, verified: true",
                "{\"amount\": 42}, verified: true",
                "{\"amount\": 42}, verified: true",
            ],
        },
        Scenario {
            name: "an event without a body is one too",
            start: plain_start,
            play: |gateway| {
                let mut observed = Vec::new();
                for request in [Request::new("POST", "/events/paid"), Request::new("POST", "/events/paid").http2()] {
                    observed.push(send(gateway, &request)?.line());
                }
                let seen = wait_for(gateway, "billing", 2)?;
                observed
                    .extend(seen.iter().map(|seen| format!("{} bytes, verified: {}", seen.body.len(), seen.verified)));
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "answered 202 accepted",
                "0 bytes, verified: true",
                "0 bytes, verified: true",
            ],
        },
        Scenario {
            name: "switched off it answers 202 and sends nothing",
            start: || plain_start().with(json!({"enabled": false})),
            play: |gateway| {
                let answer = post(gateway)?.line();
                pass(gateway, 2000)?;
                Ok(vec![answer, in_all(gateway, "billing")?])
            },
            expected: &["answered 202 disabled", "0 attempts in all"],
        },
        Scenario {
            name: "an event that nobody wants is answered 202",
            start: || billing(json!({"events": ["refund.*"]})),
            play: |gateway| {
                let mut observed = vec![post(gateway)?.line()];
                observed.push(send(gateway, &Request::event("/events/refund.full", BODY))?.line());
                wait_for(gateway, "billing", 1)?;
                observed.push(in_all(gateway, "billing")?);
                Ok(observed)
            },
            expected: &["answered 202 no_subscriber", "answered 202 accepted", "1 attempts in all"],
        },
        Scenario {
            name: "routes choose by path, method and headers",
            start: || {
                let tenant = json!({
                    "match": {"path": "/events/by/{event}", "headers": {"x-tenant": "acme"}}, "endpoints": ["audit"],
                });
                let rest = json!({
                    "match": {"path": "/events/rest/**", "methods": ["PUT"]}, "event": "put", "endpoints": ["billing"],
                });
                let both = config(&[endpoint("billing", json!({})), endpoint("audit", json!({}))]);
                both.with(json!({"routes": [route("tenant", "", tenant), route("rest", "", rest)]}))
            },
            play: |gateway| {
                let event = Request::event("/events/by/paid", BODY).header("x-tenant", "acme");
                let put = Request::new("PUT", "/events/rest/of/it").body(BODY);
                let mut observed = vec![send(gateway, &event)?.line(), send(gateway, &put)?.line()];
                for name in ["audit", "billing"] {
                    let seen = wait_for(gateway, name, 1)?;
                    observed.extend(seen.iter().map(|seen| format!("{} at {name}", seen.header("x-webhook-event"))));
                }
                Ok(observed)
            },
            expected: &["answered 202 accepted", "answered 202 accepted", "paid at audit", "put at billing"],
        },
    ]
}
