//! Tests of all schemes alike: what is signed is verified, and nothing else is.

use std::borrow::Cow;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::config::{self, Config};
use crate::egress::attempt::attempt_headers;
use crate::ids::EventId;

mod custom;
mod messages;

const TOLERANCE: Tolerance = Tolerance { past: Duration::from_secs(300), future: Duration::from_secs(30) };
const AT: WallTime = WallTime::from_millis(1_700_000_000_000);
const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// A private key from the tests of Svix's server, from which the signature under it in the test data is too.
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const SCHEMES: [&str; 5] = ["timestamped", "standard", "github", "stripe", "slack"];

/// A sender and a receiver of these schemes and secrets, as a config makes them.
fn config(signature: &serde_json::Value, sign: &[&str], verify: &[&str]) -> Config {
    let values = |secrets: &[&str]| secrets.iter().map(|secret| json!({"value": secret})).collect::<Vec<_>>();
    let config = json!({
        "routes": [{"name": "r", "match": {"path": "/e"}, "event": "paid"}],
        "endpoints": [{
            "name": "e", "cluster": "c", "url": "http://h", "secrets": values(sign), "signature": signature,
        }],
        "inbound": [{
            "name": "i", "match": {"path": "/i"}, "secrets": values(verify), "signature": signature,
        }],
    });
    let parsed = config::parse(config.to_string().as_bytes(), &|_| None);
    parsed.unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<String>()))
}

fn of(scheme: &str) -> serde_json::Value {
    json!({"scheme": scheme})
}

fn attempt(body: &[u8]) -> Attempt<'_> {
    Attempt {
        id: EventId::from_random([7; 16]),
        number: 1,
        at: AT,
        event_type: "paid",
        content_type: None,
        content_encoding: None,
        traceparent: None,
        tracestate: None,
        body,
    }
}

/// The list of schemes that the tests go through is whole.
#[test]
fn every_scheme_is_tested() {
    let presets = presets::PRESETS.map(|(name, _)| name);
    assert_eq!(Scheme::ALL.map(|(name, _)| name).to_vec(), [&SCHEMES[..], &presets].concat());
}

type Sent = Vec<(String, Vec<u8>)>;

/// The headers that the sender sends with a body.
fn sent(config: &Config, body: &[u8]) -> Sent {
    let headers = attempt_headers(&config.endpoints[0], "agent", &attempt(body));
    headers.into_iter().map(|(name, value)| (name.to_owned(), Cow::into_owned(value))).collect()
}

fn received(headers: &[(String, Vec<u8>)]) -> Headers {
    let borrowed: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    Headers::new(&borrowed)
}

/// The receiver's verdict on these headers and this body, at this time.
fn verified<'c>(
    config: &'c Config,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
    now: WallTime,
) -> Result<Marks, Fault<'c>> {
    config.inbound[0].signatures[0].verify(&received(headers), body, now, TOLERANCE)
}

#[derive(Deserialize)]
struct Vector {
    scheme: String,
    secret: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    timestamp: u64,
    body: String,
    signature: String,
}

/// The published vectors verify and no longer when a bit is changed.
#[test]
fn published_vectors_verify_and_changed_bits_do_not() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../testdata/signatures.json")).unwrap();
    let mut seen = Vec::new();
    for vector in vectors {
        let config = config(&of(&vector.scheme), &[SHARED], &[&vector.secret]);
        let signature = &config.inbound[0].signatures[0];
        let (timestamp, at) = match vector.scheme.as_str() {
            "timestamped" => ("x-webhook-timestamp", WallTime::from_millis(vector.timestamp)),
            "standard" => ("webhook-timestamp", WallTime::from_millis(vector.timestamp * 1000)),
            "slack" => ("x-slack-request-timestamp", WallTime::from_millis(vector.timestamp * 1000)),
            "svix" => ("svix-timestamp", WallTime::from_millis(vector.timestamp * 1000)),
            "zoom" => ("x-zm-request-timestamp", WallTime::from_millis(vector.timestamp * 1000)),
            _ => ("x-other", WallTime::from_millis(vector.timestamp * 1000)),
        };
        let headers = [
            (signature.header().to_owned(), vector.signature.clone().into_bytes()),
            (timestamp.to_owned(), vector.timestamp.to_string().into_bytes()),
            ("webhook-id".to_owned(), vector.id.clone().into_bytes()),
            ("svix-id".to_owned(), vector.id.into_bytes()),
        ];
        let mut body = vector.body.into_bytes();
        let found = verified(&config, &headers, &body, at).map(drop);
        assert_eq!(found, Ok(()), "{}: {}", vector.scheme, vector.signature);
        body[1] ^= 1;
        let fault = verified(&config, &headers, &body, at).unwrap_err();
        // What is not JSON any more has no timestamp in it.
        assert!(matches!(fault, Fault::Mismatch | Fault::BodyTime { .. }), "{}: {fault}", vector.scheme);
        seen.push(vector.scheme);
    }
    assert!(Scheme::ALL.iter().all(|(scheme, _)| seen.iter().any(|known| known == scheme)), "{seen:?}");
}

/// During a rotation the sender signs under the old and the new secret, and the receiver may know both.
#[test]
fn a_message_signed_under_two_live_secrets_is_verified() {
    for scheme in ["timestamped", "standard", "stripe"] {
        let secrets = [SHARED, "whsec_bm90LXRoZS1zYW1lLXNlY3JldC1hcy1iZWZvcmU="];
        let config = config(&of(scheme), &secrets, &secrets);
        assert!(verified(&config, &sent(&config, b"{}"), b"{}", AT).is_ok(), "{scheme}");
    }
}

/// A proxy on the way may repeat a header, and a sender with two equal secrets signs twice alike.
#[test]
fn a_signature_that_is_there_twice_is_verified() {
    for scheme in ["timestamped", "standard", "stripe"] {
        let (sender, receiver) =
            (config(&of(scheme), &[SHARED, SHARED], &[SHARED]), config(&of(scheme), &[SHARED], &[SHARED]));
        assert!(verified(&receiver, &sent(&sender, b"{}"), b"{}", AT).is_ok(), "{scheme}");
    }
}

/// `timestamp_header` names the header that is sent with the time.
#[test]
fn the_timestamp_header_is_the_one_that_carries_the_time() {
    for scheme in SCHEMES {
        let config = config(&of(scheme), &[SHARED], &[SHARED]);
        let seconds = AT.as_secs().to_string();
        let carries_time = |(name, value): &(String, Vec<u8>)| {
            name != config.endpoints[0].signatures[0].header() && value.starts_with(seconds.as_bytes())
        };
        let sent = sent(&config, b"{}");
        let carrying = sent.iter().find(|header| carries_time(header)).map(|(name, _)| name.as_str());
        assert_eq!(config.endpoints[0].signatures[0].timestamp_header(), carrying, "{scheme}");
    }
}

/// A private key signs what its public key verifies and another does not.
#[test]
fn private_key_signs_for_its_public_key_only() {
    let config = config(&of("standard"), &[PRIVATE], &[PUBLIC]);
    let headers = sent(&config, b"{}");
    let value = &headers.iter().find(|(name, _)| name == "webhook-signature").unwrap().1;
    assert!(value.starts_with(b"v1a,") && value.len() == 4 + 88, "{}", String::from_utf8_lossy(value));
    assert!(verified(&config, &headers, b"{}", AT).is_ok());
    assert_eq!(verified(&config, &headers, b"[]", AT), Err(Fault::Mismatch));
}

#[test]
fn each_live_secret_signs_and_any_of_them_is_enough() {
    for scheme in SCHEMES {
        let [old, new, other] = ["b2xk", "bmV3", "b3RoZXI="];
        let rotating = config(&of(scheme), &[new, old], &[old]);
        let headers = sent(&rotating, b"{}");
        for known in [vec![old], vec![new], vec![other, old], vec![new, other]] {
            let receiver = config(&of(scheme), &[new], &known);
            assert!(verified(&receiver, &headers, b"{}", AT).is_ok(), "{scheme} {known:?}");
        }
        assert_eq!(verified(&config(&of(scheme), &[new], &[other]), &headers, b"{}", AT), Err(Fault::Mismatch));
    }
}

/// Two schemes sign at once and what both say of the event stands once.
#[test]
fn two_schemes_sign_at_once_and_share_common_headers() {
    let config = config(
        &json!([{"scheme": "standard"}, {"scheme": "github", "secrets": [{"value": "plain"}]}]),
        &[SHARED],
        &[SHARED],
    );
    let headers = sent(&config, b"{}");
    for name in ["webhook-signature", "webhook-id", "x-hub-signature-256", "x-github-event", "x-webhook-id"] {
        assert_eq!(headers.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
    }
    for signature in &config.inbound[0].signatures {
        assert!(signature.verify(&received(&headers), b"{}", AT, TOLERANCE).is_ok());
    }
}

#[test]
fn a_signature_is_good_for_as_long_as_is_tolerated() {
    for scheme in ["timestamped", "standard", "stripe", "slack"] {
        let config = config(&of(scheme), &[SHARED], &[SHARED]);
        let (headers, second) = (sent(&config, b"{}"), Duration::from_secs(1));
        let at = |now| verified(&config, &headers, b"{}", now).map(drop);
        let early = WallTime::from_millis(AT.as_millis() - 30_000);
        assert_eq!(at(AT.plus(TOLERANCE.past)), Ok(()), "{scheme}");
        assert_eq!(at(AT.plus(TOLERANCE.past + second)), Err(Fault::Stale { past: TOLERANCE.past }), "{scheme}");
        assert_eq!(at(early), Ok(()), "{scheme}");
        let earlier = WallTime::from_millis(early.as_millis() - 1000);
        assert_eq!(at(earlier), Err(Fault::Early { future: TOLERANCE.future }), "{scheme}");
    }
}

/// Headers that are none of the scheme are told apart from those that lie.
#[test]
fn malformed_headers_are_told_apart_from_forged_ones() {
    let cases: [(&str, &str, &str, &str); 11] = [
        ("timestamped", "x-webhook-signature", "xyz", "the header x-webhook-signature is not 64 hex digits"),
        ("timestamped", "x-webhook-timestamp", "", "the header x-webhook-timestamp is not a number of milliseconds"),
        ("timestamped", "x-webhook-timestamp", "+1", "the header x-webhook-timestamp is not a number of milliseconds"),
        ("standard", "webhook-timestamp", "18446744073709551615", "the header webhook-timestamp is not a number of"),
        ("standard", "webhook-id", "", "the header webhook-id is not an id without '.'"),
        ("standard", "webhook-id", "a.1", "the header webhook-id is not an id without '.'"),
        ("standard", "webhook-signature", "v2,abc", "the header webhook-signature is not v1,<base64> or v1a,<base64>"),
        ("standard", "webhook-signature", "v1,abc", "the header webhook-signature is not v1,<base64> or v1a,<base64>"),
        ("github", "x-hub-signature-256", "sha1=00", "the header x-hub-signature-256 is not sha256=<64 hex digits>"),
        ("stripe", "stripe-signature", "v1=00", "the header stripe-signature is not t=<seconds since 1970>,v1="),
        ("slack", "x-slack-signature", "v1=00", "the header x-slack-signature is not v0=<64 hex digits>"),
    ];
    for (scheme, name, value, expected) in cases {
        let config = config(&of(scheme), &[SHARED], &[SHARED]);
        let mut headers = sent(&config, b"{}");
        headers.retain(|(other, _)| other != name);
        headers.push((name.to_owned(), value.into()));
        let fault = verified(&config, &headers, b"{}", AT).unwrap_err();
        assert!(matches!(fault, Fault::Malformed { .. }), "{scheme} {name}: {fault}");
        assert!(fault.to_string().starts_with(expected), "{scheme} {name}: {fault}");
    }
}

/// Entries that are unknown or broken spoil nothing beside a good signature, before or behind it, however many they are.
#[test]
fn bad_entries_beside_a_good_signature_are_passed_over() {
    let mac = "0".repeat(64);
    let many = |entry: &str, separator: &str| vec![entry; 100].join(separator);
    let cases = [
        (
            "timestamped",
            SHARED,
            "x-webhook-signature-also",
            ",",
            vec!["0".to_owned(), "zz".to_owned(), many(&mac, ",")],
        ),
        (
            "github",
            SHARED,
            "x-hub-signature-256-also",
            ",",
            vec!["sha1=00".to_owned(), many(&format!("sha256={mac}"), ",")],
        ),
        (
            "standard",
            SHARED,
            "webhook-signature",
            " ",
            vec!["v1a,AAAA".to_owned(), "v1,abc".to_owned(), many("v2,x", " ")],
        ),
        (
            "standard",
            PRIVATE,
            "webhook-signature",
            " ",
            vec!["v1a,AAAA".to_owned(), vec![format!("v1a,{}==", "A".repeat(86)); 9].join(" ")],
        ),
        ("stripe", SHARED, "stripe-signature", ",", vec!["v1=abcd".to_owned(), many(&format!("v1={mac}"), ",")]),
        ("slack", SHARED, "x-slack-signature-also", ",", vec!["v1=00".to_owned(), many(&format!("v0={mac}"), ",")]),
    ];
    for (scheme, secret, name, separator, entries) in cases {
        let verifies = if secret == PRIVATE { PUBLIC } else { secret };
        let config = config(&of(scheme), &[secret], &[verifies]);
        for entry in entries {
            for is_first in [true, false] {
                let mut headers = sent(&config, b"{}");
                match headers.iter_mut().find(|(header, _)| header == name) {
                    Some((_, value)) => {
                        let good = String::from_utf8(value.clone()).unwrap();
                        let both = if is_first { [&entry, separator, &good] } else { [&good, separator, &entry] };
                        *value = both.concat().into_bytes();
                    }
                    None => headers.push((name.to_owned(), entry.clone().into_bytes())),
                }
                let found = verified(&config, &headers, b"{}", AT).map(|marks| marks.len() <= 2 * SECRETS_MAX);
                assert_eq!(found, Ok(true), "{scheme} {entry:.40}");
            }
        }
    }
}

#[test]
fn a_header_that_is_absent_or_comes_twice_is_not_taken() {
    for scheme in SCHEMES {
        let config = config(&of(scheme), &[SHARED], &[SHARED]);
        let headers = sent(&config, b"{}");
        let name = config.inbound[0].signatures[0].header().to_owned();
        let mut unsigned = headers.clone();
        unsigned.retain(|(other, _)| *other != name);
        assert_eq!(verified(&config, &unsigned, b"{}", AT), Err(Fault::Unsigned { header: &name }));
        let mut twice = headers.clone();
        twice.extend(headers.iter().filter(|(other, _)| *other == name).cloned());
        let fault = verified(&config, &twice, b"{}", AT);
        assert_eq!(fault, Err(Fault::Malformed { header: &name, expected: "there exactly once" }));
    }
}

#[test]
fn what_a_message_is_known_by_is_what_cannot_be_changed_in_it() {
    let marks = |scheme: &str, change: &dyn Fn(&mut Sent), body: &[u8]| {
        let config = config(&of(scheme), &["b2xk", "bmV3"], &["b2xk"]);
        let mut headers = sent(&config, body);
        change(&mut headers);
        verified(&config, &headers, body, AT).unwrap()
    };
    let drop_also = |headers: &mut Sent| headers.retain(|(name, _)| !name.ends_with("-also"));
    let rename = |headers: &mut Sent| {
        headers.retain(|(name, _)| name != "x-webhook-id" && name != "x-github-delivery");
        headers.push(("x-webhook-id".to_owned(), b"another".to_vec()));
        headers.push(("x-github-delivery".to_owned(), b"another".to_vec()));
    };
    for scheme in ["timestamped", "github"] {
        let whole = marks(scheme, &|_| {}, b"{}");
        // Two signatures, and the id.
        assert_eq!(whole.len(), 3, "{scheme}");
        assert_eq!(marks(scheme, &drop_also, b"{}"), [whole[0], whole[2]]);
        assert_eq!(marks(scheme, &rename, b"{}")[..2], whole[..2]);
    }
    let of_body = |scheme, body: &[u8]| marks(scheme, &|_| {}, body);
    assert_eq!(of_body("standard", b"{}"), of_body("standard", b"[]"), "the id alone: signed afresh, it is the same");
    assert_eq!(
        of_body("stripe", br#"{"object":"event","id":"evt_1","n":1}"#),
        of_body("stripe", br#"{"object":"event","id":"evt_1","n":2}"#)
    );
    assert_eq!(
        of_body("slack", br#"{"type":"event_callback","event_id":"E","n":1}"#),
        of_body("slack", br#"{"type":"event_callback","event_id":"E","n":2}"#)
    );
    assert_eq!(
        of_body("stripe", br#"{"object":"v2.core.event","id":"evt_1","n":1}"#),
        of_body("stripe", br#"{"object":"v2.core.event","id":"evt_1","n":2}"#)
    );
    assert_ne!(of_body("slack", b"text=a"), of_body("slack", b"text=b"));
    assert_ne!(
        of_body("stripe", br#"{"id":"order","n":1}"#),
        of_body("stripe", br#"{"id":"order","n":2}"#),
        "of an order"
    );
}

proptest! {
    #[test]
    fn what_is_signed_is_verified_and_another_body_is_not(
        scheme in 0..SCHEMES.len(), body: Vec<u8>, bit in any::<prop::sample::Index>(),
    ) {
        let config = config(&of(SCHEMES[scheme]), &[SHARED], &[SHARED]);
        let headers = sent(&config, &body);
        prop_assert!(verified(&config, &headers, &body, AT).is_ok());
        let mut other = body.clone();
        other.push(0);
        let bit = bit.index(other.len() * 8);
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(verified(&config, &headers, &other, AT), Err(Fault::Mismatch));
    }

    #[test]
    fn whatever_comes_is_refused_in_words_and_never_a_trap(
        scheme in 0..SCHEMES.len(), values in prop::collection::vec(any::<Vec<u8>>(), 8), body: Vec<u8>,
    ) {
        let config = config(&of(SCHEMES[scheme]), &[SHARED], &[SHARED]);
        let mut headers = sent(&config, b"{}");
        for ((_, value), other) in headers.iter_mut().skip(5).zip(values) {
            *value = other;
        }
        if let Err(fault) = verified(&config, &headers, &body, AT) {
            prop_assert!(!fault.to_string().is_empty());
        }
    }
}
