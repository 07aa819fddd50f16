//! What the schemes have in common: what a request presents, how tags are made and compared, written and read.

use hmac::Mac;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use crate::headers::{CallHeaders, Headers};
use crate::secret::{Key, Secret};
use crate::time::WallTime;

/// An endpoint or a rule has at most this many secrets, and a request presents at most this many signatures. Every attempt
/// signs the body once for each, and every request is verified with each: 8 x 77 µs for 16 KiB.
pub const SECRETS_MAX: usize = 8;

/// What a verified message is known by, should it come again: its signatures and its id, 64 bits of each.
///
/// All signatures it has under live secrets and all it came with, even those under secrets that are none of ours yet: it
/// must not come again with another one of them. Where the id is part of what is signed the id will do, and a sender that
/// signs afresh for every attempt is known again by it.
pub type Marks = Vec<u64>;

/// What the headers of a request say of its signature.
#[derive(Debug, Default)]
pub(super) struct Presented {
    /// What is signed before the body.
    pub(super) prefix: Vec<u8>,
    /// When it was signed, where the scheme says so.
    pub(super) at: Option<WallTime>,
    /// Its id, where there is one.
    pub(super) id: Option<Vec<u8>>,
    /// Is the id part of what is signed?
    pub(super) is_id_signed: bool,
    /// The signatures.
    pub(super) tags: Vec<Tag>,
}

impl Presented {
    /// Is one of its signatures under this key? The one that it should be is added to `all`, where both sides can make it.
    pub(super) fn is_signed_by(&self, key: &Key, body: &[u8], all: &mut Vec<Tag>) -> bool {
        match key {
            Key::Shared(secret) => {
                let ours = mac(secret, &[&self.prefix, body]);
                all.push(Tag::Mac(ours.bytes()));
                self.tags.iter().fold(false, |fits, tag| match tag {
                    Tag::Mac(theirs) => fits | ours.is(theirs),
                    Tag::Ed25519(_) => fits,
                })
            }
            Key::Public(key) => self.tags.iter().any(|tag| match tag {
                Tag::Ed25519(tag) => key.verifies(&[&self.prefix, body], tag),
                Tag::Mac(_) => false,
            }),
            // The config lets no verifier have one.
            Key::Private(_) => false,
        }
    }

    /// By what the message is known that has these signatures under our secrets.
    pub(super) fn marks(&self, mut tags: Vec<Tag>) -> Marks {
        let id = self.id.as_ref().map(|id| beginning(&Sha256::digest(id)));
        if let (Some(id), true) = (id, self.is_id_signed) {
            return vec![id];
        }
        for tag in &self.tags {
            if !tags.contains(tag) {
                tags.push(*tag);
            }
        }
        tags.iter().map(|tag| beginning(tag.bytes())).chain(id).collect()
    }
}

/// A signature as bytes.
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

/// The beginning of a hash: chance collisions of 2^20 messages are out of reach.
fn beginning(hash: &[u8]) -> u64 {
    hash.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// An HMAC-SHA256. Comparing it takes the same time wherever the first difference is.
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

/// 64 hex digits.
pub(super) fn tag_of_hex(text: &[u8]) -> Option<Tag> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Tag::Mac(bytes))
}

/// The keys that make an HMAC.
pub(super) fn secrets<'a>(keys: impl Iterator<Item = &'a Key>) -> impl Iterator<Item = &'a Secret> {
    keys.filter_map(|key| match key {
        Key::Shared(secret) => Some(secret),
        Key::Private(_) | Key::Public(_) => None,
    })
}

/// Puts the first signature into a header of its own and the others, while secrets rotate, into a second one: a receiver
/// that compares the whole of the first never breaks.
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

/// Reads back what [`first_and_also`] writes; each signature is hex behind `version`.
pub(super) fn read_first_and_also<'n>(
    headers: &Headers,
    (name, also): (&'n str, &str),
    (version, expected): (&str, &'static str),
) -> Result<Vec<Tag>, Fault<'n>> {
    let malformed = Fault::Malformed { header: name, expected };
    let first = single(headers, name)?;
    let others = headers.get(also).unwrap_or_default();
    let mut tags = Vec::new();
    for text in std::iter::once(first).chain(others.split(|byte| *byte == b',').filter(|text| !text.is_empty())) {
        let digits = text.trim_ascii().strip_prefix(version.as_bytes()).ok_or(malformed)?;
        tags.push(tag_of_hex(digits).ok_or(malformed)?);
    }
    few(tags, malformed)
}

/// The tags, unless they are none or too many.
pub(super) fn few<'n>(tags: Vec<Tag>, malformed: Fault<'n>) -> Result<Vec<Tag>, Fault<'n>> {
    if (1..=SECRETS_MAX).contains(&tags.len()) { Ok(tags) } else { Err(malformed) }
}

/// The value of a header that has to come exactly once.
pub(super) fn single<'h, 'n>(headers: &'h Headers, header: &'n str) -> Result<&'h [u8], Fault<'n>> {
    headers.single(header).ok_or(Fault::Malformed { header, expected: "there exactly once" })
}

/// Digits as a time; they count this many milliseconds each from 1970 on.
pub(super) fn timestamp<'n>(digits: &[u8], millis_each: u64, header: &'n str) -> Result<WallTime, Fault<'n>> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let millis = digits.and_then(|text| text.parse::<u64>().ok()).and_then(|number| number.checked_mul(millis_each));
    let expected =
        if millis_each == 1 { "a number of milliseconds since 1970" } else { "a number of seconds since 1970" };
    millis.map(WallTime::from_millis).ok_or(Fault::Malformed { header, expected })
}
