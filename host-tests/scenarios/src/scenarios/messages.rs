//! The attempts that a receiver gets: their headers and bodies.

use anyhow::Result;
use serde_json::{Value, json};

use crate::steps::{BODY, billing, letters, operate, paid, patient, plain_start, post, route, send, wait_for};
use crate::{Gateway, Reply, Request, Scenario, Start, VARIABLE, secret};

fn with_route(more: Value) -> Start {
    plain_start().with(json!({"routes": [route("ingest", "/events/{event}", more)]}))
}

/// Sends a request. Returns the lines of its answer and of the attempt that arrived: the event type, the content type,
/// whether the attempt verifies, and the body.
fn arrival(gateway: &mut dyn Gateway, request: &Request) -> Result<Vec<String>> {
    let before = gateway.arrived("billing")?;
    let mut observed = vec![send(gateway, request)?.line()];
    for seen in wait_for(gateway, "billing", before + 1)?.iter().skip(before) {
        let part = |name| seen.header(name);
        let what = format!("{} as {}, verified: {}", part("x-webhook-event"), part("content-type"), seen.verified);
        observed.extend([what, String::from_utf8_lossy(&seen.body).into_owned()]);
    }
    Ok(observed)
}

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an attempt carries the documented headers and no other",
            start: plain_start,
            play: |gateway| {
                send(gateway, &paid().header("x-tenant-id", "acme").header("x-envoy-upstream-rq-timeout-ms", "1"))?;
                let seen = wait_for(gateway, "billing", 1)?;
                let names = seen.iter().flat_map(|seen| &seen.headers).map(|(name, _)| name.to_owned());
                // The headers that HTTP/1.1 and HTTP/2 need, and that the simulation leaves out.
                let transport =
                    |name: &String| name.starts_with(':') || ["host", "content-length"].contains(&name.as_str());
                let mut names: Vec<String> = names.filter(|name| !transport(name)).collect();
                names.sort_unstable();
                Ok(names)
            },
            expected: &[
                "content-type",
                "user-agent",
                "x-webhook-attempt",
                "x-webhook-event",
                "x-webhook-id",
                "x-webhook-signature",
                "x-webhook-timestamp",
            ],
        },
        Scenario {
            name: "an envelope holds the event, the body's own bytes and metadata",
            start: || {
                let metadata = json!({"tenant": "{header:x-tenant-id}", "kind": "{body:/kind}", "version": 2, "none": "{header:x-none}"});
                with_route(json!({"payload": "envelope", "metadata": metadata}))
            },
            play: |gateway| {
                let body = r#"{"kind": "card",  "amount": 42.10}"#;
                arrival(gateway, &Request::event("/events/paid", body).header("x-tenant-id", "a\"b"))
            },
            expected: &[
                "answered 202 accepted",
                "paid as application/json, verified: true",
                "{\"event\":\"paid\",\"data\":{\"kind\": \"card\",  \"amount\": 42.10},\"metadata\":{\"kind\":\"card\",\"none\":null,\"tenant\":\"a\\\"b\",\"version\":2}}",
            ],
        },
        Scenario {
            name: "an envelope of what is not JSON is refused",
            start: || with_route(json!({"payload": "envelope"})),
            play: |gateway| {
                let mut observed = Vec::new();
                for body in ["", "{", "{} {}", "nul"] {
                    observed.push(send(gateway, &Request::event("/events/paid", body))?.line());
                }
                Ok(observed)
            },
            expected: &[
                "answered 400 Bad Request",
                "answered 400 Bad Request",
                "answered 400 Bad Request",
                "answered 400 Bad Request",
            ],
        },
        Scenario {
            name: "an event type may come from a header or from the body",
            start: || {
                let routes = [
                    json!({"name": "h", "match": {"path": "/events/by-header"}, "event": "{header:x-event-type}"}),
                    json!({"name": "b", "match": {"path": "/events/by-body"}, "event": "order.{body:/data/type}"}),
                ];
                plain_start().with(json!({"routes": routes}))
            },
            play: |gateway| {
                let by_header = Request::event("/events/by-header", BODY);
                let by_body = Request::event("/events/by-body", r#"{"data": {"type": "paid"}}"#);
                let mut observed = arrival(gateway, &by_header.clone().header("x-event-type", "refunded"))?;
                observed.extend(arrival(gateway, &by_body)?);
                observed.push(send(gateway, &by_header)?.line());
                observed.push(send(gateway, &by_body.body(BODY))?.line());
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "refunded as application/json, verified: true",
                "{\"amount\": 42}",
                "answered 202 accepted",
                "order.paid as application/json, verified: true",
                "{\"data\": {\"type\": \"paid\"}}",
                "answered 400 Bad Request",
                "answered 400 Bad Request",
            ],
        },
        Scenario {
            name: "raw bodies keep their bytes and their type",
            start: plain_start,
            play: |gateway| {
                let odd = Request::new("POST", "/events/paid").header("content-type", "text/csv; charset=utf-8");
                let mut observed = arrival(gateway, &odd.body("a,b\r\n1,\u{e4}\0\n"))?;
                let untyped = Request::new("POST", "/events/paid").body("x");
                observed.extend(arrival(gateway, &untyped)?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "paid as text/csv; charset=utf-8, verified: true",
                "a,b\r\n1,ä\0\n",
                "answered 202 accepted",
                "paid as , verified: true",
                "x",
            ],
        },
        Scenario {
            name: "a coded body goes on as it came, with its coding, in each attempt and redelivery",
            start: patient,
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(503); 3])?;
                let coded = b"\x1f\x8b\x08\x00no gzip at all\x00".to_vec();
                let request =
                    Request::event("/events/paid", coded.clone()).header("content-encoding", "deflate, x-odd");
                let mut observed = vec![send(gateway, &request)?.line()];
                letters(gateway, 1)?;
                operate(gateway, "POST", "dead-letters/redeliver", &Value::Null)?;
                for seen in wait_for(gateway, "billing", 4)? {
                    let (coding, is_whole) = (seen.header("content-encoding"), seen.body == coded);
                    observed.push(format!("as {coding}, verified: {}, whole: {is_whole}", seen.verified));
                }
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "as deflate, x-odd, verified: true, whole: true",
                "as deflate, x-odd, verified: true, whole: true",
                "as deflate, x-odd, verified: true, whole: true",
                "as deflate, x-odd, verified: true, whole: true",
            ],
        },
        Scenario {
            name: "a coded body is refused where JSON is needed",
            start: || {
                let routes = [
                    route("e", "/events/envelope/{event}", json!({"payload": "envelope"})),
                    json!({"name": "b", "match": {"path": "/events/by-body"}, "event": "order.{body:/type}"}),
                ];
                plain_start().with(json!({"routes": routes}))
            },
            play: |gateway| {
                let mut observed = Vec::new();
                for (path, coding) in
                    [("/events/envelope/paid", "gzip"), ("/events/by-body", "br"), ("/events/by-body", "identity")]
                {
                    let request = Request::event(path, r#"{"type": "paid"}"#).header("content-encoding", coding);
                    let answer = send(gateway, &request)?;
                    observed.push(format!("{}, accept {:?}", answer.line(), answer.header("accept-encoding")));
                    observed.extend(Some(answer.text("detail")).filter(|detail| detail.len() > 1));
                }
                Ok(observed)
            },
            expected: &[
                "answered 415 Unsupported Media Type, accept \"identity\"",
                "the body has a content coding, and this route reads it as JSON: send it without content-encoding",
                "answered 415 Unsupported Media Type, accept \"identity\"",
                "the body has a content coding, and this route reads it as JSON: send it without content-encoding",
                "answered 202 accepted, accept \"\"",
            ],
        },
        Scenario {
            name: "a byte order mark is passed over by every reader, and sent as it came",
            start: || {
                let routes = [
                    json!({"name": "b", "match": {"path": "/events/by-body"}, "event": "{body:/type}"}),
                    route("e", "/events/envelope/{event}", json!({"payload": "envelope"})),
                ];
                plain_start().with(json!({"routes": routes, "payload_guard": {}}))
            },
            play: |gateway| {
                let body = "\u{feff}{\"type\": \"paid\"}";
                let mut observed = arrival(gateway, &Request::event("/events/by-body", body))?;
                observed.extend(arrival(gateway, &Request::event("/events/envelope/paid", body))?);
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "paid as application/json, verified: true",
                "\u{feff}{\"type\": \"paid\"}",
                "answered 202 accepted",
                "paid as application/json, verified: true",
                "{\"event\":\"paid\",\"data\":{\"type\": \"paid\"},\"metadata\":{}}",
            ],
        },
        Scenario {
            name: "a trace context without the syntax of W3C is not passed on",
            start: plain_start,
            play: |gateway| {
                let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
                let pairs = [(good, "acme=mail me=1"), ("bob@example.com", "acme=1"), (&good[3..], "acme=1")];
                for (parent, state) in pairs {
                    send(gateway, &paid().header("traceparent", parent).header("tracestate", state).over(0))?;
                }
                let seen = wait_for(gateway, "billing", 3)?;
                let trace =
                    |seen: &crate::Seen| format!("{:?} {:?}", seen.header("traceparent"), seen.header("tracestate"));
                let mut lines: Vec<String> = seen.iter().map(trace).collect();
                lines.sort_unstable();
                Ok(lines)
            },
            expected: &["\"\" \"\"", "\"\" \"\"", "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\" \"\""],
        },
        Scenario {
            name: "while secrets rotate a receiver that knows either one verifies",
            start: || billing(json!({"secrets": [{"value": "the-next-secret"}, {"value": secret("billing")}]})),
            play: |gateway| {
                post(gateway)?;
                let seen = wait_for(gateway, "billing", 1)?;
                let shown = |seen: &crate::Seen| {
                    let (first, also) = (seen.header("x-webhook-signature"), seen.header("x-webhook-signature-also"));
                    let differ = first != also;
                    format!(
                        "verified: {}, {} and {} characters, differ: {differ}",
                        seen.verified,
                        first.len(),
                        also.len()
                    )
                };
                Ok(seen.iter().map(shown).collect())
            },
            expected: &["verified: true, 64 and 64 characters, differ: true"],
        },
        Scenario {
            name: "an endpoint's own headers go with every attempt, from the config or from outside",
            start: || {
                let headers = json!({"x-api-key": {"env": VARIABLE.0}, "x-source": "gatepost"});
                billing(json!({"headers": headers, "retry": {"delays": ["0s", "1s"]}}))
                    .with(json!({"user_agent": "Shop/7"}))
            },
            play: |gateway| {
                gateway.script("billing", &[Reply::Status(500)])?;
                post(gateway)?;
                let seen = wait_for(gateway, "billing", 2)?;
                let shown = |seen: &crate::Seen| {
                    ["x-api-key", "x-source", "user-agent"].map(|name| seen.header(name).to_owned()).join(" ")
                };
                Ok(seen.iter().map(shown).collect())
            },
            expected: &["key-from-outside gatepost Shop/7", "key-from-outside gatepost Shop/7"],
        },
        Scenario {
            name: "the producer's trace context goes on to the receiver",
            start: plain_start,
            play: |gateway| {
                let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
                let traced =
                    paid().header("traceparent", trace).header("tracestate", "a=1").header("tracestate", "b=2");
                send(gateway, &traced)?;
                send(gateway, &paid().header("tracestate", "a=1"))?;
                let seen = wait_for(gateway, "billing", 2)?;
                let mut traces: Vec<String> = seen
                    .iter()
                    .map(|seen| format!("{:?} {:?}", seen.header("traceparent"), seen.header("tracestate")))
                    .collect();
                traces.sort_unstable();
                Ok(traces)
            },
            expected: &["\"\" \"\"", "\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\" \"a=1, b=2\""],
        },
        Scenario {
            name: "the prefix of the headers is the endpoint's to say",
            start: || billing(json!({"signature": {"scheme": "timestamped", "header_prefix": "X-Acme-"}})),
            play: |gateway| {
                post(gateway)?;
                let seen = wait_for(gateway, "billing", 1)?;
                let names = seen.iter().flat_map(|seen| &seen.headers).map(|(name, _)| name.to_owned());
                let mut names: Vec<String> = names.filter(|name| name.starts_with("x-")).collect();
                names.sort_unstable();
                Ok(names)
            },
            expected: &["x-acme-attempt", "x-acme-event", "x-acme-id", "x-acme-signature", "x-acme-timestamp"],
        },
    ]
}
