//! Any payload can be looked through or is refused; redacted, nothing is found in it any more, and JSON stays JSON.

#![no_main]

use gatepost_core::ingress::payload::{Outgoing, inspect};
use gatepost_core::{config, json};
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"{"enabled": true, "endpoints": [],
    "routes": [{"name": "r", "match": {"path": "/"}, "event": "e"}],
    "payload_guard": {"action": "redact", "ids_only": IDS_ONLY, "allow": ["a*", "*_id"], "non_json": "text"}}"#;

/// The types of bodies; none, for a body that says by itself what it is.
const TYPES: [Option<&[u8]>; 3] = [None, Some(b"application/json"), Some(b"application/x-www-form-urlencoded")];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, payload)) = bytes.split_first() else { return };
    let config = CONFIG.replace("IDS_ONLY", if first % 2 == 0 { "true" } else { "false" });
    let Ok(config) = config::parse(config.as_bytes(), &|_| None) else { panic!("the config is good") };
    let Some(rules) = &config.payload_guard else { panic!("the config has the section") };
    let content_type = TYPES.get(usize::from(first / 2) % TYPES.len()).copied().flatten();
    let outgoing = |bytes| Outgoing { bytes, content_type, content_encoding: None, is_envelope: false };
    let Ok(inspected) = inspect(rules, &outgoing(payload)) else {
        assert!(json::check(payload).is_err());
        return;
    };
    assert_eq!(inspected.redacted.is_some(), inspected.findings.total() > 0);
    let Some(redacted) = inspected.redacted else { return };
    let Ok(again) = inspect(rules, &outgoing(&redacted)) else { panic!("what was redacted can be read") };
    assert_eq!(again.findings.total(), 0);
    let is_json = content_type.is_some_and(|content_type| content_type.ends_with(b"json"));
    assert!(!is_json || json::check(&redacted).is_ok());
});
