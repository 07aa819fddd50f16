//! The scheme `github`: [what GitHub signs](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries),
//! HMAC-SHA256 over the body alone, in hex behind `sha256=`.
//!
//! It says nothing about when: a message is fresh for as long as it is not remembered. And it has one header for one
//! secret; the signatures of further live secrets stand in a second one, which its receivers do not look at.

use super::attempt::Attempt;
use super::fault::Fault;
use super::tags::{Presented, first_and_also, hex_of, read_first_and_also, secrets};
use crate::headers::{CallHeaders, Headers};
use crate::secret::Key;

/// Carries the signature under the current secret.
pub const SIGNATURE: &str = "x-hub-signature-256";
/// Carries those under the others.
pub const SIGNATURE_ALSO: &str = "x-hub-signature-256-also";
/// Carries the event's id.
pub const ID: &str = "x-github-delivery";
/// Carries the event type.
pub const EVENT: &str = "x-github-event";
/// All of them.
pub const NAMES: [&str; 4] = [SIGNATURE, SIGNATURE_ALSO, ID, EVENT];

/// Before each signature.
const VERSION: &str = "sha256=";

pub(super) fn headers<'a>(keys: impl Iterator<Item = &'a Key>, attempt: &Attempt<'a>, headers: &mut CallHeaders<'a>) {
    let signatures = secrets(keys).map(|secret| [VERSION, &hex_of(secret, &[attempt.body])].concat());
    first_and_also(headers, (SIGNATURE, SIGNATURE_ALSO), signatures);
    headers.push((ID, attempt.id.to_string().into_bytes().into()));
    headers.push((EVENT, attempt.event_type.as_bytes().into()));
}

pub(super) fn read(headers: &Headers) -> Result<Presented, Fault<'static>> {
    let signature = (VERSION, "sha256=<64 hex digits>");
    let tags = read_first_and_also(headers, (SIGNATURE, SIGNATURE_ALSO), signature)?;
    let id = headers.single(ID).filter(|id| !id.is_empty()).map(<[u8]>::to_vec);
    Ok(Presented { prefix: Vec::new(), at: None, id, is_id_signed: false, tags })
}
