//! What valid configurations mean.

use super::*;
use crate::headers::Headers;
use crate::ingress::route::Selection;
use crate::outcome::StatusSet;
use crate::signature::timestamped::Timestamped;

#[test]
fn the_smallest_configuration_gets_the_documented_defaults() {
    let config = good(&minimal());
    assert!(config.enabled);
    assert_eq!(config.user_agent, concat!("Gatepost/", env!("CARGO_PKG_VERSION")));
    let route = &config.routes[0];
    assert_eq!((route.methods.as_slice(), route.headers.as_slice()), (&["POST".to_owned()][..], &[][..]));
    assert!(matches!(route.payload, Payload::Raw));
    assert_eq!((route.ack, &route.endpoints, &route.idempotency_scope), (Ack::Accepted, &None, &None));
    let endpoint = &config.endpoints[0];
    assert_eq!(endpoint.signatures[0].names, Timestamped::new("X-Webhook-"));
    assert_eq!(endpoint.timeout, Duration::from_secs(10));
    assert_eq!(endpoint.retry.delays, [0, 2, 4].map(Duration::from_secs));
    assert_eq!(endpoint.retry.jitter, 0.0);
    assert_eq!(endpoint.retry.statuses, StatusSet::default().with([408, 429]).with(500..=599));
    let breaker = endpoint.breaker.as_ref().unwrap();
    assert_eq!((breaker.failures, breaker.count), (5, Count::Attempts));
    assert_eq!((breaker.window, breaker.open), (Duration::from_secs(120), Duration::from_secs(60)));
    assert_eq!(breaker.statuses, StatusSet::default().with(500..=599));
    assert_eq!((endpoint.rate, endpoint.max_in_flight, endpoint.pending), (None, 64, 2500));
    assert_eq!(endpoint.max_age, Duration::from_secs(86_400));
    assert_eq!((endpoint.overflow, endpoint.on_gone), (Overflow::Reject, OnGone::Disable));
    assert!(endpoint.headers.is_empty() && !endpoint.disabled && endpoint.dead_letter.is_none());
    let limits = config.limits;
    assert_eq!((limits.body, limits.pending, limits.pending_bytes), (262_144, 10_000, 67_108_864));
    assert_eq!((limits.dead_letters, limits.dead_letter_bytes), (1000, 67_108_864));
    assert_eq!((limits.idempotency_keys, limits.history), (100_000, 1000));
}

#[test]
fn a_filter_is_off_until_someone_turns_it_on() {
    assert!(!good(&without("/enabled")).enabled);
    assert!(!good(&with("/enabled", json!(false))).enabled);
    assert!(good(&with("/enabled", json!({"env": "ON"}))).enabled);
}

#[test]
fn every_key_of_a_route_has_its_effect() {
    let config = good(&full());
    let route = &config.routes[0];
    assert_eq!(route.methods, ["PUT", "POST"]);
    assert_eq!(route.headers, [("x-tenant".to_owned(), "acme".to_owned())]);
    assert_eq!(route.ack, Ack::Delivered { timeout: Duration::from_millis(500) });
    assert_eq!(route.endpoints, Some(vec![EndpointId(0), EndpointId(1)]));
    assert_eq!(route.idempotency_scope.as_deref(), Some("x-tenant-id"));
    let headers = Headers::new(&[("x-tenant", b"acme"), ("x-tenant-id", b"t\"1")]);
    let Selection::Event { route: id, captures } = config.routes.select("/events/payment_made/7?x", "PUT", &headers)
    else {
        panic!("no event");
    };
    assert_eq!(id, RouteId(0));
    let event = crate::ingress::event::event(route, &captures, &headers, b"[1]".to_vec()).unwrap();
    assert_eq!(
        String::from_utf8(event.payload).unwrap(),
        r#"{"event":"order.payment_made","data":[1],"metadata":{"flag":true,"id":"7","n":5,"none":null,"tenant":"t\"1"}}"#
    );
}

#[test]
fn every_key_of_an_endpoint_has_its_effect() {
    let config = good(&full());
    assert_eq!((config.enabled, config.user_agent.as_str()), (true, "Acme/2.0"));
    let endpoint = &config.endpoints[0];
    assert_eq!(endpoint.cluster, "outbound|443||api.example.com");
    let url = |scheme: &str, authority: &str, path: &str| Url {
        scheme: scheme.into(),
        authority: authority.into(),
        path: path.into(),
    };
    assert_eq!(endpoint.url, url("https", "api.example.com:8443", "/webhooks/inbound?v=1"));
    assert_eq!(config.endpoints[1].url, url("http", "[::1]:9000", "/"));
    assert_eq!(endpoint.signatures[0].keys.len(), 2);
    assert_eq!(endpoint.signatures[0].names, Timestamped::new("x-acme-"));
    assert_eq!(endpoint.timeout, Duration::from_millis(250));
    assert_eq!(endpoint.retry.delays, [1, 120, 10_800].map(Duration::from_secs));
    assert_eq!(endpoint.retry.jitter, 0.5);
    assert_eq!(endpoint.retry.statuses, StatusSet::default().with(400..=499).with([503]));
    let breaker = endpoint.breaker.as_ref().unwrap();
    assert_eq!((breaker.failures, breaker.count), (7, Count::Deliveries));
    assert_eq!((breaker.window, breaker.open), (Duration::from_secs(30), Duration::from_secs(5)));
    assert_eq!(breaker.statuses, StatusSet::default().with([429]));
    assert_eq!(endpoint.rate, Some(Rate { per_second: 2.5, burst: 9 }));
    assert_eq!((endpoint.max_in_flight, endpoint.pending), (3, 17));
    assert_eq!(endpoint.max_age, Duration::from_secs(172_800));
    assert_eq!((endpoint.overflow, endpoint.on_gone), (Overflow::DeadLetter, OnGone::Fail));
    let headers: Vec<_> = endpoint.headers.iter().map(|(name, value)| (name.as_str(), value.0.as_str())).collect();
    assert_eq!(headers, [("x-api-key", "k-hunter3"), ("x-plain", "yes")]);
    assert!(endpoint.disabled);
    let sink = Sink { cluster: "dlq".into(), url: url("http", "dlq.internal", "/") };
    assert_eq!(endpoint.dead_letter, Some(sink));
    assert_eq!(config.endpoints[1].pending, 25);
}

#[test]
fn a_url_is_split_as_envoy_wants_it() {
    for (url, expected) in [
        ("HTTPS://API.example.com", ("https", "API.example.com", "/")),
        ("http://h?v=1", ("http", "h", "/?v=1")),
        ("http://h:80?u=http://x:y/z", ("http", "h:80", "/?u=http://x:y/z")),
        ("http://10.0.0.1:65535/a//b?c", ("http", "10.0.0.1:65535", "/a//b?c")),
        ("http://[2001:db8::1]/", ("http", "[2001:db8::1]", "/")),
    ] {
        let split = &good(&with("/endpoints/0/url", json!(url))).endpoints[0].url;
        assert_eq!((split.scheme.as_str(), split.authority.as_str(), split.path.as_str()), expected);
    }
}

#[test]
fn every_limit_has_its_effect() {
    let expected = Limits {
        body: 65_536,
        pending: 100,
        pending_bytes: 1_572_864,
        dead_letters: 7,
        dead_letter_bytes: 65_536,
        idempotency_keys: 8,
        history: 9,
    };
    assert_eq!(good(&full()).limits, expected);
}

/// An event goes to the endpoints that subscribe to its type and that its route feeds.
#[test]
fn event_goes_to_subscribed_endpoints_its_route_feeds() {
    let mut config = full();
    put(
        &mut config,
        "/endpoints/-",
        json!({"name": "all", "cluster": "c", "url": "http://h", "secrets": [{"value": "s"}]}),
    );
    put(&mut config, "/routes/-", json!({"name": "open", "match": {"path": "/open"}, "event": "{header:x-event}"}));
    let config = good(&config);
    let ids = |route: usize, event: &str| -> Vec<usize> {
        config.endpoints_for(&config.routes[route], event).into_iter().map(|id| id.0).collect()
    };
    assert_eq!(ids(0, "order.payment_made"), [0, 1]);
    assert_eq!(ids(0, "other"), [1]);
    assert_eq!(ids(1, "match.goal.own"), [0, 1, 2]);
    assert_eq!(ids(1, "order.payment.made"), [1, 2]);
}

#[test]
fn routes_without_endpoints_are_allowed_when_the_list_is_there() {
    let config = good(&with("/endpoints", json!([])));
    assert!(config.endpoints_for(&config.routes[0], "any").is_empty());
}

#[test]
fn a_digest_changes_with_its_entry_and_with_nothing_else() {
    let digests =
        |config: &Value| -> Vec<u64> { good(config).endpoints.iter().map(|endpoint| endpoint.digest).collect() };
    let before = digests(&full());
    let mut changed = full();
    put(&mut changed, "/endpoints/1/timeout", json!("9s"));
    put(&mut changed, "/user_agent", json!("Other"));
    let after = digests(&changed);
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    assert_ne!(before[0], before[1]);
}

#[test]
fn a_digest_is_the_same_in_every_version() {
    // The digest in version 0.1.0. Shared data holds such a digest with the record that a 410 has disabled an endpoint.
    assert_eq!(good(&full()).endpoints[0].digest, 0xddc3_8b2f_c4e2_5419);
}

#[test]
fn durations_and_sizes_are_read_in_every_unit() {
    for (text, expected) in [("10ms", 10), ("1.5s", 1500), ("2s", 2000), ("0.5m", 30_000), ("5m", 300_000)] {
        let config = good(&with("/endpoints/0/timeout", json!(text)));
        assert_eq!(config.endpoints[0].timeout, Duration::from_millis(expected), "{text}");
    }
    for (size, expected) in
        [(json!(7), 7), (json!("7B"), 7), (json!("0.5KiB"), 512), (json!("2MiB"), 2 << 20), (json!(9.0), 9)]
    {
        assert_eq!(good(&with("/limits", json!({"body": size}))).limits.body, expected);
    }
}

#[test]
fn routes_on_one_path_may_differ_in_method_or_header() {
    let mut config = minimal();
    for (name, matching) in [
        ("put", json!({"path": "/events/{other}", "methods": ["PUT"]})),
        ("more", json!({"path": "/events/{event}", "methods": ["PUT", "PATCH"]})),
        ("literal", json!({"path": "/events/event"})),
        ("rest", json!({"path": "/events/{event}/**"})),
    ] {
        put(&mut config, "/routes/-", json!({"name": name, "match": matching, "event": "e"}));
    }
    assert_eq!(good(&config).routes.len(), 5);
}

#[test]
fn nothing_printed_of_a_configuration_holds_a_secret() {
    let printed = format!("{:#?}", good(&full()));
    assert!(printed.contains("[redacted]"));
    assert!(!printed.contains("hunter"));
}

/// A fraction may be text, since Envoy hands on the fractions of a YAML file as text.
#[test]
fn fraction_may_be_given_as_text() {
    let mut tree = minimal();
    tree["endpoints"][0]["retry"] = json!({"jitter": "0.2"});
    tree["endpoints"][0]["rate"] = json!({"per_second": "0.5", "burst": 1});
    let config = good(&tree);
    assert_eq!(config.endpoints[0].retry.jitter, 0.2);
    assert_eq!(config.endpoints[0].rate, Some(Rate { per_second: 0.5, burst: 1 }));
}
