//! The secrets of a filter's config, and other values that nobody but two sides should know: where they stand, how long they
//! are, and when they are valid.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_core::secret::Window;
use gatepost_core::signature::standard::{PUBLIC, SHARED};
use gatepost_core::time::WallTime;
use jiff::Timestamp;

use super::document::Node;
use super::finding::{Findings, Severity};
use super::model::source::{Source, Variable, signatures};

/// Checks every secret, token and credential of a config, and when the secrets are valid.
pub fn check(source: &Source<'_>, findings: &mut Findings) {
    for owner in ["endpoints", "inbound"] {
        for (number, node) in source.tree.list(owner).iter().enumerate() {
            for list in lists(node, &format!("{owner}[{number}]")) {
                check_list(source, &list, findings);
            }
            for (name, node) in node.get("headers").map_or(&[][..], Node::entries) {
                if is_credential(name) {
                    check_one(source, node, &format!("{owner}[{number}].headers.{name}"), &HEADER, findings);
                }
            }
        }
    }
    for (at, node) in source.tree.list("inbound").iter().enumerate() {
        // A value in the file is no secret, and `inbound` says so.
        if let Some(node) = node.get("header_value").filter(|node| node.get("env").is_some()) {
            check_one(source, node, &format!("inbound[{at}].header_value"), &PROOF, findings);
        }
    }
    if let Some(node) = source.tree.at("journal/etcd/password") {
        check_one(source, node, "journal.etcd.password", &PASSWORD, findings);
    }
    for (at, node) in source.tree.list("admin/tokens").iter().enumerate() {
        check_one(source, node, &format!("admin.tokens[{at}]"), &TOKEN, findings);
    }
}

/// Secrets that stand in for each other, and how they are read.
struct List<'a> {
    path: String,
    node: &'a Node,
    kind: &'static SecretKind,
}

/// What is expected of a value.
pub struct SecretKind {
    name: &'static str,
    literal: &'static str,
    short: &'static str,
    /// A shorter one is weak.
    pub bytes_min: usize,
    /// A shorter one is an error, whoever reaches the listeners.
    is_short_wrong: bool,
    length: fn(&str) -> usize,
    make: &'static str,
}

/// HMAC-SHA256 gains nothing from a longer key, and loses with a shorter one (RFC 2104, section 3).
const SECRET: SecretKind = SecretKind {
    name: "secret",
    literal: "literal-secret",
    short: "secret-short",
    bytes_min: 32,
    is_short_wrong: false,
    length: str::len,
    make: "`gatepost secret` makes one",
};
/// Standard Webhooks has its secrets made of 24 to 64 random bytes.
const STANDARD_SECRET: SecretKind =
    SecretKind { bytes_min: 24, length: decoded, make: "`gatepost secret --format whsec` makes one", ..SECRET };
/// Whoever reaches the admin surface may try tokens; one of 128 random bits in hex has 32 bytes. A short one is wrong
/// wherever it is, for what is an example today is copied tomorrow.
const TOKEN: SecretKind =
    SecretKind { name: "token", literal: "literal-token", short: "token-short", is_short_wrong: true, ..SECRET };
/// The proof for the application of a verified request. One of 128 random bits in hex has 32 bytes.
const PROOF: SecretKind = SecretKind { name: "header's value", ..SECRET };
/// Other people make it: its length is their affair.
const HEADER: SecretKind = SecretKind { name: "credential", bytes_min: 0, ..SECRET };

/// Whoever runs etcd makes it: its length is their affair.
const PASSWORD: SecretKind = SecretKind { name: "password", bytes_min: 0, ..SECRET };

/// The bytes that a secret of scheme standard stands for; of what is none, its own.
pub fn decoded(text: &str) -> usize {
    STANDARD.decode(text.strip_prefix(SHARED).unwrap_or(text)).map_or(text.len(), |bytes| bytes.len())
}

/// The secrets beside an endpoint's or a rule's signatures, and those within them.
fn lists<'a>(owner: &'a Node, path: &str) -> Vec<List<'a>> {
    let mut lists = Vec::new();
    let mut inheriting = Vec::new();
    for (at, entry) in signatures(owner, path) {
        match entry.get("secrets") {
            Some(node) => lists.push(List { path: format!("{at}.secrets"), node, kind: kind(&[entry.text("scheme")]) }),
            None => inheriting.push(entry.text("scheme")),
        }
    }
    let beside =
        owner.get("secrets").map(|node| List { path: format!("{path}.secrets"), node, kind: kind(&inheriting) });
    lists.extend(beside);
    lists
}

/// What is expected of a secret of these schemes.
pub fn kind(schemes: &[&str]) -> &'static SecretKind {
    if schemes.contains(&"standard") || schemes.contains(&"svix") { &STANDARD_SECRET } else { &SECRET }
}

fn is_credential(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "password"].iter().any(|word| header.contains(word))
}

fn check_list(source: &Source<'_>, list: &List<'_>, findings: &mut Findings) {
    for (at, node) in list.node.items().iter().enumerate() {
        check_one(source, node, &format!("{}[{at}]", list.path), list.kind, findings);
    }
    check_times(list, source.environment.circumstances.now, findings);
}

fn check_one(source: &Source<'_>, node: &Node, path: &str, kind: &SecretKind, findings: &mut Findings) {
    let environment = source.environment;
    let literal = if node.as_text().is_some() { Some(node) } else { node.get("value") };
    let Some(at) = literal.or_else(|| node.get("env")) else { return };
    let value = match literal.is_some() {
        true => at.as_text().map(str::to_owned),
        false => match environment.variable(at.as_text().unwrap_or_default()) {
            Variable::Set(value) => Some(value),
            Variable::Unset | Variable::NotPassed => None,
        },
    };
    if value.as_ref().is_some_and(|value| value.starts_with(PUBLIC)) {
        // Anybody may know it, and the parser knows its length.
        return;
    }
    check_place(source, literal.is_some(), at, path, kind, findings);
    let length = value.map(|value| (kind.length)(&value)).filter(|length| (1..kind.bytes_min).contains(length));
    if let Some(length) = length {
        let SecretKind { name, bytes_min, make, .. } = kind;
        let message = format!("the {name} has {length} bytes; expected at least {bytes_min}: {make}");
        let severity = if kind.is_short_wrong { Severity::Error } else { source.exposure };
        findings.add(severity, at, kind.short, path, message);
    }
}

/// Does the value stand where more people read it than should know it?
fn check_place(
    source: &Source<'_>,
    is_literal: bool,
    at: &Node,
    path: &str,
    kind: &SecretKind,
    findings: &mut Findings,
) {
    let name = kind.name;
    if is_literal {
        let message = format!(
            "the {name} stands in the file, and so in Envoy's config_dump; write {{env: NAME}}, and NAME under \
             vm_config.environment_variables.host_env_keys"
        );
        findings.add(source.exposure, at, kind.literal, path, message);
        return;
    }
    let variable = at.as_text().unwrap_or_default();
    if let Some(entry) = source.environment.written(variable) {
        let message = format!(
            "the {name} of {path} stands in the file, and so in Envoy's config_dump; write {variable} under \
             host_env_keys instead, and set it in Envoy's environment"
        );
        findings.add(source.exposure, entry, "secret-in-key-values", "environment_variables.key_values", message);
    }
}

/// A working week and a weekend: long enough to make the next secret, and have the other side take it.
const SOON: Duration = Duration::from_hours(7 * 24);

/// Is a secret valid now, and will one be in a week?
fn check_times(list: &List<'_>, now: WallTime, findings: &mut Findings) {
    let time = |node: &Node, key: &str| node.get(key).and_then(Node::as_text).and_then(WallTime::parse);
    let window = |node| (Window { not_before: time(node, "not_before"), not_after: time(node, "not_after") }, node);
    let windows: Vec<(Window, &Node)> = list.node.items().iter().map(window).collect();
    if windows.is_empty() {
        return;
    }
    if !windows.iter().any(|(window, _)| window.is_live(now)) {
        let next = windows.iter().filter_map(|(window, _)| window.not_before).filter(|from| *from > now).min();
        let until = next.map_or_else(String::new, |next| format!(", and none will be before {}", shown(next)));
        let message =
            format!("no secret is valid now{until}: every request is refused; correct not_before and not_after");
        findings.warning(list.node, "no-live-secret", &list.path, message);
        return;
    }
    for (at, (window, node)) in windows.iter().enumerate() {
        if let Some(until) = window.not_after.filter(|until| *until <= now) {
            let message = format!("the secret is not valid any more, since {}; delete it", shown(until));
            let path = format!("{}[{at}]", list.path);
            findings.warning(node.nearest("not_after"), "secret-expired", &path, message);
        }
    }
    let end = Window::gap(windows.iter().map(|(window, _)| *window), now).filter(|end| end.since(now) <= SOON);
    let last = windows.iter().find(|(window, _)| window.not_after.is_some() && window.not_after == end);
    if let Some((end, (_, node))) = end.zip(last) {
        let message = format!(
            "no secret is valid after {}, and every request will be refused; add the next one with a not_before ahead \
             of that",
            shown(end)
        );
        findings.warning(node.nearest("not_after"), "secret-ends-soon", &list.path, message);
    }
}

/// As people write it, without a fraction that is none.
fn shown(at: WallTime) -> String {
    let at = i64::try_from(at.as_millis()).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.map_or_else(String::new, |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::read;

    /// A secret of scheme standard is as long as the bytes it stands for.
    #[test]
    fn standard_secret_length_is_its_decoded_bytes() {
        assert_eq!(decoded("whsec_AAAA"), 3);
        assert_eq!(decoded("no base64"), 9);
    }

    #[test]
    fn secrets_stand_beside_the_signatures_and_within_them() {
        let owner =
            read("{secrets: [{env: A}], signature: [{scheme: standard}, {scheme: slack, secrets: [{env: B}]}]}");
        let owner = owner.unwrap();
        let found: Vec<_> = lists(&owner, "inbound[0]").into_iter().map(|l| (l.path, l.kind.bytes_min)).collect();
        let expected = [("inbound[0].signature[1].secrets", 32), ("inbound[0].secrets", 24)];
        assert_eq!(found, expected.map(|(path, bytes)| (path.to_owned(), bytes)));
    }
}
