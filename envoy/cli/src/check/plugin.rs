//! The filter's own config, read by the filter's own parser, and what that cannot know: where its variables come from.

use std::time::Duration;

use gatepost_core::config::{self, Config};
use gatepost_core::time::shown_duration;

use super::document::Node;
use super::finding::{Finding, Findings, Severity};
use super::model::source::{Source, Variable};
use super::{inbound, journal, secrets};

/// Checks a filter's config. Gives what the parser made of it, if it is right.
pub fn check(source: &Source<'_>, findings: &mut Findings) -> Option<Config> {
    note_unset(source, findings);
    secrets::check(source, findings);
    let lookup = |name: &str| match source.environment.variable(name) {
        Variable::Set(value) => Some(value),
        Variable::Unset => Some(stand_in(source.tree, name).to_owned()),
        Variable::NotPassed => None,
    };
    match config::parse(source.bytes, &lookup) {
        Ok(config) => {
            inbound::check_rules(&config, source.tree, findings);
            check_waits(&config, source.tree, findings);
            journal::check_settings(source.tree, findings);
            Some(config)
        }
        Err(problems) => {
            for problem in problems {
                let message = format!("{}; expected {}", problem.what, problem.expected);
                let line = source.tree.line_of(&problem.path);
                findings.push(Finding { line, severity: Severity::Error, code: "config", path: problem.path, message });
            }
            None
        }
    }
}

/// The longest wait for an attempt that is not worth a word: a restart that drains first lets it end.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Without a journal, what waits for its next attempt is in memory alone.
fn check_waits(config: &Config, tree: &Node, findings: &mut Findings) {
    if tree.get("journal").is_some() {
        return;
    }
    for (number, (endpoint, node)) in config.endpoints.iter().zip(tree.list("endpoints")).enumerate() {
        let longest = endpoint.retry.delays.iter().max().filter(|wait| **wait > WAIT_MAX);
        if let Some(wait) = longest {
            let message = format!(
                "a delivery waits up to {} for an attempt, in the memory of this Envoy alone: a restart or a crash loses \
                 what waits; write waits of 60s at most, or a journal, or drain before each restart and have producers \
                 send again after a crash",
                shown_duration(*wait)
            );
            let path = format!("endpoints[{number}].retry");
            findings.warning(node.nearest("retry/delays"), "waits-in-memory", &path, message);
        }
    }
}

/// What is taken for a variable that is not set here, so that the rest can be checked.
fn stand_in(tree: &Node, name: &str) -> &'static str {
    let is_of = |path: &str| tree.text(path) == name;
    if is_of("enabled/env") {
        "true"
    } else if is_of("rollout/percent/env") {
        "100"
    } else {
        // Base64 too, which secrets of scheme standard are.
        "standInForTheSecretOfThirtyBytes"
    }
}

fn note_unset(source: &Source<'_>, findings: &mut Findings) {
    let mut named = Vec::new();
    variables(source.tree, "", &mut named);
    let severity = if source.environment.circumstances.is_strict_env { Severity::Error } else { Severity::Note };
    for (path, node) in named {
        let name = node.as_text().unwrap_or_default();
        if let Variable::Unset = source.environment.variable(name) {
            let message = format!("{name} is not set here: set it to have its value checked too");
            findings.add(severity, node, "env-unset", &path, message);
        }
    }
}

/// Every `{env: NAME}` with its path.
fn variables<'a>(node: &'a Node, path: &str, found: &mut Vec<(String, &'a Node)>) {
    for (key, child) in node.entries() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == "env" && child.as_text().is_some() {
            found.push((path, child));
        } else {
            variables(child, &path, found);
        }
    }
    for (number, child) in node.items().iter().enumerate() {
        variables(child, &format!("{path}[{number}]"), found);
    }
}
