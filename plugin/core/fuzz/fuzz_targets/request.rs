//! Any path, headers and body are an event or a refusal; what is sent on holds nothing that splits a header.

#![no_main]

use gatepost_core::config;
use gatepost_core::headers::{self, Headers};
use gatepost_core::ingress::event;
use gatepost_core::ingress::route::Selection;
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"{"enabled": true,
    "routes": [
        {"name": "capture", "match": {"path": "/events/{event}", "headers": {"x-a": "1"}}, "event": "{event}"},
        {"name": "header", "match": {"path": "/h/**"}, "event": "{header:x-type}"},
        {"name": "body", "match": {"path": "/b", "methods": ["POST", "PUT"]}, "event": "e.{body:/event}",
         "payload": "envelope", "metadata": {"tenant": "{header:x-tenant}", "at": "{body:/at/0}"}}],
    "endpoints": []}"#;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = config::parse(CONFIG.as_bytes(), &|_| None) else { panic!("the config is good") };
    // A path, headers a line each, and a body.
    let mut parts = bytes.splitn(3, |byte| *byte == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let path = String::from_utf8_lossy(part()).into_owned();
    let lines = String::from_utf8_lossy(part()).to_lowercase();
    let pairs = lines.split('\n').filter_map(|line| line.split_once(':'));
    let pairs: Vec<(&str, &[u8])> = pairs.map(|(name, value)| (name, value.as_bytes())).collect();
    let headers = Headers::new(&pairs);
    let body = part().to_vec();
    let _ = (headers.get("idempotency-key"), headers.single("x-type"));
    for method in ["POST", "PUT"] {
        let Selection::Event { route, captures } = config.routes.select(&path, method, &headers) else { continue };
        let Some(route) = config.routes.get(route.0) else { panic!("a route that is not there") };
        if let Ok(event) = event::event(route, &captures, &headers, body.clone()) {
            assert!(headers::is_value(event.event_type.as_bytes()) && !event.event_type.is_empty());
            assert!(event.content_type.as_deref().is_none_or(headers::is_value));
            assert!(event.content_encoding.as_deref().is_none_or(headers::is_value));
            assert!(event.traceparent.as_deref().is_none_or(headers::is_value));
        }
    }
});
