//! The top level of a configuration.

use std::collections::BTreeSet;

use super::admin::admin;
use super::endpoints::{ENDPOINTS_MAX, endpoints};
use super::error::{ConfigProblem, Problems};
use super::inbound::inbound;
use super::journal::journal;
use super::limits::limits;
use super::payload_guard::payload_guard;
use super::reader::{Node, Reader};
use super::rollout::rollout;
use super::routes::routes;
use super::tree::Value;
use super::values::{literal_or_env, names};
use super::{Config, Limits, Rollout, document};
use crate::egress::filter::EventFilter;
use crate::egress::subscription::Subscriptions;
use crate::headers;
use crate::inbound::Rules;
use crate::ingress::route::Routes;

/// The default `user_agent`: this version of Gatepost.
const AGENT: &str = concat!("Gatepost/", env!("CARGO_PKG_VERSION"));

/// The keys of a configuration.
pub const KEYS: [&str; 10] = [
    "enabled",
    "user_agent",
    "routes",
    "endpoints",
    "rollout",
    "payload_guard",
    "inbound",
    "journal",
    "limits",
    "admin",
];

/// Reads a configuration: the bytes that Envoy hands to the filter, JSON or a serialised `google.protobuf.Struct`.
/// `env` looks up environment variables.
///
/// # Errors
/// All problems of the configuration, each with its path. No secret is shown.
pub fn parse(bytes: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let tree = document::decode(bytes).map_err(|problem| vec![problem])?;
    let reader = Reader::new(document::WHOLE, env);
    reader.finish(config(&reader.root(&tree)))
}

fn config(root: &Node<'_>) -> Option<Config> {
    let object = root.object(&KEYS, &[])?;
    let admin = object.optional("admin", admin);
    let enabled = object.or("enabled", false, enabled);
    let user_agent = object.or("user_agent", AGENT.to_owned(), user_agent);
    let limits = object.or("limits", Limits::default(), limits);
    let rollout = object.or("rollout", Rollout::default(), rollout);
    let payload_guard = object.optional("payload_guard", payload_guard);
    let has_journal = object.get("journal").is_some();
    let inbound = object.or("inbound", Vec::new(), |node| inbound(node, has_journal));
    let journal = object.optional("journal", journal);
    // A configuration with only an admin surface serves that of another filter of the same name; one with only inbound
    // rules sends nothing.
    let sends_nothing = ["admin", "inbound"].iter().any(|key| object.get(key).is_some())
        && ["endpoints", "routes"].iter().all(|key| object.get(key).is_none());
    let nodes = if sends_nothing {
        Some(Vec::new())
    } else {
        object.required("endpoints", "a list of endpoints", |node| node.list(ENDPOINTS_MAX, "a list of endpoints"))
    };
    let names = names(nodes.as_deref().unwrap_or_default());
    // With bad limits the endpoints are read against the default ones, to find what else is wrong.
    let endpoints = nodes.and_then(|nodes| endpoints(&nodes, &limits.unwrap_or_default()));
    let routes = if sends_nothing {
        Some(Vec::new())
    } else {
        object.required("routes", "a list of routes: a filter without routes does nothing", |node| {
            routes(node, &names, has_journal)
        })
    };
    let (endpoints, routes, inbound) = (endpoints?, routes?, inbound?);
    let subscriptions = Subscriptions::build(endpoints.iter().map(|entry| entry.events.as_slice()));
    let filters = endpoints.iter().filter_map(|entry| entry.endpoint.filter.as_ref());
    let filter_headers: BTreeSet<String> = filters.flat_map(EventFilter::headers).map(str::to_owned).collect();
    Some(Config {
        enabled: enabled?,
        user_agent: user_agent?,
        routes: Routes::new(routes.into_iter().map(|entry| (entry.route, entry.pattern)).collect()),
        endpoints: endpoints.into_iter().map(|entry| entry.endpoint).collect(),
        rollout: rollout?,
        payload_guard: payload_guard?,
        limits: limits?,
        admin: admin?,
        inbound: Rules::new(inbound.into_iter().map(|entry| (entry.rule, entry.pattern)).collect()),
        journal: journal?,
        subscriptions,
        filter_headers: filter_headers.into_iter().collect(),
        fingerprint: root.value().digest().wrapping_add(Value::Text(AGENT.to_owned()).digest()),
    })
}

fn enabled(node: &Node<'_>) -> Option<bool> {
    const EXPECTED: &str = "true, false or {env: NAME}";
    if let Value::Bool(enabled) = node.value() {
        return Some(*enabled);
    }
    if let Value::Text(_) = node.value() {
        return node.wrong_type(EXPECTED);
    }
    match literal_or_env(node, EXPECTED)?.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => node.problem("names a variable that holds neither true nor false", "true or false in it"),
    }
}

fn user_agent(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "1 to 256 characters that a header may hold";
    let text = node.text(EXPECTED)?;
    let fits = (1..=256).contains(&text.len()) && text.trim() == text && headers::is_value(text.as_bytes());
    if fits { Some(text.to_owned()) } else { node.problem("is empty, too long or no header value", EXPECTED) }
}

/// Reads the JSON body of a request to the admin surface.
///
/// # Errors
/// All problems of the body, each with its path.
pub(crate) fn read_body<T>(body: &[u8], read: impl FnOnce(&Node<'_>) -> Option<T>) -> Result<T, Problems> {
    const WHOLE: &str = "body";
    let text = std::str::from_utf8(body).map_err(|error| error.to_string());
    let tree: Value =
        text.and_then(|text| serde_json::from_str(text).map_err(|error| error.to_string())).map_err(|fault| {
            vec![ConfigProblem::new(WHOLE.to_owned(), &format!("is not JSON: {fault}"), "a JSON object")]
        })?;
    let reader = Reader::new(WHOLE, &|_| None);
    reader.finish(read(&reader.root(&tree)))
}
