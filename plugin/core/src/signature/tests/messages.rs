//! Tests of what a message is known by, should it come again, and of keys beside each other.

use super::*;

/// A body with an id at its top is one message, however often it is signed; another one with that id is another message,
/// as two events of one order are.
#[test]
fn body_with_an_id_signed_afresh_is_the_same_message() {
    for (scheme, unsigned_id) in [("stripe", ""), ("slack", ""), ("timestamped", "x-webhook-id")] {
        let config = config(&of(scheme), &[SHARED], &[SHARED]);
        let marks = |body: &[u8], later: u64| {
            let at = WallTime::from_millis(AT.as_millis() + later);
            let headers = attempt_headers(&config.endpoints[0], "agent", &Attempt { at, ..attempt(body) });
            let mut sent: Sent =
                headers.into_iter().map(|(name, value)| (name.to_owned(), Cow::into_owned(value))).collect();
            sent.retain(|(name, _)| name != unsigned_id);
            verified(&config, &sent, body, at).unwrap()
        };
        for body in [&br#"{"id":"order_7","state":"paid"}"#[..], br#"{"a":1,"id":7}"#] {
            let other = marks(br#"{"id":"order_7","state":"sent"}"#, 0);
            assert_eq!(marks(body, 0).last(), marks(body, 5000).last(), "{scheme}");
            assert!(marks(body, 0).iter().all(|mark| !other.contains(mark)), "{scheme}");
        }
        for body in
            [&b"{}"[..], br#"{"id":""}"#, br#"{"id":null}"#, br#"{"id":{}}"#, br#"{"d":{"id":1}}"#, b"id=1", b""]
        {
            let later = marks(body, 5000);
            assert!(marks(body, 0).iter().all(|mark| !later.contains(mark)), "{scheme}");
        }
    }
}

/// What a message is known by tells which secret verified it, wherever that secret stands.
#[test]
fn one_id_of_two_senders_is_two_messages() {
    let [a, b] = ["whsec_YQ==", "whsec_Yg=="];
    for scheme in SCHEMES {
        let body = br#"{"object":"event","type":"event_callback","id":"evt_2","event_id":"evt_2"}"#;
        let marks = |secret: &str, known: &[&str]| {
            let config = config(&of(scheme), &[secret], known);
            verified(&config, &sent(&config, body), body, AT).unwrap()
        };
        let (of_a, of_b) = (marks(a, &[a, b]), marks(b, &[a, b]));
        let id_of = |marks: &Marks| *marks.last().unwrap();
        assert_ne!(id_of(&of_a), id_of(&of_b), "{scheme}");
        assert_eq!(id_of(&of_a), id_of(&marks(a, &[b, a])), "{scheme}: the order of the secrets means nothing");
        if scheme != "timestamped" {
            assert!(of_a.iter().all(|mark| !of_b.contains(mark)), "{scheme}");
        }
    }
}

/// All keys together try so many signatures of Ed25519: with two keys each has half.
#[test]
fn tries_of_ed25519_are_shared_by_the_keys() {
    // The base point of the curve: a key, and nobody's.
    let other = "whpk_WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=";
    let config = config(&of("standard"), &[PRIVATE], &[PUBLIC, other]);
    for (before, found) in [(31, true), (32, false)] {
        let mut headers = sent(&config, b"{}");
        let (_, value) = headers.iter_mut().find(|(name, _)| name == "webhook-signature").unwrap();
        let bad = format!("v1a,{}== ", "A".repeat(86)).repeat(before);
        *value = [bad.as_bytes(), value].concat();
        assert_eq!(verified(&config, &headers, b"{}", AT).is_ok(), found, "{before}");
    }
}

#[test]
fn a_shared_secret_and_an_asymmetric_one_sign_side_by_side() {
    let sender = config(&of("standard"), &[PRIVATE, SHARED], &[SHARED]);
    let headers = sent(&sender, b"{}");
    assert!(verified(&sender, &headers, b"{}", AT).is_ok());
    assert!(verified(&config(&of("standard"), &[PRIVATE], &[PUBLIC]), &headers, b"{}", AT).is_ok());
}
