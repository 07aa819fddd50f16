//! The search for what explains a signature that does not match: one change to what was captured, or two.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::candidate::Candidate;
use super::capture::Captured;
use super::claim::Claim;
use super::finding::{Code, Defect};
use super::scheme::{Key, Scheme};
use super::variants::{Variant, bodies, keys, layout, layouts, placeholders};

/// Which signature matches which secret.
pub(super) struct Match {
    /// The number of the secret, from 1.
    pub(super) secret: usize,
    pub(super) header: String,
}

/// The first signature that is right as everything stands.
pub(super) fn matching(scheme: Scheme, claim: &Claim, body: &[u8], secrets: &[Candidate]) -> Option<Match> {
    let before = scheme.before_body(claim.id.as_deref(), claim.timestamp.as_deref())?;
    claim.signatures.iter().find_map(|signature| {
        let tags = || std::iter::once(&signature.tag);
        let right = |secret: &&Candidate| secret.key(scheme).matches(before.as_bytes(), body, tags());
        let secret = secrets.iter().find(right)?;
        Some(Match { secret: secret.number, header: signature.header.clone() })
    })
}

/// Why no signature matches.
pub(super) fn explain(scheme: Scheme, claim: &Claim, request: &Captured, secrets: &[Candidate]) -> Vec<Defect> {
    let length = length(request);
    let found = search(scheme, claim, request, secrets);
    if !found.is_empty() {
        return found;
    }
    if scheme.before_body(claim.id.as_deref(), claim.timestamp.as_deref()).is_none() {
        // A part of what is signed is missing, and was told already: nothing can match.
        return Vec::new();
    }
    if let Some(finding) = length {
        return vec![finding];
    }
    let compare = if secrets.iter().any(|secret| scheme.public(&secret.bytes).is_some()) {
        "what `gatepost secret public` prints on the sender's side"
    } else {
        "`gatepost secret fingerprint` on both sides"
    };
    vec![match digest(request) {
        Some((header, true)) => Defect::new(
            Code::WrongSecret,
            format!(
                "The body is the one that was sent: its {header} says so. So the secret differs: compare {compare}."
            ),
        ),
        Some((header, false)) => {
            Defect::new(Code::BodyChanged, format!("The body is not the one {header} was made of: it was changed."))
        }
        None => Defect::new(
            Code::BodyOrSecret,
            format!(
                "The body or the secret differs, and nothing usual explains how. Compare {compare}; then the body: its length and SHA-256 as sent and as received ({} bytes, {}). What is \
                 signed: {}.",
                request.body.len(),
                hex::encode(Sha256::digest(&request.body)),
                layout(scheme),
            ),
        ),
    }]
}

/// The least change to key, layout and body that makes a signature match: what each part of it says.
fn search(scheme: Scheme, claim: &Claim, request: &Captured, secrets: &[Candidate]) -> Vec<Defect> {
    let layouts =
        choices(scheme.before_body(claim.id.as_deref(), claim.timestamp.as_deref()), layouts(scheme, claim, request));
    let bodies = choices(Some(request.body.clone()), bodies(request));
    let mut all_keys = Vec::new();
    for secret in secrets {
        let plain = secret.key(scheme);
        let variants = match plain {
            Key::Shared(_) => keys(scheme, &secret.name, &secret.bytes),
            // There is one way to write it.
            Key::Public(_) => Vec::new(),
        };
        all_keys.extend(choices(Some(plain), shared(variants)));
    }
    let names: Vec<String> = secrets.iter().filter_map(|secret| secret.variable.clone()).collect();
    all_keys.extend(choices(None, shared(placeholders(&names))));
    let most = if request.body.len() <= TWO_CHANGES_UP_TO { 2 } else { 1 };
    for changes in 1..=most {
        for (key, key_says) in &all_keys {
            for (layout, layout_says) in &layouts {
                for (body, body_says) in &bodies {
                    let says: Vec<&Defect> = [key_says, layout_says, body_says].into_iter().flatten().collect();
                    if says.len() != changes {
                        continue;
                    }
                    let tags = claim.signatures.iter().map(|signature| &signature.tag);
                    if key.matches(layout.as_bytes(), body, tags) {
                        return says.into_iter().cloned().collect();
                    }
                }
            }
        }
    }
    Vec::new()
}

fn shared(variants: Vec<Variant<Zeroizing<Vec<u8>>>>) -> Vec<Variant<Key>> {
    let key = |Variant { value, finding }| Variant { value: Key::Shared(value), finding };
    variants.into_iter().map(key).collect()
}

/// What is there, which needs no explanation, and its variants.
fn choices<T>(plain: Option<T>, variants: Vec<Variant<T>>) -> Vec<(T, Option<Defect>)> {
    let plain = plain.map(|plain| (plain, None));
    plain.into_iter().chain(variants.into_iter().map(|variant| (variant.value, Some(variant.finding)))).collect()
}

/// A body that is not as long as it says.
fn length(request: &Captured) -> Option<Defect> {
    let (due, is) = (request.content_length()?, request.body.len());
    let what = if is < due { "truncated" } else { "something was added" };
    let says = format!("The body has {is} bytes, its content-length says {due}: {what}.");
    let code = if is < due { Code::BodyTruncated } else { Code::BodyTooLong };
    (is != due).then(|| Defect::new(code, says))
}

/// Whether the body is the one a digest header (RFC 9530, or RFC 3230 before it) was made of.
fn digest(request: &Captured) -> Option<(&'static str, bool)> {
    ["content-digest", "repr-digest", "digest"].into_iter().find_map(|header| {
        let value = request.first(header)?;
        let named = value.split(',').map(str::trim).find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.eq_ignore_ascii_case("sha-256").then(|| value.trim_matches(':'))
        })?;
        let due = STANDARD.decode(named).ok()?;
        Some((header, due == Sha256::digest(&request.body).as_slice()))
    })
}

/// Above this a body is not hashed hundreds of times.
const TWO_CHANGES_UP_TO: usize = 1 << 20;
