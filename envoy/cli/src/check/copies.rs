//! Whether Envoy sends a verified request more than once: mirrors, hedges, retries.

use super::document::Node;
use super::finding::Findings;
use super::inbound::hosts;
use super::model::filter::Filter;
use super::model::places::places;
use super::model::route::{Fit, Route, targets};

/// What is tried again before the application has seen anything of the request.
const SAFE: [&str; 4] = ["connect-failure", "refused-stream", "reset-before-request", "http3-post-connect-failure"];

/// Checks the routes by which these paths reach the application.
pub fn check(filter: &Filter<'_>, paths: &[&str], envoy: &Node, findings: &mut Findings) {
    for host in hosts(filter.manager).unwrap_or_default() {
        for route in &host {
            let is_rules = paths.iter().any(|path| Fit::of(route.node().nearest("match"), path) != Fit::No);
            if is_rules && !targets(route.node()).is_empty() && route.runs(filter.node) {
                check_mirrors(route, envoy, findings);
                check_hedges(route, findings);
                check_retries(route, findings);
            }
        }
    }
}

fn check_mirrors(route: &Route<'_>, envoy: &Node, findings: &mut Findings) {
    let application = places(envoy, targets(route.node()).iter().map(|target| target.name));
    for mirror in route.policy("request_mirror_policies").map_or(&[][..], Node::items) {
        let cluster = mirror.text("cluster");
        if !places(envoy, [cluster]).is_disjoint(&application) {
            let message =
                format!("{cluster} leads to the application, and each verified request reaches it twice; delete it");
            findings.error(mirror, "inbound-mirrored", &route.path(), message);
        } else {
            let to = match cluster {
                "" => format!("the cluster that the header {} names", mirror.text("cluster_header")),
                cluster => cluster.to_owned(),
            };
            let message = format!(
                "a copy of each verified request goes to {to}, with what proves that it was verified, and not once only; \
                 delete it, or let a route of other paths mirror"
            );
            findings.warning(mirror, "inbound-mirrored", &route.path(), message);
        }
    }
}

fn check_hedges(route: &Route<'_>, findings: &mut Findings) {
    let Some(hedge) = route.policy("hedge_policy") else { return };
    let is_doubled = hedge.get("initial_requests").and_then(Node::as_number).is_some_and(|requests| requests > 1);
    if hedge.is_true("hedge_on_per_try_timeout") || is_doubled || hedge.get("additional_request_chance").is_some() {
        let message = "a verified request that is slow is sent again while it is with the application, which has it \
                       twice; delete it";
        findings.error(hedge, "inbound-hedged", &route.path(), message);
    }
}

fn check_retries(route: &Route<'_>, findings: &mut Findings) {
    let typed = route.policy("retry_policy_typed_config");
    let Some(policy) = route.policy("retry_policy").or_else(|| typed.map(|typed| typed.nearest("value"))) else {
        return;
    };
    let retried = policy.text("retry_on").split(',').map(str::trim);
    let unsafe_ones: Vec<&str> = retried.filter(|on| !on.is_empty() && !SAFE.contains(on)).collect();
    if !unsafe_ones.is_empty() {
        let message = format!(
            "Envoy sends a verified request again by itself ({}), and the application may have taken the one before; its \
             sender tries again, and the filter knows the message: write retry_on: {}, or delete it",
            unsafe_ones.join(", "),
            ["connect-failure", "refused-stream"].join(",")
        );
        findings.warning(policy, "inbound-retried", &route.path(), message);
    }
}
