//! The scheme `standard`: [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
//!
//! The signed bytes are `id.timestamp.body`, the timestamp in seconds. `webhook-signature` holds a signature for each
//! live secret, with spaces between them: `v1,<base64>` is HMAC-SHA256 under a shared secret (`whsec_…`),
//! `v1a,<base64>` Ed25519 under a private key (`whsk_…`), of which a receiver holds the public key (`whpk_…`) and so
//! can sign nothing itself.

use base64ct::{Base64, Encoding};

use super::attempt::Attempt;
use super::fault::Fault;
use super::tags::{Presented, Tag, mac, single, some, timestamp};
use crate::headers::{CallHeaders, Headers};
use crate::secret::Key;

/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";
/// The header with the event's id.
pub const ID: &str = "webhook-id";
/// The header with the time of the attempt, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// All headers of the scheme.
pub const NAMES: [&str; 3] = [SIGNATURE, ID, TIMESTAMP];

/// The prefix of a shared secret: the rest is its bytes in base64.
pub const SHARED: &str = "whsec_";
/// The prefix of a private key: the rest is its 32 bytes (RFC 8032's seed) in base64, with its public key behind them
/// or not.
pub const PRIVATE: &str = "whsk_";
/// The prefix of a public key: the rest is its 32 bytes in base64.
pub const PUBLIC: &str = "whpk_";

/// The prefix of an HMAC-SHA256 signature: the version.
const V1: &str = "v1,";
/// The prefix of an Ed25519 signature: the version.
const V1A: &str = "v1a,";

pub(super) fn headers<'a>(keys: impl Iterator<Item = &'a Key>, attempt: &Attempt<'a>, headers: &mut CallHeaders<'a>) {
    let id = attempt.id.to_string();
    let timestamp = itoa::Buffer::new().format(attempt.at.as_secs()).to_owned();
    let signed: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", attempt.body];
    let signatures: Vec<String> = keys.filter_map(|key| sign(key, &signed)).collect();
    headers.push((SIGNATURE, signatures.join(" ").into_bytes().into()));
    headers.push((ID, id.into_bytes().into()));
    headers.push((TIMESTAMP, timestamp.into_bytes().into()));
}

fn sign(key: &Key, signed: &[&[u8]]) -> Option<String> {
    match key {
        Key::Shared(secret) => Some([V1, &Base64::encode_string(mac(secret, signed).bytes())].concat()),
        Key::Private(key) => Some([V1A, &Base64::encode_string(&key.sign(signed))].concat()),
        Key::Public(_) => None,
    }
}

pub(super) fn read(headers: &Headers) -> Result<Presented, Fault<'static>> {
    let malformed = Fault::Malformed {
        header: SIGNATURE,
        expected: "v1,<base64> or v1a,<base64>, several with spaces between them",
    };
    let tags = single(headers, SIGNATURE)?.split(|byte| *byte == b' ').filter_map(tag).collect();
    let tags = some(tags, malformed)?;
    let id = single(headers, ID)?;
    let digits = single(headers, TIMESTAMP)?;
    let at = timestamp(digits, 1000, TIMESTAMP)?;
    if id.is_empty() || id.contains(&b'.') {
        // With a '.' in the id, the same bytes would be signed for another id, another time and another body.
        return Err(Fault::Malformed { header: ID, expected: "an id without '.'" });
    }
    Ok(Presented {
        prefix: [id, b".", digits, b"."].concat(),
        suffix: Vec::new(),
        at: Some(at),
        id: Some(id.to_vec()),
        is_id_signed: true,
        tags,
    })
}

/// Parses a signature; `None` for one of another version, and for what is none.
fn tag(text: &[u8]) -> Option<Tag> {
    let mut bytes = [0; 64];
    match (text.strip_prefix(V1.as_bytes()), text.strip_prefix(V1A.as_bytes())) {
        (Some(text), _) => Base64::decode(text, &mut bytes).ok()?.try_into().ok().map(Tag::Mac),
        (_, Some(text)) => Base64::decode(text, &mut bytes).ok()?.try_into().ok().map(Tag::Ed25519),
        (None, None) => None,
    }
}
