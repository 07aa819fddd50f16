//! Which requests are no events.

use host_tests::{Process, Request};
use serde_json::{Value, json};

use crate::support::{advance, config, endpoint, millis, start, with};

fn route(name: &str, path: &str, event: &str, more: Value) -> Value {
    with(json!({"name": name, "match": {"path": path}, "event": event}), more)
}

/// One endpoint that wants everything, and these routes.
fn routed<const N: usize>(routes: [Value; N]) -> Process {
    start(&with(config([endpoint("billing")]), json!({"routes": routes.to_vec()})))
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
