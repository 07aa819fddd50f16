//! Tests of what is answered to challenges.

use serde_json::{Value, json};

use super::*;
use crate::config::{self, Config};
use crate::ids::RuleId;
use crate::inbound::{InboundResult, Verdict, Verifier};
use crate::secret::Secret;
use crate::store::keys::Keys;
use crate::store::memory::MemoryStore;
use crate::time::{Instant, Now};

const AT: WallTime = WallTime::from_millis(1_700_000_000_000);

fn config(scheme: &str, challenge: Value) -> Config {
    let config = json!({"inbound": [{
        "name": "i", "match": {"path": "/in"}, "secrets": [{"value": "other"}, {"value": "s"}],
        "signature": {"scheme": scheme}, "challenge": challenge,
    }]});
    config::parse(config.to_string().as_bytes(), &|_| None).unwrap()
}

/// The verdict on a body that is signed under the second secret, or under `secret`: the result, the status, the content
/// type and the body.
fn told(scheme: &str, secret: &str, body: &Value) -> (InboundResult, u16, String, String) {
    let (config, body) = (config(scheme, json!(scheme)), body.to_string());
    let prefix = if scheme == "slack" { "x-slack" } else { "x-zm" };
    let signed = format!("v0:{}:{body}", AT.as_secs());
    let mac = hex::encode(Secret::new(secret.into()).unwrap().mac(&[signed.as_bytes()]).bytes());
    let headers = Headers::from(vec![
        (format!("{prefix}-signature"), format!("v0={mac}").into_bytes()),
        (format!("{prefix}-request-timestamp"), AT.as_secs().to_string().into_bytes()),
    ]);
    let (verifier, mut store) = (Verifier::new(&config.inbound, &Keys::new("g")), MemoryStore::default());
    let now = Now { mono: Instant::from_nanos(1), wall: AT };
    let verdict = verifier.verify(&config.inbound, &mut store, now, RuleId(0), &headers, body.as_bytes());
    shown(verdict)
}

fn shown(verdict: Verdict) -> (InboundResult, u16, String, String) {
    match verdict.pass {
        Ok(_) => (verdict.result, 0, String::new(), String::new()),
        Err(answer) => {
            if answer.status == 200 {
                assert!(answer.headers.contains(&("x-content-type-options", "nosniff".to_owned())));
            }
            (verdict.result, answer.status, answer.headers[0].1.clone(), String::from_utf8(answer.body).unwrap())
        }
    }
}

/// Slack's challenge is echoed as plain text, if it is signed.
#[test]
fn slacks_challenge_is_echoed_if_signed() {
    let challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
    let body = json!({"type": "url_verification", "challenge": challenge, "token": "t"});
    let text = "text/plain; charset=utf-8".to_owned();
    for _ in 0..2 {
        assert_eq!(told("slack", "s", &body), (InboundResult::Challenge, 200, text.clone(), challenge.to_owned()));
    }
    assert_eq!(told("slack", "wrong", &body).0, InboundResult::Signature);
    assert_eq!(told("slack", "s", &json!({"type": "event_callback", "challenge": "x"})).0, InboundResult::Verified);
    for challenge in [json!("<script>"), json!("a b"), json!("a".repeat(257)), json!(""), json!(null), json!({})] {
        let (result, status, kind, body) =
            told("slack", "s", &json!({"type": "url_verification", "challenge": challenge}));
        assert_eq!((result, status, kind.as_str()), (InboundResult::ChallengeRefused, 400, "application/problem+json"));
        assert!(body.contains("the body's challenge is not 1 to 256 characters") && !body.contains("script"), "{body}");
    }
}

/// Zoom's token comes back with its HMAC under the secret that verified the request, as Zoom's documentation has it.
#[test]
fn zooms_token_is_signed_under_the_secret_that_verified() {
    let token = "qgg8vlvZRS6UYooatFL8Aw";
    let body = |token: Value| json!({"event": "endpoint.url_validation", "payload": {"plainToken": token}});
    let (result, status, kind, answer) = told("zoom", "s", &body(json!(token)));
    assert_eq!((result, status, kind.as_str()), (InboundResult::Challenge, 200, "application/json"));
    let mac = hex::encode(Secret::new(b"s".to_vec()).unwrap().mac(&[token.as_bytes()]).bytes());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer, json!({"plainToken": token, "encryptedToken": mac}));
    assert_eq!(told("zoom", "wrong", &body(json!(token))).0, InboundResult::Signature);
    // Its HMAC would be the signature of a message.
    assert_eq!(told("zoom", "s", &body(json!("v0:1700000000:{}"))).0, InboundResult::ChallengeRefused);
    assert_eq!(told("zoom", "s", &body(json!(null))).1, 400);
    assert_eq!(told("zoom", "s", &json!({"event": "meeting.started"})).0, InboundResult::Verified);
}

/// Meta's challenge is echoed to who has the verify token.
#[test]
fn metas_challenge_is_echoed_to_who_has_the_token() {
    let config = config("github", json!({"meta": {"verify_token": "meaty+ham"}}));
    let told = |method: &str, query: &str| {
        config.inbound[0].unsigned_challenge(method, &format!("/in{query}")).map(|verdict| {
            let (result, status, _, body) = shown(verdict);
            (result, status, if status == 200 { body } else { String::new() })
        })
    };
    let token = "hub.verify_token=meaty%2Bham";
    let good = Some((InboundResult::Challenge, 200, "1158201444".to_owned()));
    assert_eq!(told("GET", &format!("?hub.mode=subscribe&hub.challenge=1158201444&{token}")), good);
    assert_eq!(told("GET", &format!("?hub%2Emode=subscribe&{token}&x&hub.challenge=1158201444")), good);
    let refused = |status| Some((InboundResult::ChallengeRefused, status, String::new()));
    for (query, status) in [
        ("?hub.mode=subscribe&hub.challenge=1&hub.verify_token=meaty+ham", 403),
        ("?hub.mode=subscribe&hub.challenge=1&hub.verify_token=", 403),
        ("?hub.mode=subscribe&hub.challenge=1", 403),
        ("?hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=meaty%2Bham", 403),
        ("?hub.mode=subscribe&hub.mode=subscribe&hub.challenge=1&hub.verify_token=meaty%2Bham", 403),
        ("?hub.mode=subscribe&hub.challenge=1&hub.verify_token=x&hub.verify_token=meaty%2Bham", 403),
        ("?hub.mode=subscribe&hub.verify_token=meaty%2Bham", 400),
        ("?hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=meaty%2Bham", 400),
        ("?hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=meaty%2Bham", 400),
    ] {
        assert_eq!(told("GET", query), refused(status), "{query}");
    }
    for (method, query) in
        [("GET", ""), ("GET", "?a=b"), ("POST", "?hub.mode=subscribe"), ("HEAD", "?hub.mode=subscribe")]
    {
        assert_eq!(told(method, query), None, "{method} {query}");
    }
    assert!(!format!("{config:?}").contains("meaty"));
}
