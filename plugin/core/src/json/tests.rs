use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(pointer: &str, body: &str) -> Result<PointedAt, BodyFault> {
    Pointer::parse(pointer).unwrap().read(body.as_bytes())
}

fn text(value: &str) -> Result<PointedAt, BodyFault> {
    Ok(PointedAt::Scalar(value.to_owned()))
}

#[test]
fn the_pointers_of_rfc_6901_section_5_find_what_it_says() {
    let body = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
    assert_eq!(read("", body), Ok(PointedAt::Composite));
    assert_eq!(read("/foo", body), Ok(PointedAt::Composite));
    assert_eq!(read("/foo/0", body), text("bar"));
    let numbers = ["/", "/a~1b", "/c%d", "/e^f", "/g|h", "/i\\j", "/k\"l", "/ ", "/m~0n"];
    for (number, pointer) in numbers.into_iter().enumerate() {
        assert_eq!(read(pointer, body), text(&number.to_string()), "{pointer}");
    }
}

#[test]
fn a_scalar_is_read_as_text_and_a_number_as_it_was_written() {
    let body = r#"{"s":"a\u00e9\n","t":true,"n":null,"f":1.50,"big":123456789012345678901234567890}"#;
    assert_eq!(read("/s", body), text("aé\n"));
    assert_eq!(read("/t", body), text("true"));
    assert_eq!(read("/f", body), text("1.50"));
    assert_eq!(read("/big", body), text("123456789012345678901234567890"));
    assert_eq!(read("/n", body), Ok(PointedAt::Nothing));
}

#[test]
fn what_is_not_there_is_nothing() {
    let body = r#"{"a":[1,{"b":2}],"s":"x"}"#;
    for pointer in ["/b", "/a/2", "/a/01", "/a/-", "/a/+0", "/a/x", "/s/0", "/a/0/b", "/a/99999999999999999999"] {
        assert_eq!(read(pointer, body), Ok(PointedAt::Nothing), "{pointer}");
    }
    assert_eq!(read("/a/1/b", body), text("2"));
}

#[test]
fn the_last_of_repeated_keys_counts() {
    assert_eq!(read("/a", r#"{"a":1,"b":0,"a":2}"#), text("2"));
    assert_eq!(read("/a/b", r#"{"a":{"b":1},"a":3}"#), Ok(PointedAt::Nothing));
}

#[test]
fn a_body_that_is_not_json_is_refused_even_behind_the_value() {
    for body in [r#"{"a":1"#, r#"{"a":1} x"#, r#"{"a":1,"b":tru}"#, "\u{feff}\u{feff}{}", " \u{feff}{}", "{'a':1}"] {
        assert!(matches!(read("/a", body), Err(BodyFault::NotJson { .. })), "{body}");
        assert!(matches!(check(body.as_bytes()), Err(BodyFault::NotJson { .. })), "{body}");
    }
    assert_eq!(check(b""), Err(BodyFault::Empty));
    assert_eq!(check(b"\xef\xbb\xbf"), Err(BodyFault::Empty));
    assert_eq!(check(b"{\"a\":\"\xff\"}"), Err(BodyFault::NotUtf8 { at: 6 }));
}

#[test]
fn a_fault_says_where_and_quotes_nothing_of_the_body() {
    let fault = check(b"{\n\"secret\": secret}").unwrap_err().to_string();
    assert_eq!(fault, "the body is not JSON: expected value at line 2 column 11");
}

#[test]
fn a_body_nested_deeper_than_127_is_refused_wherever_it_is() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(check(deep(127).as_bytes()).is_ok());
    assert_eq!(read(&"/0".repeat(POINTER_TOKENS_MAX), &deep(127)), Ok(PointedAt::Composite));
    assert_eq!(check(deep(128).as_bytes()), Err(BodyFault::TooDeep { at: 127 }));
    // Also where the pointer passes the deep value by, and where the pointer names it.
    let body = format!(r#"{{"a":1,"deep":{}}}"#, deep(1_000_000));
    for pointer in ["/a", "/deep", "/deep/0/0", "/none"] {
        assert_eq!(read(pointer, &body), Err(BodyFault::TooDeep { at: 14 + 126 }), "{pointer}");
    }
    // A text that is not JSON is refused as that, however deep it is.
    assert!(matches!(check("[".repeat(1_000_000).as_bytes()), Err(BodyFault::NotJson { .. })));
    // Brackets in text, and beside each other, are no levels.
    let wide = format!(r#"["{}\"[[", {}[]]"#, "[{".repeat(200), "[{}],".repeat(200));
    assert!(check(wide.as_bytes()).is_ok());
}

#[test]
fn a_pointer_that_is_none_is_refused() {
    for pointer in ["a", "/~", "/~2", "/a~", &"/x".repeat(33)] {
        assert!(Pointer::parse(pointer).is_err(), "{pointer}");
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab/~]{1,2}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// One byte order mark in front is passed over by every reader.
#[test]
fn byte_order_mark_is_passed_over() {
    let body = "\u{feff} {\"type\": \"a\", \"id\": \"m-1\"}";
    assert_eq!(check(body.as_bytes()), Ok(&body[3..]));
    assert_eq!(read("/id", body), text("m-1"));
    assert_eq!(id_at(body.as_bytes(), "id", ("type", &["a"])).as_deref(), Some(&b"m-1"[..]));
}

proptest! {
    #[test]
    fn a_pointer_finds_what_a_parsed_tree_has_there(document in documents(), pointer in "(/([ab0123]|~0|~1){0,2}){0,4}") {
        let expected = match document.pointer(&pointer) {
            None | Some(Value::Null) => PointedAt::Nothing,
            Some(Value::Array(_) | Value::Object(_)) => PointedAt::Composite,
            Some(Value::String(text)) => PointedAt::Scalar(text.clone()),
            Some(other) => PointedAt::Scalar(other.to_string()),
        };
        prop_assert_eq!(read(&pointer, &document.to_string()), Ok(expected));
    }

    /// A body is as deep as its arrays and objects within each other.
    #[test]
    fn body_depth_is_its_nesting_of_arrays_and_objects(levels in prop::collection::vec(any::<bool>(), 115..140)) {
        let body = levels.iter().rev().fold("1".to_owned(), |inner, is_object| match is_object {
            true => format!(r#"{{"{{\"[":{inner}}}"#),
            false => format!(r#"["[\\",{inner}]"#),
        });
        let is_refused = matches!(check(body.as_bytes()), Err(BodyFault::TooDeep { .. }));
        prop_assert_eq!(is_refused, levels.len() > DEPTH_MAX, "{}", body);
    }

    #[test]
    fn what_a_tree_can_be_made_of_is_json_and_a_fault_says_where(text in texts()) {
        // (serde_json makes no tree of a number beyond a double, nor of half a surrogate pair, which are JSON.)
        match (check(text.as_bytes()), serde_json::from_str::<Value>(&text)) {
            (Ok(same), _) => prop_assert_eq!(same, &text),
            (Err(fault), said) => prop_assert!(said.is_err() && (text.is_empty() || fault.to_string().contains(" at line "))),
        }
    }

    #[test]
    fn what_is_quoted_is_read_again(text in "\\PC{0,9}|[\\x00-\\x7f]{0,9}") {
        prop_assert_eq!(read("", &quoted(&text)), Ok(PointedAt::Scalar(text)));
    }
}

/// JSON texts, whole, cut off, or with characters put in and left out; and texts of parts of JSON.
fn texts() -> impl Strategy<Value = String> {
    let escapes = r#""(\\["\\/bfnrtu]|\\u[0-9a-fA-F]{4}|\\u[dD][89a-fA-F]00|[a-z\n\t ])*""#;
    let numbers = r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{0,22})?([eE][+-]?[0-9]{0,3})?";
    let parts = "([\\[\\]{}:,\"\\\\ \n0-9a-z.eE+-]|true|false|null|\"a\":|é){0,8}";
    let both = prop::string::string_regex(&format!(r"\[{numbers}, {escapes}\]")).unwrap();
    let valid = documents().prop_map(|document| document.to_string());
    let pretty = documents().prop_map(|document| serde_json::to_string_pretty(&document).unwrap());
    let valid = prop_oneof![valid, pretty, escapes, numbers, both].boxed();
    let slips =
        (valid.clone(), any::<prop::sample::Index>(), 0..3usize, parts).prop_map(|(text, at, left_out, more)| {
            let chars: Vec<char> = text.chars().collect();
            let (before, behind) = chars.split_at(at.index(chars.len() + 1));
            before.iter().copied().chain(more.chars()).chain(behind.iter().skip(left_out).copied()).collect()
        });
    let ends = (valid.clone(), any::<prop::sample::Index>())
        .prop_map(|(text, at)| text.chars().take(at.index(text.len() + 1)).collect());
    prop_oneof![valid, slips, ends, parts]
}
