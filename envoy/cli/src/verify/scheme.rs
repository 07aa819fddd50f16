//! The schemes: what each signs, with which key, and which headers say so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scheme {
    /// Gatepost's own: hex over `timestamp.body`, the timestamp in milliseconds
    Timestamped,
    /// Standard Webhooks: base64 over `id.timestamp.body`, a `whsec_` secret
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
            Self::Github => ("x-hub-signature-256", None, None, None),
            Self::Stripe => ("stripe-signature", None, None, None),
            Self::Slack => ("x-slack-signature", None, Some("x-slack-request-timestamp"), None),
        };
        let owned = |name: Option<&str>| name.map(str::to_owned);
        Names { signature: signature.to_owned(), also, timestamp: owned(timestamp), id: owned(id) }
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

    /// The key that this secret stands for.
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

/// HMAC-SHA256 over both parts.
pub(super) fn mac(key: &[u8], before: &[u8], body: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length, the empty one included.
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    hmac.update(before);
    hmac.update(body);
    hmac.finalize().into_bytes().to_vec()
}
