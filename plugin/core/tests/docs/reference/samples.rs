//! Configs that have, all together, every key at another value than its default.

use serde_json::{Value, json};

/// The samples; each is valid, and stays so without any one of its keys that may be left out.
pub fn samples() -> [Value; 6] {
    let percent = json!({
        "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": [{
            "name": "billing", "cluster": "billing", "url": "http://billing", "secrets": [{"env": "SECRET"}],
            // Beside limits.pending at its default.
            "pending": 17,
            "retry": {"preset": "standard"},
        }],
        "rollout": {"percent": 5},
    });
    let most = json!({
        "enabled": {"env": "ON"},
        "user_agent": "Acme/2.0",
        "routes": [{
            "name": "ingest", "mode": "dispatch",
            "match": {"path": "/events/{event}", "methods": ["PUT"], "headers": {"x-tenant": "acme"}},
            "event": "{event}", "event_type": {"map": {"/": "."}},
            "payload": "envelope", "metadata": {"tenant": "acme"},
            "ack": "delivered", "ack_timeout": "1s",
            "endpoints": ["billing"],
            "idempotency_scope": "x-tenant",
            // Beside a section journal.
            "durability": "memory",
        }],
        "endpoints": [endpoint()],
        "rollout": {
            "key": "{header:x-tenant}", "start": "2026-11-23T14:00:00Z",
            "phases": [{"percent": 5, "for": "24h", "approval": "manual"}],
            "guard": {
                "min_success": 0.5, "max_p95": "1s", "max_breaker_opens": 1, "max_unauthorized": 0.5,
                "personal_data": false, "for": "10s", "min_events": 3, "on_rollback": "discard",
                "hold": {"min_success": 0.6, "max_p95": "3s", "max_breaker_opens": 2},
            },
        },
        "payload_guard": {
            "ids_only": true, "allow": ["*_ref"], "deny_keys": ["birthday"], "detect": ["card"], "action": "redact",
            "non_json": "text",
        },
        "inbound": [{
            "name": "partner",
            "match": {"path": "/in", "methods": ["PUT"]},
            "secrets": secrets("2027-01-01T00:00:00Z"), "signature": signature(),
            "tolerance": {"past": "60s", "future": "0s"},
            "replay": {"ttl": "1h", "capacity": 7, "duplicate": "reject", "when_full": "allow", "id": "{body:/id}"},
            "header": "x-verified", "header_value": "proof",
        }],
        "journal": {
            "etcd": {"cluster": "etcd", "prefix": "/gatepost/shop", "username": "gatepost", "password": {"env": "PASSWORD"}},
            "lease": "10s", "unavailable": "memory", "bytes": "64MiB",
        },
        "limits": {
            "body": "64KiB", "pending": 100, "pending_bytes": "1MiB", "dead_letters": 7, "dead_letter_bytes": "1MiB",
            "idempotency_keys": 8, "history": 9,
        },
        "admin": {"path": "/admin", "tokens": [{"env": "TOKEN", "role": "operate"}, {"value": "t"}]},
    });
    let [body, header, key] = tables();
    let fleet = json!({
        "inbound": [{
            "name": "partner", "match": {"path": "/in"}, "secrets": [{"env": "SECRET"}], "replay": {"scope": "fleet"},
        }],
        "journal": {"etcd": {"cluster": "etcd", "prefix": "/gatepost/shop"}},
    });
    [most, percent, fleet, body, header, key]
}

/// Schemes as tables, with a timestamp at each place.
fn tables() -> [Value; 3] {
    let with = |signature: Value, challenge: Value| {
        let secrets = json!([{"value": "c2VjcmV0"}]);
        let mut sample = json!({
            "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
            "endpoints": [{
                "name": "e", "cluster": "c", "url": "http://e", "secrets": secrets, "signature": [signature],
            }],
            "inbound": [{"name": "i", "match": {"path": "/in"}, "secrets": secrets, "signature": [signature]}],
        });
        if !challenge.is_null() {
            sample["inbound"][0]["challenge"] = challenge;
        }
        sample
    };
    let body = json!({
        "scheme": "custom", "header": "x-signature", "prefix": "v1:", "encoding": "base64", "algorithm": "hmac-sha512",
        "signed": "acme:{body}", "timestamp": {"body": "/time", "unit": "ms"}, "id": {"body": "/id"},
        "entries": {"separator": ";", "key": "v1"}, "secret": "base64",
    });
    let header = json!({
        "scheme": "custom", "header": "x-signature", "signed": "{id}.{timestamp}.{body}",
        "timestamp": {"header": "x-time"}, "id": {"header": "x-id"},
    });
    let key = json!({
        "scheme": "custom", "header": "x-signature", "signed": "{timestamp}.{body}", "timestamp": {"key": "t"},
        "entries": {"key": "v1"},
    });
    [with(body, Value::Null), with(header, json!("zoom")), with(key, Value::Null)]
}

fn endpoint() -> Value {
    json!({
        "name": "billing", "cluster": "billing", "url": "http://billing",
        "events": ["order.*"],
        "filter": {"amount": {"$gte": 100}},
        "secrets": secrets("2027-01-01T00:00:00Z"), "signature": signature(),
        "timeout": "1s",
        "retry": {"delays": ["1s"], "jitter": 0.5, "statuses": [408]},
        "breaker": {"failures": 7, "window": "30s", "open": "5s", "count": "deliveries", "statuses": [429]},
        "rate": {"per_second": 2.5, "burst": 9},
        "max_in_flight": 3,
        "max_age": "48h",
        "overflow": "dead_letter",
        "on_gone": "fail",
        "headers": {"x-api-key": {"env": "API_KEY"}},
        "disabled": true,
        "dead_letter": {"cluster": "sink", "url": "http://sink"},
    })
}

/// At every time one of them is valid, whatever is left out.
fn secrets(until: &str) -> Value {
    json!([{"env": "SECRET", "not_before": "2026-01-01T00:00:00Z", "not_after": until}, {"value": "s"}])
}

fn signature() -> Value {
    json!([{"scheme": "github", "secrets": secrets("2028-01-01T00:00:00Z")}, {"header_prefix": "X-Acme-"}])
}
