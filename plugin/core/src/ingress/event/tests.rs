use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, parse};

/// A configuration with one route, whose path is `/events/{event}`; `route` are further keys of it.
fn config(route: Value) -> Config {
    let mut whole = json!({
        "routes": [{"name": "r", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": [
            {"name": "one", "cluster": "c", "url": "https://one", "secrets": [{"value": "my-secret"}]},
        ],
    });
    for (key, value) in route.as_object().unwrap() {
        whole["routes"][0][key] = value.clone();
    }
    parse(whole.to_string().as_bytes(), &|_| None).unwrap()
}

fn make(route: Value, event: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Result<Event, Rejection> {
    let config = config(route);
    super::event(&config.routes[0], &[event.to_owned()], &Headers::new(headers), body.to_vec())
}

fn envelope_of(body: &[u8]) -> Result<Event, Rejection> {
    make(
        json!({"payload": "envelope", "metadata": {"tenant": "{header:x-tenant}", "at": "{body:/at}"}}),
        "paid",
        &[],
        body,
    )
}

#[test]
fn a_raw_payload_is_the_bytes_that_came_whatever_they_are() {
    for body in [&b""[..], b"{", b"\xff\x00", b"{ \"a\": 1 }"] {
        let event = make(json!({}), "paid", &[("content-type", b"text/plain")], body).unwrap();
        assert_eq!((event.event_type.as_str(), event.payload.as_slice()), ("paid", body));
        assert_eq!(event.content_type.as_deref(), Some(&b"text/plain"[..]));
    }
}

#[test]
fn an_envelope_holds_the_bodys_own_bytes() {
    let body = b"{ \"at\": 7.50, \"x\": \"\\u00e9\xc3\xa9\" }";
    let event = envelope_of(body).unwrap();
    let expected =
        [b"{\"event\":\"paid\",\"data\":", &body[..], b",\"metadata\":{\"at\":\"7.50\",\"tenant\":null}}"].concat();
    assert_eq!(event.payload, expected);
    assert_eq!(event.content_type.as_deref(), Some(&b"application/json"[..]));
}

/// A byte order mark stays in a raw payload, and has no place in the middle of an envelope.
#[test]
fn byte_order_mark_is_sent_as_it_came() {
    let body = "\u{feff}{\"at\": 7}".as_bytes();
    let event = make(json!({"event": "e.{body:/at}"}), "", &[], body).unwrap();
    assert_eq!((event.event_type.as_str(), event.payload.as_slice()), ("e.7", body));
    let envelope = r#"{"event":"paid","data":{"at": 7},"metadata":{"at":"7","tenant":null}}"#;
    assert_eq!(envelope_of(body).unwrap().payload, envelope.as_bytes());
}

#[test]
fn a_body_that_is_not_json_is_refused_where_json_is_needed() {
    for (body, expected) in [
        (&b""[..], "the body is empty where JSON is needed"),
        (b"\"\xff\"", "the body is not UTF-8 at byte 1"),
        (b"{\"a\":1,}", "the body is not JSON: key must be a string at line 1 column 8"),
    ] {
        assert_eq!(envelope_of(body).unwrap_err().to_string(), expected);
        let by_pointer = make(json!({"event": "{body:/a}"}), "", &[], body);
        assert!(matches!(by_pointer, Err(Rejection::Body(_))), "{by_pointer:?}");
    }
}

const BAD: &str = "byte 1 of the event type is not one of A-Z a-z 0-9 _ . : -; the route's option event_type: {map: \
                   {\"/\": \".\"}} says what stands for such a character";

/// Event types of other systems are taken as the route's map has them.
#[test]
fn event_type_of_another_system_is_mapped() {
    let map = json!({"map": {"/": ".", " ": "_", "é": "e", "!": ""}});
    for (event_type, expected) in [
        ("orders/create", "orders.create"),
        ("Push Hook", "Push_Hook"),
        ("a//é !b", "a..e_b"),
        (&"!".repeat(512), ""),
        ("paid", "paid"),
        ("gatepost/x", ""),
        (&"/".repeat(200), ""),
        (&"!".repeat(513), ""),
        ("a\nb", ""),
    ] {
        let made = make(json!({"event_type": map}), event_type, &[], b"").map(|event| event.event_type);
        assert_eq!(made.as_deref().unwrap_or_default(), expected, "{event_type:.20}");
    }
    let literal = make(json!({"event": "shop/{event}", "event_type": map}), "a b", &[], b"").unwrap();
    assert_eq!(literal.event_type, "shop.a_b");
}

#[test]
fn an_event_type_that_is_none_is_refused_without_being_shown() {
    let long = "x".repeat(10_000);
    for (event_type, expected) in [
        ("", "the event type is empty"),
        ("a\r\nx-injected: 1", BAD),
        ("päid", BAD),
        (&long, "the event type has 10000 bytes, more than 128"),
    ] {
        assert_eq!(make(json!({}), event_type, &[], b"").unwrap_err().to_string(), expected);
    }
    let absent = make(json!({"event": "{header:x-event}"}), "", &[], b"").unwrap_err();
    assert_eq!(absent.to_string(), "there is no event type: the header x-event is absent");
    assert!(make(json!({}), &"x".repeat(128), &[], b"").is_ok());
}

/// A trace context is carried, unless Envoy would refuse the headers.
#[test]
fn trace_context_is_carried_unless_envoy_would_refuse_it() {
    let headers = |event: Event| (event.content_type, event.traceparent, event.tracestate);
    let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace: [(&str, &[u8]); 3] = [("traceparent", parent), ("tracestate", b"a=1"), ("tracestate", b"b=2")];
    let event = make(json!({}), "paid", &trace, b"").unwrap();
    assert_eq!(headers(event), (None, Some(parent.to_vec()), Some(b"a=1, b=2".to_vec())));
    let other: [(&str, &[u8]); 2] = [("traceparent", parent), ("tracestate", b"mail me")];
    assert_eq!(headers(make(json!({}), "paid", &other, b"").unwrap()), (None, Some(parent.to_vec()), None));
    let long = vec![b'x'; CARRIED_HEADER_MAX + 1];
    let refused: [&[(&str, &[u8])]; 5] = [
        &[("traceparent", b"bob@example.com"), ("tracestate", b"a=1")],
        &[("tracestate", b"a=1")],
        &[("traceparent", parent), ("traceparent", parent), ("tracestate", b"a=1")],
        &[("traceparent", b"a\r\nb: c"), ("content-type", b"text/\0plain")],
        &[("traceparent", &long), ("content-type", b"")],
    ];
    for refused in refused {
        assert_eq!(headers(make(json!({}), "paid", refused, b"").unwrap()), (None, None, None));
    }
}

/// Coded bytes go on as they came, with their header; where they would be read as JSON they are refused.
#[test]
fn content_coding_is_carried_or_refused() {
    let coded =
        |route: Value, coding: &str| make(route, "paid", &[("content-encoding", coding.as_bytes())], b"\x1f\x8b");
    for coding in ["gzip", "GZIP", "br", "zstd", "deflate, gzip", "x-what", "identity, gzip", "compress"] {
        let event = coded(json!({}), coding).unwrap();
        assert_eq!(event.content_encoding.as_deref(), Some(coding.as_bytes()));
        assert_eq!(event.payload, b"\x1f\x8b");
        for route in [json!({"payload": "envelope"}), json!({"event": "{body:/a}"}), json!({"event": "x.{body:/a}"})] {
            assert_eq!(coded(route, coding), Err(Rejection::Coded), "{coding}");
        }
    }
    for none in ["", "identity", "Identity", " , identity ,"] {
        assert_eq!(coded(json!({}), none).unwrap().content_encoding, None, "{none:?}");
        assert!(matches!(coded(json!({"payload": "envelope"}), none), Err(Rejection::Body(_))), "{none:?}");
    }
    assert_eq!(coded(json!({}), &"x".repeat(CARRIED_HEADER_MAX + 1)), Err(Rejection::BadCoding));
    let twice: [(&str, &[u8]); 2] = [("content-encoding", b"deflate"), ("content-encoding", b"gzip")];
    let event = make(json!({}), "paid", &twice, b"").unwrap();
    assert_eq!(event.content_encoding.as_deref(), Some(&b"deflate, gzip"[..]));
}

/// What templates may fill in: every capture, and the headers that are named.
#[test]
fn fillings_are_captures_and_the_headers_of_templates() {
    let route = json!({
        "event": "x.{header:x-type}", "payload": "envelope",
        "metadata": {"t": "{header:x-type}-{event}", "u": "{header:x-user}", "none": "{header:x-none}", "n": 1},
    });
    let headers = Headers::new(&[("x-type", b"a"), ("x-user", b"u-1"), ("x-other", b"o")]);
    let filling = |header: Option<&str>, text: &str, is_in_event_type| Filling {
        header: header.map(str::to_owned),
        text: text.into(),
        is_in_event_type,
    };
    assert_eq!(
        fillings(&config(route).routes[0], &["c".to_owned()], &headers),
        [filling(None, "c", false), filling(Some("x-type"), "a", true), filling(Some("x-user"), "u-1", false)]
    );
    assert_eq!(fillings(&config(json!({})).routes[0], &["c".to_owned()], &headers), [filling(None, "c", true)]);
}

proptest! {
    #[test]
    fn an_envelope_is_json_that_gives_the_body_back(text in "\\PC{0,20}", tenant in "\\PC{0,20}", number: i64) {
        let body = json!({"at": text, "n": [number, null]});
        let headers: [(&str, &[u8]); 1] = [("x-tenant", tenant.as_bytes())];
        let route = json!({"payload": "envelope", "metadata": {"tenant": "{header:x-tenant}", "at": "{body:/at}"}});
        let event = make(route, "paid", &headers, body.to_string().as_bytes()).unwrap();
        let envelope: Value = serde_json::from_slice(&event.payload).unwrap();
        prop_assert_eq!(envelope, json!({"event": "paid", "data": body, "metadata": {"tenant": tenant, "at": text}}));
    }

    #[test]
    fn whatever_a_producer_sends_nothing_kept_breaks_a_header(
        event_type: String, names in prop::collection::vec(0usize..3, 0..5), value: Vec<u8>, body: Vec<u8>,
    ) {
        let known = ["content-type", "traceparent", "tracestate"];
        let headers: Vec<(&str, &[u8])> = names.iter().map(|name| (known[*name], value.as_slice())).collect();
        if let Ok(event) = make(json!({}), &event_type, &headers, &body) {
            prop_assert!(headers::is_value(event.event_type.as_bytes()) && !event.event_type.is_empty());
            for value in [event.content_type, event.traceparent, event.tracestate].into_iter().flatten() {
                prop_assert!(headers::is_value(&value));
            }
        }
    }
}
