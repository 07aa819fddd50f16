//! Tests of the verdict on a request.

use serde_json::json;

use super::*;
use crate::config::{self, Config};
use crate::journal::messages::CLAIM_MAX;
use crate::secret::Secret;
use crate::signature::timestamped::sign;
use crate::store::keys::Keys;
use crate::store::memory::MemoryStore;
use crate::time::{Instant, WallTime};

mod mutations;

const AT: WallTime = WallTime::from_millis(1_700_000_000_000);

struct Case {
    store: MemoryStore,
    config: Config,
    gate: Verifier,
}

impl Case {
    fn new(replay: serde_json::Value, signature: serde_json::Value) -> Self {
        let config = json!({"inbound": [{
            "name": "partner", "match": {"path": "/in"}, "secrets": [{"value": "s"}], "replay": replay,
            "signature": signature,
        }]});
        let config = config::parse(config.to_string().as_bytes(), &|_| None).unwrap();
        Self { store: MemoryStore::default(), gate: Verifier::new(&config.inbound, &Keys::new("g")), config }
    }

    fn verify(&mut self, headers: &[(&str, String)], body: &[u8]) -> Verdict {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let now = Now { mono: Instant::from_nanos(1).plus(CLAIM_MAX), wall: AT };
        self.gate.verify(&self.config.inbound, &mut self.store, now, RuleId(0), &Headers::new(&headers), body)
    }
}

fn message(id: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let secret = Secret::new(b"s".to_vec()).unwrap();
    vec![
        ("x-webhook-id", id.to_owned()),
        ("x-webhook-timestamp", AT.as_millis().to_string()),
        ("x-webhook-signature", sign(&secret, AT, body)),
    ]
}

fn github(id: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let mac = hex::encode(hmac_of(b"s", body));
    vec![("x-github-delivery", id.to_owned()), ("x-hub-signature-256", format!("sha256={mac}"))]
}

fn hmac_of(key: &[u8], body: &[u8]) -> [u8; 32] {
    Secret::new(key.to_vec()).unwrap().mac(&[body]).bytes().try_into().unwrap()
}

/// The result that is counted, and the status of the answer; 0: the request goes on.
fn told(verdict: Verdict) -> (InboundResult, u16) {
    (verdict.result, verdict.pass.map_or_else(|answer| answer.status, |_| 0))
}

#[test]
fn a_message_goes_on_once_and_is_told_apart_from_one_under_way() {
    for (duplicate, status) in [("acknowledge", 200), ("reject", 409)] {
        let mut case = Case::new(json!({"duplicate": duplicate}), json!({}));
        let first = case.verify(&message("a", b"{}"), b"{}");
        let ticket = first.pass.unwrap().unwrap();
        let second = case.verify(&message("a", b"{}"), b"{}");
        let answer = second.pass.unwrap_err();
        assert_eq!((second.result, answer.status), (InboundResult::InProgress, 409));
        assert!(answer.headers.contains(&("retry-after", "1".to_owned())));
        case.gate.end(&mut case.store, &ticket, true).unwrap();
        assert_eq!(told(case.verify(&message("a", b"{}"), b"{}")), (InboundResult::Duplicate, status));
        assert_eq!(told(case.verify(&message("b", b"{}"), b"{}")), (InboundResult::Duplicate, status), "another id");
        assert_eq!(told(case.verify(&message("a", b"[]"), b"[]")), (InboundResult::Duplicate, status), "another body");
        // The message with the body `[]` was signed afresh, and is known by that signature as well.
        assert_eq!(told(case.verify(&message("b", b"[]"), b"[]")), (InboundResult::Duplicate, status));
        assert_eq!(told(case.verify(&message("b", b"1"), b"1")), (InboundResult::Verified, 0));
    }
}

#[test]
fn a_message_that_was_not_taken_goes_on_again() {
    let mut case = Case::new(json!({}), json!({}));
    for _ in 0..3 {
        let ticket = case.verify(&message("a", b"{}"), b"{}").pass.unwrap().unwrap();
        case.gate.end(&mut case.store, &ticket, false).unwrap();
    }
}

#[test]
fn a_full_table_refuses_or_lets_by_as_the_rule_says() {
    for (when_full, expected) in [("refuse", (InboundResult::Full, 503)), ("allow", (InboundResult::Unremembered, 0))] {
        let mut case = Case::new(json!({"capacity": 1, "when_full": when_full}), json!({}));
        assert!(case.verify(&message("a", b"1"), b"1").pass.is_ok());
        assert_eq!(told(case.verify(&message("b", b"2"), b"2")), expected);
    }
}

#[test]
fn what_cannot_be_remembered_does_not_go_on() {
    let mut case = Case::new(json!({}), json!({}));
    case.store.refuse_sets = true;
    assert_eq!(told(case.verify(&message("a", b"{}"), b"{}")), (InboundResult::Unavailable, 503));
}

#[test]
fn each_fault_has_a_status_and_a_word() {
    let mut case = Case::new(json!({}), json!({}));
    let changed = |name: &str, value: &str| {
        let mut headers = message("a", b"{}");
        headers.retain(|(other, _)| *other != name);
        headers.push(("x-other", String::new()));
        let known = ["x-webhook-timestamp", "x-webhook-signature"].into_iter().find(|known| *known == name);
        headers.extend(known.filter(|_| !value.is_empty()).map(|name| (name, value.to_owned())));
        headers
    };
    let millis = |offset: i64| AT.as_millis().saturating_add_signed(offset).to_string();
    for (headers, expected) in [
        (changed("x-webhook-signature", ""), (InboundResult::Unsigned, 401)),
        (changed("x-webhook-signature", &"0".repeat(64)), (InboundResult::Signature, 401)),
        (changed("x-webhook-signature", "0"), (InboundResult::Malformed, 400)),
        (changed("x-webhook-timestamp", ""), (InboundResult::Malformed, 400)),
        (changed("x-webhook-timestamp", &millis(-300_001)), (InboundResult::Stale, 401)),
        (changed("x-webhook-timestamp", &millis(30_001)), (InboundResult::Early, 401)),
    ] {
        assert_eq!(told(case.verify(&headers, b"{}")), expected);
    }
    assert!(case.store.values.is_empty(), "what is refused is not remembered");
}

/// The id that a rule names makes one message of what is signed afresh; without it the scheme says what the id is.
#[test]
fn named_id_makes_one_message_of_what_is_signed_afresh() {
    let mut case = Case::new(json!({"id": "{body:/order/id}"}), json!({}));
    let [first, again, other, without] =
        [&br#"{"order":{"id":7},"n":1}"#[..], br#"{"order":{"id":7},"n":2}"#, br#"{"order":{"id":8}}"#, b"[]"];
    let ticket = case.verify(&message("a", first), first).pass.unwrap().unwrap();
    case.gate.end(&mut case.store, &ticket, true).unwrap();
    for (id, body, expected) in [
        ("b", again, (InboundResult::Duplicate, 200)),
        ("a", other, (InboundResult::Verified, 0)),
        ("a", without, (InboundResult::Verified, 0)),
        ("a", b"{}", (InboundResult::InProgress, 409)),
    ] {
        assert_eq!(told(case.verify(&message(id, body), body)), expected, "{id}");
    }
}

/// While secrets rotate a message is the same under each of them.
#[test]
fn message_is_the_same_under_each_rotating_secret() {
    let mut case = Case::new(json!({}), json!({}));
    let mut second = case.config.inbound.list[0].signatures[0].keys[0].clone();
    second.key = crate::secret::Key::Shared(Secret::new(b"t".to_vec()).unwrap());
    case.config.inbound.list[0].signatures[0].keys.push(second);
    // An attacker takes one of the two signatures away, and changes the id.
    let under = |secret: &[u8], id: &str| {
        let mut headers = message(id, b"{}");
        headers[2].1 = sign(&Secret::new(secret.to_vec()).unwrap(), AT, b"{}");
        headers
    };
    let ticket = case.verify(&under(b"s", "a"), b"{}").pass.unwrap().unwrap();
    case.gate.end(&mut case.store, &ticket, true).unwrap();
    assert_eq!(told(case.verify(&under(b"t", "b"), b"{}")), (InboundResult::Duplicate, 200));
}

/// Of two schemes each that a message claims has to hold, and a message with either alone is the same message.
#[test]
fn every_claimed_scheme_must_hold_and_either_identifies() {
    let mut case = Case::new(json!({}), json!([{"scheme": "timestamped"}, {"scheme": "github"}]));
    let both = [message("a", b"{}"), github("a", b"{}")].concat();
    let lying = [message("a", b"{}"), github("a", b"[]")].concat();
    assert_eq!(told(case.verify(&lying, b"{}")), (InboundResult::Signature, 401));
    let ticket = case.verify(&both, b"{}").pass.unwrap().unwrap();
    case.gate.end(&mut case.store, &ticket, true).unwrap();
    for alone in [message("b", b"{}"), github("c", b"{}")] {
        assert_eq!(told(case.verify(&alone, b"{}")), (InboundResult::Duplicate, 200));
    }
    assert_eq!(told(case.verify(&github("d", b"[]"), b"[]")), (InboundResult::Verified, 0));
    assert_eq!(told(case.verify(&[], b"{}")), (InboundResult::Unsigned, 401));
}
