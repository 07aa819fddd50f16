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
//! what is too old is the same for all, and stands here and in `tags`. Tags are compared in constant time: how long it takes says
//! nothing about where the first difference is (`cargo bench -p gatepost-core --bench constant_time`).

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
pub use tags::{Marks, SECRETS_MAX};
use timestamped::Timestamped;

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

/// How old or early a signature may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Behind the receiver's clock.
    pub past: Duration,
    /// Ahead of it.
    pub future: Duration,
}

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

#[cfg(test)]
mod tests;
