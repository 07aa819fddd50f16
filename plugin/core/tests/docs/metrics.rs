//! The metrics of the guide are those of the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::pages::{read, root, spans};

/// The names of metrics that the sources below a directory hold as strings.
fn names(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            self::names(&path, names);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let strings =
                text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split('"'));
            let is_name = |text: &&str| {
                let word = text.strip_prefix("gatepost_").unwrap_or_default();
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            names.extend(strings.filter(is_name).map(str::to_owned));
        }
    }
}

/// Each metric has a line, and no line is of another.
#[test]
fn every_metric_has_a_line() {
    let mut defined = BTreeSet::new();
    for directory in ["plugin/src", "plugin/core/src/telemetry"] {
        names(&root().join(directory), &mut defined);
    }
    let guide = read("envoy/docs/metrics-and-logs.md");
    let lines = guide.lines().filter(|line| line.starts_with("| `gatepost_"));
    let told = lines.map(|line| spans(line).next().unwrap().split('{').next().unwrap().to_owned());
    assert_eq!(told.collect::<BTreeSet<_>>(), defined);
}
