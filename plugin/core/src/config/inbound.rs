//! The section `inbound`: which requests are verified before the application sees them.

use std::time::Duration;

use super::error::shown;
use super::reader::{Node, Object, all};
use super::routes::{method, path_pattern};
use super::signature::{Use, is_taken, signatures};
use super::tree::Value;
use super::values::{choice, header_name, header_value, literal_or_env, name, names};
use crate::inbound::Rule;
use crate::inbound::challenge::{Challenge, VerifyToken};
use crate::inbound::replay::{CAPACITY_MAX, Duplicate, Policy, Scope, WhenFull};
use crate::index::Index;
use crate::path::{PathPattern, readings};
use crate::secret::Algorithm;
use crate::signature::{Scheme, Signature, Tolerance};
use crate::template::Template;
use crate::time::shown_duration;

/// The largest number of rules. One takes about 1 KiB in each VM: 1024 x 1 KiB = 1 MiB.
const RULES_MAX: usize = 1024;
/// The longest tolerance. Senders try again for hours, but sign afresh: a signature that is older than a day is a
/// recording.
const TOLERANCE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest `ttl` of a replay table: the longest tolerances of past and future together, since messages must be
/// remembered for as long as their signatures are valid.
const TTL_MAX: Duration = Duration::from_secs(48 * 3600);

/// A rule and the pattern of its path.
pub(super) struct InboundEntry {
    pub(super) rule: Rule,
    pub(super) pattern: PathPattern,
}

/// Reads the section.
pub(super) fn inbound(node: &Node<'_>, has_journal: bool) -> Option<Vec<InboundEntry>> {
    let nodes = node.some_list(RULES_MAX, "at least one rule with name, match and secrets")?;
    names(&nodes);
    let entries: Vec<_> = nodes.iter().map(|node| entry(node, has_journal)).collect();
    let mut shapes = Index::default();
    for (number, (node, entry)) in nodes.iter().zip(&entries).enumerate() {
        let Some(entry) = entry else { continue };
        let first = shapes.get_or_insert(entry.pattern.shape().as_bytes(), number);
        if let Some(Some(first)) = entries.get(first).filter(|_| first != number) {
            let what = format!("can never match: rule {} has the same paths", shown(&first.rule.name));
            node.problem::<()>(&what, "another path");
        }
    }
    entries.into_iter().collect()
}

fn entry(node: &Node<'_>, has_journal: bool) -> Option<InboundEntry> {
    let keys = ["name", "match", "secrets", "signature", "tolerance", "replay", "header", "header_value", "challenge"];
    let object = node.object(&keys, &[])?;
    let name = object.required("name", "a name, unique among the inbound rules", name);
    let matching = object.required("match", "an object with path", matching);
    let signatures = signatures(&object, Use::Verify);
    let tolerance = object.or("tolerance", TOLERANCE, tolerance);
    let (policy, id) = object
        .or("replay", (Policy::default(), None), |node| {
            replay(node, signatures.as_deref().unwrap_or_default(), has_journal)
        })
        .unzip();
    let header = object
        .or("header", "x-gatepost-verified".to_owned(), |node| header(node, signatures.as_deref().unwrap_or_default()));
    let header_value = object.optional("header_value", header_value);
    let challenge = object.optional("challenge", |node| challenge(node, signatures.as_deref().unwrap_or_default()));
    let (header_value, challenge) = (header_value?, challenge?);
    let (pattern, methods) = matching?;
    let rule = Rule {
        name: name?.to_owned(),
        methods,
        signatures: signatures?,
        tolerance: tolerance?,
        replay: policy?,
        replay_id: id?,
        challenge,
        header: header?,
        header_value,
    };
    outlasts_the_tolerance(&object, &rule)?;
    Some(InboundEntry { rule, pattern })
}

/// The default tolerance: of the past, what the libraries of Stripe, Slack and Standard Webhooks tolerate; of the
/// future, only what synchronised clocks differ by.
const TOLERANCE: Tolerance = Tolerance { past: Duration::from_secs(300), future: Duration::from_secs(30) };

/// Reads the key `match`: the pattern of the path, and the methods. There is no condition on headers: a request that
/// did not fulfil such a condition would reach the application unverified.
fn matching(node: &Node<'_>) -> Option<(PathPattern, Vec<String>)> {
    let object = node.object(&["path", "methods"], &[])?;
    let pattern = object.required("path", PATH, path);
    let methods =
        object.or("methods", vec!["POST".to_owned()], |node| all(&node.some_list(16, "at least one method")?, method));
    Some((pattern?, methods?))
}

const PATH: &str = "a path such as \"/webhooks/inbound\"";

/// Reads the pattern of a path, and takes its [reading](readings::of_pattern): the paths of requests are compared in
/// lower case.
fn path(node: &Node<'_>) -> Option<PathPattern> {
    let text = node.text(PATH)?;
    path_pattern(node, text)?;
    let reading = readings::of_pattern(text);
    path_pattern(node, &reading.or_else(|| node.problem("is not in its plain form", PATH))?)
}

fn tolerance(node: &Node<'_>) -> Option<Tolerance> {
    let object = node.object(&["past", "future"], &[])?;
    let past = object.duration("past", TOLERANCE.past, Duration::from_secs(1), TOLERANCE_MAX);
    let future = object.duration("future", TOLERANCE.future, Duration::ZERO, TOLERANCE_MAX);
    Some(Tolerance { past: past?, future: future? })
}

/// Reads the key `replay`: the policy, and the template of a message's id.
fn replay(node: &Node<'_>, signatures: &[Signature], has_journal: bool) -> Option<(Policy, Option<Template>)> {
    let object = node.object(&["ttl", "capacity", "duplicate", "when_full", "id", "scope"], &[])?;
    let default = Policy::default();
    let ttl = object.duration("ttl", default.ttl, Duration::from_secs(1), TTL_MAX);
    let capacity = object.integer("capacity", default.capacity, CAPACITY_MAX);
    let duplicate = object.or("duplicate", default.duplicate, |node| {
        choice(node, &[("acknowledge", Duplicate::Acknowledge), ("reject", Duplicate::Reject)], &[])
    });
    let when_full = object.or("when_full", default.when_full, |node| {
        choice(node, &[("refuse", WhenFull::Refuse), ("allow", WhenFull::Allow)], &[])
    });
    let id = object.optional("id", |node| replay_id(node, signatures));
    let scope = object.or("scope", default.scope, |node| scope(node, has_journal));
    let policy = Policy { ttl: ttl?, capacity: capacity?, duplicate: duplicate?, when_full: when_full?, scope: scope? };
    Some((policy, id?))
}

/// Reads the key `scope`: the gateways of a fleet know of each other by their journal.
fn scope(node: &Node<'_>, has_journal: bool) -> Option<Scope> {
    match choice(node, &[("process", Scope::Process), ("fleet", Scope::Fleet)], &[])? {
        Scope::Fleet if !has_journal => {
            node.problem("is \"fleet\", and the configuration has no section journal", "the section, or process")
        }
        scope => Some(scope),
    }
}

/// Reads the template of a message's id. All of it must be signed: who repeats a message could change the rest.
fn replay_id(node: &Node<'_>, signatures: &[Signature]) -> Option<Template> {
    const EXPECTED: &str = "a part of what is signed, such as \"{body:/id}\"";
    let template =
        Template::parse(node.text(EXPECTED)?, &[]).map_err(|reason| node.problem::<()>(&reason, EXPECTED)).ok()?;
    if template.is_literal() {
        return node.problem("is the same for all messages", EXPECTED);
    }
    let is_signed = |header: &&str| signatures.iter().all(|signature| signature.signed_id() == Some(*header));
    if let Some(header) = template.headers().find(|header| !is_signed(header)) {
        let what = format!("reads the header {}, which is not signed: anyone could change it", shown(header));
        return node.problem(&what, EXPECTED);
    }
    Some(template)
}

/// Checks that messages are remembered for as long as their signatures are valid: a message that is forgotten earlier
/// could come again.
fn outlasts_the_tolerance(object: &Object<'_>, rule: &Rule) -> Option<()> {
    let good = rule.tolerance.past + rule.tolerance.future;
    if rule.replay.ttl >= good {
        return Some(());
    }
    let node = object.get("replay").unwrap_or_else(|| *object.node());
    node.problem(
        &format!("ttl is {}, and a signature is good for longer", shown_duration(rule.replay.ttl)),
        &format!("at least tolerance.past + tolerance.future, {}", shown_duration(good)),
    )
}

/// Reads the key `challenge`. Slack's and Zoom's are answered only to who has signed them, as they do.
fn challenge(node: &Node<'_>, signatures: &[Signature]) -> Option<Challenge> {
    const EXPECTED: &str = "slack or zoom or {meta: {verify_token: {env: NAME}}}";
    if let Value::Object(_) = node.value() {
        let meta = node.object(&["meta"], &[])?.required("meta", EXPECTED, |node| {
            node.object(&["verify_token"], &[])?.required("verify_token", "{env: NAME}", verify_token)
        });
        return meta.map(Challenge::Meta);
    }
    let (scheme, challenge) = match node.text(EXPECTED)? {
        "slack" => (Scheme::Slack, Challenge::Slack),
        "zoom" => (Scheme::Preset("zoom"), Challenge::Zoom),
        _ => return node.unfit(EXPECTED),
    };
    // A table of one's own may be the same scheme under other names.
    let is_signed = |signature: &Signature| match &signature.table {
        Some(table) if signature.scheme == Scheme::Custom => table.algorithm == Algorithm::Sha256,
        Some(_) | None => signature.scheme == scheme,
    };
    if !signatures.is_empty() && !signatures.iter().any(is_signed) {
        return node.problem("is of a sender that signs in another scheme", "signature: {scheme: ..} of that sender");
    }
    Some(challenge)
}

fn verify_token(node: &Node<'_>) -> Option<VerifyToken> {
    const EXPECTED: &str = "{env: NAME}, or a string that is not empty";
    let token = literal_or_env(node, EXPECTED)?;
    if token.trim().is_empty() { node.problem("is empty", EXPECTED) } else { Some(VerifyToken::new(&token)) }
}

fn header(node: &Node<'_>, signatures: &[Signature]) -> Option<String> {
    let name = header_name(node)?;
    if is_taken(&name, signatures) {
        return node.problem("is a header with a meaning of its own", "a name such as x-gatepost-verified");
    }
    Some(name)
}
