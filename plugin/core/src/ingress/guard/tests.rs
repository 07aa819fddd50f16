//! Tests of the payload guard over all of an event: what leaves besides the payload.

use serde_json::{Value, json};

use super::*;

const PARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn rules(action: &str) -> GuardRules {
    let config = json!({
        "routes": [{"name": "r", "match": {"path": "/"}, "event": "e"}],
        "endpoints": [{"name": "e", "cluster": "e", "url": "http://e", "secrets": [{"value": "s"}]}],
        "payload_guard": {"action": action},
    });
    let config = crate::config::parse(config.to_string().as_bytes(), &|_| None);
    config.unwrap_or_else(|problems| panic!("{problems:?}")).payload_guard.expect("the section")
}

fn event() -> Event {
    Event {
        event_type: "paid".to_owned(),
        payload: b"{\"amount\": 42}".to_vec(),
        content_type: Some(b"application/json".to_vec()),
        content_encoding: None,
        traceparent: Some(PARENT.to_vec()),
        tracestate: Some(b"a=1".to_vec()),
    }
}

fn capture(text: &str, is_in_event_type: bool) -> Filling {
    Filling { header: None, text: text.into(), is_in_event_type }
}

fn header(text: &str) -> Filling {
    Filling { header: Some("x-user".to_owned()), text: text.into(), is_in_event_type: false }
}

/// What is found, as the log tells it, and what is done.
fn told(action: &str, event: &mut Event, fillings: &[Filling], is_envelope: bool) -> (String, GuardAction) {
    let guarded = guard(&rules(action), event, fillings, is_envelope).unwrap();
    (guarded.findings.summary(9), guarded.action)
}

#[test]
fn what_leaves_besides_the_body_is_looked_at() {
    let typed = |event_type: &str| Event { event_type: event_type.to_owned(), ..event() };
    let with_type = |text: &str| Event { content_type: Some(text.into()), ..event() };
    let state = |text: &str| Event { tracestate: Some(text.into()), ..event() };
    let cases: [(Event, Vec<Filling>, &str); 12] = [
        (event(), vec![capture("paid", true), header("u-1")], ""),
        (typed("order:203.0.113.7"), vec![], "ipv4 in event_type"),
        (typed("2001:db8::1"), vec![capture("2001:db8::1", true)], "ipv6 in event_type"),
        (typed("4111111111111111"), vec![], "card in event_type"),
        // In the middle of a name an address is none.
        (typed("order.203.0.113.7"), vec![capture("203.0.113.7", true)], "ipv4 in path at /0"),
        (event(), vec![capture("paid", true), capture("bob@example.com", false)], "email in path at /1"),
        (event(), vec![header("+1 415 555 2671")], "phone in header at /x-user"),
        (with_type("application/json; name=bob@example.com"), vec![], "email in content-type"),
        (with_type("application/json; ip=\"203.0.113.7\""), vec![], "ipv4 in content-type"),
        (state("acme=bob@example.com"), vec![], "email in tracestate"),
        (state("fw529a3039@dt=FfffPz,rojo=00f067aa0ba902b7"), vec![], ""),
        (typed("app.v1.2.3.4"), vec![], ""),
    ];
    for (event, fillings, expected) in cases {
        for action in ["reject", "report"] {
            let mut seen = event.clone();
            let (found, done) = told(action, &mut seen, &fillings, false);
            assert_eq!((found.as_str(), done), (expected, rules(action).action), "{event:?}");
            assert_eq!(seen, event, "nothing is redacted");
        }
    }
}

#[test]
fn headers_are_redacted_and_names_are_refused() {
    let redacted = |mut event: Event, fillings: &[Filling]| {
        let (_, action) = told("redact", &mut event, fillings, false);
        (event, action)
    };
    let typed = Event { content_type: Some(b"text/json; a=bob@example.com; b=1".to_vec()), ..event() };
    let left = Event { content_type: Some(b"text/json".to_vec()), ..event() };
    assert_eq!(redacted(typed, &[]), (left, GuardAction::Redact));
    let odd = Event { content_type: Some(b"text/json bob@example.com".to_vec()), ..event() };
    assert_eq!(redacted(odd, &[]), (Event { content_type: None, ..event() }, GuardAction::Redact));
    let stated = Event { tracestate: Some(b"a=1,b=203.0.113.7".to_vec()), ..event() };
    assert_eq!(redacted(stated, &[]), (Event { tracestate: None, ..event() }, GuardAction::Redact));
    let named = Event { event_type: "203.0.113.7".to_owned(), ..event() };
    assert_eq!(redacted(named, &[]).1, GuardAction::Reject);
    assert_eq!(redacted(event(), &[capture("bob@example.com", false)]).1, GuardAction::Reject);
}

/// What a header fills into the metadata is found, and redacted, there.
#[test]
fn a_filling_in_the_metadata_is_told_once() {
    let envelope = |user: &str| Event {
        payload: json!({"event": "paid", "data": {}, "metadata": {"user": user}}).to_string().into_bytes(),
        ..event()
    };
    let mut seen = envelope("bob@example.com");
    let expected = ("email in metadata at /user".to_owned(), GuardAction::Redact);
    assert_eq!(told("redact", &mut seen, &[header("bob@example.com")], true), expected);
    let payload: Value = serde_json::from_slice(&seen.payload).unwrap();
    assert_eq!(payload["metadata"]["user"], "[redacted]");
    let mut seen = envelope("ip-203.0.113.7");
    let expected = ("ipv4 in header at /x-user".to_owned(), GuardAction::Reject);
    assert_eq!(told("redact", &mut seen, &[header("203.0.113.7")], true), expected);
}

#[test]
fn a_payload_that_cannot_be_read_is_refused_whatever_the_action() {
    for action in ["reject", "redact", "report"] {
        let mut broken = Event { payload: b"{\"a\": NaN}".to_vec(), ..event() };
        assert!(matches!(guard(&rules(action), &mut broken, &[], false), Err(Unreadable::NotJson(_))));
        let mut coded = Event { content_encoding: Some(b"br".to_vec()), ..event() };
        assert_eq!(guard(&rules(action), &mut coded, &[], false).unwrap_err(), Unreadable::Coded);
        let mut text = Event { content_type: None, payload: b"hello".to_vec(), ..event() };
        assert_eq!(guard(&rules(action), &mut text, &[], false).unwrap_err(), Unreadable::NeitherJsonNorForm);
    }
}
