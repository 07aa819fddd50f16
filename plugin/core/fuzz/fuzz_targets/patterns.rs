//! Any text is a template, an event pattern, a JSON pointer, or none; what was accepted works on any input.

#![no_main]

use gatepost_core::egress::subscription::{EventPattern, Subscriptions};
use gatepost_core::ingress::template::Template;
use gatepost_core::json::Pointer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(template) = Template::parse(first, &["event".to_owned()]) {
        let _ = template.literals().count();
    }
    if let Ok(pointer) = Pointer::parse(first) {
        let _ = pointer.read(rest.as_bytes());
    }
    if let Ok(pattern) = EventPattern::parse(first) {
        let subscriptions = Subscriptions::build([[pattern].as_slice()]);
        for event in rest.lines() {
            subscriptions.matching(event);
        }
    }
});
