//! The kinds of values in a configuration: names, durations, sizes, statuses, URLs and others.

use std::time::Duration;

use super::error::shown;
use super::reader::{Node, Object, all};
use super::tree::Value;
use crate::egress::endpoint::Url;
use crate::headers::{self, HeaderValue};
use crate::index::Index;
use crate::outcome::StatusSet;
use crate::time::{WallTime, shown_duration};

/// A name that is used as a metric label and in records.
pub(super) fn name<'a>(node: &Node<'a>) -> Option<&'a str> {
    const EXPECTED: &str = "1 to 64 letters, digits, '_' or '-'";
    let text = node.text(EXPECTED)?;
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits { Some(text) } else { node.unfit(EXPECTED) }
}

/// The names of a list's entries and their numbers; a name that stands twice is a problem.
pub(super) fn names(entries: &[Node<'_>]) -> Index {
    let mut names = Index::default();
    for (number, node) in entries.iter().enumerate() {
        let Some(node) = node.field("name") else { continue };
        let Some(name) = node.value().as_text() else { continue };
        let first = names.get_or_insert(name.as_bytes(), number);
        if first != number {
            node.problem::<()>(&format!("is {}, the name of number {first} as well", shown(name)), "each name once");
        }
    }
    names
}

/// The name of an Envoy cluster, which may hold nearly anything.
pub(super) fn cluster(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a cluster in Envoy's configuration";
    let text = node.text(EXPECTED)?;
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Some(text.to_owned()) } else { node.unfit(EXPECTED) }
}

/// A header name, in lower case.
pub(super) fn header_name(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a header name";
    let text = node.text(EXPECTED)?;
    let fits = text.len() <= 128 && headers::is_name(text);
    if fits { Some(text.to_ascii_lowercase()) } else { node.problem("is not a header name", EXPECTED) }
}

/// Reads an optional key, or takes its default.
impl<'a> Object<'a> {
    pub(super) fn boolean(&self, key: &'a str, default: bool) -> Option<bool> {
        self.or(key, default, Node::boolean)
    }

    /// A whole number from 1 to `max`.
    pub(super) fn integer(&self, key: &'a str, default: u32, max: u32) -> Option<u32> {
        self.or(key, default, |node| node.integer(1..=max))
    }

    /// A duration from `min` to `max`, see [`duration`].
    pub(super) fn duration(&self, key: &'a str, default: Duration, min: Duration, max: Duration) -> Option<Duration> {
        self.or(key, default, |node| duration(node, min, max))
    }

    /// A number of bytes from 1 to `max`, see [`size`].
    pub(super) fn size(&self, key: &'a str, default: u64, max: u64) -> Option<u64> {
        self.or(key, default, |node| size(node, max))
    }
}

/// The value that one of some words stands for; the words of `later` are known but not yet supported.
pub(crate) fn choice<T: Copy>(node: &Node<'_>, choices: &[(&str, T)], later: &[&str]) -> Option<T> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let expected = words.join(" or ");
    let text = node.text(&expected)?;
    let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    chosen.or_else(|| {
        let fault = if later.contains(&text) { "which is not yet supported" } else { "which is not known" };
        node.problem(&format!("is {}, {fault}", shown(text)), &expected)
    })
}

/// A date and time (RFC 3339).
pub(super) fn date(node: &Node<'_>) -> Option<WallTime> {
    const EXPECTED: &str = "a date and time such as \"2026-11-23T14:00:00Z\" (RFC 3339)";
    WallTime::parse(node.text(EXPECTED)?).or_else(|| node.unfit(EXPECTED))
}

/// A duration: a decimal number and `ms`, `s`, `m` or `h`, which come to whole milliseconds.
pub(super) fn duration(node: &Node<'_>, min: Duration, max: Duration) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let expected = format!(
        "a duration from {} to {}, such as \"2s\", \"0.25s\", \"5m\" or \"24h\"",
        shown_duration(min),
        shown_duration(max)
    );
    let text = node.text(&expected)?;
    let duration = quantity(text, &UNITS).map(Duration::from_millis).filter(|duration| (min..=max).contains(duration));
    duration.or_else(|| node.unfit(&expected))
}

/// A number of bytes from 1 to `max`: a whole number, or a string with `B`, `KiB`, `MiB` or `GiB`.
fn size(node: &Node<'_>, max: u64) -> Option<u64> {
    const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let expected = format!("a size from 1 to {max} bytes, such as \"64KiB\" or \"1MiB\"");
    let bytes = match node.value() {
        Value::Number(number) => number.as_u64(),
        Value::Text(text) => quantity(text, &UNITS),
        _ => None,
    };
    let within = bytes.filter(|bytes| (1..=max).contains(bytes));
    within.or_else(|| node.unfit(&expected))
}

/// A decimal number and a unit, as a number of the smallest unit, which must be whole: `"1.5KiB"` is 1536 bytes.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| c.is_ascii_alphabetic())?)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let decimal = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal(whole) || !decimal(fraction) {
        return None;
    }
    // 1.5 is computed as 15 by 10: integers are exact, and a number that they cannot hold is beyond every range.
    let divisor = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = whole.parse::<u64>().ok()?.checked_mul(divisor)?.checked_add(fraction.parse().ok()?)?;
    let product = scaled.checked_mul(*factor)?;
    (product % divisor == 0).then_some(product / divisor)
}

/// A list of statuses and classes: `[408, 429, 5xx]`. Only failures may be listed: a 2xx is always a success, and a 1xx
/// never ends an attempt.
pub(super) fn statuses(node: &Node<'_>) -> Option<StatusSet> {
    const EXPECTED: &str = "statuses from 300 to 599, \"3xx\", \"4xx\" or \"5xx\"";
    let ranges = all(&node.list(300, EXPECTED)?, |item| {
        let range = match item.value() {
            Value::Number(number) => {
                number.as_u64().and_then(|status| u16::try_from(status).ok()).map(|status| status..=status)
            }
            Value::Text(text) => match text.as_str() {
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

/// An absolute URL. Its problems do not show the URL: it may hold a key.
pub(super) fn url(node: &Node<'_>) -> Option<Url> {
    const EXPECTED: &str = "an absolute URL such as \"https://api.example.com/webhooks\"";
    let text = node.text(EXPECTED)?;
    if text.contains(['#', '<', '>', '`']) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return node.problem("holds '#', white space or a character that no URL has", EXPECTED);
    }
    let end = text.as_bytes().windows(3).position(|three| three == b"://");
    let Some((scheme, rest)) = end.and_then(|end| Some((text.get(..end)?, text.get(end + 3..)?))) else {
        return node.problem("is not absolute", EXPECTED);
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return node.problem("has another scheme than http and https", EXPECTED);
    }
    let (authority, path) = rest.find(['/', '?']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    if authority.contains('@') {
        return node.problem(
            "holds a user name or password",
            "them in a header, such as {\"authorization\": {\"env\": NAME}}",
        );
    }
    if authority.is_empty() {
        return node.problem("is not a URL", EXPECTED);
    }
    if !is_authority(authority) {
        return node.problem("has no host, or a host or port that is none", EXPECTED);
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(Url { scheme, authority: authority.to_owned(), path: format!("{slash}{path}") })
}

/// Whether text is a host and, after a colon, a port, which may be missing (RFC 3986, section 3.2). An IPv6 address
/// stands in brackets.
fn is_authority(authority: &str) -> bool {
    let (host, others, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, ":.", port),
        None => {
            let port = authority.find(':').and_then(|at| authority.split_at_checked(at));
            let (name, port) = port.unwrap_or((authority, ""));
            (name, "-._~%!$&'()*+,;=", port)
        }
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || others.as_bytes().contains(&byte);
    let is_host = !host.is_empty() && host.bytes().all(is_part);
    let is_port = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok();
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// A string, or the value of the environment variable in `{env: NAME}`. Problems do not show the value.
/// Reads the value of a header, which may be a secret.
pub(super) fn header_value(node: &Node<'_>) -> Option<HeaderValue> {
    const EXPECTED: &str = "a string or {env: NAME}, without control characters";
    let value = literal_or_env(node, EXPECTED)?;
    if value.is_empty() || value.trim() != value || !headers::is_value(value.as_bytes()) {
        return node.problem("is empty, or holds what no header may, or space at an end", EXPECTED);
    }
    Some(HeaderValue(value))
}

pub(super) fn literal_or_env(node: &Node<'_>, expected: &str) -> Option<String> {
    match node.value() {
        Value::Text(text) => Some(text.clone()),
        Value::Object(_) => node.object(&["env"], &[])?.required("env", expected, Node::environment),
        _ => node.wrong_type(expected),
    }
}
