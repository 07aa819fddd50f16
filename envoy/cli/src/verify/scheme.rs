//! The schemes: what each signs, with which key, and which headers say so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use gatepost_core::secret::{PrivateKey, PublicKey};
use gatepost_core::signature::standard::{PRIVATE, PUBLIC};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use zeroize::Zeroizing;

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scheme {
    /// Gatepost's own: hex over `timestamp.body`, the timestamp in milliseconds
    Timestamped,
    /// Standard Webhooks: base64 over `id.timestamp.body`, a `whsec_` secret or a `whpk_` public key
    Standard,
    /// GitHub: hex over the body
    Github,
    /// Stripe: hex over `timestamp.body`, both in one header
    Stripe,
    /// Slack: hex over `v0:timestamp:body`
    Slack,
}

/// The headers of a scheme, in lower case.
pub(super) struct Names {
    pub(super) signature: String,
    /// While secrets rotate: further signatures.
    pub(super) also: Option<String>,
    /// `None` where there is no timestamp, or it stands beside the signature.
    pub(super) timestamp: Option<String>,
    pub(super) id: Option<String>,
}

/// What a timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

impl Scheme {
    pub(super) const ALL: [Self; 5] = [Self::Timestamped, Self::Standard, Self::Github, Self::Stripe, Self::Slack];

    /// As a person calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Timestamped => "timestamped (Gatepost)",
            Self::Standard => "standard (Standard Webhooks)",
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
        }
    }

    pub(super) fn names(self, prefix: &str) -> Names {
        let prefix = prefix.to_ascii_lowercase();
        let (signature, also, timestamp, id) = match self {
            Self::Timestamped => {
                let name = |suffix: &str| format!("{prefix}{suffix}");
                let [also, timestamp, id] = ["signature-also", "timestamp", "id"].map(|suffix| Some(name(suffix)));
                return Names { signature: name("signature"), also, timestamp, id };
            }
            Self::Standard => ("webhook-signature", None, Some("webhook-timestamp"), Some("webhook-id")),
            Self::Github => ("x-hub-signature-256", Some("x-hub-signature-256-also"), None, None),
            Self::Stripe => ("stripe-signature", None, None, None),
            Self::Slack => {
                ("x-slack-signature", Some("x-slack-signature-also"), Some("x-slack-request-timestamp"), None)
            }
        };
        let owned = |name: Option<&str>| name.map(str::to_owned);
        Names { signature: signature.to_owned(), also: owned(also), timestamp: owned(timestamp), id: owned(id) }
    }

    pub(super) fn unit(self) -> Unit {
        if self == Self::Timestamped { Unit::Milliseconds } else { Unit::Seconds }
    }

    /// What stands before the hex digits of a signature.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Timestamped => "",
            Self::Standard => "v1,",
            Self::Github => "sha256=",
            Self::Stripe => "v1=",
            Self::Slack => "v0=",
        }
    }

    /// What is signed before the body; `None` when a part of it is not known.
    pub(super) fn before_body(self, id: Option<&str>, timestamp: Option<&str>) -> Option<String> {
        Some(match self {
            Self::Timestamped | Self::Stripe => format!("{}.", timestamp?),
            Self::Standard => format!("{}.{}.", id?, timestamp?),
            Self::Github => String::new(),
            Self::Slack => format!("v0:{}:", timestamp?),
        })
    }

    /// The public key that this secret is, or that belongs to the private one it is.
    pub(super) fn public(self, secret: &[u8]) -> Option<PublicKey> {
        let secret = str::from_utf8(secret).ok().filter(|_| self == Self::Standard)?.trim();
        if let Some(public) = secret.strip_prefix(PUBLIC) {
            return PublicKey::new(&STANDARD.decode(public).ok()?);
        }
        let private = Zeroizing::new(STANDARD.decode(secret.strip_prefix(PRIVATE)?).ok()?);
        PrivateKey::new(&private).map(|key| key.public())
    }

    /// The shared key that this secret stands for.
    pub(super) fn key(self, secret: &[u8]) -> Vec<u8> {
        if self != Self::Standard {
            return secret.to_vec();
        }
        STANDARD.decode(secret.strip_prefix(b"whsec_").unwrap_or(secret)).unwrap_or_else(|_| secret.to_vec())
    }

    /// The value of the signature header.
    pub(super) fn written(self, mac: &[u8], timestamp: Option<&str>) -> String {
        match self {
            Self::Standard => format!("v1,{}", STANDARD.encode(mac)),
            Self::Stripe => format!("t={},v1={}", timestamp.unwrap_or_default(), hex::encode(mac)),
            _ => format!("{}{}", self.mark(), hex::encode(mac)),
        }
    }
}

/// A signature as bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// HMAC-SHA256, under a shared key.
    Mac(Vec<u8>),
    /// Ed25519, by a private key.
    Ed25519(Box<[u8; 64]>),
}

/// What a signature is checked with.
pub(super) enum Key {
    /// Both sides have it.
    Shared(Zeroizing<Vec<u8>>),
    /// Its sender has the private one.
    Public(PublicKey),
}

impl Key {
    /// Is one of these the signature over both parts?
    pub(super) fn matches<'a>(&self, before: &[u8], body: &[u8], mut tags: impl Iterator<Item = &'a Tag>) -> bool {
        match self {
            Self::Shared(key) => {
                let due = Tag::Mac(mac(key, before, body));
                tags.any(|tag| *tag == due)
            }
            Self::Public(key) => tags.any(|tag| match tag {
                Tag::Ed25519(tag) => key.verifies(&[before, body], tag),
                Tag::Mac(_) => false,
            }),
        }
    }
}

/// HMAC-SHA256 over both parts.
pub(super) fn mac(key: &[u8], before: &[u8], body: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length, the empty one included.
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    hmac.update(before);
    hmac.update(body);
    hmac.finalize().into_bytes().to_vec()
}
