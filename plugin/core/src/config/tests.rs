//! Tests with whole configurations: what they mean, and which problems users are told.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::egress::breaker::Count;
use crate::egress::endpoint::{OnGone, Overflow, Sink, Url};
use crate::egress::rate::Rate;
use crate::ids::RouteId;
use crate::ingress::route::{Ack, Payload};

mod custom;
mod document;
mod good;
mod inbound;
mod journal;
mod payload_guard;
mod refused;
mod retry;
mod rollout;
mod routes;

/// The environment variables of every test here.
fn env(name: &str) -> Option<String> {
    match name {
        "WEBHOOK_SECRET" => Some("hunter2".to_owned()),
        "API_KEY" => Some("k-hunter3".to_owned()),
        "BLANK" => Some(" \n".to_owned()),
        "ON" => Some("TRUE".to_owned()),
        "MAYBE" => Some("hunter4".to_owned()),
        _ => None,
    }
}

fn parsed(config: &Value) -> Result<Config, Problems> {
    parse(config.to_string().as_bytes(), &env)
}

fn good(config: &Value) -> Config {
    parsed(config).unwrap_or_else(|problems| panic!("{}", lines(&problems).join("\n")))
}

/// The lines that a refused configuration logs.
fn refused(config: &Value) -> Vec<String> {
    lines(&parsed(config).expect_err("is not valid"))
}

fn lines(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// The shortest configuration that sends.
fn minimal() -> Value {
    serde_json::from_str(super::document::MINIMAL).unwrap()
}

/// The minimal configuration with `value` put at a JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut config = minimal();
    put(&mut config, pointer, value);
    config
}

fn put(config: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        Value::Array(items) => items.push(value),
        _ => panic!("{pointer} has no parent"),
    }
}

/// Lays the fields of an object over those of another.
fn merge(object: &mut Value, more: Value) {
    let (Value::Object(fields), Value::Object(more)) = (object, more) else { panic!("two objects") };
    fields.extend(more);
}

/// The minimal configuration without what is at a JSON pointer.
fn without(pointer: &str) -> Value {
    let mut config = minimal();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    config
}

/// A configuration with every key of `routes`, `endpoints` and `limits`, nearly all of them with other values than
/// their defaults.
fn full() -> Value {
    json!({
        "enabled": {"env": "ON"},
        "user_agent": "Acme/2.0",
        "routes": [{
            "name": "ingest",
            "mode": "dispatch",
            "match": {"path": "/events/{event}/{id}", "methods": ["put", "POST"], "headers": {"X-Tenant": "acme"}},
            "event": "order.{event}",
            "payload": "envelope",
            "metadata": {"tenant": "{header:x-tenant-id}", "n": 5.0, "flag": true, "none": null, "id": "{id}"},
            "ack": "delivered",
            "ack_timeout": "500ms",
            "endpoints": ["audit", "billing"],
            "idempotency_scope": "X-Tenant-Id",
        }],
        "endpoints": [
            {
                "name": "billing",
                "cluster": "outbound|443||api.example.com",
                "url": "https://api.example.com:8443/webhooks/inbound?v=1",
                "events": ["order.payment_*", "match.**"],
                "secrets": [{"env": "WEBHOOK_SECRET"}, {"value": "old"}],
                "signature": {"scheme": "timestamped", "header_prefix": "X-Acme-"},
                "timeout": "0.25s",
                "retry": {"delays": ["1s", "2m", "3h"], "jitter": 0.5, "statuses": [408, "4xx", 503]},
                "breaker": {"failures": 7, "window": "30s", "open": "5s", "count": "deliveries", "statuses": [429]},
                "rate": {"per_second": 2.5, "burst": 9},
                "max_in_flight": 3,
                "max_age": "48h",
                "pending": 17,
                "overflow": "dead_letter",
                "on_gone": "fail",
                "headers": {"X-Api-Key": {"env": "API_KEY"}, "x-plain": "yes"},
                "disabled": true,
                "dead_letter": {"cluster": "dlq", "url": "http://dlq.internal"},
            },
            {"name": "audit", "cluster": "audit", "url": "http://[::1]:9000", "secrets": [{"value": "s"}]},
        ],
        "limits": {
            "body": "64KiB", "pending": 100, "pending_bytes": "1.5MiB", "dead_letters": 7,
            "dead_letter_bytes": 65536, "idempotency_keys": 8, "history": 9,
        },
    })
}
