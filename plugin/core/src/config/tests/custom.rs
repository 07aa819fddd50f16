//! Tests of scheme `custom` and its presets: what a table means, and which are refused.

use super::inbound::{refused_once, signing, verifying};
use super::*;
use crate::signature::custom::{Entries, IdPlace, SecretForm, SignatureEncoding, SignedPart, SignedTime, TimePlace};
use crate::signature::presets::PRESETS;
use crate::signature::{Scheme, Signature};

fn custom(more: Value) -> Value {
    let mut table = json!({"scheme": "custom", "header": "X-Acme-Signature"});
    merge(&mut table, more);
    table
}

/// The signature that a rule with this table verifies.
fn read(table: Value) -> Signature {
    let config = good(&verifying(json!({"signature": table, "secrets": [{"value": "aaaa"}]})));
    config.inbound.into_vec().remove(0).signatures.remove(0)
}

/// Every key of a table has its effect, and without it the default is what most senders do.
#[test]
fn every_key_of_a_table_has_its_effect() {
    let least = read(custom(json!({}))).table.unwrap();
    assert_eq!((least.header.as_str(), least.also.as_deref()), ("x-acme-signature", Some("x-acme-signature-also")));
    assert_eq!((least.before.len(), least.after.len(), least.prefix.as_str()), (0, 0, ""));
    assert_eq!((least.encoding, least.secret), (SignatureEncoding::Hex, SecretForm::Text));
    assert_eq!((least.timestamp, least.id, least.entries), (None, None, None));
    let most = read(custom(json!({
        "prefix": "v1,", "encoding": "base64", "algorithm": "hmac-sha512", "signed": "a:{id}.{timestamp}:{body};z",
        "timestamp": {"key": "ts", "unit": "ms"}, "id": {"header": "X-Acme-Id"},
        "entries": {"separator": ";", "key": "h1"}, "secret": "base64",
    })));
    assert_eq!((most.scheme, most.signed_id(), most.timestamp_header()), (Scheme::Custom, Some("x-acme-id"), None));
    let most = most.table.unwrap();
    let text = |text: &str| SignedPart::Text(text.to_owned());
    let before = [text("a:"), SignedPart::Id, text("."), SignedPart::Timestamp, text(":")];
    assert_eq!((most.before.as_slice(), most.after.as_slice()), (&before[..], &[text(";z")][..]));
    assert_eq!(most.timestamp, Some(SignedTime { place: TimePlace::Key("ts".to_owned()), millis_each: 1 }));
    assert_eq!(most.id, Some(IdPlace::Header("x-acme-id".to_owned())));
    assert_eq!(most.entries, Some(Entries { separator: ';', key: Some("h1".to_owned()) }));
    assert_eq!((most.also, most.shape.as_str()), (None, "ts=<timestamp>;h1=v1,<base64 of 64 bytes>"));
}

/// Each preset is a table that a config could have.
#[test]
fn each_preset_is_the_table_it_stands_for() {
    for (name, table) in PRESETS {
        let mut table: Value = serde_json::from_str(table).unwrap();
        table["scheme"] = json!("custom");
        let preset = read(json!({"scheme": name}));
        assert_eq!((preset.table, preset.scheme), (read(table).table, Scheme::Preset(name)), "{name}");
    }
}

/// A table that could be passed by, or that says two things, is refused with what was expected.
#[test]
fn inconsistent_tables_are_refused() {
    let time = json!({"header": "X-Acme-Time"});
    for (more, at, what) in [
        (json!({"signed": "{timestamp}"}), "signed", "leaves out the body: anyone could change it; expected text with"),
        (json!({"signed": ""}), "signed", "leaves out the body"),
        (json!({"signed": "{body}{body}"}), "signed", "has {body} twice"),
        (
            json!({"signed": "{bdy}.{body}"}),
            "signed",
            "has \"{bdy}\", which is no part of a message; expected text with",
        ),
        (json!({"signed": "{{body}}"}), "signed", "has \"{{body}\", which is no part of a message"),
        (json!({"signed": "{body"}), "signed", "has a brace without its other half"),
        (json!({"signed": "body}"}), "signed", "has a brace without its other half"),
        (json!({"signed": 5}), "signed", "is a number; expected text with {body}"),
        (json!({"signed": "{timestamp}.{body}"}), "signed", "has {timestamp}, and nothing says where it is"),
        (
            json!({"timestamp": time}),
            "timestamp",
            "is not signed: anyone could change it; expected {timestamp} in signed",
        ),
        (json!({"signed": "{timestamp}{body}{timestamp}", "timestamp": time}), "signed", "has {timestamp} twice"),
        (json!({"signed": "{id}.{body}"}), "signed", "has {id}, and nothing says which header it is; expected id: "),
        (json!({"signed": "{id}.{body}", "id": {"body": "/id"}}), "signed", "has {id}, and nothing says which header"),
        (
            json!({"signed": "{id}{body}", "id": {"header": "i"}}),
            "signed",
            "lets an id run into what is signed beside it",
        ),
        (json!({"signed": "{id}-{body}", "id": {"header": "i"}}), "signed", "lets an id run into what is signed"),
        (json!({"signed": "{body}.x{id}", "id": {"header": "i"}}), "", ""),
        (
            json!({"signed": "{id}{timestamp}.{body}", "id": {"header": "i"}, "timestamp": time}),
            "signed",
            "lets an id run into what is signed beside it",
        ),
        (json!({"timestamp": {}}), "timestamp", "has no place; expected one of header, key and body"),
        (json!({"timestamp": {"header": "a", "key": "b"}}), "timestamp", "has more than one place"),
        (
            json!({"id": {"header": "a", "body": "/b"}}),
            "id",
            "has more than one place; expected one of header and body",
        ),
        (json!({"id": {"body": "id"}}), "id.body", "is \"id\", but a JSON pointer begins with '/'"),
        (json!({"id": {"body": ""}}), "id.body", "is the whole body; expected a JSON pointer"),
        (
            json!({"timestamp": {"body": "/t"}, "signed": "{timestamp}.{body}"}),
            "signed",
            "has {timestamp}, which is in the body and signed with it",
        ),
        (
            json!({"timestamp": {"key": "t"}, "signed": "{timestamp}.{body}"}),
            "timestamp",
            "is an entry, and there are none",
        ),
        (
            json!({"timestamp": {"key": "v1"}, "signed": "{timestamp}.{body}", "entries": {"key": "v1"}}),
            "timestamp",
            "has the key of the signatures; expected a key of its own",
        ),
        (
            json!({"timestamp": {"key": "t"}, "signed": "{timestamp}.{body}", "entries": {}, "prefix": "t=x"}),
            "timestamp",
            "has the key of the signatures",
        ),
        (
            json!({"timestamp": {"header": "t", "unit": "us"}}),
            "timestamp.unit",
            "is \"us\", which is not known; expected s or ms",
        ),
        (
            json!({"entries": {"separator": "="}}),
            "entries.separator",
            "is \"=\"; expected one character that is no part",
        ),
        (json!({"entries": {"separator": ", "}}), "entries.separator", "is \", \"; expected one character"),
        (json!({"entries": {"key": "a=b"}}), "entries.key", "is \"a=b\"; expected the key of an entry"),
        (json!({"entries": {}, "prefix": "a,"}), "prefix", "holds the separator of the entries"),
        (json!({"prefix": " x"}), "prefix", "is \" x\"; expected the text before each signature"),
        (json!({"prefix": "x\n"}), "prefix", "is \"x\\n\"; expected the text before each signature"),
        (json!({"encoding": "base32"}), "encoding", "is \"base32\", which is not known; expected hex or base64"),
        (
            json!({"algorithm": "hmac-sha1"}),
            "algorithm",
            "is \"hmac-sha1\", which is not known; expected hmac-sha256 or",
        ),
        (json!({"secret": "raw"}), "secret", "is \"raw\", which is not known; expected text or hex or base64"),
        (json!({"header": "content-type"}), "header", "is a header with a meaning of its own"),
        (json!({"header": "x-envoy-original-path"}), "header", "is a header with a meaning of its own"),
        (json!({"header": "X-Webhook-Event"}), "header", "is a header with a meaning of its own"),
        (json!({"header": ":path"}), "header", "is not a header name"),
        (json!({"id": {"header": "x-acme-signature"}}), "*", "has one header for two things"),
        (json!({"id": {"header": "x-acme-signature-also"}}), "*", "has one header for two things"),
        (json!({"header": "x-webhook-id"}), "*", "has something else than the id in x-webhook-id"),
        (json!({"header_prefix": "X-"}), "header_prefix", "has no place beside a scheme whose header names are fixed"),
        (json!({"nonce": 1}), "nonce", "is not a known key"),
    ] {
        let config = verifying(json!({"signature": custom(more.clone()), "secrets": [{"value": "aaaa"}]}));
        match at {
            "" => drop(good(&config)),
            "*" => refused_once(&config, &format!("inbound[0].signature: {what}")),
            _ => refused_once(&config, &format!("inbound[0].signature.{at}: {what}")),
        }
    }
    let no_header = json!({"signature": {"scheme": "custom"}, "secrets": [{"value": "a"}]});
    refused_once(&verifying(no_header), "inbound[0].signature.header: is missing; expected the header that carries");
    for key in ["header", "signed", "secret"] {
        let mut entry = json!({"scheme": "zoom"});
        entry[key] = json!("text");
        let config = verifying(json!({"signature": entry, "secrets": [{"value": "a"}]}));
        refused_once(
            &config,
            &format!("inbound[0].signature.{key}: has no place beside a scheme that is known by its"),
        );
    }
}

/// A secret is read in the form that the table says, and not shown where it has another.
#[test]
fn secret_of_a_table_is_read_in_its_form() {
    let hex = "inbound[0].secrets[0].value: is no hex; expected the hex digits of the secret's bytes";
    let base64 = "inbound[0].secrets[0].value: is no base64; expected the base64 of the secret's bytes";
    for (form, secret, expected) in [
        ("hex", "00FFaa", ""),
        ("hex", "hunter2", hex),
        ("hex", "abc", hex),
        ("base64", "whsec_c2VjcmV0MQ", ""),
        ("base64", "c2VjcmV0MQ==", ""),
        ("base64", "hunter2!", base64),
        ("base64", "whsec_", base64),
        ("text", "whsec_hunter2", ""),
    ] {
        let config = verifying(json!({"signature": custom(json!({"secret": form})), "secrets": [{"value": secret}]}));
        match expected {
            "" => drop(good(&config)),
            _ => {
                refused_once(&config, expected);
                assert!(!refused(&config).concat().contains("hunter2"));
            }
        }
    }
    refused_once(
        &verifying(json!({"signature": custom(json!({})), "secrets": [{"value": "whsk_AAAA"}]})),
        "inbound[0].signature: has only Ed25519 keys, which are for scheme standard",
    );
}

/// The headers of a table belong to it: neither another scheme nor the endpoint may set them.
#[test]
fn headers_of_a_table_are_set_by_it_alone() {
    let secrets = json!([{"value": "whsec_aaaa"}]);
    let two = json!([custom(json!({})), custom(json!({}))]);
    refused_once(&signing(secrets.clone(), two), "endpoints[0].signature[1]: sets the same headers as the other one");
    let both = json!([{"scheme": "standard"}, custom(json!({"id": {"header": "webhook-id"}}))]);
    refused_once(&signing(secrets.clone(), both), "endpoints[0].signature[1]: sets the same headers as the other one");
    let migrating = json!([{}, custom(json!({"id": {"header": "X-Webhook-Id"}}))]);
    assert_eq!(good(&signing(secrets.clone(), migrating)).endpoints[0].signatures.len(), 2);
    for name in ["X-Acme-Signature", "x-acme-signature-also", "X-Acme-Time"] {
        let table = custom(json!({"signed": "{timestamp}.{body}", "timestamp": {"header": "X-Acme-Time"}}));
        let mut config = signing(secrets.clone(), table);
        put(&mut config, "/endpoints/0/headers", json!({name: "mine"}));
        let lines = refused(&config);
        assert!(lines.len() == 1 && lines[0].starts_with("endpoints[0].headers"), "{lines:?}");
    }
}
