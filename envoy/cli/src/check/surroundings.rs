//! A whole Envoy config: finds the filters in it and looks around each, and at the process they run in.

use gatepost_core::config::Config;

use super::around::Around;
use super::document::Node;
use super::filters::Settings;
use super::finding::{Findings, Severity};
use super::inbound::Guarded;
use super::model::filter::Filter;
use super::model::listener::{Listener, Manager, is_loopback};
use super::model::source::Circumstances;
use super::{behind, clusters, copies, filters, inbound, journal, limits, listeners};

/// The labels of the filter's metrics.
const LABELS: [&str; 6] = ["route", "endpoint", "outcome", "result", "reason", "kind"];

/// Checks a whole Envoy config; `text` is the file it was read from.
pub fn check(envoy: &Node, text: &str, circumstances: &Circumstances<'_>, findings: &mut Findings) {
    let lines: Vec<&str> = text.lines().collect();
    let listeners: Vec<_> = envoy.list("static_resources/listeners").iter().map(Listener).collect();
    let filters = find(&listeners, &lines);
    check_within(&listeners, findings);
    if filters.is_empty() {
        let message = "no listener has a filter of Gatepost: an HTTP filter of the type \
                       envoy.extensions.filters.http.wasm.v3.Wasm whose configuration has routes and endpoints, inbound, or admin";
        findings.error(envoy.nearest("static_resources/listeners"), "no-filter", "static_resources", message);
        return;
    }
    // What nobody else reaches may be an example, with secrets that are none.
    let is_local = listeners.iter().all(Listener::is_loopback);
    let exposure = if is_local { Severity::Warning } else { Severity::Error };
    let settings = Settings { circumstances, exposure };
    let mut configs = Vec::new();
    for filter in &filters {
        let config = filters::check(filter, &settings, findings);
        listeners::check(filter, config.as_ref(), exposure, findings);
        configs.push(config);
    }
    let mut guards = Vec::new();
    for (filter, config) in filters.iter().zip(&configs) {
        let Some(config) = config else { continue };
        clusters::check(config, &filter.tree, envoy, findings);
        journal::check(&filter.tree, envoy, findings);
        if filter.verifies() {
            guards.push((filter, config, inbound::check(filter, config, findings)));
        }
    }
    check_verifying(envoy, guards, &listeners, findings);
    filters::check_together(&filters, findings);
    limits::check(envoy, &filters, findings);
    check_process(envoy, findings);
}

/// Checks what is around the filters that verify, each with its config and the paths on which it is on.
fn check_verifying<'a>(
    envoy: &'a Node,
    guards: Vec<(&'a Filter<'a>, &'a Config, Vec<Guarded>)>,
    listeners: &[Listener<'_>],
    findings: &mut Findings,
) {
    for (filter, _, guarded) in &guards {
        let paths: Vec<&str> = guarded.iter().map(|guarded| guarded.path.as_str()).collect();
        let clusters: Vec<String> = guarded.iter().flat_map(|guarded| guarded.clusters.clone()).collect();
        copies::check(filter, &paths, envoy, findings);
        behind::check(filter, &clusters, envoy, findings);
    }
    Around { envoy, guards }.check(listeners, findings);
}

fn find<'a>(listeners: &'a [Listener<'a>], lines: &[&str]) -> Vec<Filter<'a>> {
    let mut filters = Vec::new();
    for listener in listeners {
        for manager in listener.managers() {
            let Manager { node, .. } = manager;
            let places = 0..node.list("http_filters").len();
            filters.extend(places.filter_map(|place| Filter::find(listener, manager, place, lines)));
        }
    }
    filters
}

fn check_process(envoy: &Node, findings: &mut Findings) {
    if let Some(address) = envoy.at("admin/address").filter(|address| !is_loopback(address)) {
        let message =
            "whoever reaches Envoy's admin interface reads its config and stops it; write the address 127.0.0.1";
        findings.error(address, "envoy-admin-public", "admin.address", message);
    }
    check_tags(envoy, findings);
}

/// Finds filters that verify and stand within another, which decides whether they run.
fn check_within(listeners: &[Listener<'_>], findings: &mut Findings) {
    for listener in listeners {
        let managers = listener.managers();
        for filter in managers.iter().flat_map(|manager| manager.node.list("http_filters")) {
            let Some(config) = filter.get("typed_config").filter(|config| verifies_within(config)) else { continue };
            let message = "a filter that verifies stands within this one, which decides whether it runs: what it skips is \
                           not verified; write it into http_filters itself, where it lets other paths pass";
            findings.error(config, "inbound-skipped", &format!("listener {}", listener.name()), message);
        }
    }
}

fn verifies_within(node: &Node) -> bool {
    let mut children = node.entries().iter().map(|(_, child)| child).chain(node.items());
    children.any(|child| child.at("config/configuration/value/inbound").is_some() || verifies_within(child))
}

fn check_tags(envoy: &Node, findings: &mut Findings) {
    let tags = envoy.list("stats_config/stats_tags");
    let is_read = |label: &str| {
        // The filter writes "route=.=ingest;.;" into a metric's name.
        let mark = format!("{label}=\\.=");
        tags.iter().any(|tag| tag.text("tag_name") == label && tag.text("regex").contains(&mark))
    };
    let missing: Vec<_> = LABELS.iter().copied().filter(|label| !is_read(label)).collect();
    if !missing.is_empty() {
        let message = format!(
            "/stats/prometheus would show a metric of its own for each {}; write the stats_tags of the example config, \
             such as {{tag_name: {label}, regex: '^wasmcustom\\.(?:.*;\\.;)?({label}=\\.=(.*?);\\.;)'}}",
            missing.join(", "),
            label = missing.first().copied().unwrap_or_default()
        );
        findings.warning(envoy.nearest("stats_config/stats_tags"), "stats-tags", "stats_config", message);
    }
}
