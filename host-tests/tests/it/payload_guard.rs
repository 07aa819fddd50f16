//! Personal data in an event: refused, redacted or reported, and shown nowhere.

use host_tests::{Answer, Process, Request};
use serde_json::{Value, json};

use crate::support::{accept, advance, answer, attempts, body, config, endpoint, event, seconds, start, with};

/// Parts of the values that the events here hold.
const VALUES: [&str; 4] = ["bob@example", "4111", "203.0.113", "hunter2"];

const PERSONAL: &str = r#"{"amount": 42, "user": {"email": {"a": "x"}, "note": "mail bob\u0040example.com or 203.0.113.7"},
 "cards": ["4111 1111 1111 1111"], "who": {"bob@example.com": 1}, "password": "hunter2" }"#;

const REDACTED: &str = r#"{"amount": 42, "user": {"email": "[redacted]", "note": "[redacted]"},
 "cards": ["[redacted]"], "who": {"[redacted]": 1}, "password": "[redacted]" }"#;

fn guarded(section: Value) -> Value {
    with(config([endpoint("billing")]), json!({"payload_guard": section}))
}

fn personal() -> Request {
    event("payment_verified").body(PERSONAL)
}

fn findings(process: &Process, kind: &str) -> u64 {
    process.metric(&format!("kind=.={kind};.;gatepost_payload_findings_total")).unwrap_or_default()
}

/// The lines of the log that tell of personal data.
fn told(process: &Process) -> Vec<&str> {
    let lines = process.log().iter().map(|line| line.message.as_str());
    lines.filter(|line| line.starts_with("event=personal_data ")).collect()
}

/// No value stands in the log, in the name of a metric, in an answer, or in shared data, bodies that may be sent aside.
fn assert_untold(process: &Process, answers: &[&Answer], is_sent: bool) {
    for value in VALUES {
        let holds = |bytes: &[u8]| bytes.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(!process.log().iter().any(|line| line.message.contains(value)), "{value}: {:#?}", process.log());
        assert!(!process.metrics().any(|name| name.contains(value)), "{value}");
        assert!(!answers.iter().any(|answer| holds(&answer.body)), "{value}: {answers:?}");
        for (key, data) in process.shared_data() {
            let may_hold = is_sent && key.starts_with("gatepost/body/");
            assert!(!key.contains(value) && (may_hold || !holds(data)), "{value} in {key}");
        }
    }
}

/// An event with personal data is refused with pointers and nothing is kept or sent.
#[test]
fn personal_data_is_refused_with_pointers_and_not_kept() {
    let mut process = start(&guarded(json!({})));
    let answer = answer(&mut process, 0, personal());
    assert_eq!((answer.status(), answer.header("content-type")), (422, "application/problem+json"));
    let body = body(&answer);
    assert_eq!((&body["status"], &body["title"]), (&json!(422), &json!("Unprocessable Content")));
    assert_eq!(
        body["findings"],
        json!([
            {"pointer": "/user/email", "kind": "key"},
            {"pointer": "/user/note", "kind": "email"},
            {"pointer": "/user/note", "kind": "ipv4"},
            {"pointer": "/cards/0", "kind": "card"},
            {"pointer": "/who/[redacted]", "kind": "email"},
            {"pointer": "/password", "kind": "key"},
        ])
    );
    assert_eq!(body["total"], 6);
    advance(&mut process, seconds(60));
    assert!(process.calls("billing").is_empty());
    assert!(!process.shared_data().any(|(key, _)| key.contains("/body/")));
    assert_eq!((findings(&process, "email"), findings(&process, "key"), findings(&process, "card")), (2, 2, 1));
    assert_eq!(process.metric("route=.=ingest;.;result=.=invalid;.;gatepost_events_total"), Some(1));
    assert_eq!(
        told(&process),
        ["event=personal_data route=ingest action=rejected found=\"key at /user/email, email at /user/note, ipv4 at \
             /user/note, card at /cards/0, email at /who/[redacted], key at /password\""]
    );
    assert_untold(&process, &[&answer], false);
}

#[test]
fn redacted_everything_else_arrives_byte_for_byte() {
    let mut process = start(&guarded(json!({"action": "redact"})));
    accept(&mut process, 0, personal());
    advance(&mut process, seconds(1));
    assert_eq!(String::from_utf8_lossy(&attempts(&process, "billing")[0].body), REDACTED);
    assert_eq!((findings(&process, "email"), told(&process).len()), (2, 1));
    assert_untold(&process, &[], false);
}

#[test]
fn reported_an_event_is_delivered_as_it_came() {
    let mut process = start(&guarded(json!({"action": "report"})));
    accept(&mut process, 0, personal());
    advance(&mut process, seconds(1));
    assert_eq!(attempts(&process, "billing")[0].body, PERSONAL.as_bytes());
    assert_eq!((findings(&process, "ipv4"), told(&process).len()), (1, 1));
    assert!(told(&process)[0].contains("action=delivered found=\"key at /user/email"), "{:?}", told(&process));
    assert_untold(&process, &[], true);
}

#[test]
fn with_ids_only_a_string_needs_an_allowed_key() {
    let mut process = start(&guarded(json!({"ids_only": true})));
    accept(
        &mut process,
        0,
        event("a").body(r#"{"user_id": "u-1", "title": "Hi", "amount": 42, "ok": true, "no": null}"#),
    );
    let refused = answer(&mut process, 0, event("a").body(r#"{"user_id": "u-1", "name": "Bob"}"#));
    assert_eq!(body(&refused)["findings"], json!([{"pointer": "/name", "kind": "string"}]));
    advance(&mut process, seconds(1));
    assert_eq!(findings(&process, "string"), 1);
}

#[test]
fn what_only_looks_like_personal_data_passes() {
    let mut process = start(&guarded(json!({})));
    let body = r#"{"email_sent": 1, "version": "1.2.3.4", "agent": "Chrome/120.0.6099.109", "order": 4111111111111111,
        "id": "123e4567-e89b-12d3-a456-426614174000", "at": "2024-01-15T12:34:56+01:00", "amount": "1,234,567.89",
        "hash": "d41d8cd98f00b204e9800998ecf8427e", "ms": "1700000000000", "tokens": 3}"#;
    accept(&mut process, 0, event("a").body(body));
    accept(&mut process, 1, Request::post("/events/ping"));
    advance(&mut process, seconds(1));
    assert_eq!(process.calls("billing").len(), 2);
    assert!(told(&process).is_empty() && findings(&process, "key") == 0);
}

#[test]
fn in_an_envelope_the_body_and_the_metadata_are_looked_at() {
    let mut config = guarded(json!({}));
    config["routes"][0]["payload"] = json!("envelope");
    config["routes"][0]["metadata"] = json!({"tenant": "{header:x-tenant}"});
    let mut process = start(&config);
    let request = event("a").header("x-tenant", "bob@example.com").body(r#"{"list": ["203.0.113.7"]}"#);
    let refused = answer(&mut process, 0, request.clone());
    assert_eq!(
        body(&refused)["findings"],
        json!([
            {"pointer": "/list/0", "kind": "ipv4"},
            {"in": "metadata", "pointer": "/tenant", "kind": "email"},
        ])
    );
    assert_untold(&process, &[&refused], false);
    config["payload_guard"] = json!({"action": "redact"});
    let mut process = start(&config);
    accept(&mut process, 0, request);
    advance(&mut process, seconds(1));
    let sent: Value = serde_json::from_slice(&attempts(&process, "billing")[0].body).expect("JSON");
    assert_eq!(sent, json!({"event": "a", "data": {"list": ["[redacted]"]}, "metadata": {"tenant": "[redacted]"}}));
}

/// A post of an event whose body is of this type.
fn typed(content_type: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post("/events/a").header("content-type", content_type).body(body.into())
}

#[test]
fn forms_are_parsed_and_the_rest_is_text_if_the_config_says_so() {
    let mut process = start(&guarded(json!({"action": "redact", "non_json": "text"})));
    let form = "to=bob%40example.com&card=4111111111111111&password=hunter2&n=1";
    accept(&mut process, 0, typed("application/x-www-form-urlencoded", form.replace("&password=hunter2", "")));
    accept(&mut process, 0, typed("application/octet-stream", b"\xff\x00 bob@example.com \xfe".to_vec()));
    advance(&mut process, seconds(1));
    let bodies: Vec<Vec<u8>> = attempts(&process, "billing").into_iter().map(|attempt| attempt.body).collect();
    assert_eq!(bodies, [b"to=[redacted]&card=[redacted]&n=1".to_vec(), b"\xff\x00 [redacted] \xfe".to_vec()]);
    assert_untold(&process, &[], false);
}

/// What cannot be read is refused whatever the action, counted and told, and no endpoint is rolled back for it.
#[test]
fn what_cannot_be_read_is_refused_whatever_the_action() {
    let bodies: [(&str, &[u8]); 8] = [
        ("application/json", b"{\"email\": NaN}"),
        ("application/json", b"{\"amount\": 42,}"),
        ("text/plain", b"{\"a\": 1} {\"password\": \"hunter2\"}"),
        ("application/json", b"{\"a\": \"caf\xe9\"}"),
        ("application/json; charset=utf-16", b"{}"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("text/plain", b"hunter2"),
        ("", b"hunter2"),
    ];
    for action in ["reject", "redact", "report"] {
        let mut process = start(&with(guarded(json!({"action": action})), json!({"rollout": {"guard": {}}})));
        for (content_type, body) in bodies {
            let refused = answer(&mut process, 0, typed(content_type, body));
            let problem = self::body(&refused);
            assert_eq!(refused.status(), 422, "{action}: {content_type}");
            assert_eq!(problem["findings"], json!([{"pointer": "", "kind": "unreadable"}]));
            assert_untold(&process, &[&refused], false);
        }
        accept(&mut process, 0, event("a").body("{}"));
        advance(&mut process, seconds(1));
        assert_eq!(attempts(&process, "billing").len(), 1, "it is not rolled back");
        assert_eq!((findings(&process, "unreadable"), told(&process).len()), (8, 0));
        assert_eq!(process.metric("route=.=ingest;.;result=.=invalid;.;gatepost_events_total"), Some(8));
        let lines: Vec<_> = process.log().iter().filter(|line| line.message.starts_with("event=unreadable ")).collect();
        assert_eq!(lines.len(), 8);
        let first = "event=unreadable route=ingest reason=\"it should be strict JSON, but the body is not JSON: expected \
                     value at line 1 column 11\"";
        assert_eq!(lines[0].message, first);
    }
}

/// Where the route needs JSON too, the guard is the one that refuses.
#[test]
fn under_the_guard_a_coding_is_unreadable_on_every_route() {
    for more in [json!({}), json!({"payload": "envelope"}), json!({"event": "{body:/a}"})] {
        let mut config = guarded(json!({"action": "report"}));
        config["routes"][0] = with(config["routes"][0].clone(), more.clone());
        let mut process = start(&config);
        for coded in [&b"\x1f\x8b"[..], b"{\"a\": \"x\"}"] {
            let refused = answer(&mut process, 0, event("a").header("content-encoding", "gzip").body(coded.to_vec()));
            assert_eq!(
                (refused.status(), &body(&refused)["findings"][0]["kind"]),
                (422, &json!("unreadable")),
                "{more}"
            );
        }
        let identity = event("a").header("content-encoding", "identity").body("{\"a\": \"x\"}");
        accept(&mut process, 0, identity);
        assert_eq!(findings(&process, "unreadable"), 2);
    }
}

/// The event type, the path and the headers that are passed on leave too.
#[test]
fn what_leaves_besides_the_body_is_looked_at() {
    let mut process = start(&guarded(json!({})));
    let by_type = answer(&mut process, 0, event("2001:db8::1"));
    assert_eq!(body(&by_type)["findings"], json!([{"in": "event_type", "pointer": "", "kind": "ipv6"}]));
    let by_header = answer(&mut process, 0, typed("application/json; name=bob@example.com", "{}"));
    assert_eq!(body(&by_header)["findings"], json!([{"in": "content-type", "pointer": "", "kind": "email"}]));
    let mut config = guarded(json!({"action": "redact"}));
    config["routes"][0]["match"]["path"] = json!("/events/{event}/{user}");
    config["routes"][0]["event"] = json!("{event}");
    let mut process = start(&config);
    let by_path = answer(&mut process, 0, Request::post("/events/a/bob@example.com").body("{}"));
    assert_eq!(body(&by_path)["findings"], json!([{"in": "path", "pointer": "/1", "kind": "email"}]));
    let detail = "the event holds personal data where it cannot be redacted; nothing of it was kept or sent";
    assert_eq!(body(&by_path)["detail"], detail);
    assert_untold(&process, &[&by_type, &by_header, &by_path], false);
}

#[test]
fn a_refused_event_does_not_use_up_its_idempotency_key() {
    let mut process = start(&guarded(json!({})));
    let refused = answer(&mut process, 0, personal().header("idempotency-key", "k"));
    assert_eq!(refused.status(), 422);
    accept(&mut process, 1, event("payment_verified").header("idempotency-key", "k"));
}

#[test]
fn nothing_is_looked_at_that_nobody_wants() {
    let mut config = guarded(json!({}));
    config["endpoints"][0]["events"] = json!(["refund"]);
    let mut process = start(&config);
    assert_eq!(body(&answer(&mut process, 0, personal()))["status"], "no_subscriber");
    config["enabled"] = json!(false);
    config["endpoints"][0]["events"] = json!(["**"]);
    let mut process = start(&config);
    assert_eq!(body(&answer(&mut process, 0, personal()))["status"], "disabled");
    assert!(told(&process).is_empty());
}

#[test]
fn a_finding_rolls_the_endpoint_back_whatever_the_action() {
    for (action, status) in [("reject", 422), ("redact", 202), ("report", 202)] {
        let mut process = start(&with(guarded(json!({"action": action})), json!({"rollout": {"guard": {}}})));
        let first = answer(&mut process, 0, personal());
        assert_eq!(first.status(), status, "{action}");
        advance(&mut process, seconds(5));
        assert!(process.calls("billing").is_empty(), "{action}: it is held");
        let second = answer(&mut process, 1, event("payment_verified"));
        assert_eq!(body(&second)["deliveries"][0]["status"], "held");
        let metric = "endpoint=.=billing;.;reason=.=personal_data;.;gatepost_rollbacks_total";
        assert_eq!(process.metric(metric), Some(1), "{action}");
        assert_untold(&process, &[&first], action == "report");
    }
}

#[test]
fn an_event_outside_of_the_sample_is_looked_at_too() {
    let rollout = json!({"rollout": {"percent": 0, "guard": {}}});
    let mut process = start(&with(guarded(json!({"action": "report"})), rollout));
    assert_eq!(body(&answer(&mut process, 0, personal()))["status"], "not_sampled");
    advance(&mut process, seconds(1));
    let metric = "endpoint=.=billing;.;reason=.=personal_data;.;gatepost_rollbacks_total";
    assert_eq!((process.metric(metric), told(&process).len()), (Some(1), 1));
}

#[test]
fn depth_and_size_do_no_harm() {
    let mut process = start(&guarded(json!({"action": "redact"})));
    let deep = |levels: usize| format!("{}\"bob@example.com\"{}", "[".repeat(levels), "]".repeat(levels));
    accept(&mut process, 0, event("a").body(deep(127)));
    for levels in [128, 120_000] {
        let refused = answer(&mut process, 0, event("a").body(deep(levels)));
        assert_eq!((refused.status(), refused.header("content-type")), (422, "application/problem+json"));
    }
    let refused = answer(&mut process, 0, event("a").body("{\"email\":1,".repeat(20_000)));
    assert_eq!(refused.status(), 422);
    accept(&mut process, 0, event("a").body(format!("\"{}\"", "1:%40@+(".repeat(30_000))));
    // The deepest JSON, in a string of the deepest JSON, in a string of the deepest JSON.
    let inner = |text: String| format!("{}{}{}", "[".repeat(127), Value::from(text), "]".repeat(127));
    accept(&mut process, 0, event("a").body(inner(inner(deep(127).replace("bob@example.com", "x")))));
    let nulls = format!("{}null{}", "{\"email\":".repeat(127), "}".repeat(127));
    accept(&mut process, 0, event("a").body(nulls));
    advance(&mut process, seconds(1));
    let expected = deep(127).replace("bob@example.com", "[redacted]");
    assert_eq!(attempts(&process, "billing")[0].body, expected.as_bytes());
}

#[test]
fn what_stands_deep_is_not_read_once_for_each_level() {
    let mut process = start(&guarded(json!({"action": "redact"})));
    let mut fuel = |levels: usize| {
        let items = vec!["{\"a\":\"b\"}"; 10_000].join(",");
        let body = format!("{}{items}{}", "[".repeat(levels), "]".repeat(levels));
        let start = process.fuel();
        accept(&mut process, 0, event("a").body(body));
        process.fuel() - start
    };
    // The first one grows the memory.
    fuel(100);
    let (flat, deep) = (fuel(1), fuel(100));
    assert!(deep < flat + flat / 10, "{deep} and {flat}");
}
