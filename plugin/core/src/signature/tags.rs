//! What the schemes have in common: what a request presents, and how tags (signatures as bytes) are made and compared,
//! written and read.

use hmac::Mac;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use crate::headers::{CallHeaders, Headers};
use crate::secret::{Key, Secret};
use crate::time::WallTime;

/// The largest number of secrets of an endpoint or a rule. Every attempt signs the body once for each secret, and every
/// request is verified with each: 8 x 77 µs for 16 KiB.
pub const SECRETS_MAX: usize = 8;

/// How many signatures of Ed25519 are tried for a request, over all keys: each is some 0.1 ms. HMACs are compared with
/// one that is made once for each secret, so their number is bounded by the size of Envoy's headers alone.
pub(super) const ED25519_TRIES: usize = 64;

/// The marks of a verified message, by which it is known should it come again: 64 bits of each of its signatures and of
/// its id.
///
/// The signatures are those that the message has under live secrets, and the first [`SECRETS_MAX`] others it came with,
/// perhaps under secrets that are not ours yet: the message must not come again with another of its signatures. Where the id is signed, the id is the
/// only mark: a message that its sender signs afresh for every attempt is known again by the id.
pub type Marks = Vec<u64>;

/// What the headers of a request say of its signature.
#[derive(Debug, Default)]
pub(super) struct Presented {
    /// The bytes that are signed before the body.
    pub(super) prefix: Vec<u8>,
    /// The time at which the request was signed, where the scheme signs a time.
    pub(super) at: Option<WallTime>,
    /// The id of the message, where there is one.
    pub(super) id: Option<Vec<u8>>,
    /// Whether the id is signed.
    pub(super) is_id_signed: bool,
    /// The signatures that the request came with.
    pub(super) tags: Vec<Tag>,
}

impl Presented {
    /// Whether one of the signatures is under this key, of those of Ed25519 one of the first `tries`. The right signature
    /// under a shared secret is added to `all`.
    pub(super) fn is_signed_by(&self, key: &Key, body: &[u8], tries: usize, all: &mut Vec<Tag>) -> bool {
        match key {
            Key::Shared(secret) => {
                let ours = mac(secret, &[&self.prefix, body]);
                all.push(Tag::Mac(ours.bytes()));
                self.tags.iter().fold(false, |fits, tag| match tag {
                    Tag::Mac(theirs) => fits | ours.is(theirs),
                    Tag::Ed25519(_) => fits,
                })
            }
            Key::Public(key) => {
                let tags = self.tags.iter().filter_map(|tag| match tag {
                    Tag::Ed25519(tag) => Some(tag),
                    Tag::Mac(_) => None,
                });
                tags.take(tries).any(|tag| key.verifies(&[&self.prefix, body], tag))
            }
            // The config lets no verifier have a private key.
            Key::Private(_) => false,
        }
    }

    /// The marks of the message; `tags` are its signatures under our secrets.
    pub(super) fn marks(&self, mut tags: Vec<Tag>) -> Marks {
        let id = self.id.as_ref().map(|id| beginning(&Sha256::digest(id)));
        if let (Some(id), true) = (id, self.is_id_signed) {
            return vec![id];
        }
        let most = tags.len() + SECRETS_MAX;
        for tag in &self.tags {
            if tags.len() < most && !tags.contains(tag) {
                tags.push(*tag);
            }
        }
        tags.iter().map(|tag| beginning(tag.bytes())).chain(id).collect()
    }
}

/// A tag: a signature as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// HMAC-SHA256.
    Mac([u8; 32]),
    /// Ed25519 (RFC 8032).
    Ed25519([u8; 64]),
}

impl Tag {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mac(bytes) => bytes,
            Self::Ed25519(bytes) => bytes,
        }
    }
}

/// The first 64 bits of a hash: chance collisions of 2^20 messages are out of reach.
fn beginning(hash: &[u8]) -> u64 {
    hash.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// An HMAC-SHA256 under one of our secrets. A comparison takes the same time wherever the first difference is.
pub(super) struct Ours(hmac::digest::CtOutput<hmac::Hmac<sha2::Sha256>>);

impl Ours {
    pub(super) fn is(&self, theirs: &[u8; 32]) -> bool {
        self.0 == hmac::digest::CtOutput::new((*theirs).into())
    }

    pub(super) fn bytes(&self) -> [u8; 32] {
        (*self.0.as_bytes()).into()
    }
}

pub(super) fn mac(secret: &Secret, parts: &[&[u8]]) -> Ours {
    let mut hmac = secret.hmac();
    parts.iter().for_each(|part| hmac.update(part));
    Ours(hmac.finalize())
}

/// An HMAC-SHA256 in 64 lower-case hex digits.
pub(super) fn hex_of(secret: &Secret, parts: &[&[u8]]) -> String {
    hex::encode(mac(secret, parts).bytes())
}

/// Parses an HMAC-SHA256 of 64 hex digits; `None` for any other text.
pub(super) fn tag_of_hex(text: &[u8]) -> Option<Tag> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Tag::Mac(bytes))
}

/// The shared secrets among these keys, which make HMACs.
pub(super) fn secrets<'a>(keys: impl Iterator<Item = &'a Key>) -> impl Iterator<Item = &'a Secret> {
    keys.filter_map(|key| match key {
        Key::Shared(secret) => Some(secret),
        Key::Private(_) | Key::Public(_) => None,
    })
}

/// Puts the first signature into a header of its own and the others, while secrets rotate, into a second one: a
/// receiver that compares the whole of the first never breaks.
pub(super) fn first_and_also<'a>(
    headers: &mut CallHeaders<'a>,
    (name, also): (&'a str, &'a str),
    mut signatures: impl Iterator<Item = String>,
) {
    headers.extend(signatures.next().map(|first| (name, first.into_bytes().into())));
    let others = signatures.collect::<Vec<_>>().join(",");
    if !others.is_empty() {
        headers.push((also, others.into_bytes().into()));
    }
}

/// Reads back what [`first_and_also`] writes; each signature is hex behind `version`. What is none is passed over.
pub(super) fn read_first_and_also<'n>(
    headers: &Headers,
    (name, also): (&'n str, &str),
    (version, expected): (&str, &'static str),
) -> Result<Vec<Tag>, Fault<'n>> {
    let malformed = Fault::Malformed { header: name, expected };
    let first = single(headers, name)?;
    let others = headers.get(also).unwrap_or_default();
    let all = std::iter::once(first).chain(others.split(|byte| *byte == b','));
    let tag = |text: &[u8]| tag_of_hex(text.trim_ascii().strip_prefix(version.as_bytes())?);
    some(all.filter_map(tag).collect(), malformed)
}

/// Checks that there is a tag; else the error is `malformed`. Entries that are no tag were passed over by then, as the
/// libraries of the senders do: a version to come, or a broken entry, beside a good signature spoils nothing.
pub(super) fn some<'n>(tags: Vec<Tag>, malformed: Fault<'n>) -> Result<Vec<Tag>, Fault<'n>> {
    if tags.is_empty() { Err(malformed) } else { Ok(tags) }
}

/// The value of a header that has to come exactly once.
pub(super) fn single<'h, 'n>(headers: &'h Headers, header: &'n str) -> Result<&'h [u8], Fault<'n>> {
    headers.single(header).ok_or(Fault::Malformed { header, expected: "there exactly once" })
}

/// Parses digits as a time since 1970, in units of `millis_each` milliseconds.
pub(super) fn timestamp<'n>(digits: &[u8], millis_each: u64, header: &'n str) -> Result<WallTime, Fault<'n>> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let millis = digits.and_then(|text| text.parse::<u64>().ok()).and_then(|number| number.checked_mul(millis_each));
    let expected =
        if millis_each == 1 { "a number of milliseconds since 1970" } else { "a number of seconds since 1970" };
    millis.map(WallTime::from_millis).ok_or(Fault::Malformed { header, expected })
}
