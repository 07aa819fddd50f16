//! The scheme `slack`: [what Slack signs](https://docs.slack.dev/authentication/verifying-requests-from-slack),
//! HMAC-SHA256 over `v0:timestamp:body`, in hex behind `v0=`; the timestamp, in seconds, has a header of its own.
//!
//! There is one header for one signature; the signatures under further live secrets stand in a second header, which
//! Slack's receivers do not look at. The event's id is the `event_id` of the body, where the body is an event of
//! Slack's Events API.

use super::attempt::Attempt;
use super::fault::Fault;
use super::tags::{Presented, first_and_also, hex_of, id_of, read_first_and_also, secrets, single, timestamp};
use crate::headers::{CallHeaders, Headers};
use crate::json::id_at;
use crate::secret::Key;

/// The header with the signature under the current secret.
pub const SIGNATURE: &str = "x-slack-signature";
/// The header with the signatures under the other live secrets.
pub const SIGNATURE_ALSO: &str = "x-slack-signature-also";
/// The header with the time of the attempt, in Unix seconds.
pub const TIMESTAMP: &str = "x-slack-request-timestamp";
/// All headers of the scheme.
pub const NAMES: [&str; 3] = [SIGNATURE, SIGNATURE_ALSO, TIMESTAMP];

/// The prefix of each signature.
const VERSION: &str = "v0=";

pub(super) fn headers<'a>(keys: impl Iterator<Item = &'a Key>, attempt: &Attempt<'a>, headers: &mut CallHeaders<'a>) {
    let timestamp = itoa::Buffer::new().format(attempt.at.as_secs()).to_owned();
    let signed: [&[u8]; 4] = [b"v0:", timestamp.as_bytes(), b":", attempt.body];
    let signatures = secrets(keys).map(|secret| [VERSION, &hex_of(secret, &signed)].concat());
    first_and_also(headers, (SIGNATURE, SIGNATURE_ALSO), signatures);
    headers.push((TIMESTAMP, timestamp.into_bytes().into()));
}

pub(super) fn read(headers: &Headers, body: &[u8]) -> Result<Presented, Fault<'static>> {
    let signature = (VERSION, "v0=<64 hex digits>");
    let tags = read_first_and_also(headers, (SIGNATURE, SIGNATURE_ALSO), signature)?;
    let digits = single(headers, TIMESTAMP)?;
    let at = timestamp(digits, 1000, TIMESTAMP)?;
    let id = id_at(body, "event_id", ("type", &["event_callback"])).or_else(|| id_of(body));
    Ok(Presented {
        prefix: [b"v0:", digits, b":"].concat(),
        suffix: Vec::new(),
        at: Some(at),
        id,
        is_id_signed: true,
        tags,
    })
}
