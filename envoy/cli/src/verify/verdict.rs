//! The whole check of a request, from its headers to its secret.

use serde::Serialize;

use super::candidate::Candidate;
use super::capture::Captured;
use super::claim::{self, Claim, Kinds};
use super::explain::{explain, matching};
use super::finding::{Code, Defect};
use super::scheme::{Key, Names, Scheme, mac};

/// What a request is held against.
pub(super) struct Rules {
    pub(super) scheme: Scheme,
    pub(super) prefix: String,
    /// Now, in Unix milliseconds.
    pub(super) now: i64,
    /// How old a timestamp may be, and how far ahead, in milliseconds.
    pub(super) past: i64,
    pub(super) future: i64,
}

/// What came out. It is verified when nothing was found.
#[derive(Debug, Serialize)]
pub(super) struct Verification {
    pub(super) verified: bool,
    pub(super) scheme: Scheme,
    /// The number of the secret that matched, from 1.
    pub(super) secret: Option<usize>,
    /// The header whose signature matched.
    pub(super) header: Option<String>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) age_ms: Option<i64>,
    pub(super) findings: Vec<Defect>,
    /// The signature that is right for this body and timestamp, under each shared secret.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) expected: Vec<ExpectedSignature>,
}

/// A signature that would have been right.
#[derive(Debug, Serialize)]
pub(super) struct ExpectedSignature {
    pub(super) secret: usize,
    pub(super) header: String,
    pub(super) value: String,
}

/// Checks a request.
pub(super) fn judge(rules: &Rules, request: &Captured, secrets: &[Candidate]) -> Verification {
    let mut findings = Vec::new();
    let (scheme, names) = style(rules, request, &mut findings);
    let is_public = |secret: &Candidate| matches!(secret.key(scheme), Key::Public(_));
    let kinds = Kinds { shared: !secrets.iter().all(is_public), public: secrets.iter().any(is_public) };
    let claim = claim::read((scheme, &names), kinds, request, &mut findings);
    if let Some(at) = claim.at {
        fresh(rules, at, &mut findings);
    }
    let matched = matching(scheme, &claim, &request.body, secrets);
    if matched.is_none() && !claim.signatures.is_empty() {
        findings.extend(explain(scheme, &claim, request, secrets));
    }
    Verification {
        verified: findings.is_empty() && matched.is_some(),
        scheme,
        secret: matched.as_ref().map(|matched| matched.secret),
        header: matched.map(|matched| matched.header),
        timestamp_ms: claim.at,
        age_ms: claim.at.map(|at| rules.now - at),
        expected: expected(scheme, &names, &claim, request, secrets),
        findings,
    }
}

/// The scheme and headers to check: the ones asked for, or those the request has instead, which is a finding.
fn style(rules: &Rules, request: &Captured, findings: &mut Vec<Defect>) -> (Scheme, Names) {
    let asked = rules.scheme.names(&rules.prefix);
    if request.first(&asked.signature).is_some() {
        return (rules.scheme, asked);
    }
    for other in Scheme::ALL.into_iter().filter(|scheme| *scheme != rules.scheme) {
        let names = other.names(&rules.prefix);
        if request.first(&names.signature).is_some() {
            let says = format!(
                "The request is signed in the style of {}: it has {} and not {}. It is checked as such below.",
                other.title(),
                names.signature,
                asked.signature,
            );
            findings.push(Defect::new(Code::OtherScheme, says));
            return (other, names);
        }
    }
    if let Some(prefix) = other_prefix(request).filter(|_| rules.scheme == Scheme::Timestamped) {
        let says = format!(
            "There is no {}, but {prefix}signature: the headers have another prefix (--header-prefix {prefix}).",
            asked.signature,
        );
        findings.push(Defect::new(Code::HeaderPrefix, says));
        return (rules.scheme, rules.scheme.names(&prefix));
    }
    if request.first("x-hub-signature").is_some() {
        let says = "The request has x-hub-signature, GitHub's old one over SHA-1, which is not checked.";
        findings.push(Defect::new(Code::OtherScheme, says));
    }
    (rules.scheme, asked)
}

/// The prefix of a header that ends in `signature`; one with a timestamp beside it is the better one.
fn other_prefix(request: &Captured) -> Option<String> {
    let prefixes = || request.headers().filter_map(|(name, _)| name.strip_suffix("signature"));
    let timed = prefixes().find(|prefix| request.first(&format!("{prefix}timestamp")).is_some());
    timed.or_else(|| prefixes().next()).map(str::to_owned)
}

fn fresh(rules: &Rules, at: i64, findings: &mut Vec<Defect>) {
    let seconds = |millis: i64| millis as f64 / 1000.0;
    let (age, ahead) = (rules.now.saturating_sub(at), at.saturating_sub(rules.now));
    if age > rules.past {
        let says = format!(
            "The timestamp is too old by {} s: it is {} s old, and {} s are allowed. (To check a capture as of then: \
             --now.)",
            seconds(age - rules.past),
            seconds(age),
            seconds(rules.past),
        );
        findings.push(Defect::new(Code::TimestampTooOld, says));
    } else if ahead > rules.future {
        let says = format!(
            "The timestamp is ahead by {} s, and {} s are allowed: one of the two clocks is wrong.",
            seconds(ahead),
            seconds(rules.future),
        );
        findings.push(Defect::new(Code::TimestampAhead, says));
    }
}

fn expected(
    scheme: Scheme,
    names: &Names,
    claim: &Claim,
    request: &Captured,
    secrets: &[Candidate],
) -> Vec<ExpectedSignature> {
    let timestamp = claim.timestamp.as_deref();
    let Some(before) = scheme.before_body(claim.id.as_deref(), timestamp) else { return Vec::new() };
    let of = |secret: &Candidate| match secret.key(scheme) {
        Key::Shared(key) => Some(ExpectedSignature {
            secret: secret.number,
            header: names.signature.clone(),
            value: scheme.written(&mac(&key, before.as_bytes(), &request.body), timestamp),
        }),
        // It takes the private one to make a signature.
        Key::Public(_) => None,
    };
    secrets.iter().filter_map(of).collect()
}
