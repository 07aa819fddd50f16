//! Which requests are events, of which type, and who gets them.

use host_tests::{Process, Request};
use serde_json::{Value, json};

use crate::support::{BODY, accept, advance, answer, attempts, body, config, endpoint, event, millis, start, with};

fn route(name: &str, path: &str, event: &str, more: Value) -> Value {
    with(json!({"name": name, "match": {"path": path}, "event": event}), more)
}

/// One endpoint that wants everything, and these routes.
fn routed<const N: usize>(routes: [Value; N]) -> Process {
    start(&with(config([endpoint("billing")]), json!({"routes": routes.to_vec()})))
}

/// The event types that arrived, sorted.
fn types(process: &mut Process, endpoint: &str) -> Vec<String> {
    advance(process, millis(10));
    let mut types: Vec<String> = attempts(process, endpoint).into_iter().map(|attempt| attempt.event).collect();
    types.sort();
    types
}

#[test]
fn paths_match_exactly_by_segment_or_by_prefix() {
    let mut process = routed([
        route("exact", "/hooks/paid", "exact", json!({})),
        route("capture", "/events/{kind}/{name}", "{kind}.{name}", json!({})),
        route("rest", "/any/**", "rest", json!({})),
    ]);
    for path in ["/hooks/paid", "/hooks/paid?retry=1", "/events/match/ended", "/any/thing/at/all"] {
        accept(&mut process, 0, Request::post(path).body(BODY));
    }
    assert_eq!(types(&mut process, "billing"), ["exact", "exact", "match.ended", "rest"]);
}

#[test]
fn a_request_that_matches_no_route_passes_untouched() {
    let mut process = routed([
        route("ingest", "/events/{event}", "{event}", json!({})),
        route("tenant", "/tenant", "a", json!({"match": {"path": "/tenant", "headers": {"x-tenant": "acme"}}})),
    ]);
    for request in [
        Request::post("/orders").header("x-custom", "1").body("order"),
        Request::new("GET", "/"),
        Request::post("/orders").body("order").trailers([("x-checksum", "1")]),
        Request::post("/events").body("order"),
        Request::post("/events/a/b").body("order"),
        Request::post("/tenant").header("x-tenant", "other").body("order"),
    ] {
        let stream = process.request(0, request.clone()).expect("the filter bears it");
        let forwarded = process.forwarded(stream).expect("it went on");
        assert_eq!(request.sent(), (&forwarded.headers, forwarded.body.clone()));
    }
    advance(&mut process, millis(10));
    assert!(process.calls("billing").is_empty());
}

#[test]
fn a_route_asks_for_methods_and_headers() {
    let matching = json!({"path": "/tenant", "methods": ["POST", "PUT"], "headers": {"x-tenant": "acme"}});
    let mut process = routed([json!({"name": "tenant", "match": matching, "event": "tenant"})]);
    let put = Request::new("PUT", "/tenant").header("x-tenant", "acme").body(BODY);
    accept(&mut process, 0, put);
    let wrong_method = answer(&mut process, 0, Request::new("GET", "/tenant").header("x-tenant", "acme"));
    assert_eq!(wrong_method.status(), 405);
    assert_eq!(wrong_method.header("allow"), "POST, PUT");
    assert_eq!(types(&mut process, "billing"), ["tenant"]);
}

#[test]
fn the_type_of_an_event_comes_from_where_the_route_says() {
    let mut process = routed([
        route("header", "/header", "{header:x-event-type}", json!({})),
        route("body", "/body", "{body:/meta/type}", json!({})),
        route("mixed", "/mixed/{kind}", "v1.{kind}.{header:x-action}", json!({})),
    ]);
    accept(&mut process, 0, Request::post("/header").header("x-event-type", "from_header").body(BODY));
    accept(&mut process, 0, Request::post("/body").body(r#"{"meta": {"type": "from_body"}}"#));
    accept(&mut process, 1, Request::post("/mixed/order").header("x-action", "paid").body(BODY));
    assert_eq!(types(&mut process, "billing"), ["from_body", "from_header", "v1.order.paid"]);
}

#[test]
fn an_event_goes_to_every_endpoint_that_wants_its_type_and_to_no_other() {
    let mut process = start(&config([
        with(endpoint("billing"), json!({"events": ["payment_*", "refund.done"]})),
        with(endpoint("matches"), json!({"events": ["match.**"]})),
        endpoint("audit"),
    ]));
    for event_type in ["payment_verified", "payment.verified", "refund.done", "match.goal", "match.goal.own"] {
        accept(&mut process, 0, event(event_type));
    }
    assert_eq!(types(&mut process, "billing"), ["payment_verified", "refund.done"]);
    assert_eq!(types(&mut process, "matches"), ["match.goal", "match.goal.own"]);
    let all = ["match.goal", "match.goal.own", "payment.verified", "payment_verified", "refund.done"];
    assert_eq!(types(&mut process, "audit"), all);
}

#[test]
fn the_deliveries_of_one_event_share_its_id() {
    let mut process = start(&config([endpoint("billing"), endpoint("audit")]));
    let id = accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, millis(10));
    for endpoint in ["billing", "audit"] {
        let attempts = attempts(&process, endpoint);
        assert_eq!(attempts.iter().map(|attempt| attempt.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    }
}

#[test]
fn a_route_with_endpoints_feeds_those_and_no_other() {
    let only = json!({"endpoints": ["audit"]});
    let routes = json!({"routes": [route("ingest", "/events/{event}", "{event}", only)]});
    let mut process = start(&with(config([endpoint("billing"), endpoint("audit")]), routes));
    accept(&mut process, 0, event("payment_verified"));
    assert_eq!(types(&mut process, "audit"), ["payment_verified"]);
    assert!(process.calls("billing").is_empty());
}

#[test]
fn an_event_nobody_wants_is_answered_202_and_kept_nowhere() {
    let mut process = start(&config([with(endpoint("billing"), json!({"events": ["payment_*"]}))]));
    let answer = answer(&mut process, 0, event("refund"));
    assert_eq!(answer.status(), 202);
    assert_eq!(body(&answer)["status"], "no_subscriber");
    advance(&mut process, millis(10));
    assert!(process.calls("billing").is_empty());
    assert!(!process.shared_data().any(|(key, _)| key.contains("/body/")));
}

#[test]
fn a_raw_payload_is_the_exact_bytes() {
    let mut process = start(&config([endpoint("billing")]));
    let bytes: Vec<u8> = (0..=255).collect();
    let request =
        Request::post("/events/binary").header("content-type", "application/octet-stream").body(bytes.clone());
    accept(&mut process, 0, request);
    advance(&mut process, millis(10));
    assert_eq!(attempts(&process, "billing")[0].body, bytes);
    assert_eq!(process.calls("billing")[0].header("content-type"), "application/octet-stream");
}

#[test]
fn an_envelope_holds_the_type_the_body_and_the_metadata() {
    let metadata =
        json!({"tenant": "{header:x-tenant-id}", "kind": "{event}", "version": 2, "missing": "{header:x-none}"});
    let more = json!({"payload": "envelope", "metadata": metadata});
    let mut process = routed([route("ingest", "/events/{event}", "{event}", more)]);
    let request =
        event("payment_verified").header("x-tenant-id", "acme").body("{\"amount\": 1.50, \"b\": \"\\u00e9\"}");
    accept(&mut process, 0, request);
    advance(&mut process, millis(10));
    let sent = attempts(&process, "billing").remove(0).body;
    let text = String::from_utf8(sent).expect("JSON");
    assert!(
        text.starts_with(r#"{"event":"payment_verified","data":{"amount": 1.50, "b": "\u00e9"},"metadata":{"#),
        "{text}"
    );
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["metadata"], json!({"kind": "payment_verified", "missing": null, "tenant": "acme", "version": 2}));
    assert_eq!(process.calls("billing")[0].header("content-type"), "application/json");
}
