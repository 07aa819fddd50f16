//! Tests of the walk over JSON: which keys and strings are found, and where they are said to stand.

use super::*;

fn default() -> GuardRules {
    rules(json!({}))
}

#[test]
fn a_denied_key_is_found_at_any_depth_with_any_value() {
    let body = r#"{"user": {"Email": true, "id": 7}, "list": [[{"creditCard": {"password": 1}}], {"ssn": [1, {"a": "]"}]}], "z": 1}"#;
    assert_eq!(found(&default(), body), ["key /user/Email", "key /list/0/0/creditCard", "key /list/1/ssn"]);
}

#[test]
fn keys_that_only_hold_a_denied_word_are_not_denied() {
    let body =
        r#"{"email_sent": 1, "phone_count": 2, "tokens": 3, "session_id": 4, "addresses": 5, "passwordless": true}"#;
    assert_eq!(found(&default(), body), Vec::<String>::new());
}

/// A denied key may have a value that tells nothing; what else stands in such a value is looked at.
#[test]
fn a_denied_key_without_a_value_is_no_finding() {
    for nothing in ["null", "false", "\"\"", "\" \"", "[]", "{}", "[null, \"\"]", "{\"city\": null, \"lines\": [{}]}"] {
        assert_eq!(found(&default(), &format!(r#"{{"email": {nothing}, "n": 1}}"#)), Vec::<String>::new(), "{nothing}");
    }
    for something in ["true", "0", "\"x\"", "[1]", "[null, false, 0.5]", "{\"city\": null, \"country\": \"DE\"}"] {
        assert_eq!(found(&default(), &format!(r#"{{"email": {something}}}"#)), ["key /email"], "{something}");
    }
    let body = r#"{"address": {"bob@example.com": null, "phone": [null]}, "email": null, "x": {"phone": 1}}"#;
    assert_eq!(found(&default(), body), ["email /address/[redacted]", "key /x/phone"]);
}

#[test]
fn a_key_that_is_a_path_is_denied_by_its_steps() {
    let body = r#"{"user.password": 1, "password[]": 1, "user[email]": 1, "a.b[0].first_name": 1, "session.id": 1,
        "cart_token": 1, "version_token": 1, "password_changed": 1, "user.tokens": 1, "token_type": 1, "a.b": 1}"#;
    let denied = ["user.password", "password[]", "user[email]", "a.b[0].first_name", "session.id"];
    assert_eq!(found(&default(), body), denied.map(|key| format!("key /{key}")));
}

/// A string that holds JSON is looked into, two levels deep, and the finding is the string.
#[test]
fn json_in_a_string_is_looked_into() {
    let wrapped =
        |levels: usize, value: Value| (0..levels).fold(value, |value, _| json!({"m": value.to_string()})).to_string();
    let secret = json!({"user": {"password": "x"}, "ok": [1, null], "order": 4111111111111111_u64});
    assert_eq!(found(&default(), &wrapped(0, secret.clone())), ["key /user/password"]);
    assert_eq!(found(&default(), &wrapped(1, secret.clone())), ["key /m"]);
    assert_eq!(found(&default(), &wrapped(2, secret.clone())), ["key /m"]);
    assert_eq!(found(&default(), &wrapped(3, secret)), ["card /m"], "a string below is text");
    for (text, expected) in [
        (r#" {"to": "b\u006fb@example.com", "n": "203.0.113.7"} "#, vec!["email /m", "ipv4 /m"]),
        (r#"[{"email": null, "version": "1.2.3.4", "at": 4111111111111111}]"#, vec![]),
        ("\u{feff}[\"bob@example.com\"]", vec!["email /m"]),
        (r#""{\"password\": 1}""#, vec!["key /m"]),
        ("[INFO] bob@example.com", vec!["email /m"]),
        ("{password: 1}", vec![]),
        ("[203.0.113.7]", vec!["ipv4 /m"]),
    ] {
        assert_eq!(found(&default(), &json!({"m": text}).to_string()), expected, "{text}");
    }
}

#[test]
fn ids_only_holds_in_the_json_of_a_string() {
    let rules = rules(json!({"ids_only": true, "allow": ["body", "*_id"]}));
    let body = |inner: &str| json!({"body": inner}).to_string();
    assert_eq!(found(&rules, &body(r#"{"user_id": "u-1", "n": 1}"#)), Vec::<String>::new());
    assert_eq!(found(&rules, &body(r#"["x"]"#)), Vec::<String>::new());
    assert_eq!(found(&rules, &body(r#"{"name": "Bob"}"#)), ["string /body"]);
}

#[test]
fn every_string_is_looked_at_and_no_number_is() {
    let body =
        r#"["bob@example.com", {"x": "203.0.113.7 or 2001:db8::1"}, 4111111111111111, 4155552671, "4111111111111111"]"#;
    assert_eq!(found(&default(), body), ["email /0", "ipv4 /1/x", "ipv6 /1/x", "card /4"]);
    assert_eq!(found(&default(), r#""bob@example.com""#), ["email "]);
}

#[test]
fn escapes_hide_nothing() {
    assert_eq!(found(&default(), r#"{"x": "bob\u0040example.com"}"#), ["email /x"]);
    assert_eq!(found(&default(), r#"{"\u0065mail": 1}"#), ["key /email"]);
    assert_eq!(found(&default(), r#"{"x": "{\"to\": \"bob@example.com\"}"}"#), ["email /x"]);
    assert_eq!(found(&default(), r#"{"x": "a\\", "y": "\ud83d\ude00 bob@example.com \ud83d"}"#), ["email /y"]);
}

#[test]
fn of_a_repeated_key_each_is_looked_at() {
    assert_eq!(found(&default(), r#"{"x": "bob@example.com", "x": 1, "x": "1.2.3.4"}"#), ["email /x", "ipv4 /x"]);
}

#[test]
fn a_pointer_is_rfc_6901() {
    let body = r#"{"data": [{"a/b~é": 1}]}"#;
    let rules = rules(json!({"deny_keys": ["a/b~é"]}));
    let pointer = &looked_through(&rules, body.as_bytes(), false).findings.list[0].pointer;
    assert_eq!(pointer, "/data/0/a~1b~0é");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body.pointer(pointer), Some(&json!(1)));
}

/// A key that is neither denied nor like a field of a schema is data, and is not shown: no detector knows names.
#[test]
fn only_keys_that_are_denied_or_identifiers_are_shown() {
    for key in ["Maria Rossi", "", "39-333-123", "12 Main St", "a.b", "é", "x\u{202e}y", "\u{1b}[2J", &"k".repeat(65)]
    {
        let body = json!({"users": {key: {"to": "bob@example.com"}}}).to_string();
        assert_eq!(found(&default(), &body), ["email /users/[redacted]/to"], "{key:?}");
    }
    for key in ["payer_contact", "customerId", "x-id", "_id"] {
        let body = json!({key: "bob@example.com"}).to_string();
        assert_eq!(found(&default(), &body), [format!("email /{key}")]);
    }
}

#[test]
fn a_key_that_is_personal_data_is_found_and_never_shown() {
    let body = r#"{"a@b.c": 1, "x": {"bob@example.com": {"y": "1.2.3.4", "email": 1}}, "z": "1.2.3.4"}"#;
    assert_eq!(
        found(&default(), body),
        ["email /[redacted]", "email /x/[redacted]", "ipv4 /x/[redacted]/y", "key /x/[redacted]/email", "ipv4 /z"]
    );
}

#[test]
fn a_version_is_told_by_its_key() {
    let body = r#"{"version": "1.2.3.4", "appVersion": ["1.2.3.4"], "APP_VERSION": "bob@example.com", "v": {"at": "1.2.3.4"}}"#;
    assert_eq!(found(&default(), body), ["email /APP_VERSION", "ipv4 /v/at"]);
}

#[test]
fn with_ids_only_strings_stand_under_allowed_keys_only() {
    let rules = rules(json!({"ids_only": true, "allow": ["title", "*_id"]}));
    let body = r#"{"title": "Hi", "user_id": "u-1", "tag_id": [["a"], "b"], "n": 1, "ok": true, "no": null, "empty": "",
        "name": "Bob", "body_id": {"name": "Bob"}, "list": ["x"], "TITLE": "Hi", "obj": {"title": "Hi"}, "to_id": "bob@example.com"}"#;
    assert_eq!(
        found(&rules, body),
        ["string /name", "string /body_id/name", "string /list/0", "string /TITLE", "email /to_id"]
    );
    assert_eq!(found(&rules, r#"["x", [1], "y"]"#), ["string /0", "string /2"]);
    assert_eq!(found(&rules, r#"{"title": "Hi", "a": [{"user_id": "x"}, "y"]}"#), ["string /a/1"]);
    assert_eq!(found(&rules, "any text"), ["string "]);
    assert_eq!(found(&rules, ""), Vec::<String>::new());
}

#[test]
fn what_is_no_json_is_text() {
    let rules = default();
    assert_eq!(found(&rules, "name,mail\nbob,bob@example.com\namy,amy@example.com\n1.2.3.4"), ["email ", "ipv4 "]);
    assert_eq!(found(&rules, "\u{feff}{\"email\": 1}"), ["key /email"]);
    let bytes = [b"\xff\xfe bob@example.com \x00\xc3".as_slice(), b"a: bob@example.com\xff\"}"];
    for bytes in bytes {
        assert_eq!(looked_through(&rules, bytes, false).findings.total(), 1);
    }
}

/// In an envelope findings stand in the producer's body or in the metadata.
#[test]
fn envelope_findings_point_into_body_or_metadata() {
    let payload = r#"{"event":"x.1.2.3.4","data":{"user":{"email":"bob@example.com"},"event":["1.2.3.4"]},"metadata":{"to":"amy@example.com","data":1}}"#;
    let findings = looked_through(&default(), payload.as_bytes(), true).findings;
    let list: Vec<_> = findings.list.iter().map(|f| (f.part, f.pointer.as_str(), f.kind)).collect();
    assert_eq!(
        list,
        [
            (EventPart::Body, "/user/email", DataKind::Key),
            (EventPart::Body, "/event/0", DataKind::Ipv4),
            (EventPart::Metadata, "/to", DataKind::Email)
        ]
    );
    let payload = r#"{"event":"x","data":"bob@example.com","metadata":{}}"#;
    assert_eq!(looked_through(&default(), payload.as_bytes(), true).findings.list[0].pointer, "");
}

#[test]
fn a_pointer_ends_where_it_would_be_too_long() {
    let deep = |value: &str| "[".repeat(100) + value + &"]".repeat(100);
    assert_eq!(found(&default(), &deep("1")), Vec::<String>::new());
    assert_eq!(found(&default(), &deep("\"bob@example.com\"")), [format!("email {}", "/0".repeat(32))]);
    let after = format!("[{}, \"bob@example.com\"]", deep("{\"email\": [1]}"));
    assert_eq!(found(&default(), &after), [format!("key {}", "/0".repeat(32)), "email /1".to_owned()]);
    let key = "k".repeat(60);
    let long = (0..6).fold("\"bob@example.com\"".to_owned(), |inner, _| format!(r#"{{"{key}": {inner}}}"#));
    assert_eq!(found(&default(), &long), [format!("email {}", format!("/{key}").repeat(4))]);
}

/// JSON that is nested too deep cannot be read.
#[test]
fn too_deep_json_is_refused() {
    let deep = |levels: usize| format!("{}\"x\"{}", "[".repeat(levels), "]".repeat(levels));
    let envelope = |data: &str| format!(r#"{{"event":"e","data":{data},"metadata":{{}}}}"#);
    assert!(inspect(&default(), &outgoing(deep(127).as_bytes(), false)).is_ok());
    assert!(inspect(&default(), &outgoing(envelope(&deep(127)).as_bytes(), true)).is_ok());
    let why = inspect(&default(), &outgoing(deep(100_000).as_bytes(), false)).unwrap_err();
    let told = "it should be strict JSON, but the body is nested more than 127 deep at byte 127";
    assert_eq!(why.to_string(), told);
    // In a string it is text.
    let inner = json!([deep(128), deep(100_000), deep(127)]).to_string();
    assert_eq!(found(&default(), &inner), Vec::<String>::new());
}

#[test]
fn so_many_findings_are_told_and_all_are_counted() {
    let many = vec!["bob@example.com"; 1000];
    let findings = looked_through(&default(), json!(many).to_string().as_bytes(), false).findings;
    assert_eq!((findings.list.len(), findings.total()), (FINDINGS_MAX, 1000));
    assert_eq!(findings.by_kind().collect::<Vec<_>>(), [(DataKind::Email, 1000)]);
    assert_eq!(findings.summary(2), "email at /0, email at /1 and 998 more");
}

proptest! {
    #[test]
    fn every_pointer_names_a_value_that_is_there(body in super::redacting::json_value()) {
        let text = body.to_string();
        let rules = rules(json!({"ids_only": true, "allow": ["a*"], "deny_keys": ["email"]}));
        for finding in looked_through(&rules, text.as_bytes(), false).findings.list {
            let is_masked = finding.pointer.contains(REDACTED);
            prop_assert!(is_masked || body.pointer(&finding.pointer).is_some(), "{} in {text}", finding.pointer);
        }
    }
}
