//! Tests of scheme `custom` and its presets.

use serde_json::{Value, json};

use super::*;

const BODY: &[u8] = br#"{"id":"evt_1","webhookTimestamp":1700000000000,"amount":42}"#;

/// Tables of all kinds, each with a secret in its form.
fn tables() -> Vec<(Value, &'static str)> {
    let presets = presets::PRESETS.map(|(name, _)| (of(name), SHARED));
    let custom = [
        (json!({"header": "X-Acme-Signature"}), "plain"),
        (
            json!({"header": "X-Acme-Signature", "prefix": "sha512=", "algorithm": "hmac-sha512", "secret": "hex"}),
            "00ff",
        ),
        (
            json!({"header": "Authorization", "prefix": "HMAC ", "encoding": "base64", "algorithm": "hmac-sha512"}),
            "plain",
        ),
        (
            json!({"header": "X-Acme-Signature", "signed": "{body}{timestamp}",
                "timestamp": {"header": "X-Acme-Time", "unit": "ms"}}),
            "plain",
        ),
        (
            json!({"header": "X-Acme-Signature", "signed": "acme|{timestamp}{body}|{id}", "secret": "base64",
                "timestamp": {"key": "t"}, "id": {"header": "X-Webhook-Id"}, "entries": {"key": "v1"}}),
            "c2VjcmV0",
        ),
    ];
    let custom = custom.map(|(mut table, secret)| {
        table["scheme"] = json!("custom");
        (table, secret)
    });
    presets.into_iter().chain(custom).collect()
}

/// The headers with a change of the value of one.
fn changed(headers: &Sent, name: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Sent {
    let mut headers = headers.clone();
    let (_, value) = headers.iter_mut().find(|(other, _)| other == name).unwrap();
    *value = change(value);
    headers
}

/// What a table signs it verifies, and nothing else.
#[test]
fn what_a_table_signs_it_verifies() {
    for (table, secret) in tables() {
        let config = config(&table, &[secret], &[secret]);
        let signature = &config.endpoints[0].signatures[0];
        let headers = sent(&config, BODY);
        let is_good = |headers: &Sent, body: &[u8]| verified(&config, headers, body, AT).is_ok();
        assert!(is_good(&headers, BODY), "{table}");
        assert!(!is_good(&headers, &[BODY, b" "].concat()), "{table}: another body");
        for name in signature.header_names().into_iter().skip(5).filter(|name| headers.iter().any(|(it, _)| it == name))
        {
            let of_id = signature.table.as_ref().unwrap().id_header() == Some(name);
            let is_signed = !of_id || signature.signed_id() == Some(name);
            let other = changed(&headers, name, |value| [value, b"1"].concat());
            assert_eq!(is_good(&other, BODY), !is_signed, "{table}: {name}");
            let without: Sent = headers.iter().filter(|(other, _)| other != name).cloned().collect();
            assert_eq!(is_good(&without, BODY), !is_signed, "{table}: without {name}");
        }
        let names = signature.header_names();
        let alike = names.iter().filter(|name| headers.iter().filter(|(other, _)| other == *name).count() > 1);
        assert_eq!(alike.count(), 0, "{table}: a header is set twice");
    }
}

/// While secrets rotate, each live one signs, and any of them is enough.
#[test]
fn a_table_signs_under_each_live_secret() {
    for (table, _) in tables() {
        let (old, new, other) = ("b2xk", "bmV3", "b3RoZXI=");
        let [old, new, other] = if table["secret"] == "hex" { ["aa", "bb", "cc"] } else { [old, new, other] };
        let headers = sent(&config(&table, &[new, old], &[old]), BODY);
        for known in [vec![old], vec![new], vec![other, old]] {
            assert!(verified(&config(&table, &[new], &known), &headers, BODY, AT).is_ok(), "{table} {known:?}");
        }
        assert_eq!(verified(&config(&table, &[new], &[other]), &headers, BODY, AT), Err(Fault::Mismatch));
    }
}

/// Where a time is signed, a signature is good for as long as is tolerated.
#[test]
fn a_table_with_a_time_knows_what_is_stale() {
    for (table, secret) in tables() {
        let config = config(&table, &[secret], &[secret]);
        let (headers, is_timed) = (sent(&config, BODY), config.inbound[0].signatures[0].table.as_ref().unwrap());
        let later = AT.plus(TOLERANCE.past + Duration::from_secs(1));
        let expected = if is_timed.timestamp.is_some() { Err(Fault::Stale { past: TOLERANCE.past }) } else { Ok(()) };
        assert_eq!(verified(&config, &headers, BODY, later).map(drop), expected, "{table}");
    }
}

/// The bytes that are signed are those of one timestamp, one id and one body: moved from one to the other they are
/// refused, though the signature over them holds.
#[test]
fn bytes_moved_between_timestamp_id_and_body_are_refused() {
    let table = |signed: &str, unit: &str| {
        json!({"scheme": "custom", "header": "s", "signed": signed, "timestamp": {"header": "t", "unit": unit},
            "id": {"header": "i"}})
    };
    let headers = |config: &Config, time: &str, id: &str, whole: &[u8]| {
        let key = &config.inbound[0].signatures[0].keys[0].key;
        let crate::secret::Key::Shared(secret) = key else { panic!("a shared key") };
        let signature = hex::encode(secret.mac(&[whole]).bytes()).into_bytes();
        vec![("s".to_owned(), signature), ("t".to_owned(), time.into()), ("i".to_owned(), id.into())]
    };
    for (signed, unit, time, id, body, is_good) in [
        ("{timestamp}{body}", "s", "1700000000", "", "7{}", true),
        ("{timestamp}{body}", "s", "17000000007", "", "{}", false),
        ("{timestamp}{body}", "s", "170000000", "", "07{}", false),
        ("{body}{timestamp}", "s", "1700000000", "", "{}0", true),
        ("{body}{timestamp}", "s", "01700000000", "", "{}", false),
        ("{body}{timestamp}", "ms", "1700000000000", "", "{}0", true),
        ("{body}{timestamp}", "ms", "01700000000000", "", "{}", false),
        ("{id}.{timestamp}.{body}", "s", "1700000000", "a", "b.1700000000.c", true),
        ("{id}.{timestamp}.{body}", "s", "1700000000", "a.1700000000.b", "c", false),
        ("{body}.{timestamp}:{id}", "s", "1700000000", "x", "a.1700000000:b", true),
        ("{body}.{timestamp}:{id}", "s", "1700000000", "b.1700000000:x", "a", false),
    ] {
        let config = config(&table(signed, unit), &["k"], &["k"]);
        let whole = signed.replace("{timestamp}", time).replace("{id}", id).replace("{body}", body);
        let found = verified(&config, &headers(&config, time, id, whole.as_bytes()), body.as_bytes(), AT);
        assert_eq!(found.is_ok(), is_good, "{signed} {time} {id} {body}: {found:?}");
        assert_ne!(found, Err(Fault::Mismatch), "{signed}: the signature holds");
    }
}

/// A change of a header's good value.
type Change<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// Entries that are none are passed over, hex is read in either case, base64 with padding and without.
#[test]
fn signatures_are_read_as_senders_write_them() {
    let upper =
        |value: &[u8]| value.strip_prefix(b"v1=").map(|hex| [b"v1=", &*hex.to_ascii_uppercase()].concat()).unwrap();
    let cases: [(Value, &str, Change<'_>); 6] = [
        (of("pagerduty"), "x-pagerduty-signature", &|good| [b"v2=00,v1=zz, ", good].concat()),
        (of("pagerduty"), "x-pagerduty-signature", &upper),
        (of("paddle"), "paddle-signature", &|good| [good, b";h1=00;h2=x;", &b"h1=".repeat(500)].concat()),
        (of("svix"), "svix-signature", &|good| [b"v1a,AAAA v1,AAAA ", good].concat()),
        (of("svix"), "svix-signature", &|good| good.strip_suffix(b"=").unwrap().to_vec()),
        (of("shopify"), "x-shopify-hmac-sha256", &|good| good.strip_suffix(b"=").unwrap().to_vec()),
    ];
    for (table, name, change) in cases {
        let config = config(&table, &[SHARED], &[SHARED]);
        let headers = changed(&sent(&config, BODY), name, change);
        assert!(verified(&config, &headers, BODY, AT).is_ok(), "{table} {name}");
    }
}

/// What is none of the scheme's is told to the sender, by the table.
#[test]
fn what_is_malformed_is_told_by_the_table() {
    for (scheme, name, value, expected) in [
        ("paddle", "paddle-signature", "h1=00", "the header paddle-signature is not ts=<timestamp>;h1=<64 hex digits>"),
        ("paddle", "paddle-signature", "ts=1;ts=2", "the header paddle-signature is not ts=<timestamp>;h1="),
        ("shopify", "x-shopify-hmac-sha256", "AAAA", "the header x-shopify-hmac-sha256 is not <base64 of 32 bytes>"),
        ("bitbucket", "x-hub-signature", "sha1=00", "the header x-hub-signature is not sha256=<64 hex digits>"),
        ("zoom", "x-zm-request-timestamp", "now", "the header x-zm-request-timestamp is not a number of seconds"),
        (
            "zoom",
            "x-zm-request-timestamp",
            "01700000000",
            "the header x-zm-request-timestamp is not a number without a",
        ),
        ("svix", "svix-id", "a.b", "the header svix-id is not an id without the characters that are signed beside it"),
        ("svix", "svix-id", "", "the header svix-id is not an id without"),
    ] {
        let config = config(&of(scheme), &[SHARED], &[SHARED]);
        let headers = changed(&sent(&config, BODY), name, |_| value.into());
        let fault = verified(&config, &headers, BODY, AT).unwrap_err().to_string();
        assert!(fault.starts_with(expected), "{scheme} {name}: {fault}");
    }
    let config = config(&of("linear"), &[SHARED], &[SHARED]);
    let fault = verified(&config, &sent(&config, b"{}"), b"{}", AT).unwrap_err().to_string();
    assert_eq!(fault, "the timestamp in the body is not a number of milliseconds since 1970");
}

/// A message is known by what is signed: its id, where one is, else its bytes.
#[test]
fn a_message_of_a_table_is_known_by_what_is_signed() {
    let marks = |table: &Value, body: &[u8], later: u64| {
        let config = config(table, &[SHARED], &[SHARED]);
        let at = WallTime::from_millis(AT.as_millis() + later);
        let headers = attempt_headers(&config.endpoints[0], "agent", &Attempt { at, ..attempt(body) });
        let headers: Sent = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        verified(&config, &headers, body, at).unwrap()
    };
    let notified = [&br#"{"notification_id":"ntf_1","n":1}"#[..], br#"{"notification_id":"ntf_1","n":2}"#];
    assert_eq!(marks(&of("paddle"), notified[0], 0), marks(&of("paddle"), notified[1], 5000));
    assert_eq!(marks(&of("zoom"), BODY, 0), marks(&of("zoom"), BODY, 5000), "an id at the top");
    assert_eq!(marks(&of("svix"), b"{}", 0), marks(&of("svix"), b"[]", 5000), "the id that is signed");
    assert_ne!(marks(&of("zoom"), b"{}", 0), marks(&of("zoom"), b"{}", 5000));
    let shopify = marks(&of("shopify"), b"{}", 0);
    assert_eq!(shopify.len(), 2, "the signature, and the id, which is not signed");
    assert_eq!(shopify, marks(&of("shopify"), b"{}", 5000));
}

proptest! {
    #[test]
    fn whatever_comes_to_a_table_is_refused_in_words(
        number in any::<prop::sample::Index>(), values in prop::collection::vec(any::<Vec<u8>>(), 4), body: Vec<u8>,
    ) {
        let all = tables();
        let (table, secret) = number.get(&all);
        let config = config(table, &[secret], &[secret]);
        let names = config.inbound[0].signatures[0].header_names();
        let headers: Sent = names.iter().skip(5).map(|name| (*name).to_owned()).zip(values).collect();
        let fault = verified(&config, &headers, &body, AT).unwrap_err();
        prop_assert!(!fault.to_string().is_empty());
    }
}
