//! What a receiver sees of an attempt.

use std::collections::BTreeMap;

use host_tests::{Reply, Upstream};
use serde_json::json;

use crate::support::{
    BODY, accept, advance, attempts, config, endpoint, event, gateway, hex, seconds, signature, start, with,
};

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

#[test]
fn an_id_is_a_uuid_of_version_4() {
    let mut process = start(&config([endpoint("billing")]));
    let id = accept(&mut process, 0, event("payment_verified"));
    let groups: Vec<&str> = id.split('-').collect();
    assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{id}");
    assert!(groups[2].starts_with('4') && groups[3].starts_with(['8', '9', 'a', 'b']), "{id}");
}

#[test]
fn each_attempt_is_signed_anew_and_keeps_id_and_body() {
    let failing = Upstream::replies([Reply::status(503), Reply::status(503)]);
    let mut process = gateway(&config([endpoint("billing")])).cluster("billing", failing).start().expect("it starts");
    let id = accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(10));

    // `attempts` verifies each signature, and that each timestamp is that of its attempt.
    let attempts = attempts(&process, "billing");
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(attempts.iter().all(|attempt| attempt.id == id && attempt.body == BODY.as_bytes()));
    let stamps: Vec<&str> =
        process.calls("billing").into_iter().map(|call| call.header("x-webhook-timestamp")).collect();
    assert!(stamps[0] < stamps[1] && stamps[1] < stamps[2], "{stamps:?}");
}

#[test]
fn while_secrets_rotate_each_further_one_signs_in_a_header_of_its_own() {
    let secrets = json!({"secrets": [{"value": "billing-secret"}, {"value": "old"}, {"value": "older"}]});
    let mut process = start(&config([with(endpoint("billing"), secrets)]));
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    assert_eq!(attempts(&process, "billing").len(), 1);
    let call = process.calls("billing")[0];
    let also = call.header("x-webhook-signature-also").replace(' ', "");
    assert_eq!(also, format!("{},{}", signature(call, "old"), signature(call, "older")));
}

#[test]
fn an_endpoint_chooses_prefix_agent_and_further_headers() {
    let more = json!({
        "signature": {"scheme": "timestamped", "header_prefix": "X-Shop-"},
        "headers": {"X-Api-Key": {"env": "API_KEY"}, "x-source": "gateway"},
    });
    let config = with(config([with(endpoint("billing"), more)]), json!({"user_agent": "Shop/2"}));
    let mut process = gateway(&config).env("API_KEY", "key-1").start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    let call = process.calls("billing")[0];
    let signed = hmac_sha256::HMAC::mac([call.header("x-shop-timestamp"), ".", BODY].concat(), "billing-secret");
    assert_eq!(call.header("x-shop-signature"), hex(&signed));
    assert_eq!(call.header("x-api-key"), "key-1");
    assert_eq!(call.header("x-source"), "gateway");
    assert_eq!(call.header("user-agent"), "Shop/2");
    assert!(!call.headers.iter().any(|(name, _)| name.starts_with("x-webhook-")));
}
