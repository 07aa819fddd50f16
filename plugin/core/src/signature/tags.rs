//! What the schemes have in common: what a request presents, and how tags (signatures as bytes) are made and compared,
//! written and read.

use hmac::digest::CtOutput;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use crate::headers::{CallHeaders, Headers};
use crate::json;
use crate::secret::{Hash, Key, Secret};
use crate::time::WallTime;

/// The largest number of secrets of an endpoint or a rule. Every attempt signs the body once for each secret, and every
/// request is verified with each: 8 x 77 µs for 16 KiB.
pub const SECRETS_MAX: usize = 8;

/// How many signatures of Ed25519 are tried for a request, over all keys: each is some 0.1 ms. HMACs are compared with
/// one that is made once for each secret, so their number is bounded by the size of Envoy's headers alone.
pub(super) const ED25519_TRIES: usize = 64;

/// The marks of a verified message, by which it is known should it come again: 64 bits of each of its signatures, and of
/// its id under each secret that verified it. The secret is in the mark, so that of two senders with a secret each, one's
/// `msg_2` is not the other's. A secret is told by what it is, not by its place in the config, which changes.
///
/// The signatures are those that the message has under live secrets, and the first [`SECRETS_MAX`] others it came with,
/// perhaps under secrets that are not ours yet: the message must not come again with another of its signatures. Where no
/// time is signed, two senders may well have the same to say: there the live secrets count that verified the message.
/// Where the id is signed, the id is the only mark: a message that its sender signs afresh for every attempt is known
/// again by the id.
pub type Marks = Vec<u64>;

/// What a key says of a request: whether it fits, and the signature under it where the key makes one.
pub(super) type Trial = (bool, Option<Tag>);

/// The keys that were tried on a request, each with what it says of the request.
pub(super) type Trials<'k> = Vec<(&'k Key, Trial)>;

/// What the headers of a request say of its signature.
#[derive(Debug, Default)]
pub(super) struct Presented {
    /// The bytes that are signed before the body.
    pub(super) prefix: Vec<u8>,
    /// The bytes that are signed behind the body.
    pub(super) suffix: Vec<u8>,
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
    /// Whether one of the signatures is under this key, of those of Ed25519 one of the first `tries`; and the right
    /// signature, where the key makes one.
    pub(super) fn signed_by(&self, key: &Key, body: &[u8], tries: usize) -> Trial {
        match key {
            Key::Shared(secret) => {
                let ours = mac(secret, &[&self.prefix, body, &self.suffix]);
                let fits = self.tags.iter().fold(false, |fits, tag| fits | is(&ours, tag));
                (fits, Some(tag_of(&ours)))
            }
            Key::Public(key) => {
                let tags = self.tags.iter().filter_map(|tag| match tag {
                    Tag::Ed25519(tag) => Some(tag),
                    Tag::Mac(_) | Tag::Mac512(_) => None,
                });
                (tags.take(tries).any(|tag| key.verifies(&[&self.prefix, body, &self.suffix], tag)), None)
            }
            // The config lets no verifier have a private key.
            Key::Private(_) => (false, None),
        }
    }

    /// The marks of the message; `tried` are the live keys, each with what [`signed_by`](Self::signed_by) said. `named`
    /// is the id where the rule says what it is.
    pub(super) fn marks(&self, tried: &[(&Key, Trial)], named: Option<&[u8]>) -> Marks {
        let (id, is_id_signed) = match named {
            Some(_) => (named, true),
            None => (self.id.as_deref(), self.is_id_signed),
        };
        let fitting = || tried.iter().filter(|(_, (fits, _))| *fits);
        let ids = id.into_iter().flat_map(|id| fitting().map(move |(key, _)| id_under(key, id)));
        if id.is_some() && is_id_signed {
            return ids.collect();
        }
        let counts = |fits: bool| fits || self.at.is_some();
        let mut tags: Vec<Tag> = tried.iter().filter_map(|(_, (fits, tag))| tag.filter(|_| counts(*fits))).collect();
        let most = tags.len() + SECRETS_MAX;
        for tag in &self.tags {
            if tags.len() < most && !tags.contains(tag) {
                tags.push(*tag);
            }
        }
        tags.iter().map(|tag| beginning(tag.bytes())).chain(ids).collect()
    }
}

/// The mark of an id for the messages that one key verified.
fn id_under(key: &Key, id: &[u8]) -> u64 {
    const PURPOSE: &[u8] = b"gatepost replay id\0";
    match key {
        Key::Shared(secret) => beginning(mac(secret, &[PURPOSE, id]).bytes()),
        Key::Public(key) => beginning(&Sha256::digest([PURPOSE, key.as_bytes(), id].concat())),
        // The config lets no verifier have a private key.
        Key::Private(_) => beginning(&Sha256::digest(id)),
    }
}

/// The id of a body that is signed, and whose scheme names no id: a hash of the body, where that is JSON with an `id` at
/// its top. Signed afresh it is the same message. The `id` alone may be that of an order, of which two events tell.
pub(super) fn id_of(body: &[u8]) -> Option<Vec<u8>> {
    json::top_level(body, "id").map(|_| Sha256::digest(body).to_vec())
}

/// A tag: a signature as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// HMAC-SHA256.
    Mac([u8; 32]),
    /// HMAC-SHA512.
    Mac512([u8; 64]),
    /// Ed25519 (RFC 8032).
    Ed25519([u8; 64]),
}

impl Tag {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mac(bytes) => bytes,
            Self::Mac512(bytes) | Self::Ed25519(bytes) => bytes,
        }
    }
}

/// The first 64 bits of a hash: chance collisions of 2^20 messages are out of reach.
fn beginning(hash: &[u8]) -> u64 {
    hash.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// The HMAC of these parts under a secret.
pub(super) fn mac(secret: &Secret, parts: &[&[u8]]) -> Hash {
    secret.mac(parts)
}

/// Whether an HMAC of ours is this signature, in constant time.
fn is(ours: &Hash, theirs: &Tag) -> bool {
    match (ours, theirs) {
        (Hash::Sha256(ours), Tag::Mac(theirs)) => *ours == CtOutput::new((*theirs).into()),
        (Hash::Sha512(ours), Tag::Mac512(theirs)) => *ours == CtOutput::new((*theirs).into()),
        (Hash::Sha256(_) | Hash::Sha512(_), Tag::Mac(_) | Tag::Mac512(_) | Tag::Ed25519(_)) => false,
    }
}

/// An HMAC of ours as a signature.
fn tag_of(ours: &Hash) -> Tag {
    match ours {
        Hash::Sha256(ours) => Tag::Mac((*ours.as_bytes()).into()),
        Hash::Sha512(ours) => Tag::Mac512((*ours.as_bytes()).into()),
    }
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
    (version, expected): (&str, &'n str),
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
