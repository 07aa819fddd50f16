//! Signature schemes, one a file: what is signed, which headers carry the signature, and how they are read back.
//!
//! | scheme | signed | headers | id, for replays |
//! |---|---|---|---|
//! | [`timestamped`] | `timestamp.body` | `X-Webhook-Signature`, `-Timestamp` | `X-Webhook-Id`, not signed |
//! | [`standard`] | `id.timestamp.body` | `webhook-signature`, `-timestamp`, `-id` | `webhook-id`, signed |
//! | [`github`] | `body` | `X-Hub-Signature-256` | `X-GitHub-Delivery`, not signed |
//! | [`stripe`] | `timestamp.body` | `Stripe-Signature` | the body's `/id`, signed |
//! | [`slack`] | `v0:timestamp:body` | `X-Slack-Signature`, `-Request-Timestamp` | the body's `/event_id`, signed |
//! | [`custom`] and the [`presets`] | as their table says | as it says | as it says |
//!
//! A scheme reads the headers of a request, and writes tags (signatures as bytes) into headers. Which keys are live,
//! how tags are compared and which signatures are too old is the same for all schemes, and stands here and in `tags`.
//! Tags are compared in constant time: how long a comparison takes says nothing about where the first difference is
//! (`cargo bench -p gatepost-core --bench constant_time`).

use std::time::Duration;

use crate::headers::{CallHeaders, Headers};
use crate::secret::{Key, LiveKey, Secret};
use crate::time::WallTime;

mod attempt;
pub mod custom;
mod fault;
pub mod github;
pub mod presets;
pub mod slack;
pub mod standard;
pub mod stripe;
mod tags;
pub mod timestamped;

pub use attempt::Attempt;
use custom::SignatureTable;
pub use fault::Fault;
use tags::{ED25519_TRIES, Presented, Trials};
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
    /// Another sender's, by the name of its table among the [`presets`].
    Preset(&'static str),
    /// One that a table in the config describes.
    Custom,
}

impl Scheme {
    /// All schemes that are known by name, as the config names them. One more, [`Custom`](Self::Custom), needs a table.
    pub const ALL: [(&'static str, Self); 13] = [
        ("timestamped", Self::Timestamped),
        ("standard", Self::Standard),
        ("github", Self::Github),
        ("stripe", Self::Stripe),
        ("slack", Self::Slack),
        ("svix", Self::Preset("svix")),
        ("shopify", Self::Preset("shopify")),
        ("linear", Self::Preset("linear")),
        ("sentry", Self::Preset("sentry")),
        ("bitbucket", Self::Preset("bitbucket")),
        ("zoom", Self::Preset("zoom")),
        ("paddle", Self::Preset("paddle")),
        ("pagerduty", Self::Preset("pagerduty")),
    ];

    /// The name of scheme [`Custom`](Self::Custom).
    pub const CUSTOM: &'static str = "custom";
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
    /// The table of a preset or of scheme `custom`.
    pub table: Option<SignatureTable>,
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
        if let Some(table) = &self.table {
            return custom::headers((table, &self.names.id), keys, attempt, headers);
        }
        match self.scheme {
            Scheme::Timestamped => timestamped::headers(&self.names, keys, attempt, headers),
            Scheme::Standard => standard::headers(keys, attempt, headers),
            Scheme::Github => github::headers(keys, attempt, headers),
            Scheme::Stripe => stripe::headers(keys, attempt, headers),
            Scheme::Slack => slack::headers(keys, attempt, headers),
            // Their table is above.
            Scheme::Preset(_) | Scheme::Custom => {}
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
            Scheme::Preset(_) | Scheme::Custom => {
                let of_table = self.table.iter().flat_map(SignatureTable::header_names);
                all.extend(of_table.filter(|name| *name != names.id));
            }
        }
        all
    }

    /// The largest number of [`Marks`] that a message has.
    pub fn marks_max(&self) -> usize {
        match self.scheme {
            Scheme::Timestamped | Scheme::Github | Scheme::Preset(_) | Scheme::Custom => 2 * self.keys.len(),
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
            Scheme::Preset(_) | Scheme::Custom => self.table.as_ref().map_or("", |table| &table.header),
        }
    }

    /// The name of the header that carries the timestamp, where the timestamp has a header of its own.
    pub fn timestamp_header(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Timestamped => Some(&self.names.timestamp),
            Scheme::Standard => Some(standard::TIMESTAMP),
            Scheme::Slack => Some(slack::TIMESTAMP),
            Scheme::Preset(_) | Scheme::Custom => self.table.as_ref()?.timestamp_header(),
            Scheme::Github | Scheme::Stripe => None,
        }
    }

    /// The name of the header that carries the event's id, where it is signed.
    pub fn signed_id(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Standard => Some(standard::ID),
            Scheme::Timestamped | Scheme::Github | Scheme::Stripe | Scheme::Slack => None,
            Scheme::Preset(_) | Scheme::Custom => self.table.as_ref().filter(|table| table.signs_id())?.id_header(),
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
        let (presented, tried) = self.tried(headers, body, now, tolerance)?;
        if tried.iter().any(|(_, (fits, _))| *fits) { Ok(presented.marks(&tried, named)) } else { Err(Fault::Mismatch) }
    }

    /// The secret under which a request is signed, if it is by a shared one.
    pub fn signer(&self, headers: &Headers, body: &[u8], now: WallTime, tolerance: Tolerance) -> Option<&Secret> {
        let (_, tried) = self.tried(headers, body, now, tolerance).ok()?;
        tried.into_iter().find_map(|(key, (fits, _))| match key {
            Key::Shared(secret) if fits => Some(secret),
            Key::Shared(_) | Key::Private(_) | Key::Public(_) => None,
        })
    }

    /// Reads what a request presents and tries all live keys on it.
    fn tried<'s>(
        &'s self,
        headers: &Headers,
        body: &[u8],
        now: WallTime,
        tolerance: Tolerance,
    ) -> Result<(Presented, Trials<'s>), Fault<'s>> {
        if headers.get(self.header()).is_none() {
            return Err(Fault::Unsigned { header: self.header() });
        }
        let presented = match (self.scheme, &self.table) {
            (_, Some(table)) => custom::read(table, headers, body),
            (Scheme::Timestamped, _) => timestamped::read(&self.names, headers, body),
            (Scheme::Standard, _) => standard::read(headers),
            (Scheme::Github, _) => github::read(headers),
            (Scheme::Stripe, _) => stripe::read(headers, body),
            (Scheme::Slack, _) => slack::read(headers, body),
            // The config gives each a table.
            (Scheme::Preset(_) | Scheme::Custom, None) => Err(Fault::NoSecret),
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
        Ok((presented, tried))
    }
}

#[cfg(test)]
mod tests;
