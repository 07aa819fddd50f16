//! Signature schemes, one a file: what is signed, which headers carry the signature, and how they are read back.
//!
//! | scheme | signed | headers | id, for replays |
//! |---|---|---|---|
//! | [`timestamped`] | `timestamp.body` | `X-Webhook-Signature`, `-Timestamp` | `X-Webhook-Id`, not signed |
//! | [`standard`] | `id.timestamp.body` | `webhook-signature`, `-timestamp`, `-id` | `webhook-id`, signed |
//! | [`github`] | `body` | `X-Hub-Signature-256` | `X-GitHub-Delivery`, not signed |
//! | [`stripe`] | `timestamp.body` | `Stripe-Signature` | the body's `/id`, signed |
//! | [`slack`] | `v0:timestamp:body` | `X-Slack-Signature`, `-Request-Timestamp` | the body's `/event_id`, signed |
//!
//! A scheme reads the headers of a request, and writes tags (signatures as bytes) into headers. Which keys are live,
//! how tags are compared and which signatures are too old is the same for all schemes, and stands here and in `tags`.
//! Tags are compared in constant time: how long a comparison takes says nothing about where the first difference is
//! (`cargo bench -p gatepost-core --bench constant_time`).

use std::time::Duration;

use crate::headers::{CallHeaders, Headers};
use crate::secret::LiveKey;
use crate::time::WallTime;

mod attempt;
mod fault;
pub mod github;
pub mod slack;
pub mod standard;
pub mod stripe;
mod tags;
pub mod timestamped;

pub use attempt::Attempt;
pub use fault::Fault;
use tags::ED25519_TRIES;
pub use tags::{Marks, SECRETS_MAX};
use timestamped::Timestamped;

/// The signature schemes.
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
    /// All schemes, as the config names them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("timestamped", Self::Timestamped),
        ("standard", Self::Standard),
        ("github", Self::Github),
        ("stripe", Self::Stripe),
        ("slack", Self::Slack),
    ];
}

/// The number of headers of an attempt that tell of the event, in every scheme.
const OF_EVENT: usize = 5;

/// A scheme with its keys: signs, or verifies.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The scheme.
    pub scheme: Scheme,
    /// The names of the headers that tell of the event in every scheme, and of those of [`timestamped`].
    pub names: Timestamped,
    /// The keys, in the order of the config: the first that is live is the current one. If they sign, one of them is
    /// live at any time: the config takes care of that.
    pub keys: Vec<LiveKey>,
}

/// How old or early a signature may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// How far the timestamp may be behind the receiver's clock.
    pub past: Duration,
    /// How far the timestamp may be ahead of the receiver's clock.
    pub future: Duration,
}

impl Signature {
    /// Appends the headers that sign an attempt, with every key that is live at the time of the attempt.
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

    /// The largest number of [`Marks`] that a message has.
    pub fn marks_max(&self) -> usize {
        match self.scheme {
            Scheme::Timestamped | Scheme::Github => 2 * self.keys.len(),
            Scheme::Standard | Scheme::Stripe | Scheme::Slack => self.keys.len(),
        }
    }

    /// Whether both set the same header. The headers that tell of the event do not count where both name them alike:
    /// those are set once.
    pub fn collides(&self, other: &Self) -> bool {
        let theirs = other.header_names();
        let alike = if self.names == other.names { OF_EVENT } else { 0 };
        self.header_names().iter().skip(alike).any(|name| theirs.contains(name))
    }

    /// The name of the header that carries the signature.
    pub fn header(&self) -> &str {
        match self.scheme {
            Scheme::Timestamped => &self.names.signature,
            Scheme::Standard => standard::SIGNATURE,
            Scheme::Github => github::SIGNATURE,
            Scheme::Stripe => stripe::SIGNATURE,
            Scheme::Slack => slack::SIGNATURE,
        }
    }

    /// The name of the header that carries the timestamp, where the timestamp has a header of its own.
    pub fn timestamp_header(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Timestamped => Some(&self.names.timestamp),
            Scheme::Standard => Some(standard::TIMESTAMP),
            Scheme::Slack => Some(slack::TIMESTAMP),
            Scheme::Github | Scheme::Stripe => None,
        }
    }

    /// The name of the header that carries the event's id, where it is signed.
    pub fn signed_id(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Standard => Some(standard::ID),
            Scheme::Timestamped | Scheme::Github | Scheme::Stripe | Scheme::Slack => None,
        }
    }

    /// Verifies the signature of a request: it must fit a key that was live at the signed time, and that time must be
    /// within the tolerance. Where the scheme signs no time, the time is `now`. Returns the marks of the message.
    ///
    /// # Errors
    /// The fault of the signature. The checks that cost nothing come first; a fault tells the sender nothing that it
    /// did not know.
    pub fn verify(
        &self,
        headers: &Headers,
        body: &[u8],
        now: WallTime,
        tolerance: Tolerance,
    ) -> Result<Marks, Fault<'_>> {
        self.verify_named(headers, body, now, tolerance, None)
    }

    /// [Verifies](Self::verify) a request whose id is `named`, where something else than the scheme says so.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify).
    pub fn verify_named(
        &self,
        headers: &Headers,
        body: &[u8],
        now: WallTime,
        tolerance: Tolerance,
        named: Option<&[u8]>,
    ) -> Result<Marks, Fault<'_>> {
        if headers.get(self.header()).is_none() {
            return Err(Fault::Unsigned { header: self.header() });
        }
        let presented = match self.scheme {
            Scheme::Timestamped => timestamped::read(&self.names, headers, body),
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
        // The keys that were live when the request was signed: on its way the request may outlast one of them.
        let at = presented.at.unwrap_or(now);
        let mut live = self.keys.iter().filter(|key| key.window.is_live(at)).peekable();
        if live.peek().is_none() {
            return Err(Fault::NoSecret);
        }
        // Every key is tried, so that the time of the check does not tell which of them fits.
        let tries = ED25519_TRIES / self.keys.len().max(1);
        let tried: Vec<_> = live.map(|key| (&key.key, presented.signed_by(&key.key, body, tries))).collect();
        if tried.iter().any(|(_, (fits, _))| *fits) { Ok(presented.marks(&tried, named)) } else { Err(Fault::Mismatch) }
    }
}

#[cfg(test)]
mod tests;
