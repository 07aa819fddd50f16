//! The scheme `timestamped`: HMAC-SHA256 over `timestamp + "." + body`, in lower-case hex.
//!
//! The timestamp is the time of the attempt, so a receiver can refuse a signature that is old without refusing a retry.

use super::attempt::Attempt;
use super::fault::Fault;
use super::tags::{Presented, first_and_also, hex_of, id_of, read_first_and_also, secrets, single, timestamp};
use crate::headers::{CallHeaders, Headers};
use crate::secret::{Key, Secret};
use crate::time::WallTime;

/// The prefix of the header names unless the config says otherwise.
pub const DEFAULT_PREFIX: &str = "X-Webhook-";

/// The scheme with its header names, in lower case as HTTP/2 wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamped {
    /// The header with the signature under the current secret.
    pub signature: String,
    /// While secrets rotate: the header with the signatures under the other live secrets. It is a header of its own, so
    /// that a receiver that compares the whole of the first header never breaks.
    pub signature_also: String,
    /// The header with the time of the attempt, in Unix milliseconds.
    pub timestamp: String,
    /// The header with the event's id.
    pub id: String,
    /// The header with the event type.
    pub event: String,
    /// The header with the number of the attempt, from 1.
    pub attempt: String,
    /// At a sink: the header with the name of the endpoint that did not get the event.
    pub endpoint: String,
    /// At a sink: the header with the reason why the delivery failed.
    pub dead_letter: String,
}

impl Timestamped {
    /// The scheme with header names that begin with this prefix.
    pub fn new(prefix: &str) -> Self {
        let suffixes =
            ["signature", "signature-also", "timestamp", "id", "event", "attempt", "endpoint", "dead-letter"];
        let [signature, signature_also, timestamp, id, event, attempt, endpoint, dead_letter] =
            suffixes.map(|suffix| [prefix, suffix].concat().to_ascii_lowercase());
        Self { signature, signature_also, timestamp, id, event, attempt, endpoint, dead_letter }
    }

    /// All header names of the scheme.
    pub fn names(&self) -> [&str; 8] {
        [
            &self.signature,
            &self.signature_also,
            &self.timestamp,
            &self.id,
            &self.event,
            &self.attempt,
            &self.endpoint,
            &self.dead_letter,
        ]
    }
}

impl Default for Timestamped {
    fn default() -> Self {
        Self::new(DEFAULT_PREFIX)
    }
}

/// The signature of a body sent at this time: 64 lower-case hex digits.
pub fn sign(secret: &Secret, at: WallTime, body: &[u8]) -> String {
    hex_of(secret, &[itoa::Buffer::new().format(at.as_millis()).as_bytes(), b".", body])
}

pub(super) fn headers<'a>(
    names: &'a Timestamped,
    keys: impl Iterator<Item = &'a Key>,
    attempt: &Attempt<'a>,
    headers: &mut CallHeaders<'a>,
) {
    let signatures = secrets(keys).map(|secret| sign(secret, attempt.at, attempt.body));
    first_and_also(headers, (&names.signature, &names.signature_also), signatures);
    let timestamp = itoa::Buffer::new().format(attempt.at.as_millis()).as_bytes().to_vec();
    headers.push((&names.timestamp, timestamp.into()));
}

pub(super) fn read<'n>(names: &'n Timestamped, headers: &Headers, body: &[u8]) -> Result<Presented, Fault<'n>> {
    let signature = ("", "64 hex digits");
    let tags = read_first_and_also(headers, (&names.signature, &names.signature_also), signature)?;
    let digits = single(headers, &names.timestamp)?;
    let at = timestamp(digits, 1, &names.timestamp)?;
    let id = headers.single(&names.id).filter(|id| !id.is_empty()).map(<[u8]>::to_vec);
    Ok(Presented {
        prefix: [digits, b"."].concat(),
        suffix: Vec::new(),
        at: Some(at),
        id: id.or_else(|| id_of(body)),
        // Also where the id is of the body: who takes the header away must not change what the message is known by.
        is_id_signed: false,
        tags,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        scheme: String,
        secret: String,
        #[serde(default)]
        timestamp: u64,
        body: String,
        signature: String,
    }

    fn signed(secret: &[u8], millis: u64, body: &[u8]) -> String {
        let secret = Secret::new(secret.to_vec()).unwrap();
        sign(&secret, WallTime::from_millis(millis), body)
    }

    #[test]
    fn the_published_vectors_are_signed_as_published() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../testdata/signatures.json")).unwrap();
        let mut vectors = vectors.into_iter().filter(|vector| vector.scheme == "timestamped").peekable();
        assert!(vectors.peek().is_some());
        for vector in vectors {
            let signature = signed(vector.secret.as_bytes(), vector.timestamp, vector.body.as_bytes());
            assert_eq!(signature, vector.signature);
        }
    }

    #[test]
    fn header_names_follow_the_prefix_in_lower_case() {
        assert_eq!(
            Timestamped::default().names(),
            [
                "x-webhook-signature",
                "x-webhook-signature-also",
                "x-webhook-timestamp",
                "x-webhook-id",
                "x-webhook-event",
                "x-webhook-attempt",
                "x-webhook-endpoint",
                "x-webhook-dead-letter",
            ]
        );
        assert_eq!(Timestamped::new("Acme-").signature, "acme-signature");
    }

    proptest! {
        #[test]
        fn another_secret_time_or_body_gives_another_signature(
            secret in prop::collection::vec(any::<u8>(), 1..64), millis in 0u64..4_102_444_800_000, body: Vec<u8>,
        ) {
            let signature = signed(&secret, millis, &body);
            prop_assert!(signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
            let other = |bytes: &[u8]| [bytes, b"x"].concat();
            prop_assert_ne!(&signature, &signed(&other(&secret), millis, &body));
            prop_assert_ne!(&signature, &signed(&secret, millis + 1, &body));
            prop_assert_ne!(&signature, &signed(&secret, millis, &other(&body)));
        }
    }
}
