//! Any payload can be looked through that is not nested too deep; redacted, nothing is found in it any more, and JSON stays JSON.

#![no_main]

use gatepost_core::ingress::payload::inspect;
use gatepost_core::{config, json};
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"{"enabled": true, "endpoints": [],
    "routes": [{"name": "r", "match": {"path": "/"}, "event": "e"}],
    "payload_guard": {"action": "redact", "ids_only": IDS_ONLY, "allow": ["a*", "*_id"]}}"#;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, payload)) = bytes.split_first() else { return };
    let config = CONFIG.replace("IDS_ONLY", if first % 2 == 0 { "true" } else { "false" });
    let Ok(config) = config::parse(config.as_bytes(), &|_| None) else { panic!("the config is good") };
    let Some(rules) = &config.payload_guard else { panic!("the config has the section") };
    let Ok(inspected) = inspect(rules, payload, false) else {
        assert!(matches!(json::check(payload), Err(json::BodyFault::TooDeep { .. })));
        return;
    };
    assert_eq!(inspected.redacted.is_some(), inspected.findings.total() > 0);
    let Some(redacted) = inspected.redacted else { return };
    let Ok(again) = inspect(rules, &redacted, false) else { panic!("what was redacted is no deeper") };
    assert_eq!(again.findings.total(), 0);
    assert!(json::check(payload).is_err() || json::check(&redacted).is_ok());
});
