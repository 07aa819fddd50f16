//! Tests of the keys of routes whose values are objects.

use super::*;

/// A map of event types is for characters that they do not hold, and gives some that they do.
#[test]
fn event_type_map_is_of_single_characters() {
    let map = "routes[0].event_type.map";
    for (event_type, expected) in [
        (
            json!({"map": {"//": "."}}),
            format!("{map}.\"//\": is not for one character; expected one character that an event"),
        ),
        (json!({"map": {"": "."}}), format!("{map}.\"\": is not for one character")),
        (json!({"map": {"a": "."}}), format!("{map}.a: is for a character that event types hold")),
        (
            json!({"map": {"/": "/"}}),
            format!("{map}.\"/\": is \"/\"; expected up to 16 characters of A-Z a-z 0-9 _ . : -"),
        ),
        (json!({"map": {"/": 5}}), format!("{map}.\"/\": is a number")),
        (json!({"map": []}), format!("{map}: is a list; expected an object of characters")),
        (json!({}), format!("{map}: is missing; expected an object such as")),
        (json!({"table": {}}), "routes[0].event_type.table: is not a known key".to_owned()),
    ] {
        let lines = refused(&with("/routes/0/event_type", event_type));
        assert!(lines[0].starts_with(&expected), "{lines:?}");
    }
    refused(&with("/routes/0/event", json!("orders/create")));
}
