//! Signatures, one scheme a file: what is signed, which headers say so, and how they are read back.
//!
//! | scheme | signed | headers | id, for replays |
//! |---|---|---|---|
//! | [`timestamped`] | `timestamp.body` | `X-Webhook-Signature`, `-Timestamp` | `X-Webhook-Id`, not signed |
//! | [`standard`] | `id.timestamp.body` | `webhook-signature`, `-timestamp`, `-id` | `webhook-id`, signed |
//! | [`github`] | `body` | `X-Hub-Signature-256` | `X-GitHub-Delivery`, not signed |
//! | [`stripe`] | `timestamp.body` | `Stripe-Signature` | the body's `/id`, signed |
//! | [`slack`] | `v0:timestamp:body` | `X-Slack-Signature`, `X-Slack-Request-Timestamp` | the body's `/event_id`, signed |
//!
//! A scheme turns headers into what they present and tags into headers; which keys are live, how tags are compared and
//! what is too old is the same for all, and stands here. Tags are compared in constant time: how long it takes says
//! nothing about where the first difference is (`cargo bench -p gatepost-core --bench constant_time`).

use std::time::Duration;

use hmac::Mac;
use sha2::{Digest, Sha256};

use crate::headers::{CallHeaders, Headers};
use crate::ids::EventId;
use crate::secret::{Key, LiveKey, Secret};
use crate::time::WallTime;

mod fault;
pub mod github;
pub mod slack;
pub mod standard;
pub mod stripe;
pub mod timestamped;

pub use fault::Fault;
use timestamped::Timestamped;

/// One attempt of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The event's id.
    pub id: EventId,
    /// 1, 2, 3 …
    pub number: u32,
    /// The time that is signed: that of this attempt.
    pub at: WallTime,
    /// The event type.
    pub event_type: &'a str,
    /// The `content-type` of the body.
    pub content_type: Option<&'a [u8]>,
    /// The producer's `traceparent` (W3C Trace Context).
    pub traceparent: Option<&'a [u8]>,
    /// The producer's `tracestate`.
    pub tracestate: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}

/// An endpoint or a rule has at most this many secrets, and a request presents at most this many signatures. Every attempt
/// signs the body once for each, and every request is verified with each: 8 x 77 µs for 16 KiB.
pub const SECRETS_MAX: usize = 8;

/// Which signatures there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Gatepost's own.
    Timestamped,
    /// [Standard Webhooks](https://www.standardwebhooks.com).
    Standard,
    /// GitHub's.
    Github,
    /// Stripe's.
    Stripe,
    /// Slack's.
    Slack,
}

impl Scheme {
    /// All of them, as the config names them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("timestamped", Self::Timestamped),
        ("standard", Self::Standard),
        ("github", Self::Github),
        ("stripe", Self::Stripe),
        ("slack", Self::Slack),
    ];
}

/// So many headers of an attempt tell of the event, in every scheme.
const OF_EVENT: usize = 5;

/// A scheme with its keys: signs, or verifies.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Which signature.
    pub scheme: Scheme,
    /// The headers that are alike in every scheme, and those of [`timestamped`].
    pub names: Timestamped,
    /// In the order of the config: the first that is live is the current one. Where they sign, the config left no time
    /// at which none is live.
    pub keys: Vec<LiveKey>,
}

/// What the headers of a request say of its signature.
#[derive(Debug, Default)]
struct Presented {
    /// What is signed before the body.
    prefix: Vec<u8>,
    /// When it was signed, where the scheme says so.
    at: Option<WallTime>,
    /// Its id, where there is one.
    id: Option<Vec<u8>>,
    /// Is the id part of what is signed?
    is_id_signed: bool,
    /// The signatures.
    tags: Vec<Tag>,
}

/// A signature as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    /// HMAC-SHA256.
    Mac([u8; 32]),
    /// Ed25519 (RFC 8032).
    Ed25519([u8; 64]),
}

impl Tag {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mac(bytes) => bytes,
            Self::Ed25519(bytes) => bytes,
        }
    }
}

/// How old or early a signature may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Behind the receiver's clock.
    pub past: Duration,
    /// Ahead of it.
    pub future: Duration,
}

/// What a verified message is known by, should it come again: its signatures and its id, 64 bits of each.
///
/// All signatures it has under live secrets and all it came with, even those under secrets that are none of ours yet: it
/// must not come again with another one of them. Where the id is part of what is signed the id will do, and a sender that
/// signs afresh for every attempt is known again by it.
pub type Marks = Vec<u64>;

impl Signature {
    /// The headers that sign an attempt, with every secret that is live then.
    pub fn sign<'a>(&'a self, attempt: &Attempt<'a>, headers: &mut CallHeaders<'a>) {
        let keys = self.keys.iter().filter(|key| key.window.is_live(attempt.at)).map(|key| &key.key);
        match self.scheme {
            Scheme::Timestamped => timestamped::headers(&self.names, keys, attempt, headers),
            Scheme::Standard => standard::headers(keys, attempt, headers),
            Scheme::Github => github::headers(keys, attempt, headers),
            Scheme::Stripe => stripe::headers(keys, attempt, headers),
            Scheme::Slack => slack::headers(keys, attempt, headers),
        }
    }

    /// The names of the headers that tell of the event, five of them, and then of those that [`sign`](Self::sign) sets.
    pub fn header_names(&self) -> Vec<&str> {
        let names = &self.names;
        let mut all = vec![&*names.id, &*names.event, &*names.attempt, &*names.endpoint, &*names.dead_letter];
        match self.scheme {
            Scheme::Timestamped => {
                all.extend([&*names.signature, &*names.signature_also, &*names.timestamp]);
            }
            Scheme::Standard => all.extend(standard::NAMES),
            Scheme::Github => all.extend(github::NAMES),
            Scheme::Stripe => all.push(stripe::SIGNATURE),
            Scheme::Slack => all.extend(slack::NAMES),
        }
        all
    }

    /// A message has at most so many [`Marks`].
    pub fn marks_max(&self) -> usize {
        match self.scheme {
            Scheme::Timestamped | Scheme::Github => self.keys.len() + 1,
            Scheme::Standard => 1,
            Scheme::Stripe | Scheme::Slack => self.keys.len(),
        }
    }

    /// Would both set the same header? What tells of the event alike they set once.
    pub fn collides(&self, other: &Self) -> bool {
        let theirs = other.header_names();
        let alike = if self.names == other.names { OF_EVENT } else { 0 };
        self.header_names().iter().skip(alike).any(|name| theirs.contains(name))
    }

    /// The header of the signature.
    pub fn header(&self) -> &str {
        match self.scheme {
            Scheme::Timestamped => &self.names.signature,
            Scheme::Standard => standard::SIGNATURE,
            Scheme::Github => github::SIGNATURE,
            Scheme::Stripe => stripe::SIGNATURE,
            Scheme::Slack => slack::SIGNATURE,
        }
    }

    /// The header of the timestamp, where that has one of its own.
    pub fn timestamp_header(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Timestamped => Some(&self.names.timestamp),
            Scheme::Standard => Some(standard::TIMESTAMP),
            Scheme::Slack => Some(slack::TIMESTAMP),
            Scheme::Github | Scheme::Stripe => None,
        }
    }

    /// Was this request signed under a secret that is live now, not too long ago?
    ///
    /// # Errors
    /// Why not. What costs nothing is looked at first; what an answer tells, its sender knew.
    pub fn verify(
        &self,
        headers: &Headers,
        body: &[u8],
        now: WallTime,
        tolerance: Tolerance,
    ) -> Result<Marks, Fault<'_>> {
        if headers.get(self.header()).is_none() {
            return Err(Fault::Unsigned { header: self.header() });
        }
        let presented = match self.scheme {
            Scheme::Timestamped => timestamped::read(&self.names, headers),
            Scheme::Standard => standard::read(headers),
            Scheme::Github => github::read(headers),
            Scheme::Stripe => stripe::read(headers, body),
            Scheme::Slack => slack::read(headers, body),
        }?;
        if let Some(at) = presented.at {
            if at.plus(tolerance.past) < now {
                return Err(Fault::Stale { past: tolerance.past });
            }
            if at > now.plus(tolerance.future) {
                return Err(Fault::Early { future: tolerance.future });
            }
        }
        // The secrets of when it was signed: on its way it may outlast one.
        let at = presented.at.unwrap_or(now);
        let mut live = self.keys.iter().filter(|key| key.window.is_live(at)).peekable();
        if live.peek().is_none() {
            return Err(Fault::NoSecret);
        }
        // Every key has its say, so that the time it takes does not tell which of them fits.
        let mut ours = Vec::new();
        let fits = live.fold(false, |fits, key| fits | presented.is_signed_by(&key.key, body, &mut ours));
        if fits { Ok(presented.marks(ours)) } else { Err(Fault::Mismatch) }
    }
}

impl Presented {
    /// Is one of its signatures under this key? The one that it should be is added to `all`, where both sides can make it.
    fn is_signed_by(&self, key: &Key, body: &[u8], all: &mut Vec<Tag>) -> bool {
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
    fn marks(&self, mut tags: Vec<Tag>) -> Marks {
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

/// The beginning of a hash: chance collisions of 2^20 messages are out of reach.
fn beginning(hash: &[u8]) -> u64 {
    hash.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

/// An HMAC-SHA256. Comparing it takes the same time wherever the first difference is.
struct Ours(hmac::digest::CtOutput<hmac::Hmac<sha2::Sha256>>);

impl Ours {
    fn is(&self, theirs: &[u8; 32]) -> bool {
        self.0 == hmac::digest::CtOutput::new((*theirs).into())
    }

    fn bytes(&self) -> [u8; 32] {
        (*self.0.as_bytes()).into()
    }
}

fn mac(secret: &Secret, parts: &[&[u8]]) -> Ours {
    let mut hmac = secret.hmac();
    parts.iter().for_each(|part| hmac.update(part));
    Ours(hmac.finalize())
}

/// An HMAC-SHA256 in 64 lower-case hex digits.
fn hex_of(secret: &Secret, parts: &[&[u8]]) -> String {
    hex::encode(mac(secret, parts).bytes())
}

/// 64 hex digits.
fn tag_of_hex(text: &[u8]) -> Option<Tag> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Tag::Mac(bytes))
}

/// The keys that make an HMAC.
fn secrets<'a>(keys: impl Iterator<Item = &'a Key>) -> impl Iterator<Item = &'a Secret> {
    keys.filter_map(|key| match key {
        Key::Shared(secret) => Some(secret),
        Key::Private(_) | Key::Public(_) => None,
    })
}

/// Puts the first signature into a header of its own and the others, while secrets rotate, into a second one: a receiver
/// that compares the whole of the first never breaks.
fn first_and_also<'a>(
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
fn read_first_and_also<'n>(
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
fn few<'n>(tags: Vec<Tag>, malformed: Fault<'n>) -> Result<Vec<Tag>, Fault<'n>> {
    if (1..=SECRETS_MAX).contains(&tags.len()) { Ok(tags) } else { Err(malformed) }
}

/// The value of a header that has to come exactly once.
fn single<'h, 'n>(headers: &'h Headers, header: &'n str) -> Result<&'h [u8], Fault<'n>> {
    headers.single(header).ok_or(Fault::Malformed { header, expected: "there exactly once" })
}

/// Digits as a time; they count this many milliseconds each from 1970 on.
fn timestamp<'n>(digits: &[u8], millis_each: u64, header: &'n str) -> Result<WallTime, Fault<'n>> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let millis = digits.and_then(|text| text.parse::<u64>().ok()).and_then(|number| number.checked_mul(millis_each));
    let expected =
        if millis_each == 1 { "a number of milliseconds since 1970" } else { "a number of seconds since 1970" };
    millis.map(WallTime::from_millis).ok_or(Fault::Malformed { header, expected })
}

#[cfg(test)]
mod tests;
