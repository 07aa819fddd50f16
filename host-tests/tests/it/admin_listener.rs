//! The admin surface on a listener of its own.

use host_tests::Request;
use serde_json::json;

use crate::support::{accept, advance, answer, body, config, endpoint, event, gateway, seconds};

#[test]
fn operators_come_in_through_a_listener_of_their_own() {
    let admin = json!({"admin": {"tokens": [{"value": "token", "role": "operate"}]}});
    let builder = gateway(&config([endpoint("billing")]));
    let mut process = builder.listener("admin", "gatepost", admin.to_string()).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(2));
    let status = || Request::new("GET", "/gatepost/status").header("authorization", "Bearer token");
    let public = answer(&mut process, 0, status());
    assert_eq!(public.body, b"", "the public listener has no such surface: {public:?}");
    let admin = answer(&mut process, 1, status().listener("admin"));
    assert_eq!(admin.status(), 200);
    assert!(body(&admin).to_string().contains("billing"));
    let paused = Request::new("PUT", "/gatepost/state").header("authorization", "Bearer token");
    let paused = paused.body(r#"{"state": "disabled", "reason": "test"}"#).listener("admin");
    assert_eq!(answer(&mut process, 1, paused).status(), 200);
    advance(&mut process, seconds(1));
    assert_eq!(body(&answer(&mut process, 0, event("paid")))["status"], "disabled");
}
