//! Tests of the section `payload_guard`: what it means, and which problems are told.

use super::*;
use crate::ingress::payload::{DataKind, GuardAction, GuardRules, NonJson};

fn guard(value: Value) -> GuardRules {
    good(&with("/payload_guard", value)).payload_guard.unwrap()
}

#[test]
fn without_the_section_nothing_is_looked_for() {
    assert!(good(&minimal()).payload_guard.is_none());
}

/// An empty section looks for what is documented, and rejects events that hold such data.
#[test]
fn empty_section_gets_the_documented_defaults() {
    let guard = guard(json!({}));
    assert!(!guard.ids_only);
    assert_eq!(guard.action, GuardAction::Reject);
    let allowed: Vec<&str> = guard.allow.iter().map(|pattern| pattern.0.as_str()).collect();
    assert_eq!(allowed, ["event", "title", "body", "url", "*_id"]);
    assert_eq!(guard.non_json, NonJson::Reject);
    let denied = "email email_address username first_name last_name ip_address phone phone_number wa_id address birth_date \
        national_number iban password access_token credit_card ssn session token";
    for key in denied.split(' ') {
        assert!(guard.deny_keys.has(key.as_bytes()), "{key}");
    }
    for key in ["event", "cart_token", "version_token", "token_type", "phone_number_id", "session_id", "name"] {
        assert!(!guard.deny_keys.has(key.as_bytes()), "{key}");
    }
    for kind in [DataKind::Email, DataKind::Ipv4, DataKind::Ipv6, DataKind::Phone, DataKind::Card] {
        assert!(guard.detect.has(kind), "{kind:?}");
    }
}

#[test]
fn every_key_can_be_set() {
    let guard = guard(json!({
        "ids_only": true, "allow": ["*_ref"], "deny_keys": ["Geburtstag"], "detect": ["card", "ipv6"], "action": "redact",
        "non_json": "text",
    }));
    assert_eq!(guard.non_json, NonJson::Text);
    assert!(guard.ids_only && guard.deny_keys.has(b"geburtstag") && !guard.deny_keys.has(b"email"));
    assert_eq!((guard.allow.len(), guard.action), (1, GuardAction::Redact));
    assert!(guard.detect.has(DataKind::Card) && guard.detect.has(DataKind::Ipv6) && !guard.detect.has(DataKind::Email));
    assert_eq!(self::guard(json!({"action": "report"})).action, GuardAction::Report);
}

#[test]
fn lists_may_be_empty_as_long_as_something_is_looked_for() {
    guard(json!({"detect": []}));
    guard(json!({"deny_keys": []}));
    guard(json!({"deny_keys": [], "detect": [], "ids_only": true, "allow": []}));
    let told = refused(&with("/payload_guard", json!({"deny_keys": [], "detect": []})));
    assert_eq!(told, ["payload_guard: looks for nothing; expected deny_keys, detect or ids_only, or no payload_guard"]);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    for (value, line) in [
        (json!([]), "payload_guard: is a list; expected an object with ids_only, allow, deny_keys, detect, action"),
        (json!({"denykeys": []}), "payload_guard.denykeys: is not a known key (did you mean deny_keys?)"),
        (json!({"ids_only": "yes"}), "payload_guard.ids_only: is a string; expected true or false"),
        (json!({"allow": "event"}), "payload_guard.allow: is a string; expected a list of keys, each with 1 to 128"),
        (json!({"allow": ["a", ""]}), "payload_guard.allow[1]: is \"\"; expected a list of keys"),
        (json!({"allow": vec!["a"; 65]}), "payload_guard.allow: has 65 items; expected at most 64"),
        (json!({"deny_keys": ["a", 5]}), "payload_guard.deny_keys[1]: is a number; expected a list of keys"),
        (
            json!({"deny_keys": ["_-"]}),
            "payload_guard.deny_keys[0]: is \"_-\"; expected a list of keys, each with 1 to 64",
        ),
        (json!({"deny_keys": vec!["a"; 1001]}), "payload_guard.deny_keys: has 1001 items; expected at most 1000"),
        (json!({"detect": ["iban"]}), "payload_guard.detect[0]: is \"iban\"; expected a list of email, ipv4"),
        (json!({"detect": ["key"]}), "payload_guard.detect[0]: is \"key\"; expected a list"),
        (
            json!({"action": "mask"}),
            "payload_guard.action: is \"mask\", which is not known; expected reject or redact or",
        ),
        (
            json!({"non_json": "redact"}),
            "payload_guard.non_json: is \"redact\", which is not known; expected reject or text",
        ),
    ] {
        let told = refused(&with("/payload_guard", value.clone()));
        assert!(matches!(told.as_slice(), [only] if only.starts_with(line)), "{value}: {told:#?}");
    }
}
