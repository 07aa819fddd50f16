//! What users are told about configurations that are not valid.

use proptest::prelude::*;

use super::*;

/// Asserts that each change to the minimal configuration gives exactly one line, which begins with the path and the
/// fault.
pub(super) fn each_is_refused(cases: &[(&str, Value, &str, &str)]) {
    for (pointer, value, path, what) in cases {
        let lines = refused(&with(pointer, value.clone()));
        let [line] = lines.as_slice() else {
            panic!("{pointer} = {value}: {lines:#?}");
        };
        assert!(line.starts_with(&format!("{path}: {what}")), "{pointer} = {value}: {line}");
        assert!(line.contains("; expected "), "{line}");
    }
}

#[test]
fn ten_mistakes_give_ten_lines() {
    let config = json!({
        "enabled": "yes",
        "rutes": [],
        "routes": [
            {"name": "a b", "match": {"path": "events"}, "event": "x"},
            {"name": "ok", "match": {"path": "/ok", "methods": []}, "event": "{nope}"},
        ],
        "endpoints": [
            {"name": "billing", "cluster": "billing", "url": "/hook", "secrets": []},
            {"name": "audit", "cluster": "a", "url": "http://a", "secrets": [{"env": "NOT_THERE"}], "timeout": "never"},
        ],
    });
    let lines = refused(&config);
    let paths: Vec<&str> = lines.iter().filter_map(|line| line.split_once(": ")).map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        [
            "rutes",
            "enabled",
            "endpoints[0].url",
            "endpoints[0].secrets",
            "endpoints[1].secrets[0].env",
            "endpoints[1].timeout",
            "routes[0].name",
            "routes[0].match.path",
            "routes[1].match.methods",
            "routes[1].event",
        ],
    );
}

#[test]
fn a_line_says_where_what_and_what_was_expected() {
    assert_eq!(
        refused(&with("/endpoints/0/secrets/-", json!({"env": "NOT_THERE"}))),
        ["endpoints[0].secrets[1].env: NOT_THERE is not set; expected an environment variable that Envoy's \
          environment_variables.host_env_keys passes on"]
    );
    assert_eq!(
        refused(&with("/endpoints/0/max_in_flight", json!(5000))),
        ["endpoints[0].max_in_flight: is 5000; expected a whole number from 1 to 1024"]
    );
}

/// White space at the ends of a variable is the end of a file that it was read from: it would be part of the secret.
#[test]
fn white_space_around_a_variable_is_refused() {
    let config = json!({
        "routes": [{"name": "r", "match": {"path": "/e"}, "event": "paid"}],
        "endpoints": [{
            "name": "e", "cluster": "c", "url": "http://h", "secrets": [{"env": "SECRET"}],
            "headers": {"authorization": {"env": "HEADER"}},
        }],
        "admin": {"path": "/gatepost", "tokens": [{"env": "TOKEN", "role": "read"}]},
    });
    for padded in ["hunter2\n", "hunter2\r\n", " hunter2", "\thunter2", "hunter2\u{a0}"] {
        let problems = parse(config.to_string().as_bytes(), &|_| Some(padded.repeat(3))).unwrap_err();
        let told = lines(&problems);
        let expected = [
            "endpoints[0].secrets[0].env: SECRET begins or ends with white space; expected the value without it",
            "endpoints[0].headers.authorization.env: HEADER begins or ends with white space; expected the value without it",
            "admin.tokens[0].env: TOKEN begins or ends with white space; expected the value without it",
        ];
        assert!(expected.iter().all(|line| told.iter().any(|told| told == line)), "{told:#?}");
        assert!(!told.concat().contains("hunter2"));
    }
}

/// An unknown key is refused at every level, and the known key that it resembles is suggested.
#[test]
fn unknown_key_is_refused_with_a_suggestion() {
    each_is_refused(&[
        ("/enable", json!(true), "enable", "is not a known key (did you mean enabled?)"),
        ("/limits", json!({"bodyy": 1}), "limits.bodyy", "is not a known key (did you mean body?)"),
        ("/routes/0/even", json!("x"), "routes[0].even", "is not a known key (did you mean event?)"),
        ("/routes/0/match/verb", json!("x"), "routes[0].match.verb", "is not a known key;"),
        ("/endpoints/0/secret", json!("x"), "endpoints[0].secret", "is not a known key (did you mean secrets?)"),
        (
            "/endpoints/0/retry",
            json!({"delay": []}),
            "endpoints[0].retry.delay",
            "is not a known key (did you mean delays?)",
        ),
        ("/endpoints/0/breaker", json!({"x": 1}), "endpoints[0].breaker.x", "is not a known key;"),
        ("/endpoints/0/rate", json!({"per_second": 1, "x": 1}), "endpoints[0].rate.x", "is not a known key;"),
        ("/endpoints/0/signature", json!({"x": 1}), "endpoints[0].signature.x", "is not a known key;"),
        ("/a b\nc", json!(1), "\"a b\\nc\"", "is not a known key;"),
    ]);
}

/// An admin surface without a good token or path is refused, and no token is shown.
#[test]
fn bad_admin_token_or_path_is_refused_and_not_shown() {
    let with_token = |token: Value| json!({"tokens": [token]});
    each_is_refused(&[
        ("/admin", json!({}), "admin.tokens", "is missing"),
        ("/admin", json!({"tokens": []}), "admin.tokens", "is empty"),
        ("/admin", with_token(json!({"role": "read"})), "admin.tokens[0]", "has not exactly one of env and value"),
        ("/admin", with_token(json!({"env": "NOT_THERE"})), "admin.tokens[0].env", "NOT_THERE is not set"),
        ("/admin", with_token(json!({"value": "a secret"})), "admin.tokens[0]", "is empty or holds white space;"),
        ("/admin", with_token(json!({"value": "s", "role": "root"})), "admin.tokens[0].role", "is \"root\""),
        ("/admin", json!({"path": "/a/", "tokens": [{"value": "s"}]}), "admin.path", "is \"/a/\""),
    ]);
}

#[test]
fn what_comes_later_is_known_and_refused() {
    each_is_refused(&[
        ("/routes/0/mode", json!("forward"), "routes[0].mode", "is \"forward\", which is not yet supported"),
        ("/routes/0/mode", json!("tap"), "routes[0].mode", "is \"tap\", which is not yet supported"),
    ]);
}

#[test]
fn what_is_required_is_missed() {
    for pointer in [
        "/routes",
        "/endpoints",
        "/routes/0/name",
        "/routes/0/match",
        "/routes/0/match/path",
        "/routes/0/event",
        "/endpoints/0/name",
        "/endpoints/0/cluster",
        "/endpoints/0/url",
        "/endpoints/0/secrets",
    ] {
        let path = pointer.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
        let lines = refused(&without(pointer));
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("{path}: is missing; expected ")), "{lines:?}");
    }
    each_is_refused(&[
        ("/routes", json!([]), "routes", "is empty; expected at least one route"),
        ("/endpoints/0/rate", json!({"burst": 3}), "endpoints[0].rate.per_second", "is missing"),
        ("/endpoints/0/dead_letter", json!({"cluster": "c"}), "endpoints[0].dead_letter.url", "is missing"),
    ]);
}

#[test]
fn routes_are_checked() {
    let second = |matching: Value| json!({"name": "second", "match": matching, "event": "e"});
    let hidden = "can never match: route \"ingest\" comes first";
    each_is_refused(&[
        (
            "/routes/-",
            json!({"name": "ingest", "match": {"path": "/b"}, "event": "e"}),
            "routes[1].name",
            "is \"ingest\", the name of number 0",
        ),
        ("/routes/-", second(json!({"path": "/events/{other}"})), "routes[1]", hidden),
        ("/routes/-", second(json!({"path": "/events/{e}", "headers": {"x-a": "b"}})), "routes[1]", hidden),
        ("/routes/0/name", json!("a.b"), "routes[0].name", "is \"a.b\""),
        ("/routes/0/name", json!("a".repeat(65)), "routes[0].name", "is "),
        ("/routes/0/match/path", json!("/events/{event}?x"), "routes[0].match.path", "holds '?'"),
        ("/routes/0/match/methods", json!(["PO ST"]), "routes[0].match.methods[0]", "is \"PO ST\""),
        ("/routes/0/match/headers", json!({"x y": "z"}), "routes[0].match.headers.\"x y\"", "is not the name"),
        ("/routes/0/match/headers", json!({"Host": "z"}), "routes[0].match.headers.Host", "never reaches a filter"),
        ("/routes/0/match/headers", json!({"x-y": "a\r\nb"}), "routes[0].match.headers.x-y", "can never equal"),
        ("/routes/0/match/headers", json!({"x-y": "a", "X-Y": "b"}), "routes[0].match.headers", "has a header twice"),
        ("/routes/0/event", json!("{evnt}"), "routes[0].event", "uses {evnt}, which is not a segment"),
        ("/routes/0/event", json!("{a\nb}"), "routes[0].event", "uses {a\\u{a}b}, which is not a segment"),
        ("/routes/0/event", json!("{event"), "routes[0].event", "has a '{' that is not closed"),
        ("/routes/0/event", json!("a b"), "routes[0].event", "can never be an event type"),
        ("/routes/0/event", json!(""), "routes[0].event", "can never be an event type"),
        ("/routes/0/event", json!(7), "routes[0].event", "is a number"),
        (
            "/routes/0/payload",
            json!("json"),
            "routes[0].payload",
            "is \"json\", which is not known; expected envelope or raw",
        ),
        ("/routes/0/metadata", json!({}), "routes[0].metadata", "has no place in a raw payload"),
        ("/routes/0/ack_timeout", json!("1s"), "routes[0].ack_timeout", "has no meaning"),
        ("/routes/0/ack", json!("later"), "routes[0].ack", "is \"later\""),
        ("/routes/0/endpoints", json!(["nobody"]), "routes[0].endpoints[0]", "names \"nobody\", which is no endpoint"),
        ("/routes/0/endpoints", json!([]), "routes[0].endpoints", "is empty"),
        ("/routes/0/idempotency_scope", json!("x y"), "routes[0].idempotency_scope", "is not a header name"),
    ]);
    let mut envelope = with("/routes/0/payload", json!("envelope"));
    put(&mut envelope, "/routes/0/metadata", json!({"a": [], "b": "{x}"}));
    let lines = refused(&envelope);
    assert!(
        lines[0].starts_with("routes[0].metadata.a: is a list")
            && lines[1].starts_with("routes[0].metadata.b: uses {x}")
    );
}

#[test]
fn endpoints_are_checked() {
    let billing = json!({"name": "billing", "cluster": "c", "url": "http://h", "secrets": [{"value": "s"}]});
    each_is_refused(&[
        ("/endpoints/-", billing, "endpoints[1].name", "is \"billing\", the name of number 0"),
        ("/endpoints/0/cluster", json!(""), "endpoints[0].cluster", "is \"\""),
        ("/endpoints/0/url", json!("ftp://h/x"), "endpoints[0].url", "has another scheme"),
        ("/endpoints/0/url", json!("https://user:hunter2@h/"), "endpoints[0].url", "holds a user name or password"),
        ("/endpoints/0/url", json!("https:///x"), "endpoints[0].url", "is not a URL"),
        ("/endpoints/0/url", json!("https://:80/x"), "endpoints[0].url", "has no host"),
        ("/endpoints/0/url", json!("https://h:99999/x"), "endpoints[0].url", "has no host, or a host or port"),
        ("/endpoints/0/url", json!("https://h:/x"), "endpoints[0].url", "has no host, or a host or port"),
        ("/endpoints/0/url", json!("https://h:+80/x"), "endpoints[0].url", "has no host, or a host or port"),
        ("/endpoints/0/url", json!("https://[::1/x"), "endpoints[0].url", "has no host, or a host or port"),
        ("/endpoints/0/url", json!("https://h[1]/x"), "endpoints[0].url", "has no host, or a host or port"),
        ("/endpoints/0/url", json!("https://?x"), "endpoints[0].url", "is not a URL"),
        ("/endpoints/0/url", json!("https://h/x#y"), "endpoints[0].url", "holds '#'"),
        ("/endpoints/0/url", json!("https://h/a b"), "endpoints[0].url", "holds '#', white space"),
        ("/endpoints/0/url", json!("/x"), "endpoints[0].url", "is not absolute"),
        ("/endpoints/0/events", json!([]), "endpoints[0].events", "is empty"),
        ("/endpoints/0/events", json!(["a b"]), "endpoints[0].events[0]", "has a character that no event type has"),
        ("/endpoints/0/secrets", json!("hunter2"), "endpoints[0].secrets", "is a string"),
        ("/endpoints/0/secrets", json!(["hunter2"]), "endpoints[0].secrets[0]", "is a string"),
        ("/endpoints/0/secrets", json!([{}]), "endpoints[0].secrets[0]", "is empty"),
        ("/endpoints/0/secrets", json!([{"value": ""}]), "endpoints[0].secrets[0].value", "gives an empty secret"),
        ("/endpoints/0/secrets", json!([{"env": "BLANK"}]), "endpoints[0].secrets[0].env", "gives an empty secret"),
        (
            "/endpoints/0/secrets",
            json!([{"env": "hunter 2"}]),
            "endpoints[0].secrets[0].env",
            "is not the name of a variable",
        ),
        ("/endpoints/0/secrets", json!([{"env": "API_KEY", "value": "x"}]), "endpoints[0].secrets[0]", "has both"),
        (
            "/endpoints/0/signature",
            json!({"header_prefix": "X Y"}),
            "endpoints[0].signature.header_prefix",
            "is \"X Y\"",
        ),
        ("/endpoints/0/signature", json!({"header_prefix": "X-Envoy-"}), "endpoints[0].signature.header_prefix", "is "),
        ("/endpoints/0/timeout", json!(10), "endpoints[0].timeout", "is a number"),
        ("/endpoints/0/timeout", json!("-1s"), "endpoints[0].timeout", "is \"-1s\""),
        ("/endpoints/0/timeout", json!("1d"), "endpoints[0].timeout", "is \"1d\""),
        ("/endpoints/0/timeout", json!("1e3s"), "endpoints[0].timeout", "is \"1e3s\""),
        ("/endpoints/0/timeout", json!("0s"), "endpoints[0].timeout", "is \"0s\""),
        ("/endpoints/0/timeout", json!("1.s"), "endpoints[0].timeout", "is \"1.s\""),
        ("/endpoints/0/timeout", json!("1.5.0s"), "endpoints[0].timeout", "is \"1.5.0s\""),
        ("/endpoints/0/timeout", json!("1.0005s"), "endpoints[0].timeout", "is \"1.0005s\""),
        ("/endpoints/0/timeout", json!("99999999999999999999h"), "endpoints[0].timeout", "is \"9999"),
        ("/endpoints/0/max_in_flight", json!(1.5), "endpoints[0].max_in_flight", "is 1.5"),
        ("/endpoints/0/max_in_flight", json!(0), "endpoints[0].max_in_flight", "is 0"),
        ("/endpoints/0/max_age", json!("6s"), "endpoints[0].max_age", "max_age is 6s"),
        ("/endpoints/0/pending", json!(10_001), "endpoints[0].pending", "is 10001"),
        ("/endpoints/0/disabled", json!("no"), "endpoints[0].disabled", "is a string"),
        ("/endpoints/0/overflow", json!("drop"), "endpoints[0].overflow", "is \"drop\""),
        ("/endpoints/0/on_gone", json!(null), "endpoints[0].on_gone", "is null"),
        ("/endpoints/0/rate", json!({"per_second": 0}), "endpoints[0].rate.per_second", "is 0"),
    ]);
}

#[test]
fn retry_and_breaker_are_checked() {
    let delays: Vec<&str> = vec!["0s"; 21];
    each_is_refused(&[
        ("/endpoints/0/retry", json!({"delays": []}), "endpoints[0].retry.delays", "is empty"),
        (
            "/endpoints/0/retry",
            json!({"delays": delays}),
            "endpoints[0].retry.delays",
            "has 21 items; expected at most 20",
        ),
        ("/endpoints/0/retry", json!({"delays": ["25h"]}), "endpoints[0].retry.delays[0]", "is \"25h\""),
        ("/endpoints/0/retry", json!({"jitter": 1.1}), "endpoints[0].retry.jitter", "is 1.1"),
        ("/endpoints/0/retry", json!({"jitter": "1.1"}), "endpoints[0].retry.jitter", "is \"1.1\""),
        ("/endpoints/0/retry", json!({"jitter": "some"}), "endpoints[0].retry.jitter", "is \"some\""),
        (
            "/endpoints/0/retry",
            json!({"statuses": [200]}),
            "endpoints[0].retry.statuses[0]",
            "is not the status of a failure",
        ),
        ("/endpoints/0/retry", json!({"statuses": ["2xx"]}), "endpoints[0].retry.statuses[0]", "is not the status"),
        ("/endpoints/0/retry", json!({"statuses": [600]}), "endpoints[0].retry.statuses[0]", "is not the status"),
        ("/endpoints/0/breaker", json!({"failures": 0}), "endpoints[0].breaker.failures", "is 0"),
        ("/endpoints/0/breaker", json!({"failures": 101}), "endpoints[0].breaker.failures", "is 101"),
        ("/endpoints/0/breaker", json!({"count": "all"}), "endpoints[0].breaker.count", "is \"all\""),
        ("/endpoints/0/breaker", json!({"open": "25h"}), "endpoints[0].breaker.open", "is \"25h\""),
    ]);
}

#[test]
fn headers_that_would_break_a_delivery_are_refused() {
    for name in [
        ":path",
        "Host",
        "content-length",
        "Content-Type",
        "connection",
        "TE",
        "transfer-encoding",
        "upgrade",
        "x-envoy-retry-on",
        "X-Webhook-Signature",
        "x-webhook-id",
        "user-agent",
        "traceparent",
        "",
        "a b",
    ] {
        let lines = refused(&with("/endpoints/0/headers", json!({name: "hunter2"})));
        assert!(lines.len() == 1 && lines[0].starts_with("endpoints[0].headers."), "{name}: {lines:?}");
    }
    for value in
        [json!(""), json!("a\r\nb: c"), json!("hunter2\n"), json!({"env": "BLANK"}), json!({"env": "NONE"}), json!(1)]
    {
        let lines = refused(&with("/endpoints/0/headers", json!({"x-api-key": value})));
        assert!(lines.len() == 1 && lines[0].starts_with("endpoints[0].headers.x-api-key"), "{value}: {lines:?}");
    }
    each_is_refused(&[(
        "/endpoints/0/headers",
        json!({"x-a": "1", "X-A": "2"}),
        "endpoints[0].headers.x-a",
        "stands twice",
    )]);
}

#[test]
fn limits_and_the_rest_are_checked() {
    each_is_refused(&[
        ("/limits", json!({"body": "17MiB"}), "limits.body", "is \"17MiB\""),
        ("/limits", json!({"body": "64KB"}), "limits.body", "is \"64KB\""),
        ("/limits", json!({"body": "0.3B"}), "limits.body", "is \"0.3B\""),
        ("/limits", json!({"body": 0}), "limits.body", "is 0;"),
        ("/limits", json!({"pending": 0}), "limits.pending", "is 0"),
        (
            "/limits",
            json!({"pending_bytes": "1KiB"}),
            "limits.pending_bytes",
            "pending_bytes is 1024 bytes; expected at least limits.body",
        ),
        ("/limits", json!({"dead_letter_bytes": 1}), "limits.dead_letter_bytes", "dead_letter_bytes is 1 bytes"),
        ("/limits", json!([]), "limits", "is a list"),
        ("/user_agent", json!("a\nb"), "user_agent", "is empty, too long"),
        ("/enabled", json!("true"), "enabled", "is a string; expected true, false or {env: NAME}"),
        ("/enabled", json!({"env": "MAYBE"}), "enabled", "names a variable that holds neither"),
        ("/enabled", json!({}), "enabled.env", "is missing"),
    ]);
}

/// Collects the JSON pointers of all places in a tree.
fn pointers(tree: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match tree {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(key, value)| (key.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let pointer = format!("{at}/{key}");
        pointers(child, &pointer, found);
        found.push(pointer);
    }
}

proptest! {
    #[test]
    fn whatever_is_broken_no_line_shows_a_secret(
        broken in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6), 1..4),
    ) {
        let mut config = full();
        let mut places = Vec::new();
        pointers(&config, "", &mut places);
        put(&mut config, "/endpoints/1/secrets/0", json!({"value": "hunter5"}));
        config["endpoints"][1]["headers"] = json!({"x-key": "hunter6"});
        for (place, kind) in broken {
            let nonsense = [json!(null), json!(-1), json!([]), json!({"a": {}}), json!("\u{0}"), json!(1e300)];
            if let Some(value) = config.pointer_mut(place.get(&places).as_str()) {
                *value = nonsense[kind].clone();
            }
        }
        for line in parsed(&config).err().iter().flat_map(lines) {
            prop_assert!(!line.contains("hunter") && !line.contains(['\n', '\r']), "{}", line);
        }
    }
}
