//! The scheme `stripe`: [what Stripe signs](https://docs.stripe.com/webhooks#verify-manually), HMAC-SHA256 over
//! `timestamp.body`, as `t=<seconds>,v1=<hex>`, with a `v1` for each live secret. The key is all of the secret's text,
//! its `whsec_` included. The event's id is the `id` of the body, where the body is an event of
//! [either version](https://docs.stripe.com/api/v2/core/events/object) of Stripe's API.

use super::attempt::Attempt;
use super::fault::Fault;
use super::tags::{Presented, hex_of, id_of, secrets, single, some, tag_of_hex, timestamp};
use crate::headers::{CallHeaders, Headers};
use crate::json::id_at;
use crate::secret::Key;

/// The header with the timestamp and the signatures.
pub const SIGNATURE: &str = "stripe-signature";

pub(super) fn headers<'a>(keys: impl Iterator<Item = &'a Key>, attempt: &Attempt<'a>, headers: &mut CallHeaders<'a>) {
    let timestamp = itoa::Buffer::new().format(attempt.at.as_secs()).to_owned();
    let mut value = ["t=", &timestamp].concat();
    for secret in secrets(keys) {
        value.extend([",v1=", &hex_of(secret, &[timestamp.as_bytes(), b".", attempt.body])]);
    }
    headers.push((SIGNATURE, value.into_bytes().into()));
}

pub(super) fn read(headers: &Headers, body: &[u8]) -> Result<Presented, Fault<'static>> {
    let malformed = Fault::Malformed { header: SIGNATURE, expected: "t=<seconds since 1970>,v1=<64 hex digits>" };
    let (mut digits, mut tags) = (None, Vec::new());
    for field in single(headers, SIGNATURE)?.split(|byte| *byte == b',') {
        let field = field.trim_ascii();
        if let Some(seconds) = field.strip_prefix(b"t=") {
            if digits.replace(seconds).is_some() {
                return Err(malformed);
            }
        } else if let Some(tag) = field.strip_prefix(b"v1=") {
            tags.extend(tag_of_hex(tag));
        }
        // Other fields are passed over: `v0` is of test mode only, and versions to come are unknown.
    }
    let (tags, digits) = (some(tags, malformed)?, digits.ok_or(malformed)?);
    let at = timestamp(digits, 1000, SIGNATURE)?;
    let id = id_at(body, "id", ("object", &["event", "v2.core.event"])).or_else(|| id_of(body));
    Ok(Presented { prefix: [digits, b"."].concat(), suffix: Vec::new(), at: Some(at), id, is_id_signed: true, tags })
}
