//! Other senders: schemes that the config describes, and what they ask before the first event.

use anyhow::Result;
use serde_json::{Value, json};

use super::inbound::{in_both_directions, receiving, said, signed_at, told};
use crate::steps::{BODY, begun, pass, post, send, signature, update, wait_for};
use crate::{APPLICATION, Answer, Gateway, Request, Scenario, secret};

/// A scheme of one's own: what scheme `timestamped` signs, under other names.
fn acme() -> Value {
    json!({
        "scheme": "custom", "header": "X-Acme-Signature", "signed": "{timestamp}.{body}", "prefix": "v1:",
        "timestamp": {"header": "X-Acme-Time", "unit": "ms"}, "id": {"header": "X-Acme-Id"},
    })
}

/// A message with this id in that scheme, signed now with this secret.
fn signed(gateway: &dyn Gateway, id: &str, secret: &str, body: &str) -> Request {
    let timestamp = gateway.now().as_millis().to_string();
    let signature = format!("v1:{}", signature(secret, &timestamp, body.as_bytes()));
    let request = Request::event("/hooks/partner", body).header("x-acme-id", id);
    request.header("x-acme-time", &timestamp).header("x-acme-signature", &signature)
}

/// An answer with its content type, and the number that it echoes.
fn echoed(answer: &Answer) -> String {
    format!("{} {} {}", said(answer), answer.header("content-type"), answer.json)
}

pub fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "senders: what an endpoint signs in a scheme of one's own a rule verifies",
            start: || in_both_directions(&json!({"signature": acme()})),
            play: |gateway| {
                begun(gateway)?;
                let mut observed = vec![post(gateway)?.line()];
                let seen = wait_for(gateway, APPLICATION, 1)?;
                observed.extend(seen.iter().map(|seen| {
                    let is_prefixed = seen.header("x-acme-signature").starts_with("v1:");
                    let same = seen.header("x-acme-id") == seen.id();
                    format!("{}, {is_prefixed}, {same}", seen.header("x-gatepost-verified"))
                }));
                Ok(observed)
            },
            expected: &["answered 202 accepted", "partner, true, true"],
        },
        Scenario {
            name: "senders: of two senders under one rule each has its own ids",
            start: || {
                let secrets = json!([{"value": secret(APPLICATION)}, {"value": "theirs"}]);
                receiving(json!({"secrets": secrets, "replay": {"id": "{body:/amount}"}}))
            },
            play: |gateway| {
                let mut observed = Vec::new();
                for secret in [secret(APPLICATION).as_str(), "theirs", secret(APPLICATION).as_str(), "nobodys"] {
                    pass(gateway, 10)?;
                    let request = signed_at(gateway, "/hooks/partner", "evt-2", secret, 0)?;
                    let answer = told(gateway, &request)?;
                    // What the application says to the second sender is its affair: that it is asked counts.
                    let answer = if secret == "theirs" { "answered".to_owned() } else { answer };
                    observed.push(format!("{} with the application: {answer}", gateway.arrived(APPLICATION)?));
                }
                Ok(observed)
            },
            expected: &[
                "1 with the application: 200",
                "2 with the application: answered",
                "2 with the application: 200 duplicate",
                "2 with the application: 401 no signature fits the body: the secret differs, or the body is not, byte for byte, what was signed",
            ],
        },
        Scenario {
            name: "senders: challenges are answered here, those that are signed and those with the token",
            start: || receiving(json!({"signature": acme(), "challenge": "slack"})),
            play: |gateway| {
                let body = r#"{"type":"url_verification","challenge":"42"}"#;
                let mut observed = Vec::new();
                for secret in [secret(APPLICATION).as_str(), "another"] {
                    let request = signed(gateway, "a", secret, body);
                    let answers: Result<Vec<_>> = (0..2).map(|_| send(gateway, &request)).collect();
                    observed.extend(answers?.iter().map(said));
                }
                let good = signed(gateway, "a", &secret(APPLICATION), body);
                observed.push(echoed(&send(gateway, &good)?));
                let meta = json!({"signature": {"scheme": "github"}, "challenge": {"meta": {"verify_token": "t0ken"}}});
                observed.push(update(gateway, &receiving(meta))?);
                for query in ["hub.verify_token=t0ken", "hub.verify_token=token", "hub.verify_token"] {
                    let path = format!("/hooks/partner?hub.mode=subscribe&hub.challenge=1158201444&{query}");
                    let answer = send(gateway, &Request::new("GET", &path))?;
                    observed.push(if answer.status == 200 { echoed(&answer) } else { said(&answer) });
                }
                observed.push(told(gateway, &Request::new("GET", "/hooks/partner"))?);
                observed.push(told(gateway, &Request::event("/hooks/partner?hub.mode=subscribe", BODY))?);
                observed.push(format!("{} in all", gateway.arrived(APPLICATION)?));
                Ok(observed)
            },
            expected: &[
                "200",
                "200",
                DIFFERS,
                DIFFERS,
                "200 text/plain; charset=utf-8 42",
                "taken: true",
                "200 text/plain; charset=utf-8 1158201444",
                "403 this is no subscription with the verify token that is expected here",
                "403 this is no subscription with the verify token that is expected here",
                "405 this path takes POST",
                "401 the request is not signed: it has no header x-hub-signature-256",
                "0 in all",
            ],
        },
    ]
}

const DIFFERS: &str =
    "401 no signature fits the body: the secret differs, or the body is not, byte for byte, what was signed";
