//! Which endpoints get an event by what it holds.

use serde_json::json;

use crate::steps::{begun, in_all, send, wait_for};
use crate::{Request, Scenario, config, endpoint};

pub fn all() -> Vec<Scenario> {
    vec![by_content(), as_it_is_sent()]
}

fn by_content() -> Scenario {
    Scenario {
        name: "each endpoint gets what its filter lets through: by body, event type and header",
        start: || {
            let large = json!({"filter": {"order": {"amount": {"$gte": 100}}}});
            let acme = json!({"filter": {"$event": {"$ne": "refunded"}, "$headers.x-tenant": ["acme", "umbrella"]}});
            config(&[endpoint("billing", large), endpoint("audit", acme)])
        },
        play: |gateway| {
            begun(gateway)?;
            let requests = [
                Request::event("/events/paid", r#"{"order": {"amount": 100}}"#).header("x-tenant", "acme"),
                Request::event("/events/paid", r#"{"order": {"amount": 99.9}}"#).header("x-tenant", "acme"),
                Request::event("/events/refunded", r#"[{"order": {"amount": 250}}]"#).header("x-tenant", "acme"),
                Request::event("/events/paid", r#"{"order": {"amount": "100"}}"#).header("x-tenant", "initech"),
                Request::event("/events/paid", "amount=100"),
                Request::event("/events/paid", "amount=100").header("x-tenant", "umbrella"),
            ];
            let mut observed = Vec::new();
            for request in &requests {
                let answer = send(gateway, request)?;
                observed.push(answer.lines().join("; "));
            }
            wait_for(gateway, "billing", 2)?;
            wait_for(gateway, "audit", 3)?;
            for endpoint in ["billing", "audit"] {
                observed.push(format!("{endpoint}: {}", in_all(gateway, endpoint)?));
            }
            Ok(observed)
        },
        expected: &[
            "answered 202 accepted; billing pending, - attempts, last answer -; audit pending, - attempts, last answer -",
            "answered 202 accepted; audit pending, - attempts, last answer -",
            "answered 202 accepted; billing pending, - attempts, last answer -",
            "answered 202 no_subscriber",
            "answered 202 no_subscriber",
            "answered 202 accepted; audit pending, - attempts, last answer -",
            "billing: 2 attempts in all",
            "audit: 3 attempts in all",
        ],
    }
}

fn as_it_is_sent() -> Scenario {
    Scenario {
        name: "a filter looks at what is sent: the envelope, and what the guard has redacted",
        start: || {
            let told = json!({"filter": {"event": "paid", "data": {"to": {"$ne": "maria@example.com"}}}});
            let rules = json!({"payload": "envelope", "metadata": {}});
            let routes = [crate::steps::route("ingest", "/events/{event}", rules)];
            let guard = json!({"action": "redact", "detect": ["email"], "deny_keys": []});
            config(&[endpoint("billing", told)]).with(json!({"routes": routes, "payload_guard": guard}))
        },
        play: |gateway| {
            begun(gateway)?;
            let mut observed = Vec::new();
            for (path, body) in [
                ("/events/paid", r#"{"to": "nobody"}"#),
                ("/events/paid", r#"{"to": "maria@example.com"}"#),
                ("/events/paid", r#"{"to": "carl@example.com"}"#),
                ("/events/open", r#"{"to": "nobody"}"#),
            ] {
                observed.push(send(gateway, &Request::event(path, body))?.line());
            }
            wait_for(gateway, "billing", 2)?;
            observed.push(in_all(gateway, "billing")?);
            Ok(observed)
        },
        expected: &[
            "answered 202 accepted",
            "answered 202 no_subscriber",
            "answered 202 accepted",
            "answered 202 no_subscriber",
            "2 attempts in all",
        ],
    }
}
