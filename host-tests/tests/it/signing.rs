//! What a receiver sees of an attempt.

use std::collections::BTreeMap;

use crate::support::{BODY, accept, advance, config, endpoint, event, seconds, signature, start};

#[test]
fn a_receiver_sees_these_headers_and_no_other() {
    let mut process = start(&config([endpoint("billing")]));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = event("payment_verified")
        .header("traceparent", trace)
        .header("x-tenant", "acme")
        .header("cookie", "session=1")
        .header("authorization", "Bearer producer")
        .header("x-envoy-attempt-count", "1");
    let id = accept(&mut process, 0, request);
    advance(&mut process, seconds(1));

    let call = process.calls("billing")[0];
    let received: BTreeMap<&str, &str> = call.headers.iter().map(|(name, _)| (name, call.header(name))).collect();
    let timestamp = call.wall_millis.to_string();
    let agent = concat!("Gatepost/", env!("CARGO_PKG_VERSION"));
    let signature = signature(call, "billing-secret");
    let expected = BTreeMap::from([
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "billing.example"),
        (":path", "/hooks?v=1"),
        ("content-type", "application/json"),
        ("traceparent", trace),
        ("user-agent", agent),
        ("x-webhook-attempt", "1"),
        ("x-webhook-event", "payment_verified"),
        ("x-webhook-id", &id),
        ("x-webhook-signature", &signature),
        ("x-webhook-timestamp", &timestamp),
    ]);
    assert_eq!(received, expected);
    assert_eq!(call.headers.len(), expected.len(), "each once");
    assert_eq!(call.body, BODY.as_bytes());
}
