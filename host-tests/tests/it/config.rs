//! A configuration is taken whole or refused with everything that is wrong with it.

use host_tests::{LogLine, Process, StartError};
use prost::Message;
use prost_types::value::Kind;
use serde_json::{Value, json};

use crate::support::{
    accept, advance, answer, attempts, body, config, endpoint, event, gateway, millis, seconds, start, with,
};

/// What a process that must not start with `config` logs.
fn refusal(config: &Value) -> Vec<LogLine> {
    match gateway(config).start() {
        Err(StartError::Refused { vm, log }) => {
            assert_eq!(vm, "canary", "the canary refuses first");
            log
        }
        Err(StartError::Fault(fault)) => panic!("{fault}"),
        Ok(_) => panic!("it started with {config}"),
    }
}

/// Asserts that `config` is refused with one line for each of these paths and no other line.
fn assert_refused(config: &Value, paths: &[&str]) {
    let log = refusal(config);
    let lines: Vec<&str> = log.iter().map(|line| line.message.as_str()).collect();
    for path in paths {
        let about_it = lines.iter().filter(|line| line.contains(&format!("{path}: "))).count();
        assert_eq!(about_it, 1, "{path} in {lines:#?}");
    }
    assert_eq!(lines.len(), paths.len(), "{lines:#?}");
}

#[test]
fn ten_mistakes_are_ten_lines_and_no_start() {
    let config = json!({
        "enabled": "yes",
        "user_agnet": "Shop/1",
        "routes": [{"name": "ingest", "match": {"path": "events"}, "event": "{event}"}],
        "endpoints": [
            {
                "name": "billing", "cluster": "billing", "url": "ftp://billing.example",
                "secrets": [{"env": "BILLING_SECRET"}], "timeout": "soon", "retry": {"delays": []},
                "breaker": {"failures": 0}, "max_in_flight": 0,
            },
            endpoint("billing"),
        ],
    });
    assert_refused(
        &config,
        &[
            "enabled",
            "user_agnet",
            "routes[0].match.path",
            "endpoints[0].url",
            "endpoints[0].secrets[0].env",
            "endpoints[0].timeout",
            "endpoints[0].retry.delays",
            "endpoints[0].breaker.failures",
            "endpoints[0].max_in_flight",
            "endpoints[1].name",
        ],
    );
}

/// The deepest configuration fits the stack and a deeper one is refused.
#[test]
fn deepest_config_fits_the_stack_and_a_deeper_is_refused() {
    let deep = |lists: usize| (0..lists).fold(json!(1), |inner, _| json!([inner]));
    let mut config = config([endpoint("billing")]);
    config["deep"] = deep(126);
    assert_refused(&config, &["deep"]);
    config["deep"] = deep(127);
    assert!(refusal(&config)[0].message.contains("recursion limit exceeded"));
    config["deep"] = deep(45);
    for (bytes, said) in [
        (to_struct(&config), "deep: is not a known key"),
        (to_struct(&json!({"deep": deep(60)})), "recursion limit reached"),
    ] {
        let Err(StartError::Refused { log, .. }) = gateway(&config).config(bytes).start() else { panic!("it started") };
        assert!(log[0].message.contains(said), "{log:#?}");
    }
}

#[test]
fn an_empty_secret_is_refused_wherever_it_comes_from() {
    let empty = config([with(endpoint("billing"), json!({"secrets": [{"value": ""}, {"env": "EMPTY"}]}))]);
    let Err(StartError::Refused { log, .. }) = gateway(&empty).env("EMPTY", "").start() else { panic!("it started") };
    assert_eq!(log.len(), 2, "{log:#?}");
    assert!(log[0].message.contains("endpoints[0].secrets[0].value: "), "{log:#?}");
    assert!(log[1].message.contains("endpoints[0].secrets[1].env: "), "{log:#?}");
}

#[test]
fn a_secret_comes_from_the_environment() {
    let config = config([with(endpoint("billing"), json!({"secrets": [{"env": "BILLING_SECRET"}]}))]);
    let mut process = gateway(&config).env("BILLING_SECRET", "billing-secret").start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, millis(10));
    assert_eq!(attempts(&process, "billing").len(), 1);
}

#[test]
fn no_secret_is_ever_logged() {
    let hidden = ["s3cret-of-billing", "s3cret-header", "s3cret-environment"];
    let mut config = config([with(
        endpoint("billing"),
        json!({"secrets": [{"value": hidden[0]}, {"env": "SECRET"}], "headers": {"x-api-key": hidden[1]}}),
    )]);
    let mut process = gateway(&config).env("SECRET", hidden[2]).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(2));
    config["endpoints"][0]["timeout"] = json!("soon");
    let Err(StartError::Refused { log, .. }) = gateway(&config).env("SECRET", hidden[2]).start() else {
        panic!("it started")
    };
    for line in process.log().iter().chain(&log) {
        assert!(!hidden.iter().any(|secret| line.message.contains(secret)), "{line:?}");
    }
}

#[test]
fn what_comes_later_is_refused_as_not_yet_supported() {
    let forward = json!({
        "name": "forward", "mode": "forward", "match": {"path": "/forward"}, "event": "a",
    });
    let log = refusal(&with(config([endpoint("billing")]), json!({"routes": [forward]})));
    assert_eq!(log.len(), 1, "{log:#?}");
    assert!(log[0].message.contains("routes[0].mode: ") && log[0].message.contains("not yet"), "{log:#?}");
}

#[test]
fn a_struct_means_the_same_as_the_json() {
    let config = config([with(endpoint("billing"), json!({"max_in_flight": 5, "breaker": {"failures": 3}}))]);
    let mut process = gateway(&config).config(to_struct(&config)).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, millis(10));
    assert_eq!(attempts(&process, "billing").len(), 1);
}

/// A filter that was not turned on sends nothing and producers get 202.
#[test]
fn filter_not_enabled_sends_nothing_and_answers_202() {
    let mut config = config([endpoint("billing")]);
    config.as_object_mut().expect("an object").remove("enabled");
    let mut process = start(&config);
    for worker in [0, 1] {
        let answer = answer(&mut process, worker, event("payment_verified"));
        assert_eq!(answer.status(), 202);
        assert_eq!(body(&answer)["status"], "disabled");
        assert_eq!(body(&answer)["deliveries"], json!([]));
    }
    advance(&mut process, seconds(3600));
    assert!(process.calls("billing").is_empty());
}

#[test]
fn configuring_touches_neither_shared_data_nor_queues() {
    let process = start(&config([endpoint("billing"), endpoint("audit")]));
    assert_eq!(process.shared_data().count(), 0);
    assert_eq!(process.queues().count(), 0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let config = config([with(endpoint("billing"), json!({"retry": {"delays": ["0s", "2s"], "jitter": 0.5}}))]);
        let mut process = gateway(&config).seed(7).start().expect("it starts");
        accept(&mut process, 0, event("payment_verified"));
        accept(&mut process, 1, event("payment_verified"));
        advance(&mut process, seconds(5));
        trace(&process)
    };
    assert_eq!(run(), run());
}

fn trace(process: &Process) -> (String, u64, Vec<Vec<u8>>) {
    let stored = process.shared_data().map(|(_, value)| value.to_vec()).collect();
    (process.trace().to_string(), process.fuel(), stored)
}

/// The bytes in which Envoy hands a Struct to a filter.
fn to_struct(config: &Value) -> Vec<u8> {
    match value(config).kind {
        Some(Kind::StructValue(fields)) => fields.encode_to_vec(),
        _ => panic!("a configuration is an object"),
    }
}

fn value(json: &Value) -> prost_types::Value {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(bool) => Kind::BoolValue(*bool),
        Value::Number(number) => Kind::NumberValue(number.as_f64().expect("a double")),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue { values: items.iter().map(value).collect() }),
        Value::Object(fields) => Kind::StructValue(prost_types::Struct {
            fields: fields.iter().map(|(key, field)| (key.clone(), value(field))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}
