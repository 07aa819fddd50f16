//! The config the endpoint will run with, read by the filter's own parser. What is around it in Envoy's config is the
//! business of `gatepost check`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::Duration;

use gatepost_core::config::{Config, parse};
use gatepost_core::egress::endpoint::{Endpoint, Url};
use gatepost_core::rollout::Percent;
use gatepost_core::secret::{Key, LiveKey};
use gatepost_core::signature::Signature;
use gatepost_core::signature::timestamped::sign;
use gatepost_core::time::WallTime;
use serde_json::Value;
use ureq::http::Uri;

use crate::check::document::{self, Fault};
use crate::checklist::{Check, Verdict};
use crate::signing;

/// What the config is expected to say.
pub struct Expected<'a> {
    /// The receiver.
    pub url: &'a Uri,
    /// What signed: the secret and the headers that were tried.
    pub endpoint: &'a Endpoint,
    /// How long the receiver took for a good ping, if it accepted it.
    pub took: Option<Duration>,
}

/// Goes through a config, the filter's own or one of Envoy's that holds it.
pub fn check(text: &str, expected: &Expected<'_>) -> Vec<Check> {
    check_with(text, expected, &|name| env::var(name).ok())
}

fn check_with(text: &str, expected: &Expected<'_>, env: &dyn Fn(&str) -> Option<String>) -> Vec<Check> {
    let whole = match document::read(text) {
        Ok(whole) => whole.to_json(),
        Err(Fault { line, reason }) => {
            let told = format!("neither YAML nor JSON: line {line}: {reason}");
            return vec![Check::new(Verdict::Fail, "config", told)];
        }
    };
    let Some(plugin) = plugin(&whole) else {
        let seen = "it holds no config of the filter: nothing in it has `endpoints`";
        return vec![Check::new(Verdict::Fail, "config", seen)];
    };
    // What a machine of the operator's need not know: the secrets of the other endpoints.
    let given = key_values(&whole);
    let env = |name: &str| given.get(name).cloned().or_else(|| env(name));
    let elsewhere = secrets_set_elsewhere(&plugin, &env);
    let lookup = |name: &str| env(name).or_else(|| elsewhere.contains(name).then(|| STAND_IN.to_owned()));
    let config = match parse(plugin.to_string().as_bytes(), &lookup) {
        Ok(config) => config,
        Err(problems) => {
            let failed = |problem: &gatepost_core::config::ConfigProblem| {
                Check::new(Verdict::Fail, "config", problem.to_string())
            };
            return problems.iter().map(failed).collect();
        }
    };
    let (routes, endpoints) = (config.routes.len(), config.endpoints.len());
    let mut checks = vec![Check::new(Verdict::Pass, "config", format!("{routes} routes, {endpoints} endpoints"))];
    let Some(at) = config.endpoints.iter().position(|endpoint| is_at(&endpoint.url, expected.url)) else {
        let urls: Vec<String> = config.endpoints.iter().map(|endpoint| shown(&endpoint.url)).collect();
        let seen = format!("no endpoint has this url, only {}", urls.join(", "));
        checks.push(
            Check::new(Verdict::Fail, "config: url", seen).advising("give --url as the config has it, or correct it"),
        );
        return checks;
    };
    if let Some(endpoint) = config.endpoints.get(at) {
        let entry = plugin.pointer(&format!("/endpoints/{at}"));
        checks.push(Check::new(Verdict::Pass, "config: url", format!("that of endpoint `{}`", endpoint.name)));
        checks.push(secret(endpoint, entry, expected, &elsewhere));
        checks.push(headers(endpoint, expected));
        checks.push(timeout(endpoint, expected.took));
    }
    checks.push(switch(&config, config.endpoints.get(at)));
    checks.push(rollout(&config));
    checks.push(guard(&config));
    checks
}

/// The config of the filter: the whole, or what an Envoy config gives to a filter and has `endpoints`.
fn plugin(whole: &Value) -> Option<Value> {
    let has = |value: &Value, key: &str| value.get(key).is_some_and(Value::is_array);
    if has(whole, "endpoints") && has(whole, "routes") {
        return Some(whole.clone());
    }
    let given = match whole.pointer("/configuration/value") {
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        given => given.cloned(),
    };
    given.filter(|given: &Value| has(given, "endpoints")).or_else(|| inner(whole).find_map(plugin))
}

/// The variables that an Envoy config itself gives to its filters.
fn key_values(whole: &Value) -> BTreeMap<String, String> {
    let given = whole.pointer("/environment_variables/key_values").and_then(Value::as_object).into_iter().flatten();
    let given = given.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    given.chain(inner(whole).flat_map(key_values)).collect()
}

fn inner(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(fields) => Box::new(fields.values()),
        Value::Array(items) => Box::new(items.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

/// The variables that secrets, headers and tokens are read from and that are not set here.
fn secrets_set_elsewhere(plugin: &Value, env: &dyn Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let owners = ["endpoints", "inbound"].into_iter().filter_map(|key| plugin.get(key)?.as_array()).flatten();
    let of_owners = owners.flat_map(|owner| {
        let own = signatures(owner).into_iter().filter_map(|entry| entry.get("secrets"));
        ["secrets", "headers"].into_iter().filter_map(|key| owner.get(key)).chain(own)
    });
    let mut names = BTreeSet::new();
    for place in of_owners.chain(plugin.pointer("/admin/tokens")) {
        let entries: Vec<&Value> = match place {
            Value::Array(entries) => entries.iter().collect(),
            Value::Object(entries) => entries.values().collect(),
            _ => Vec::new(),
        };
        let variables = entries.into_iter().filter_map(|entry| entry.get("env")?.as_str());
        names.extend(variables.filter(|name| env(name).is_none()).map(str::to_owned));
    }
    names
}

/// The entries of `signature`, which is one or a list of them.
fn signatures(owner: &Value) -> Vec<&Value> {
    match owner.get("signature") {
        Some(Value::Array(entries)) => entries.iter().collect(),
        one => one.into_iter().collect(),
    }
}

fn is_at(url: &Url, wanted: &Uri) -> bool {
    let path = wanted.path_and_query().map_or("/", |path| path.as_str());
    let authority = wanted.authority().map(|authority| authority.as_str()).unwrap_or_default();
    wanted.scheme_str() == Some(url.scheme.as_str())
        && url.authority.eq_ignore_ascii_case(authority)
        && url.path == path
}

/// Without what may be a token.
fn shown(url: &Url) -> String {
    let path = url.path.split_once('?').map_or(url.path.clone(), |(path, _)| format!("{path}?…"));
    format!("{}://{}{path}", url.scheme, url.authority)
}

fn secret(endpoint: &Endpoint, entry: Option<&Value>, expected: &Expected<'_>, elsewhere: &BTreeSet<String>) -> Check {
    const NAME: &str = "config: secret";
    let Some(tried) = expected.endpoint.signatures.first() else {
        return Check::new(Verdict::Skip, NAME, "none was tried");
    };
    let own = entry.into_iter().flat_map(signatures).find(|entry| {
        let scheme = entry.get("scheme").and_then(Value::as_str).unwrap_or("timestamped");
        scheme == signing::name(tried.scheme) && entry.get("secrets").is_some()
    });
    let first = own.or(entry).and_then(|entry| entry.pointer("/secrets/0"));
    let variable = first.and_then(|first| first.get("env")).and_then(Value::as_str);
    if let Some(variable) = variable.filter(|variable| elsewhere.contains(*variable)) {
        let seen = format!("${variable} is not set here, so it cannot be compared");
        return Check::new(Verdict::Warn, NAME, seen).advising("set it as Envoy has it, or compare fingerprints");
    }
    let is_it = |key: &LiveKey| tried.keys.iter().any(|tried| is_same(&key.key, &tried.key));
    let keys = alike(endpoint, tried).map_or(&[][..], |signature| &signature.keys);
    match keys.iter().position(is_it) {
        Some(0) if variable.is_none() => {
            Check::new(Verdict::Warn, NAME, "the one that was tried, written into the file")
                .advising("put it into Envoy's environment, {env: NAME}: config_dump shows this file")
        }
        Some(0) => Check::new(Verdict::Pass, NAME, "the one that was tried"),
        Some(_) => Check::new(Verdict::Warn, NAME, "the one that was tried is not the first, which signs")
            .advising("the receiver must know the first one before the others go"),
        None => Check::new(Verdict::Fail, NAME, "not the one that was tried: the gateway would sign with another")
            .advising("compare both with `gatepost secret fingerprint`"),
    }
}

/// Secrets are never taken out again: two that sign alike are one.
fn is_same(one: &Key, other: &Key) -> bool {
    match (one, other) {
        (Key::Shared(one), Key::Shared(other)) => {
            let signs = |secret| sign(secret, WallTime::default(), b"the same?");
            signs(one) == signs(other)
        }
        (Key::Private(one), Key::Private(other)) => one.public().as_bytes() == other.public().as_bytes(),
        _ => false,
    }
}

/// The signature in the scheme that was tried.
fn alike<'a>(endpoint: &'a Endpoint, tried: &Signature) -> Option<&'a Signature> {
    endpoint.signatures.iter().find(|signature| signature.scheme == tried.scheme)
}

fn headers(endpoint: &Endpoint, expected: &Expected<'_>) -> Check {
    const NAME: &str = "config: headers";
    let Some(tried) = expected.endpoint.signatures.first() else {
        return Check::new(Verdict::Skip, NAME, "none were tried");
    };
    let Some(signature) = alike(endpoint, tried) else {
        let schemes: Vec<&str> = endpoint.signatures.iter().map(|other| signing::name(other.scheme)).collect();
        let (schemes, tried) = (schemes.join(" and "), signing::name(tried.scheme));
        let seen = format!("the gateway signs in scheme {schemes}, and {tried} was tried");
        return Check::new(Verdict::Fail, NAME, seen).advising("give --scheme as the config has it");
    };
    let (ours, theirs) = (&tried.names.id, &signature.names.id);
    if ours != theirs {
        return Check::new(
            Verdict::Fail,
            NAME,
            format!("the gateway has {theirs} and its family, and {ours} was tried"),
        )
        .advising("give --header-prefix as the config has it");
    }
    let names: Vec<&str> = endpoint.headers.iter().map(|(name, _)| name.as_str()).collect();
    let besides = if names.is_empty() { String::new() } else { format!(", besides {}", names.join(", ")) };
    let others: Vec<&str> = endpoint.signatures.iter().map(|other| signing::name(other.scheme)).collect();
    if others.len() > 1 {
        let seen = format!("signed in {}{besides}; {} was tried", others.join(" and "), signing::name(tried.scheme));
        return Check::new(Verdict::Pass, NAME, seen);
    }
    let scheme = signing::name(signature.scheme);
    Check::new(Verdict::Pass, NAME, format!("scheme {scheme}, {theirs} and its family{besides}"))
}

fn timeout(endpoint: &Endpoint, took: Option<Duration>) -> Check {
    const NAME: &str = "config: timeout";
    let (timeout, tries) = (endpoint.timeout, endpoint.retry.delays.len());
    let seen = format!("{timeout:?}, {tries} attempts within {:?}", endpoint.retry.delays.iter().sum::<Duration>());
    match took {
        Some(took) if took * 2 > timeout => {
            Check::new(Verdict::Fail, NAME, format!("{seen}; the ping took {} ms", took.as_millis()))
                .advising("give `timeout` at least twice what the receiver takes")
        }
        _ if tries < 2 => {
            Check::new(Verdict::Warn, NAME, seen).advising("with one attempt a restart of the receiver loses events")
        }
        _ => Check::new(Verdict::Pass, NAME, seen),
    }
}

fn switch(config: &Config, endpoint: Option<&Endpoint>) -> Check {
    const NAME: &str = "config: enabled";
    if endpoint.is_some_and(|endpoint| endpoint.disabled) {
        return Check::new(Verdict::Warn, NAME, "the endpoint is disabled: its deliveries wait")
            .advising("delete `disabled: true` to turn it on");
    }
    if config.enabled {
        return Check::new(Verdict::Pass, NAME, "true: it sends as soon as it is loaded");
    }
    Check::new(Verdict::Pass, NAME, "false: loaded it does nothing until `gatepost on`, or `enabled: true`")
}

fn rollout(config: &Config) -> Check {
    const NAME: &str = "config: rollout";
    let plan = &config.rollout.plan;
    let begin = plan.phases.first().map_or(plan.percent, |phase| phase.percent);
    let seen = format!("begins with {begin} % of the events, {} phases", plan.phases.len());
    if begin <= SMALL {
        return Check::new(Verdict::Pass, NAME, seen);
    }
    Check::new(Verdict::Warn, NAME, seen)
        .advising("begin small: rollout: {phases: [{percent: 5, for: 24h}, {percent: 25, for: 48h}, {percent: 100}]}")
}

fn guard(config: &Config) -> Check {
    const NAME: &str = "config: guard";
    if config.rollout.guard.is_some() {
        return Check::new(Verdict::Pass, NAME, "rolls back by itself");
    }
    Check::new(Verdict::Warn, NAME, "none: nothing rolls back by itself").advising("rollout: {guard: {}} has defaults")
}

/// A quarter: what goes wrong goes wrong for a few.
const SMALL: Percent = Percent(2500);
/// In the place of a secret that is set elsewhere: only its being there is checked. Base64 too, as scheme standard has it.
const STAND_IN: &str = "setElsewhere";

#[cfg(test)]
mod tests;
