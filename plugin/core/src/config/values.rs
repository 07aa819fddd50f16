//! The kinds of value a configuration is made of.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::Url;
use super::error::shown;
use super::reader::{Node, all};
use crate::headers;
use crate::outcome::StatusSet;

/// A name that is used as a metric label and in records.
pub(super) fn name<'a>(node: &Node<'a>) -> Option<&'a str> {
    const EXPECTED: &str = "1 to 64 letters, digits, '_' or '-'";
    let text = node.text(EXPECTED)?;
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits { Some(text) } else { node.problem(format!("is {}", shown(text)), EXPECTED) }
}

/// The names of a list's entries and their numbers; a name that stands twice is a problem.
pub(super) fn names<'a>(entries: &[Node<'a>]) -> BTreeMap<&'a str, usize> {
    let mut names = BTreeMap::new();
    for (number, node) in entries.iter().enumerate() {
        let Some((node, name)) = node.field("name").and_then(|node| Some((node.clone(), node.value().as_str()?)))
        else {
            continue;
        };
        let first = *names.entry(name).or_insert(number);
        if first != number {
            node.problem::<()>(format!("is {}, the name of number {first} as well", shown(name)), "each name once");
        }
    }
    names
}

/// The name of an Envoy cluster, which may hold nearly anything.
pub(super) fn cluster(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a cluster in Envoy's configuration";
    let text = node.text(EXPECTED)?;
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Some(text.to_owned()) } else { node.problem(format!("is {}", shown(text)), EXPECTED) }
}

/// A header name, in lower case.
pub(super) fn header_name(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a header name";
    let text = node.text(EXPECTED)?;
    let fits = text.len() <= 128 && headers::is_name(text);
    if fits { Some(text.to_ascii_lowercase()) } else { node.problem("is not a header name", EXPECTED) }
}

/// One of some words.
pub(super) fn choice<T: Copy>(node: &Node<'_>, choices: &[(&str, T)], later: &[&str]) -> Option<T> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let expected = words.join(" or ");
    let text = node.text(&expected)?;
    let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    chosen.or_else(|| {
        let fault = if later.contains(&text) { "which is not yet supported" } else { "which is not known" };
        node.problem(format!("is {}, {fault}", shown(text)), expected)
    })
}

/// A duration: a decimal number and `ms`, `s`, `m` or `h`.
pub(super) fn duration(node: &Node<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
    let expected = format!(
        "a duration from {:?} to {:?}, such as \"2s\", \"0.25s\", \"5m\" or \"24h\"",
        range.start(),
        range.end()
    );
    let text = node.text(&expected)?;
    let parsed = parse_duration(text);
    match parsed {
        Some(duration) if range.contains(&duration) => parsed,
        _ => node.problem(format!("is {}", shown(text)), expected),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// A number of bytes: a whole number, or a string with `B`, `KiB`, `MiB` or `GiB`.
pub(super) fn size<T: TryFrom<u64> + PartialOrd + Display>(node: &Node<'_>, range: RangeInclusive<T>) -> Option<T> {
    let expected = format!("a size from {} to {} bytes, such as \"64KiB\" or \"1MiB\"", range.start(), range.end());
    let (bytes, written) = match node.value() {
        Value::Number(number) => (number.as_u64(), number.to_string()),
        Value::String(text) => (parse_size(text), shown(text)),
        _ => return node.wrong_type(expected),
    };
    let within = bytes.and_then(|bytes| T::try_from(bytes).ok()).filter(|bytes| range.contains(bytes));
    within.or_else(|| node.problem(format!("is {written}"), expected))
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u32 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let bytes = number * f64::from(factor);
    // Whole, and far below where a double stops counting by ones; every range ends below that, too.
    (bytes.fract() == 0.0 && bytes < EXACT).then_some(bytes as u64)
}

/// 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Digits with at most one decimal point, then letters.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    Some((number.parse().ok().filter(|_| plain)?, unit))
}

/// A list of statuses and classes: `[408, 429, 5xx]`. A 2xx is a delivery and no rule can make it less; a 1xx never ends
/// an attempt.
pub(super) fn statuses(node: &Node<'_>) -> Option<StatusSet> {
    const EXPECTED: &str = "statuses from 300 to 599, \"3xx\", \"4xx\" or \"5xx\"";
    let ranges = all(&node.list(300, EXPECTED)?, |item| {
        let range = match item.value() {
            Value::Number(number) => {
                number.as_u64().and_then(|status| u16::try_from(status).ok()).map(|status| status..=status)
            }
            Value::String(text) => match text.as_str() {
                "3xx" => Some(300..=399),
                "4xx" => Some(400..=499),
                "5xx" => Some(500..=599),
                _ => None,
            },
            _ => None,
        };
        let failures = range.filter(|range| *range.start() >= 300 && *range.end() < 600);
        failures.or_else(|| item.problem("is not the status of a failure", EXPECTED))
    })?;
    Some(ranges.into_iter().fold(StatusSet::default(), StatusSet::with))
}

/// An absolute URL. What is wrong with it is said without showing it: it may hold a key.
pub(super) fn url(node: &Node<'_>) -> Option<Url> {
    const EXPECTED: &str = "an absolute URL such as \"https://api.example.com/webhooks\"";
    let text = node.text(EXPECTED)?;
    if text.contains('#') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return node.problem("holds '#', white space or a character that is not ASCII", EXPECTED);
    }
    let Ok(uri) = text.parse::<http::Uri>() else {
        return node.problem("is not a URL", EXPECTED);
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return node.problem("is not absolute", EXPECTED);
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return node.problem("has another scheme than http and https", EXPECTED);
    }
    if authority.as_str().contains('@') {
        return node.problem(
            "holds a user name or password",
            "them in a header, such as {\"authorization\": {\"env\": NAME}}",
        );
    }
    if authority.host().is_empty()
        || authority.as_str().len() != authority.host().len() && authority.port_u16().is_none()
    {
        return node.problem("has no host, or a port that is none", EXPECTED);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(Url { scheme, authority: authority.as_str().to_owned(), path: format!("{slash}{path}") })
}

/// A literal, or `{env: NAME}`: the value is not shown in any problem.
pub(super) fn literal_or_env(node: &Node<'_>, expected: &str) -> Option<String> {
    match node.value() {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => node.object(&["env"], &[])?.required("env", expected, Node::environment),
        _ => node.wrong_type(expected),
    }
}
