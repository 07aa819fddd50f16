//! The routes events come in by: is somebody asked who they are before the filter takes an event, and is the filter on
//! there at all.

use gatepost_core::config::Config;

use super::document::Node;
use super::filters::Filter;
use super::finding::{Findings, Severity};

/// The filters that let in who is known, by what their types hold.
const AUTHENTICATION: [&str; 7] =
    [".basic_auth.", ".jwt_authn.", ".ext_authz.", ".oauth2.", ".api_key_auth.", ".rbac.", ".BasicAuth"];

/// Checks the routes of a filter that takes events.
pub fn check(filter: &Filter<'_>, config: Option<&Config>, exposure: Severity, findings: &mut Findings) {
    let routes = event_routes(filter);
    check_retries(&routes, findings);
    let on = check_is_on(filter, config, &routes, findings);
    check_authentication(filter, &on, exposure, findings);
}

/// A route, from the whole to the part: its table, its virtual host, itself.
struct Route<'a>([&'a Node; 3]);

impl Route<'_> {
    fn path(&self) -> String {
        let [_, host, route] = self.0;
        let name = Some(route.text("name")).filter(|name| !name.is_empty());
        let name = name.map_or_else(|| format!("of line {}", route.line()), str::to_owned);
        format!("route {name} of virtual host {}", host.text("name"))
    }

    /// What the nearest level says about a filter.
    fn settings(&self, filter: &str) -> Option<&Node> {
        let levels = self.0.iter().rev();
        let mut settings = levels.filter_map(|level| {
            let entries = level.get("typed_per_filter_config")?.entries();
            entries.iter().find(|(name, _)| name == filter).map(|(_, settings)| settings)
        });
        settings.next()
    }

    /// Whether a filter of the chain runs here.
    fn runs(&self, filter: &Node) -> bool {
        match self.settings(filter.text("name")) {
            None => !filter.is_true("disabled"),
            Some(settings) => {
                // RBAC is switched off by rules that are none.
                let is_empty_rbac = settings.text("@type").ends_with(".RBACPerRoute") && settings.get("rbac").is_none();
                !settings.is_true("disabled") && !is_empty_rbac
            }
        }
    }
}

/// The routes an event can come in by. None if the filter's config has no paths, or the routes come from elsewhere.
fn event_routes<'a>(filter: &Filter<'a>) -> Vec<Route<'a>> {
    let Some(table) = filter.manager.get("route_config") else {
        return Vec::new();
    };
    let paths: Vec<String> = filter.tree.list("routes").iter().map(|route| sample(route.text("match/path"))).collect();
    let mut found: Vec<Route<'a>> = Vec::new();
    for host in table.list("virtual_hosts") {
        for path in &paths {
            for route in host.list("routes") {
                let rule = route.nearest("match");
                if !matches(rule, path) {
                    continue;
                }
                if !found.iter().any(|known| std::ptr::eq(known.0[2], route)) {
                    found.push(Route([table, host, route]));
                }
                // One that asks for more than a path may leave the event to the next.
                let is_conditional = ["headers", "query_parameters", "runtime_fraction"]
                    .iter()
                    .any(|condition| rule.get(condition).is_some());
                if !is_conditional {
                    break;
                }
            }
        }
    }
    found
}

/// A path that the pattern of one of the filter's routes takes.
fn sample(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| {
        let is_any = segment == "**" || segment.starts_with('{');
        if is_any { "sample" } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Whether a route of Envoy's takes a path. One by a regular expression or a template is taken not to: which it takes is
/// not told from its text.
fn matches(rule: &Node, path: &str) -> bool {
    let text = |key| rule.get(key).and_then(Node::as_text);
    if let Some(prefix) = text("prefix") {
        return path.starts_with(prefix);
    }
    if let Some(prefix) = text("path_separated_prefix") {
        return path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    text("path").is_some_and(|exact| exact == path)
}

fn check_retries(routes: &[Route<'_>], findings: &mut Findings) {
    for route in routes {
        let policy = route.0.iter().find_map(|level| level.get("retry_policy"));
        if let Some(policy) = policy {
            let message = "deliveries are tried again by the endpoint's retry.delays, and this does nothing for them; \
                           delete it";
            findings.warning(policy, "route-retries", &route.path(), message);
        }
    }
}

/// Gives the routes on which the filter runs.
fn check_is_on<'a, 'b>(
    filter: &Filter<'a>,
    config: Option<&Config>,
    routes: &'b [Route<'a>],
    findings: &mut Findings,
) -> Vec<&'b Route<'a>> {
    let on: Vec<_> = routes.iter().filter(|route| route.runs(filter.node)).collect();
    let is_disabled = filter.node.is_true("disabled") || !routes.is_empty();
    if config.is_some() && on.is_empty() && is_disabled && filter.manager.get("route_config").is_some() {
        let at = routes.first().map_or_else(|| filter.node.nearest("disabled"), |route| route.0[2]);
        let message = format!(
            "no route that its paths fall under has the filter on: no event reaches it; write under the route's \
             typed_per_filter_config {{{}: {{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: \
             {{}}}}}}",
            filter.node.text("name")
        );
        findings.error(at, "filter-off-on-route", &filter.path(), message);
    }
    on
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
            findings.add(exposure, route.0[2], "authentication-off", &route.path(), message);
        }
    }
}

fn is_authentication(filter: &Node) -> bool {
    let name = filter.type_name();
    let name = if name.is_empty() { filter.text("name") } else { name };
    AUTHENTICATION.iter().any(|kind| format!(".{name}.").contains(kind))
}

/// Whether nobody gets in without a certificate, over TCP or QUIC.
fn asks_for_certificates(filter_chain: &Node) -> bool {
    let tls = filter_chain.at("transport_socket/typed_config");
    let tls = tls.map(|tls| tls.get("downstream_tls_context").unwrap_or(tls));
    tls.is_some_and(|tls| tls.is_true("require_client_certificate"))
}
