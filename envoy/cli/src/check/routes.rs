//! The routes events come in by: is somebody asked who they are before the filter takes an event, and is the filter on
//! there at all.

use gatepost_core::config::Config;
use gatepost_core::inbound::Path;

use super::document::Node;
use super::finding::{Findings, Severity};
use super::model::filter::Filter;
use super::model::route::{Fit, Route, sample};
use super::model::validation::Validation;

/// The filters that let in who is known, by what their types hold.
const AUTHENTICATION: [&str; 6] =
    [".basic_auth.", ".jwt_authn.", ".ext_authz.", ".oauth2.", ".api_key_auth.", ".rbac."];

/// Checks the routes of a filter that takes events.
pub fn check(filter: &Filter<'_>, config: Option<&Config>, exposure: Severity, findings: &mut Findings) {
    let paths: Vec<String> = filter.tree.list("routes").iter().map(|route| sample(route.text("match/path"))).collect();
    let routes = event_routes(filter, &paths);
    let is_listed = routes.is_some();
    let routes = routes.as_deref().unwrap_or_default();
    check_retries(routes, findings);
    let on: Vec<_> = routes.iter().filter(|route| route.runs(filter.node)).collect();
    if is_listed {
        check_is_on(filter, routes, &on, findings);
    }
    // A signature says who it is, too.
    let is_verified =
        |path: &String| config.is_some_and(|config| matches!(config.inbound.path(path.as_bytes()), Path::Of(_)));
    let open: Vec<String> = paths.into_iter().filter(|path| !is_verified(path)).collect();
    if !open.is_empty() || config.is_none_or(|config| config.inbound.is_empty()) {
        let routes = event_routes(filter, &open).unwrap_or_default();
        let on: Vec<_> = routes.iter().filter(|route| route.runs(filter.node)).collect();
        check_authentication(filter, &on, exposure, findings);
    }
}

/// The routes an event may come in by; `None` where that is not told by a list of routes in the file.
fn event_routes<'a>(filter: &Filter<'a>, paths: &[String]) -> Option<Vec<Route<'a>>> {
    let table = filter.manager.get("route_config")?;
    let mut found: Vec<Route<'a>> = Vec::new();
    for host in table.list("virtual_hosts") {
        if host.get("matcher").is_some() {
            return None;
        }
        for path in paths {
            for route in host.list("routes") {
                let fit = Fit::of(route.nearest("match"), path);
                let is_new = !found.iter().any(|Route([_, _, known])| std::ptr::eq(*known, route));
                if fit != Fit::No && is_new {
                    found.push(Route([table, host, route]));
                }
                if fit == Fit::Yes {
                    break;
                }
            }
        }
    }
    Some(found)
}

fn check_retries(routes: &[Route<'_>], findings: &mut Findings) {
    for route in routes {
        let Route([_, host, own]) = route;
        let own = own.at("route/retry_policy");
        let policy = own.or_else(|| host.get("retry_policy"));
        if let Some(policy) = policy {
            let message = "deliveries are tried again by the endpoint's retry.delays, and this does nothing for them; \
                           delete it";
            findings.warning(policy, "route-retries", &route.path(), message);
        }
    }
}

fn check_is_on(filter: &Filter<'_>, routes: &[Route<'_>], on: &[&Route<'_>], findings: &mut Findings) {
    let is_off = if routes.is_empty() { filter.node.is_true("disabled") } else { on.is_empty() };
    if is_off {
        let at = routes.first().map_or_else(|| filter.node.nearest("disabled"), |Route([_, _, route])| route);
        let message = format!(
            "no route that its paths fall under has the filter on: no event reaches it; write under the route's \
             typed_per_filter_config {{{}: {{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: \
             {{}}}}}}",
            filter.node.text("name")
        );
        findings.error(at, "filter-off-on-route", &filter.path(), message);
    }
}

fn check_authentication(filter: &Filter<'_>, on: &[&Route<'_>], exposure: Severity, findings: &mut Findings) {
    if asks_for_certificates(filter.filter_chain) {
        return;
    }
    let (before, behind) = filter.chain.split_at(filter.place);
    let before: Vec<_> = before.iter().filter(|filter| is_authentication(filter)).collect();
    let behind = behind.iter().find(|filter| is_authentication(filter));
    let path = filter.path();
    if before.is_empty() {
        let (code, message) = match behind {
            Some(other) => (
                "before-authentication",
                format!(
                    "it stands before {} (line {}), and takes events from anyone; move it behind that",
                    other.text("name"),
                    other.line()
                ),
            ),
            None => (
                "no-authentication",
                "nobody is asked who they are, and events are taken from anyone; put basic_auth, jwt_authn, ext_authz, \
                 oauth2, api_key_auth or rbac before it, or let the listener require_client_certificate"
                    .to_owned(),
            ),
        };
        findings.add(exposure, filter.node, code, &path, message);
        return;
    }
    for route in on {
        if !before.iter().any(|filter| route.runs(filter)) {
            let names: Vec<_> = before.iter().map(|filter| filter.text("name")).collect();
            let message = format!(
                "{} is off here while the filter is on, and takes events from anyone; switch it on under \
                 typed_per_filter_config",
                names.join(" and ")
            );
            findings.add(exposure, route.node(), "authentication-off", &route.path(), message);
        }
    }
}

fn is_authentication(filter: &Node) -> bool {
    let name = filter.type_name();
    let name = if name.is_empty() { filter.text("name") } else { name };
    AUTHENTICATION.iter().any(|kind| format!(".{name}.").contains(kind))
}

/// Whether nobody gets in without a certificate that is verified, over TCP or QUIC.
fn asks_for_certificates(filter_chain: &Node) -> bool {
    let tls = filter_chain.at("transport_socket/typed_config");
    let tls = tls.map(|tls| tls.get("downstream_tls_context").unwrap_or(tls));
    tls.is_some_and(|tls| {
        tls.is_true("require_client_certificate")
            && tls.get("common_tls_context").is_some_and(|common| Validation::of(common).is_there())
    })
}
