//! Tests of the detectors and of the payload guard: what is personal data, and what becomes of a payload that holds
//! some.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod forms;
mod providers;
mod redacting;
mod walking;

/// The detectors of the default config.
pub(super) fn all() -> DataKinds {
    [DataKind::Email, DataKind::Ipv4, DataKind::Ipv6, DataKind::Phone, DataKind::Card]
        .into_iter()
        .fold(DataKinds::NONE, DataKinds::with)
}

/// The rules of a `payload_guard`, with which text is looked at unless the section says otherwise.
pub(super) fn rules(mut section: Value) -> GuardRules {
    section.as_object_mut().expect("an object").entry("non_json").or_insert(json!("text"));
    let config = json!({
        "routes": [{"name": "r", "match": {"path": "/"}, "event": "e"}],
        "endpoints": [{"name": "e", "cluster": "e", "url": "http://e", "secrets": [{"value": "s"}]}],
        "payload_guard": section,
    });
    let config = crate::config::parse(config.to_string().as_bytes(), &|_| None);
    config.unwrap_or_else(|problems| panic!("{problems:?}")).payload_guard.expect("the section")
}

/// The result for a payload that can be looked through.
pub(super) fn looked_through(rules: &GuardRules, payload: &[u8], is_envelope: bool) -> Inspected {
    inspect(rules, &outgoing(payload, is_envelope)).unwrap_or_else(|why| panic!("{why}"))
}

/// A payload without headers.
fn outgoing(bytes: &[u8], is_envelope: bool) -> Outgoing<'_> {
    Outgoing { bytes, content_type: None, content_encoding: None, is_envelope }
}

/// The findings in a body, each as `kind pointer`.
pub(super) fn found(rules: &GuardRules, body: &str) -> Vec<String> {
    let findings = looked_through(rules, body.as_bytes(), false).findings;
    findings.list.iter().map(|finding| format!("{} {}", finding.kind.label(), finding.pointer)).collect()
}

fn labels(text: &str) -> Vec<&'static str> {
    let found = detect::kinds(text.as_bytes(), all());
    DataKind::ALL.into_iter().filter(|kind| found.has(*kind)).map(DataKind::label).collect()
}

#[test]
fn two_hundred_values_that_are_personal_data_are_found() {
    let table = include_str!("../../../testdata/personal.txt");
    let missed: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(kind, value)| !labels(value).contains(kind))
        .collect();
    assert_eq!(missed, [], "of {}", table.lines().count());
    assert!(table.lines().count() >= 200);
}

#[test]
fn two_hundred_values_that_are_not_are_left_alone() {
    let table = include_str!("../../../testdata/not_personal.txt");
    let wrong: Vec<_> =
        table.lines().map(|value| (value, labels(value))).filter(|(_, kinds)| !kinds.is_empty()).collect();
    assert_eq!(wrong, [], "of {}", table.lines().count());
    assert!(table.lines().count() >= 200);
}

#[test]
fn a_value_of_one_kind_is_found_as_that_kind_only() {
    let table = include_str!("../../../testdata/personal.txt");
    let both: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(_, value)| !value.contains('@') && labels(value).len() > 1)
        .collect();
    assert_eq!(both, []);
}

#[test]
fn what_is_found_stands_where_it_is_said_to_stand() {
    for (text, expected) in [
        ("write to <dave@example.com>, please", "dave@example.com"),
        ("write to 'dave@example.com.'", "dave@example.com"),
        ("a \"john doe\"@example.org b", "\"john doe\"@example.org"),
        ("ip=203.0.113.7:8080;", "203.0.113.7"),
        ("at [fe80::1%eth0]:80", "fe80::1%eth0"),
        ("2001:db8::1: refused", "2001:db8::1"),
        ("client:2001:db8::1, ok", "2001:db8::1"),
        ("call +1 (415) 555-2671, or not", "+1 (415) 555-2671"),
        ("call (415) 555-2671 2 times", "(415) 555-2671"),
        ("call 020 7946 0958 or", "020 7946 0958"),
        ("card 4111 1111 1111 1111 12/26", "4111 1111 1111 1111"),
        ("x=é&to=bob%40example.com&y", "bob%40example.com"),
        ("é 415\u{a0}555\u{2011}2671.", "415\u{a0}555\u{2011}2671"),
        ("tel=%2B1+415+555+2671&x=1", "%2B1+415+555+2671"),
        ("a b\u{200b}ob＠example．com!", "b\u{200b}ob＠example．com"),
    ] {
        let places = detect::places(text.as_bytes(), all());
        assert_eq!(places.iter().map(|(_, place)| &text[place.clone()]).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn only_the_detectors_that_are_wanted_are_asked() {
    let text = b"::ffff:192.0.2.1 alice@example.com +14155552671 4111111111111111";
    for kind in [DataKind::Email, DataKind::Ipv4, DataKind::Ipv6, DataKind::Phone, DataKind::Card] {
        let only = DataKinds::NONE.with(kind);
        assert_eq!(detect::kinds(text, only), only, "{kind:?}");
        assert!(!detect::kinds(text, all().without(kind)).has(kind));
    }
    assert_eq!(detect::kinds(text, DataKinds::NONE), DataKinds::NONE);
}

#[test]
fn a_card_is_told_by_its_check_digit_and_its_issuer() {
    let mut found = 0;
    for digit in 0..10 {
        found += usize::from(labels(&format!("411111111111111{digit}")) == ["card"]);
    }
    assert_eq!(found, 1);
}

#[test]
fn a_key_pattern_is_a_whole_key() {
    let matches = |pattern: &str, key: &str| KeyPattern(pattern.to_owned()).matches(key.as_bytes());
    for (pattern, key) in
        [("*_id", "user_id"), ("*_id", "_id"), ("a*b*c", "aXbYbZc"), ("*", ""), ("**", "x"), ("id", "id")]
    {
        assert!(matches(pattern, key), "{pattern} {key}");
    }
    for (pattern, key) in
        [("*_id", "user_ids"), ("*_id", "USER_ID"), ("id", "idx"), ("a*b", "ab c"), ("", "a"), ("a*", "")]
    {
        assert!(!matches(pattern, key), "{pattern} {key}");
    }
}

#[test]
fn a_denied_key_is_the_same_in_any_case() {
    let mut keys = DeniedKeys::default();
    assert!(keys.add("ip_address"));
    for key in ["ip_address", "IP_ADDRESS", "ipAddress", "ip-address", "IpAddress", "ipaddress"] {
        assert!(keys.has(key.as_bytes()), "{key}");
    }
    for key in ["ip_addresses", "my_ip_address", "ip address", "ip", "", "_", ".", "[]", "a.b", "ip.address"] {
        assert!(!keys.has(key.as_bytes()), "{key}");
    }
    for key in
        ["user.ip_address", "ip_address[]", "user[ipAddress]", "a[0][ip-address]", "ip_address.v4", "ｉｐ_address"]
    {
        assert!(keys.has(key.as_bytes()), "{key}");
    }
    assert!(!keys.add("-_"));
    assert!(!keys.add(&"k".repeat(65)));
}

proptest! {
    #[test]
    fn a_pattern_matches_as_a_model_does(pattern in "[ab*]{0,6}", key in "[abc]{0,8}") {
        fn model(pattern: &[u8], key: &[u8]) -> bool {
            match pattern.split_first() {
                None => key.is_empty(),
                Some((b'*', rest)) => (0..=key.len()).any(|taken| model(rest, &key[taken..])),
                Some((byte, rest)) => key.first() == Some(byte) && model(rest, &key[1..]),
            }
        }
        prop_assert_eq!(KeyPattern(pattern.clone()).matches(key.as_bytes()), model(pattern.as_bytes(), key.as_bytes()));
    }

    #[test]
    fn any_address_is_found_in_any_sentence(
        local in "[a-z0-9]([a-z0-9._+-]{0,20}[a-z0-9])?", host in "[a-z]([a-z0-9-]{0,10}[a-z0-9])?", tld in "[a-z]{2,10}",
        before in "[A-Za-z ,:(<]{0,10}", after in "[ ,;>)]{0,3}",
    ) {
        prop_assume!(local != "git" && !detect::is_file_ending(tld.as_bytes()));
        let address = format!("{local}@{host}.{tld}");
        let text = format!("{before} {address}{after}");
        let found = detect::places(text.as_bytes(), DataKinds::NONE.with(DataKind::Email));
        let found: Vec<_> = found.into_iter().map(|(kind, place)| (kind, &text[place])).collect();
        prop_assert_eq!(found, [(DataKind::Email, address.as_str())]);
    }

    #[test]
    fn every_ip_address_is_found_as_it_is_printed(v4: [u8; 4], v6: [u16; 8]) {
        // Such addresses are versions: no host has one.
        prop_assume!(v4[2..] != [0, 0]);
        let v4 = std::net::Ipv4Addr::from(v4);
        prop_assert_eq!(labels(&format!("from {v4}, now")), ["ipv4"]);
        let v6 = std::net::Ipv6Addr::from([0x2001, v6[1], v6[2], v6[3], v6[4], v6[5], v6[6], v6[7]]);
        prop_assert_eq!(labels(&format!("from {v6}, now")), ["ipv6"]);
    }

    #[test]
    fn any_bytes_can_be_looked_through(bytes: Vec<u8>, is_envelope: bool) {
        let _ = inspect(&rules(json!({"ids_only": true, "action": "redact"})), &outgoing(&bytes, is_envelope));
    }

    #[test]
    fn text_made_of_what_detectors_look_for_can_be_looked_through(text in "[0-9a-f.:@+()%/ \\-_x\"=４＠\u{a0}]{0,60}") {
        let mut from = 0;
        for (_, place) in detect::places(text.as_bytes(), all()) {
            prop_assert!(from <= place.start && place.start < place.end && place.end <= text.len());
            prop_assert!(text.get(place.clone()).is_some());
            from = place.end;
        }
        prop_assert_eq!(from == 0, detect::kinds(text.as_bytes(), all()) == DataKinds::NONE);
    }
}
