//! What passes a filter, and what is said of one that is wrong.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::config;

/// The filter as a config gives it.
fn filter(filter: &Value) -> EventFilter {
    read(filter).unwrap_or_else(|problems| panic!("{filter}: {problems:?}"))
}

fn read(filter: &Value) -> Result<EventFilter, config::Problems> {
    let config = json!({
        "routes": [{"name": "ingest", "match": {"path": "/events"}, "event": "paid"}],
        "endpoints": [{
            "name": "billing",
            "cluster": "billing",
            "url": "https://billing.example",
            "secrets": [{"value": "a-secret-of-billing"}],
            "filter": filter,
        }],
    });
    let mut config = config::parse(config.to_string().as_bytes(), &|_| None)?;
    Ok(config.endpoints.remove(0).filter.expect("it has a filter"))
}

fn passes(of: &Value, payload: &Value) -> bool {
    filter(of).matches(&Subject::new("paid", &[], Some(payload.to_string().as_bytes())))
}

/// What the documentation of others gives as examples, and what differs here.
#[test]
fn examples_of_others_match_as_they_say() {
    #[derive(Deserialize)]
    struct Example {
        of: String,
        filter: Value,
        yes: Vec<Value>,
        no: Vec<Value>,
    }
    let examples: Vec<Example> = serde_json::from_str(include_str!("../../../testdata/filters.json")).unwrap();
    assert!(examples.len() > 20);
    for Example { of, filter, yes, no } in examples {
        for (payloads, is_match) in [(yes, true), (no, false)] {
            assert!(!payloads.is_empty(), "{of}");
            for payload in payloads {
                assert_eq!(passes(&filter, &payload), is_match, "{of}: {filter} over {payload}");
            }
        }
    }
}

#[test]
fn event_type_and_headers_are_looked_at_too() {
    let of = filter(&json!({
        "$event": ["invoice.paid", {"$startsWith": "order."}],
        "$headers.X-Tenant": {"$ne": "internal"},
    }));
    assert_eq!(of.headers(), ["x-tenant"]);
    let tenant = |value: &str| vec![("x-tenant".to_owned(), value.to_owned())];
    for (event_type, headers, is_match) in [
        ("invoice.paid", tenant("acme"), true),
        ("order.created", tenant("acme"), true),
        ("invoice.open", tenant("acme"), false),
        ("invoice.paid", tenant("internal"), false),
        ("invoice.paid", Vec::new(), false),
    ] {
        // It needs no JSON, for it does not look at the payload.
        let subject = Subject::new(event_type, &headers, Some(b"no JSON"));
        assert_eq!(of.matches(&subject), is_match, "{event_type} {headers:?}");
    }
}

/// What cannot be read as JSON matches no filter that looks at it, not even one that says what must not be there.
#[test]
fn payload_that_is_no_json_matches_nothing() {
    let of = filter(&json!({"$not": {"data": {"internal": true}}}));
    let deep = ["[".repeat(128), "]".repeat(128)].concat();
    for payload in [b"no JSON".as_slice(), b"", b"{\"data\":", b"\xff", b"{} {}", deep.as_bytes()] {
        assert!(!of.matches(&Subject::new("paid", &[], Some(payload))), "{payload:?}");
    }
    assert!(!of.matches(&Subject::new("paid", &[], None)), "a content coding");
    assert!(of.matches(&Subject::new("paid", &[], Some(b"\xef\xbb\xbf{}"))));
}

#[test]
fn empty_filter_lets_everything_pass() {
    assert!(filter(&json!({})).matches(&Subject::new("paid", &[], Some(b"no JSON"))));
}

/// Of a key that stands twice the last value counts, as for most receivers.
#[test]
fn last_of_a_repeated_key_counts() {
    let of = filter(&json!({"a": 2}));
    assert!(of.matches(&Subject::new("paid", &[], Some(br#"{"a": 1, "a": 2}"#))));
    assert!(!of.matches(&Subject::new("paid", &[], Some(br#"{"a": 2, "a": 1}"#))));
}

#[test]
fn mistakes_are_told_with_their_paths() {
    let long = "x".repeat(1025);
    let deep = (0..20).fold(json!(1), |inner, _| json!({"a": inner}));
    let many: Vec<Value> = (0..40).map(|number| json!({"$in": [number, 1, 2, 3, 4, 5]})).collect();
    for (of, path, what) in [
        (json!("paid"), "", "is a string"),
        (json!({"a": {"$neq": 1}}), ".a.\"$neq\"", "is not a known operator (did you mean $ne?)"),
        (json!({"a": {"$regex": "x"}}), ".a.\"$regex\"", "is not a known operator"),
        (json!({"a": {"$gt": true}}), ".a.\"$gt\"", "is a boolean"),
        (json!({"a": {"$in": "x"}}), ".a.\"$in\"", "is a string"),
        (json!({"a": {"$in": []}}), ".a.\"$in\"", "is empty"),
        (json!({"a": {"$in": [[1]]}}), ".a.\"$in\"[0]", "is a list"),
        (json!({"a": {"$exist": 1}}), ".a.\"$exist\"", "is a number"),
        (json!({"a": {"$startsWith": 1}}), ".a.\"$startsWith\"", "is a number"),
        (json!({"a": {"$ref": "b"}}), ".a.\"$ref\"", "a JSON pointer begins with '/'"),
        (json!({"a": []}), ".a", "is empty"),
        (json!({"a": {}}), ".a", "is empty"),
        (json!({"$or": {"a": 1}}), ".\"$or\"", "is an object"),
        (json!({"a": {"$event": "paid"}}), ".a.\"$event\"", "stands within a field"),
        (json!({"a": {"$headers.x": "y"}}), ".a.\"$headers.x\"", "stands within a field"),
        (json!({"$headers.": "y"}), ".\"$headers.\"", "names no header"),
        (json!({"a": 9_007_199_254_740_993_i64}), ".a", "is an integer that is not exact as a double"),
        (json!({"a": long}), ".a", "is too long"),
        (deep, ".a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", "is nested too deep"),
        (json!({"$or": many}), "", "has 281 conditions"),
    ] {
        let problems = read(&of).expect_err(&of.to_string());
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let [line] = lines.as_slice() else { panic!("{of}: {lines:#?}") };
        assert!(line.starts_with(&format!("endpoints[0].filter{path}: {what}")), "{of}: {line}");
    }
}

/// Envoy hands on the fractions of a YAML file as strings.
#[test]
fn fraction_of_a_yaml_file_is_a_number_where_it_is_ordered() {
    let of = json!({"amount": {"$gte": "0.5", "$lt": "1e3"}});
    assert!(passes(&of, &json!({"amount": 0.5})) && !passes(&of, &json!({"amount": 0.4})));
    assert!(!passes(&of, &json!({"amount": "0.7"})));
}

/// The same rules, told as plainly as they can be, over the filter as it is written.
fn naive(filter: &Value, value: Option<&Value>, root: &Value) -> bool {
    match filter {
        Value::Array(any) => any.iter().any(|filter| naive(filter, value, root)),
        Value::Object(entries) => {
            let is_whole = |key: &str| ["$and", "$or", "$not", "$exist"].contains(&key);
            let (whole, single): (Vec<_>, Vec<_>) = entries.iter().partition(|(key, _)| is_whole(key));
            whole.into_iter().all(|(key, of)| match key.as_str() {
                "$and" => of.as_array().unwrap().iter().all(|filter| naive(filter, value, root)),
                "$or" => of.as_array().unwrap().iter().any(|filter| naive(filter, value, root)),
                "$not" => !naive(of, value, root),
                _ => value.is_some() == of.as_bool().unwrap(),
            }) && (single.is_empty()
                || of_one(value, &|value| single.iter().all(|(key, of)| entry(key, of, value, root))))
        }
        literal => of_one(value, &|value| value.is_some_and(|value| same(value, literal))),
    }
}

/// Whether it holds for the value, or for one of its elements.
fn of_one(value: Option<&Value>, holds: &dyn Fn(Option<&Value>) -> bool) -> bool {
    match value {
        Some(Value::Array(elements)) => elements.iter().any(|element| of_one(Some(element), holds)),
        value => holds(value),
    }
}

fn entry(key: &str, of: &Value, value: Option<&Value>, root: &Value) -> bool {
    if !key.starts_with('$') {
        return naive(of, value.and_then(|value| value.get(key)), root);
    }
    let Some(value) = value else { return false };
    let resolved = |of: &Value| match of.get("$ref") {
        Some(pointer) => root.pointer(pointer.as_str().unwrap()).cloned(),
        None => Some(of.clone()),
    };
    let list = || of.as_array().unwrap().iter().filter_map(resolved).collect::<Vec<_>>();
    let kind = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) | Value::Object(_) => 4,
    };
    let can_differ = |other: &Value| {
        if other.is_null() { !value.is_null() } else { kind(value) == kind(other) && kind(value) < 4 }
    };
    let other = if key == "$ref" { resolved(&json!({"$ref": of})) } else { resolved(of) };
    let compare = |test: &dyn Fn(Ordering) -> bool| match (value, &other) {
        (Value::Number(one), Some(Value::Number(other))) => {
            one.as_f64().unwrap().partial_cmp(&other.as_f64().unwrap()).is_some_and(test)
        }
        (Value::String(one), Some(Value::String(other))) => test(one.as_str().cmp(other)),
        _ => false,
    };
    match key {
        "$eq" | "$ref" => other.is_some_and(|other| same(value, &other)),
        "$ne" => other.is_some_and(|other| can_differ(&other) && !same(value, &other)),
        "$in" => list().iter().any(|other| same(value, other)),
        "$nin" => list().iter().any(can_differ) && !list().iter().any(|other| same(value, other)),
        "$gt" => compare(&|order| order == Ordering::Greater),
        "$gte" => compare(&|order| order != Ordering::Less),
        "$lt" => compare(&|order| order == Ordering::Less),
        "$lte" => compare(&|order| order != Ordering::Greater),
        "$startsWith" => value.as_str().zip(of.as_str()).is_some_and(|(text, begin)| text.starts_with(begin)),
        _ => value.as_str().zip(of.as_str()).is_some_and(|(text, end)| text.ends_with(end)),
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(_) | Value::Object(_), _) => false,
        (one, other) => one == other,
    }
}

fn any_literal() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        (-2i32..3).prop_map(|half| Value::from(f64::from(half) / 2.0)),
        "[ab]{0,2}".prop_map(Value::from),
    ]
}

fn any_payload() -> impl Strategy<Value = Value> {
    any_literal().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn any_operand() -> impl Strategy<Value = Value> {
    prop_oneof![3 => any_literal(), 1 => "(/[a-c]){1,2}".prop_map(|pointer| json!({"$ref": pointer}))]
}

fn any_filter() -> impl Strategy<Value = Value> {
    let comparison = prop_oneof![
        ("\\$(eq|ne)", any_operand()).prop_map(|(key, of)| json!({key: of})),
        ("\\$(gt|gte|lt|lte)", prop_oneof![(-2i64..3).prop_map(Value::from), "[ab]{0,2}".prop_map(Value::from)])
            .prop_map(|(key, of)| json!({key: of})),
        ("\\$(in|nin)", prop::collection::vec(any_operand(), 1..3)).prop_map(|(key, of)| json!({key: of})),
        ("\\$(startsWith|endsWith)", "[ab]{0,2}").prop_map(|(key, of)| json!({key: of})),
        any::<bool>().prop_map(|of| json!({"$exist": of})),
        "(/[a-c]){1,2}".prop_map(|of| json!({"$ref": of})),
        any_literal(),
    ];
    let condition = comparison.prop_recursive(4, 24, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            2 => list.clone().prop_map(Value::from),
            4 => prop::collection::btree_map("[a-c]", inner.clone(), 1..3).prop_map(|map| json!(map)),
            1 => ("\\$(and|or)", list).prop_map(|(key, of)| json!({key: of})),
            1 => inner.clone().prop_map(|of| json!({"$not": of})),
            // Fields, comparisons and what looks at the whole value side by side.
            2 => (inner.clone(), inner, any_literal(), any::<bool>())
                .prop_map(|(field, not, eq, is_there)| json!({"a": field, "$not": not, "$ne": eq, "$exist": is_there})),
        ]
    });
    prop::collection::btree_map("[a-c]", condition, 0..3).prop_map(|map| json!(map))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn matcher_agrees_with_the_plainest_one(of in any_filter(), payload in any_payload()) {
        prop_assert_eq!(passes(&of, &payload), naive(&of, Some(&payload), &payload), "{} over {}", of, payload);
    }
}
