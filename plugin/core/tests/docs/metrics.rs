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
    let told: BTreeSet<String> = told.collect();
    let (missing, unknown): (Vec<_>, Vec<_>) =
        (defined.difference(&told).collect(), told.difference(&defined).collect());
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "envoy/docs/metrics-and-logs.md lacks a line of {missing:?}, and has one of {unknown:?}"
    );
}

/// The guide says how many series there are.
#[test]
fn the_numbers_of_series_are_told() {
    let code = read("plugin/core/src/telemetry/metrics.rs");
    let counts =
        code.lines().find_map(|line| line.trim().strip_prefix("const SERIES: [usize; 5] = [")?.strip_suffix("];"));
    let counts: Vec<&str> = counts.expect("the test in metrics.rs has SERIES").split(", ").collect();
    let [process, route, endpoint, rule, journal] = counts[..] else { panic!("{counts:?}") };
    let sentence = format!(
        "{endpoint} series for each endpoint, {route} for each route, {rule} for each inbound rule, {journal} for a \
         journal, {process} besides."
    );
    assert!(read("envoy/docs/metrics-and-logs.md").contains(&sentence), "envoy/docs/metrics-and-logs.md: {sentence}");
}
