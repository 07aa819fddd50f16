use serde_json::json;

use super::*;
use crate::config::{Config, parse};
use crate::ids::EventId;
use crate::time::WallTime;

/// Two endpoints, the second with three secrets.
fn config() -> Config {
    let whole = json!({
        "user_agent": "Test/1",
        "routes": [{"name": "r", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": [
            {"name": "one", "cluster": "c", "url": "https://api.example.com:8443/in?v=1", "secrets": [{"value": "my-secret"}]},
            {
                "name": "two", "cluster": "c", "url": "http://two", "headers": {"X-Key": "k"},
                "secrets": [{"value": "my-secret"}, {"value": "old"}, {"value": "older"}],
                "signature": {"header_prefix": "Acme-"},
            },
        ],
    });
    parse(whole.to_string().as_bytes(), &|_| None).unwrap()
}

fn attempt<'a>(content_type: Option<&'a [u8]>, traceparent: Option<&'a [u8]>) -> Attempt<'a> {
    Attempt {
        id: EventId::from_random([7; 16]),
        number: 2,
        at: WallTime::from_millis(1_700_000_000_000),
        event_type: "paid",
        content_type,
        content_encoding: None,
        traceparent,
        tracestate: None,
        body: br#"{"event":"test"}"#,
    }
}

fn printed(headers: CallHeaders<'_>) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
}

/// The signature of the body and time of [`attempt`] under `my-secret`: the published vector of the scheme.
const SIGNATURE: &str = "5846e63e92eace31580d4c87e75255c05084bea61855b29df8f20efe5beda21f";

#[test]
fn an_attempt_has_the_headers_of_the_contract_and_no_other() {
    let config = config();
    let attempt = attempt(Some(b"application/json"), Some(b"00-1-2-01"));
    assert_eq!(
        printed(attempt_headers(&config.endpoints[0], &config.user_agent, &attempt)),
        [
            ":method: POST",
            ":scheme: https",
            ":authority: api.example.com:8443",
            ":path: /in?v=1",
            "content-type: application/json",
            "user-agent: Test/1",
            "traceparent: 00-1-2-01",
            &format!("x-webhook-signature: {SIGNATURE}"),
            "x-webhook-timestamp: 1700000000000",
            "x-webhook-id: 07070707-0707-4707-8707-070707070707",
            "x-webhook-event: paid",
            "x-webhook-attempt: 2",
        ]
    );
}

/// While secrets rotate the others sign in a header of their own.
#[test]
fn rotating_secrets_sign_in_a_header_of_their_own() {
    let config = config();
    let attempt = attempt(None, None);
    let under = |secret: &str| {
        let secret = crate::secret::Secret::new(secret.as_bytes().to_vec()).unwrap();
        crate::signature::timestamped::sign(&secret, attempt.at, attempt.body)
    };
    let headers = printed(attempt_headers(&config.endpoints[1], &config.user_agent, &attempt));
    assert_eq!(
        headers[4..],
        [
            "user-agent: Test/1".to_owned(),
            format!("acme-signature: {SIGNATURE}"),
            format!("acme-signature-also: {},{}", under("old"), under("older")),
            "acme-timestamp: 1700000000000".to_owned(),
            "acme-id: 07070707-0707-4707-8707-070707070707".to_owned(),
            "acme-event: paid".to_owned(),
            "acme-attempt: 2".to_owned(),
            "x-key: k".to_owned(),
        ]
    );
}

/// A sink can verify a dead letter and gets none of the endpoints own headers.
#[test]
fn dead_letter_is_signed_and_lacks_the_endpoints_headers() {
    let config = config();
    let url = Url { scheme: "http".into(), authority: "dlq".into(), path: "/failed".into() };
    let sink = Sink { cluster: "dlq".into(), url };
    let attempt = attempt(None, None);
    let headers = printed(sink_headers(&sink, &config.endpoints[1], &config.user_agent, &attempt, "expired"));
    assert_eq!(headers[..4], [":method: POST", ":scheme: http", ":authority: dlq", ":path: /failed"]);
    assert!(headers.contains(&format!("acme-signature: {SIGNATURE}")));
    assert!(
        headers.contains(&"acme-endpoint: two".to_owned()) && headers.contains(&"acme-dead-letter: expired".to_owned())
    );
    assert!(!headers.iter().any(|header| header.starts_with("x-key:")));
}
