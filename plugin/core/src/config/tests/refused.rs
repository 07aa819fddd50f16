//! What users are told about configurations that are not valid.

use proptest::prelude::*;

use super::*;

/// Asserts that each change to the minimal configuration gives exactly one line, which begins and goes on like this.
fn each_is_refused(cases: &[(&str, Value, &str, &str)]) {
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
            {"name": "audit", "cluster": "audit", "url": "http://audit", "secrets": [{"env": "NOT_THERE"}], "timeout": "never"},
        ],
    });
    let lines = refused(&config);
    let paths: Vec<&str> = lines.iter().map(|line| line.split_once(": ").unwrap().0).collect();
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
        ],
    );
}
