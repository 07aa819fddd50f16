//! The filters behind one that verifies: does one of them make another path of the one that was verified, or not? And the
//! filter chains of upgrades, which may leave it out.

use super::document::Node;
use super::finding::{Findings, Severity};
use super::inbound::hosts;
use super::model::cluster::http_options;
use super::model::filter::Filter;

/// How sure it is that a filter changes the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathChange {
    /// It can, and whether it does is not told in this file.
    May,
    /// It does.
    Does,
}

/// Filters that make or may make another path, by what their types hold, with what is not known of them.
const CHANGERS: [&str; 8] = [
    ".filters.http.golang.",
    ".filters.http.dynamic_modules.",
    ".filters.http.wasm.",
    ".filters.http.grpc_json_transcoder.",
    ".filters.http.grpc_json_reverse_transcoder.",
    ".filters.http.connect_grpc_bridge.",
    ".filters.http.mcp_json_rest_bridge.",
    ".filters.http.dynamo.",
];

/// Checks the chain behind a filter, and the chains that stand in for it. `clusters` are the application's.
pub fn check(filter: &Filter<'_>, clusters: &[String], envoy: &Node, findings: &mut Findings) {
    check_chain(filter, filter.chain.get(filter.place + 1..).unwrap_or_default(), findings);
    for upgrade in filter.manager.list("upgrade_configs") {
        check_upgrade(filter, upgrade, findings);
    }
    for cluster in envoy.list("static_resources/clusters") {
        if clusters.iter().any(|name| name == cluster.text("name")) {
            let filters = http_options(cluster).map_or(&[][..], |options| options.list("http_filters"));
            filters.iter().for_each(|behind| tell(filter, behind, behind, findings));
        }
    }
    check_added(filter, findings);
}

fn check_chain(filter: &Filter<'_>, chain: &[Node], findings: &mut Findings) {
    let hosts = hosts(filter.manager);
    let routes = || hosts.iter().flatten().flatten();
    for behind in chain {
        let is_router = behind.type_name().ends_with(".router.v3.Router");
        if is_router {
            let upstream = behind.list("typed_config/upstream_http_filters");
            upstream.iter().for_each(|behind| tell(filter, behind, behind, findings));
            continue;
        }
        if hosts.is_none() || routes().any(|route| route.runs(behind) && route.runs(filter.node)) {
            tell(filter, behind, behind, findings);
        }
        for route in routes().filter(|route| route.runs(behind) && route.runs(filter.node)) {
            if let Some(settings) = route.settings(behind.text("name"), None) {
                tell(filter, behind, settings, findings);
            }
        }
    }
}

/// Says what this part of a filter's config makes of the path.
fn tell(filter: &Filter<'_>, behind: &Node, at: &Node, findings: &mut Findings) {
    let Some(change) = change(at) else { return };
    let severity = if change == PathChange::Does { Severity::Error } else { Severity::Warning };
    let message = format!(
        "{} {} another path of the one that was compared: it stands behind {} (line {}), and a path without a rule may \
         become one where verified requests go; move it before that, or take the path out of its hands",
        behind.text("name"),
        if change == PathChange::Does { "makes" } else { "may make" },
        filter.node.text("name"),
        filter.node.line()
    );
    findings.add(severity, at, "inbound-path-changed", &filter.path(), message);
}

/// What a config of a filter, and those within it, do to the path.
fn change(node: &Node) -> Option<PathChange> {
    let of_children = || node.entries().iter().map(|(_, child)| child).chain(node.items()).filter_map(change).max();
    let url = node.text("@type");
    let name = url.rsplit('/').next().unwrap_or_default();
    let own = match name.rsplit('.').next().unwrap_or_default() {
        "Lua" | "LuaPerRoute" => return of_lua(node),
        "ExternalProcessor" => return of_processor(node).then_some(PathChange::May),
        "ExtProcPerRoute" => return node.get("overrides").filter(|node| of_processor(node)).map(|_| PathChange::May),
        "ExtAuthz" => {
            return (node.get("grpc_service").is_some() && !is_forbidden(node, "decoder_header_mutation_rules"))
                .then_some(PathChange::May);
        }
        "FilterConfig" => None,
        _ if CHANGERS.iter().any(|kind| name.contains(kind)) => Some(PathChange::May),
        _ => None,
    };
    // A filter of ours that stands there too compares paths, and changes none.
    let is_ours = name.ends_with(".wasm.v3.Wasm")
        && ["routes", "endpoints", "inbound", "admin"]
            .iter()
            .any(|key| node.at("config/configuration/value").is_some_and(|value| value.get(key).is_some()));
    let own = own.filter(|_| !is_ours);
    let is_set = node.text("header/key") == ":path" || node.text("remove") == ":path";
    own.max(of_children()).max(is_set.then_some(PathChange::Does))
}

/// Whether the rules for mutations keep `:path` as it is.
fn is_forbidden(node: &Node, rules: &str) -> bool {
    ["disallow_all", "disallow_system"].iter().any(|key| node.at(rules).is_some_and(|rules| rules.is_true(key)))
}

/// Whether an external processor may change the path. It is asked about headers unless its mode says otherwise, and may
/// change them with its answer to a body too.
fn of_processor(node: &Node) -> bool {
    let mode = |key| node.nearest("processing_mode").text(key);
    let is_asked = mode("request_header_mode") != "SKIP"
        || !["", "NONE"].contains(&mode("request_body_mode"))
        || node.is_true("allow_mode_override");
    is_asked && !node.is_true("observability_mode") && !is_forbidden(node, "mutation_rules")
}

/// What a script does to the path, by its text.
fn of_lua(node: &Node) -> Option<PathChange> {
    let mut sources = Vec::new();
    texts(node, &mut sources);
    sources
        .into_iter()
        .filter_map(|(key, text)| match key {
            "inline_code" | "inlineCode" | "inline_string" | "inlineString" => of_script(text),
            "filename" | "inline_bytes" | "inlineBytes" | "environment_variable" | "environmentVariable" => {
                Some(PathChange::May)
            }
            _ => None,
        })
        .max()
}

fn texts<'a>(node: &'a Node, found: &mut Vec<(&'a str, &'a str)>) {
    for (key, child) in node.entries() {
        found.extend(child.as_text().map(|text| (key.as_str(), text)));
        texts(child, found);
    }
    node.items().iter().for_each(|child| texts(child, found));
}

fn of_script(script: &str) -> Option<PathChange> {
    // Of each ":path", the name of the function it is handed to.
    let calls = script.match_indices(":path").map(|(at, _)| {
        let before = script.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', ' ', '[', '=']);
        let before = before.strip_suffix('(').unwrap_or_default().trim_end();
        before.rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default()
    });
    let judged = calls.filter_map(|call| match call {
        "replace" | "add" | "remove" => Some(PathChange::Does),
        "get" | "getAtIndex" | "getNumValues" => None,
        _ => Some(PathChange::May),
    });
    judged.max()
}

fn check_upgrade(filter: &Filter<'_>, upgrade: &Node, findings: &mut Findings) {
    let chain = upgrade.list("filters");
    let kind = upgrade.text("upgrade_type");
    let hosts = hosts(filter.manager);
    let mut routes = hosts.iter().flatten().flatten();
    let is_switched_on = routes.any(|route| {
        let of_route = route.node().list("route/upgrade_configs").iter();
        let mut same = of_route.filter(|entry| entry.text("upgrade_type").eq_ignore_ascii_case(kind));
        same.any(|entry| !entry.is_false("enabled"))
    });
    if chain.is_empty() || (upgrade.is_false("enabled") && !is_switched_on && hosts.is_some()) {
        return;
    }
    let name = filter.node.text("name");
    let place = chain.iter().position(|node| {
        let is_on = !node.is_true("disabled") || filter.node.is_true("disabled");
        node.text("name") == name && node.type_name() == filter.node.type_name() && is_on
    });
    match place.and_then(|place| chain.get(place + 1..)) {
        Some(behind) => check_chain(filter, behind, findings),
        None => {
            let message = format!(
                "a request that asks for an upgrade to {kind} takes these filters, and {name} is none of them: on an \
                 inbound path it reaches the application unverified; delete the list, or put {name} into it"
            );
            findings.error(upgrade, "inbound-upgrade", &filter.path(), message);
        }
    }
}

/// Headers that routes add: Envoy refuses `:path` there, and says so only when it loads.
fn check_added(filter: &Filter<'_>, findings: &mut Findings) {
    for route in hosts(filter.manager).iter().flatten().flatten() {
        let entries = route.node().list("route/weighted_clusters/clusters").iter();
        for level in route.0.into_iter().chain(entries) {
            for added in level.list("request_headers_to_add") {
                if added.text("header/key") == ":path" {
                    let message = "Envoy loads no config that adds :path; write a prefix_rewrite where the path is to be \
                                   another, and give a rule the path that comes";
                    findings.error(added, "inbound-path-changed", &route.path(), message);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::read;

    fn changed(text: &str) -> Option<PathChange> {
        change(&read(text).unwrap())
    }

    /// A script that reads the path is fine and one that replaces it is not.
    #[test]
    fn a_script_is_judged_by_what_it_does_with_the_path() {
        assert_eq!(of_script("h:headers():replace(':path', '/a')"), Some(PathChange::Does));
        assert_eq!(of_script("h:headers():replace( \":path\", '/a')"), Some(PathChange::Does));
        assert_eq!(of_script("local path = h:headers():get(':path')"), None);
        assert_eq!(of_script("local name = ':path'"), Some(PathChange::May));
        assert_eq!(of_script("h:logInfo('path')"), None);
    }

    #[test]
    fn an_external_processor_is_judged_by_its_mode_and_rules() {
        let processor = |more: &str| {
            changed(&format!(
                "{{'@type': type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor, {more}}}"
            ))
        };
        assert_eq!(processor("grpc_service: {}"), Some(PathChange::May));
        assert_eq!(processor("processing_mode: { request_header_mode: SKIP }"), None);
        let body = "processing_mode: { request_header_mode: SKIP, request_body_mode: BUFFERED }";
        assert_eq!(processor(body), Some(PathChange::May));
        assert_eq!(processor("mutation_rules: { disallow_system: true }"), None);
        assert_eq!(processor("observability_mode: true"), None);
    }

    /// A filter within another filter is looked at too.
    #[test]
    fn filters_within_filters_are_judged() {
        let within = "{'@type': a/envoy.extensions.common.matching.v3.ExtensionWithMatcher, extension_config: {typed_config: \
                      {'@type': a/envoy.extensions.filters.http.golang.v3alpha.Config}}}";
        assert_eq!(changed(within), Some(PathChange::May));
        let set = "{'@type': a/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: \
                   {request_mutations: [{append: {header: {key: ':path', value: /a}}}]}}";
        assert_eq!(changed(set), Some(PathChange::Does));
        assert_eq!(changed("{'@type': a/envoy.extensions.filters.http.cors.v3.Cors}"), None);
    }
}
