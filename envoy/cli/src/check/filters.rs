//! Filters of Gatepost: what stands in the entry of each, and what two of them share.

use gatepost_core::config::Config;

use super::finding::{Findings, Severity};
use super::model::filter::Filter;
use super::model::source::{Circumstances, Environment, Source};
use super::plugin;

/// What holds for every filter of a file.
pub struct Settings<'a> {
    /// Where and when it is checked.
    pub circumstances: &'a Circumstances<'a>,
    /// How bad a weak or visible secret is.
    pub exposure: Severity,
}

/// Checks a filter's entry and its config. Gives what the filter's parser made of that, if it is right.
pub fn check(filter: &Filter<'_>, settings: &Settings<'_>, findings: &mut Findings) -> Option<Config> {
    check_entry(filter, findings);
    let environment = Environment {
        variables: filter.wasm.at("vm_config/environment_variables"),
        is_whole: true,
        circumstances: settings.circumstances,
    };
    let source =
        Source { tree: &filter.tree, bytes: &filter.bytes, environment: &environment, exposure: settings.exposure };
    let config = plugin::check(&source, findings)?;
    if filter.delivers() && !config.enabled {
        let at = filter.tree.nearest("enabled");
        findings.note(at, "not-enabled", "enabled", "the filter is off and sends nothing; write enabled: true");
    }
    Some(config)
}

fn check_entry(filter: &Filter<'_>, findings: &mut Findings) {
    let path = filter.path();
    if !filter.wasm.is_true("allow_on_headers_stop_iteration") {
        let at = filter.wasm.nearest("allow_on_headers_stop_iteration");
        let message = "Envoy would never show the filter a body, and every event and every request to be verified \
                       would hang; write allow_on_headers_stop_iteration: true";
        findings.error(at, "no-stop-iteration", &path, message);
    }
    check_failure_policy(filter, &path, findings);
    if filter.node.is_true("is_optional") {
        let message = "an Envoy that was built without wasm leaves the filter out and serves: nothing would be verified or \
                       delivered, and nobody told; delete it";
        findings.error(filter.node.nearest("is_optional"), "filter-optional", &path, message);
    }
    if filter.identity().1.is_empty() {
        let message = "its state is shared with every other filter that has no vm_id; write vm_id: gatepost";
        findings.error(filter.wasm.nearest("vm_config/vm_id"), "no-vm-id", &path, message);
    }
}

fn check_failure_policy(filter: &Filter<'_>, path: &str, findings: &mut Findings) {
    let wasm = filter.wasm;
    if wasm.is_true("fail_open") || wasm.text("failure_policy") == "FAIL_OPEN" {
        let at = wasm.get("fail_open").unwrap_or_else(|| wasm.nearest("failure_policy"));
        let message = if filter.verifies() {
            "after a trap requests reach the application unverified; write failure_policy: FAIL_RELOAD"
        } else {
            "after a trap events pass the filter by, unsigned and undelivered, and the producer is told nothing; \
             write failure_policy: FAIL_RELOAD"
        };
        findings.error(at, "fail-open", path, message);
    } else if wasm.text("failure_policy") != "FAIL_RELOAD" {
        let message = "a worker whose VM trapped would answer 503 for ever; write failure_policy: FAIL_RELOAD";
        findings.error(wasm.nearest("failure_policy"), "failure-policy", path, message);
    }
}

/// What concerns filters together.
pub fn check_together(filters: &[Filter<'_>], findings: &mut Findings) {
    for (number, filter) in filters.iter().enumerate() {
        let (name, vm_id) = filter.identity();
        let others = || {
            filters.iter().enumerate().filter(move |(at, other)| *at != number && other.identity() == filter.identity())
        };
        if filter.delivers() {
            let earlier = others().find(|(at, other)| *at < number && other.delivers() && !is_same(filter, other));
            if let Some((_, other)) = earlier {
                let message = format!(
                    "the name {name} and the vm_id {vm_id} are those of the {} too (line {}), whose config is another: \
                     each would deliver by its own; give it a name of its own",
                    other.path(),
                    other.wasm.nearest("name").line()
                );
                findings.error(filter.wasm.nearest("name"), "name-twice", &filter.path(), message);
            }
        } else if filter.tree.get("admin").is_some()
            && !filter.verifies()
            && !others().any(|(_, other)| other.delivers())
        {
            let message = format!(
                "its admin surface is that of a filter with the name {name:?} and the vm_id {vm_id:?}, and none that \
                 delivers has both; write those of the filter it is for"
            );
            findings.error(filter.wasm.nearest("name"), "admin-of-nobody", &filter.path(), message);
        }
    }
}

fn is_same(one: &Filter<'_>, other: &Filter<'_>) -> bool {
    one.tree.to_json() == other.tree.to_json()
}
