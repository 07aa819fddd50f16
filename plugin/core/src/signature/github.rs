//! The scheme `github`: [what GitHub signs](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries),
//! HMAC-SHA256 over the body alone, in hex behind `sha256=`.
//!
//! The scheme signs no time, so no message is too old: a message that comes again is refused for as long as it is
//! remembered. And there is one header for one signature; the signatures under further live secrets stand in a second
//! header, which GitHub's receivers do not look at.

use super::attempt::Attempt;
use super::fault::Fault;
use super::tags::{Presented, first_and_also, hex_of, read_first_and_also, secrets};
use crate::headers::{CallHeaders, Headers};
use crate::secret::Key;

/// The header with the signature under the current secret.
pub const SIGNATURE: &str = "x-hub-signature-256";
/// The header with the signatures under the other live secrets.
pub const SIGNATURE_ALSO: &str = "x-hub-signature-256-also";
/// The header with the event's id.
pub const ID: &str = "x-github-delivery";
/// The header with the event type.
pub const EVENT: &str = "x-github-event";
/// All headers of the scheme.
pub const NAMES: [&str; 4] = [SIGNATURE, SIGNATURE_ALSO, ID, EVENT];

/// The prefix of each signature.
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
    Ok(Presented { prefix: Vec::new(), suffix: Vec::new(), at: None, id, is_id_signed: false, tags })
}
