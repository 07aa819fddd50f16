//! Inbound rules: can a request that is not verified reach an application, and can one that was come again?

use std::time::Duration;

use gatepost_core::config::Config;
use gatepost_core::ids::RuleId;
use gatepost_core::inbound::{Path, Rule};
use gatepost_core::signature::Scheme;

use super::document::Node;
use super::finding::Findings;
use super::model::filter::Filter;
use super::model::listener::tables;
use super::model::rewrite::Rewrite;
use super::model::route::{Fit, Route, Target, sample, targets};
use super::model::source::signatures;

/// Checks what a rule says, whatever is around it.
pub fn check_rules(config: &Config, tree: &Node, findings: &mut Findings) {
    for (number, (rule, node)) in config.inbound.iter().zip(tree.list("inbound")).enumerate() {
        let path = format!("inbound[{number}]");
        for (signature, (path, entry)) in rule.signatures.iter().zip(signatures(node, &path)) {
            let untimed = match &signature.table {
                Some(table) => table.timestamp.is_none(),
                None => signature.scheme == Scheme::Github,
            };
            if untimed {
                check_untimed(rule, entry, &path, findings);
            }
        }
        if node.at("header_value/env").is_none() {
            let message = format!(
                "anybody can know what the application is told in {}, and whoever reaches it in another way can write it \
                 too; write header_value: {{env: NAME}}, a secret that the application compares",
                rule.header
            );
            findings.note(node.nearest("header_value"), "proof-guessable", &path, message);
        }
    }
}

/// Signatures without a time are good for ever: what was recorded is kept out only for as long as it is remembered.
fn check_untimed(rule: &Rule, entry: &Node, path: &str, findings: &mut Findings) {
    let at = entry.nearest("scheme");
    let remembered = rule.replay.ttl;
    let hours = remembered.as_secs_f64() / 3600.0;
    let scheme = entry.text("scheme");
    let says = format!(
        "scheme {scheme} signs no time: a request that somebody has recorded is good again {hours} h after it came, when \
         it is forgotten"
    );
    if remembered < UNTIMED {
        let message = format!("{says}; write replay: {{ttl: 48h}}, with a capacity for all that come in that time");
        findings.warning(at, "signs-no-time", path, message);
    } else {
        let id = if scheme == "github" { ", X-GitHub-Delivery," } else { "" };
        let message = format!("{says}; let the application remember the id{id} for longer");
        findings.note(at, "signs-no-time", path, message);
    }
}

/// A day; the filter remembers for two at most.
const UNTIMED: Duration = Duration::from_hours(24);

/// A path that is verified, and the application it leads to.
pub struct Guarded {
    /// As the client sends it.
    pub path: String,
    /// As the application gets it; `None` if that is not known.
    pub sent: Option<String>,
    /// The names of the clusters.
    pub clusters: Vec<String>,
    /// Whether the application is shown a secret that proves it.
    pub is_proved: bool,
}

/// Checks that every route of Envoy's that takes a path of the rules has the filter on. Gives the paths on which it is.
pub fn check(filter: &Filter<'_>, config: &Config, findings: &mut Findings) -> Vec<Guarded> {
    let mut all = Vec::new();
    let Some(hosts) = hosts(filter.manager) else {
        let is_off = filter.verifies() && filter.node.is_true("disabled");
        if is_off {
            let message = "it is off where no route switches it on, and the routes are not in this file: see that all of \
                           the inbound paths do, or leave it on everywhere: it lets other paths pass";
            findings.note(filter.node.nearest("disabled"), "inbound-routes-elsewhere", &filter.path(), message);
        }
        return all;
    };
    for (number, node) in filter.tree.list("inbound").iter().enumerate() {
        for host in &hosts {
            let guarded = check_paths(filter, config, number, node, host, findings);
            check_spellings(filter, &guarded, host, findings);
            all.extend(guarded);
        }
    }
    all
}

/// The routes of each virtual host, in their order; `None` where the file has no list of them.
pub fn hosts(manager: &Node) -> Option<Vec<Vec<Route<'_>>>> {
    let tables = tables(manager);
    if tables.is_empty() {
        return None;
    }
    let mut hosts = Vec::new();
    for table in tables {
        for host in table.list("virtual_hosts") {
            hosts.push(host.list("routes").iter().map(|route| Route([table, host, route])).collect());
            // Those of a matcher have no order: none hides another.
            let of_matcher = host.get("matcher").map(matched).unwrap_or_default();
            hosts.extend(of_matcher.into_iter().map(|route| vec![Route([table, host, route])]));
        }
    }
    Some(hosts)
}

/// The routes in a matcher.
fn matched(node: &Node) -> Vec<&Node> {
    match node.text("@type").rsplit('.').next() {
        Some("Route") => vec![node],
        Some("RouteList") => node.list("routes").iter().collect(),
        _ => node.entries().iter().map(|(_, child)| child).chain(node.items()).flat_map(matched).collect(),
    }
}

/// Checks the paths of a rule, as it writes them; gives those on which the filter is on.
fn check_paths(
    filter: &Filter<'_>,
    config: &Config,
    number: usize,
    rule: &Node,
    host: &[Route<'_>],
    findings: &mut Findings,
) -> Vec<Guarded> {
    let mut guarded = Vec::new();
    for path in paths(config, number, rule, host) {
        for route in host {
            let fit = Fit::of(route.node().nearest("match"), &path);
            // Where Envoy answers itself nothing is reached.
            if fit != Fit::No {
                let all = targets(route.node()).into_iter();
                let (on, off): (Vec<_>, Vec<_>) = all.partition(|target| route.runs_to(filter.node, target.entry));
                let names = |targets: &[Target<'_>]| targets.iter().map(|target| target.name.to_owned()).collect();
                if !off.is_empty() {
                    let clusters: Vec<String> = names(&off);
                    tell(filter, route, &path, &clusters, findings);
                }
                if !on.is_empty() {
                    let sent = Rewrite::of(route.node()).apply(&path);
                    let is_proved = rule.at("header_value/env").is_some();
                    guarded.push(Guarded { path: path.clone(), sent, clusters: names(&on), is_proved });
                }
            }
            if fit == Fit::Yes {
                break;
            }
        }
    }
    guarded
}

/// The filter is off on a route that takes a path of the rules, or may.
fn tell(filter: &Filter<'_>, route: &Route<'_>, path: &str, clusters: &[String], findings: &mut Findings) {
    let node = route.node();
    if Fit::by_path(node.nearest("match"), path).is_none() {
        let message = format!(
            "the filter is off here, and whether {path} comes by this route is not looked at: what does is not verified"
        );
        findings.note(node, "inbound-route-unread", &route.path(), message);
        return;
    }
    let message = format!(
        "the filter is off here, and what comes to {path} reaches {} unverified; leave it on, or write under \
         typed_per_filter_config {{{}: {{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: \
         {{}}}}}}",
        clusters.join(", "),
        filter.node.text("name")
    );
    findings.error(node, "inbound-unverified", &route.path(), message);
}

/// A path of the rule's, and those that routes name.
fn paths(config: &Config, number: usize, rule: &Node, host: &[Route<'_>]) -> Vec<String> {
    let mut paths = vec![sample(rule.text("match/path"))];
    for route in host {
        let named = ["path", "path_separated_prefix", "prefix"].map(|key| route.node().nearest("match").text(key));
        for path in named.into_iter().filter(|path| path.starts_with('/')) {
            let is_of_rule = config.inbound.path(path.as_bytes()) == Path::Of(RuleId(number));
            if is_of_rule && !paths.iter().any(|known| known == path) {
                paths.push(path.to_owned());
            }
        }
    }
    paths
}

/// Checks other spellings of paths that are verified: Envoy may send them by another route, and the application may take
/// them for the same. The filter does, where it is on.
fn check_spellings(filter: &Filter<'_>, guarded: &[Guarded], host: &[Route<'_>], findings: &mut Findings) {
    for Guarded { path, clusters: applications, .. } in guarded {
        for spelling in spellings(filter.manager, path) {
            let mut taking = host.iter().filter(|route| Fit::of(route.node().nearest("match"), &spelling) == Fit::Yes);
            let Some(route) = taking.next().filter(|route| !route.runs(filter.node)) else { continue };
            let off = targets(route.node()).into_iter().filter(|target| !route.runs_to(filter.node, target.entry));
            let mut reached = off.map(|target| target.name.to_owned());
            let Some(application) = reached.find(|name| applications.contains(name)) else { continue };
            let message = format!(
                "the filter is off here, and {spelling} goes by this route: {application} may take it for {path}, and \
                 would get it unverified; leave the filter on for every route to {application}: it lets other paths pass"
            );
            findings.warning(route.node(), "inbound-spelling", &route.path(), message);
            // One is enough to know.
            break;
        }
    }
}

/// Other ways to write a path that web frameworks take for the same, unless Envoy itself makes them one.
fn spellings(manager: &Node, path: &str) -> Vec<String> {
    let mut spellings = vec![format!("{path}/"), path.to_ascii_uppercase(), format!("{path};a=b")];
    if !manager.is_true("merge_slashes") {
        spellings.push(format!("/{path}"));
    }
    if !manager.is_true("normalize_path") {
        spellings.push(format!("/.{path}"));
    }
    spellings
}
