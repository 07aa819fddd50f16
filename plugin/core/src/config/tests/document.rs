//! Tests of the two encodings: JSON and a Struct say the same.

use proptest::prelude::*;
use prost::Message;
use prost_types::value::Kind;

use super::*;
use crate::config::protobuf;
use crate::config::tree::Value as Tree;

/// The Struct that Envoy makes of a tree in YAML.
fn message(tree: &Value) -> prost_types::Struct {
    match kind(tree) {
        Kind::StructValue(message) => message,
        _ => panic!("only an object is a Struct"),
    }
}

fn kind(tree: &Value) -> Kind {
    let value = |tree: &Value| prost_types::Value { kind: Some(kind(tree)) };
    match tree {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue { values: items.iter().map(value).collect() }),
        Value::Object(fields) => Kind::StructValue(prost_types::Struct {
            fields: fields.iter().map(|(key, field)| (key.clone(), value(field))).collect(),
        }),
    }
}

fn one_line(bytes: &[u8]) -> String {
    let lines = lines(&parse(bytes, &env).unwrap_err());
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines.concat()
}

#[test]
fn a_struct_means_what_the_same_json_means() {
    for tree in [minimal(), full()] {
        let from_struct = parse(&message(&tree).encode_to_vec(), &env).unwrap();
        assert_eq!(format!("{from_struct:?}"), format!("{:?}", good(&tree)));
    }
}

/// Null is no breaker, in JSON and in a Struct, which has a null of its own.
#[test]
fn breaker_null_is_no_breaker() {
    let mut tree = minimal();
    assert!(good(&tree).endpoints[0].breaker.is_some());
    tree["endpoints"][0]["breaker"] = Value::Null;
    assert_eq!(good(&tree).endpoints[0].breaker, None);
    let from_struct = parse(&message(&tree).encode_to_vec(), &env).unwrap();
    assert_eq!(from_struct.endpoints[0].breaker, None);
}

/// From 2^53 on a double does not stand for one integer only: both encodings refuse it, with the same words.
#[test]
fn integers_beyond_a_double_are_refused_in_both_encodings() {
    for (number, is_good) in [(262_144_u64, true), ((1 << 53) - 1, false), (1 << 53, false), (u64::MAX, false)] {
        let mut tree = minimal();
        tree["limits"] = serde_json::json!({"body": number});
        let json = parse(tree.to_string().as_bytes(), &env).map_err(|problems| lines(&problems));
        let from_struct = parse(&message(&tree).encode_to_vec(), &env).map_err(|problems| lines(&problems));
        assert_eq!(json.is_ok(), is_good, "{number}");
        assert_eq!(json.as_ref().err(), from_struct.as_ref().err(), "{number}");
    }
}

#[test]
fn a_struct_that_begins_like_json_is_still_a_struct() {
    let agent = |length: usize| {
        let fields = [("user_agent".to_owned(), Value::from("x".repeat(length)))];
        message(&Value::Object(fields.into_iter().collect())).encode_to_vec()
    };
    let bytes = (1..123).map(agent).find(|bytes| bytes.starts_with(b"\n{")).unwrap();
    let lines = lines(&parse(&bytes, &env).unwrap_err());
    assert!(lines[0].starts_with("endpoints: is missing"), "{lines:#?}");
}

#[test]
fn an_empty_configuration_is_answered_with_a_minimal_one() {
    for bytes in [&b""[..], b" \n"] {
        let line = one_line(bytes);
        assert!(line.starts_with("configuration: is empty; expected "), "{line}");
        let (_, example) = line.split_once("such as ").unwrap();
        assert!(parse(example.as_bytes(), &env).unwrap().enabled);
    }
}

#[test]
fn text_that_is_meant_as_json_is_told_where_it_breaks() {
    let line = one_line(b"{\n  \"enabled\": yes\n}");
    assert!(
        line.starts_with("configuration: is not valid JSON: expected value at line 2 column 14; expected JSON"),
        "{line}"
    );
}

#[test]
fn what_is_neither_json_nor_a_struct_is_told_both_reasons() {
    let line = one_line(b"enabled: true");
    assert!(line.contains("is neither JSON (") && line.contains(") nor a google.protobuf.Struct ("), "{line}");
    assert!(one_line(b"\x7a\x00").contains("(it has no fields)"));
    assert!(one_line(b"[]").starts_with("configuration: is a list; expected an object with enabled,"));
}

#[test]
fn a_key_that_stands_twice_in_json_is_refused() {
    let line = one_line(br#"{"enabled":true,"limits":{"body":1,"body":2}}"#);
    assert!(line.contains("the key \"body\" stands twice at line 1 column"), "{line}");
}

#[test]
fn a_number_that_is_not_finite_is_refused_with_its_path() {
    let mut config = message(&full());
    let infinite = prost_types::Value { kind: Some(Kind::NumberValue(f64::INFINITY)) };
    let list = Kind::ListValue(prost_types::ListValue { values: vec![infinite] });
    config.fields.insert("limits".to_owned(), prost_types::Value { kind: Some(list) });
    assert_eq!(one_line(&config.encode_to_vec()), "limits[0]: is not finite; expected a number");
    let infinite = prost_types::Value { kind: Some(Kind::NumberValue(f64::NAN)) };
    let inner = prost_types::Struct { fields: [("a b".to_owned(), infinite)].into() };
    config.fields.insert("admin".to_owned(), prost_types::Value { kind: Some(Kind::StructValue(inner)) });
    assert_eq!(one_line(&config.encode_to_vec()), "admin.\"a b\": is not finite; expected a number");
}

#[test]
fn nesting_however_deep_costs_no_stack() {
    let open = br#"{"a":"#.repeat(100_000);
    assert!(one_line(&open).contains("recursion limit exceeded"));
    // Struct {fields {key: "" value: Struct {..}}}, wrapped again and again; each wrapping has a longer length.
    let mut bytes = Vec::new();
    for _ in 0..200 {
        let value = prost_types::Value { kind: None };
        let inner = [value.encode_to_vec(), vec![0x2a], varint(bytes.len()), bytes].concat();
        let entry = [vec![0x12], varint(inner.len()), inner].concat();
        bytes = [vec![0x0a], varint(entry.len()), entry].concat();
    }
    assert!(one_line(&bytes).contains("recursion limit reached"));
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,3}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    });
    prop::collection::btree_map("\\PC{0,3}", inner, 1..4).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn json_and_a_struct_give_the_same_tree(document in documents()) {
        let tree: Tree = serde_json::from_str(&document.to_string()).unwrap();
        prop_assert_eq!(protobuf::decode(&message(&document).encode_to_vec()), Ok(tree));
    }
}

#[test]
fn fields_that_no_struct_has_are_skipped() {
    let mut bytes = vec![0x10, 0x96, 0x01, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 1, 9, 0x2d, 1, 2, 3, 4];
    bytes.extend(message(&minimal()).encode_to_vec());
    assert!(parse(&bytes, &env).unwrap().enabled);
}

/// Of a key that stands twice in a Struct the last value counts, as everywhere in protobuf.
#[test]
fn last_of_a_repeated_struct_key_counts() {
    let first = message(&json!({"enabled": "yes"})).encode_to_vec();
    let bytes = [first, message(&minimal()).encode_to_vec()].concat();
    assert!(parse(&bytes, &env).unwrap().enabled);
}

fn varint(number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(number as u64, &mut bytes);
    bytes
}

proptest! {
    /// No bytes make the parser panic, and every problem is one line.
    #[test]
    fn any_bytes_parse_without_panic_into_one_line_problems(bytes: Vec<u8>, text in "\\PC{0,40}") {
        for bytes in [bytes, format!("{{{text:?}:1}}").into_bytes(), text.into_bytes()] {
            for line in lines(&parse(&bytes, &env).unwrap_err()) {
                prop_assert!(!line.contains(['\n', '\r']), "{line:?}");
            }
        }
    }
}
