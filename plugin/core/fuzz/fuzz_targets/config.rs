//! Any bytes are a configuration or a list of problems, each with a path and on one line.

#![no_main]

use gatepost_core::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let env = |name: &str| (name != "MISSING").then(|| "hunter2".to_owned());
    match config::parse(bytes, &env) {
        Ok(config) => {
            // Valid by construction: what reads it finds what it needs, and no secret is shown.
            assert!(!format!("{config:?}").contains("hunter2"));
            for route in config.routes.iter() {
                config.endpoints_for(route, "payment_verified");
            }
        }
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(!lines.is_empty());
            assert!(lines.iter().all(|line| !line.contains('\n') && !line.contains("hunter2")), "{lines:?}");
        }
    }
});
