//! What a receiver recorded: do all attempts carry the four headers, and does a signature check with code that is not
//! the filter's?
//!
//! Two forms are read: what `envoy/receivers/receiver.py` answers at `/-/NAME/records`, a list with headers and bodies,
//! and the lines of `gatepost receiver --json`, which hold neither. Nothing of a body and no header that may hold a secret
//! goes further than this file.
//!
//! A receiver's address is known to others than the gateway. So a record counts only when it verifies ([`Keys`]); of one
//! that does not nothing is taken but that it is there.

use std::path::Path;

use anyhow::{Context, Result};
use gatepost_core::egress::operational::NewsKind;
use gatepost_core::event_type::OPERATIONAL_PREFIX;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::log::Moment;
use super::personal::redacted;
use super::retries::{Arrival, Example, recorded};
use crate::given;

/// What the records say.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Headers {
    /// Attempts in the records, within the time, that verify. All below is of these, but for the last two counts.
    pub attempts: u64,
    /// Those with signature, timestamp, id and event.
    pub with_all_four: u64,
    /// Those of which that cannot be told: the receiver recorded no headers (`--compact`).
    pub unknown: u64,
    /// Those that the receiver verified itself.
    pub verified_by_receiver: u64,
    /// Those whose signature was recomputed here, and matched.
    pub verified_here: u64,
    /// Requests whose signature was recomputed here and did not match, or that had none.
    pub mismatched_here: u64,
    /// Requests that did not verify, and count for nothing.
    pub unverified: u64,
    /// The last one with headers.
    pub sample: Option<AttemptSample>,
}

/// An attempt, without its body.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AttemptSample {
    /// In the order they came.
    pub headers: Vec<(String, String)>,
    pub body_bytes: usize,
    pub body_sha256: String,
    /// Is the signature that of this body, this timestamp and the secret? `None`: no secret was given.
    pub signature_matches: Option<bool>,
}

#[derive(Deserialize)]
struct RecordedRequest {
    at: Option<Timestamp>,
    /// Seconds since the Unix epoch.
    wall: Option<f64>,
    headers: Option<Vec<(String, String)>>,
    /// One character a byte.
    body: Option<String>,
    /// Why the receiver refused it, null where it did not; `None`: the record does not say.
    #[serde(default, deserialize_with = "said")]
    problem: Option<Option<String>>,
    id: Option<String>,
    event: Option<String>,
    timestamp: Option<String>,
    verdict: Option<String>,
    attempt: Option<u32>,
    /// What it was answered.
    status: Option<u16>,
    /// What it was answered, by script; a plain 200 has none.
    reply: Option<ScriptedReply>,
}

#[derive(Deserialize)]
struct ScriptedReply {
    status: Option<u16>,
    act: Option<String>,
}

impl RecordedRequest {
    fn at(&self) -> Option<Timestamp> {
        self.at.or_else(|| self.wall.and_then(|wall| Timestamp::from_millisecond((wall * 1000.0) as i64).ok()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().flatten();
        let (_, value) = headers.find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty())?;
        Some(value)
    }

    /// `None`: it does not say.
    fn has_all_four(&self, prefix: &str) -> Option<bool> {
        if self.headers.is_some() {
            let has = |name: &&str| self.header(&format!("{prefix}{name}")).is_some();
            return Some(["Signature", "Timestamp", "Id", "Event"].iter().all(has));
        }
        // A receiver that verified the signature has seen it.
        let verdict = self.verdict.as_ref()?;
        let said = [&self.id, &self.event, &self.timestamp];
        Some(verdict != "refused" && said.iter().all(|text| text.as_ref().is_some_and(|text| !text.is_empty())))
    }

    fn bytes(&self) -> Vec<u8> {
        self.body.iter().flat_map(|body| body.chars()).filter_map(|byte| u8::try_from(byte).ok()).collect()
    }

    /// Whether its receiver says that it verified. One that says nothing of it did not.
    fn is_verified_by_receiver(&self) -> bool {
        let has_passed = self.verdict.as_deref().map(|verdict| ["verified", "duplicate"].contains(&verdict));
        match &self.problem {
            Some(Some(_)) => false,
            Some(None) => has_passed.unwrap_or(true),
            None => has_passed.unwrap_or(false),
        }
    }

    /// Is one of its signatures made with one of the secrets? One without signature, timestamp or body is not. `None`:
    /// nothing was recorded to check, or there is nothing to check with.
    fn is_signed(&self, prefix: &str, secrets: &[Zeroizing<Vec<u8>>]) -> Option<bool> {
        if secrets.is_empty() || self.headers.is_none() {
            return None;
        }
        let header = |name: &str| self.header(&format!("{prefix}{name}"));
        let (Some(timestamp), Some(signature)) = (header("Timestamp"), header("Signature")) else { return Some(false) };
        let also = header("Signature-Also").unwrap_or_default();
        let mut signatures =
            also.split(',').map(str::trim).chain([signature]).filter_map(|text| hex::decode(text).ok());
        let body = self.bytes();
        Some(signatures.any(|signature| {
            secrets.iter().any(|secret| {
                let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
                mac.chain_update(timestamp).chain_update(".").chain_update(&body).verify_slice(&signature).is_ok()
            })
        }))
    }

    fn sample(&self, prefix: &str, secrets: &[Zeroizing<Vec<u8>>]) -> Option<AttemptSample> {
        let shown = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.starts_with(&prefix.to_ascii_lowercase()) || SHOWN.contains(&name.as_str())
        };
        let headers = self.headers.as_ref()?.iter().map(|(name, value)| {
            let value = if shown(name) { value.clone() } else { "(not shown)".to_owned() };
            (name.clone(), value)
        });
        let (headers, body) = (headers.collect(), self.bytes());
        let body_sha256 = hex::encode(Sha256::digest(&body));
        let signature_matches = self.is_signed(prefix, secrets);
        Some(AttemptSample { headers, body_bytes: body.len(), body_sha256, signature_matches })
    }

    /// As an attempt of a delivery; `None`: it does not say of which.
    fn arrival(&self, prefix: &str) -> Option<Arrival> {
        let scripted = self.reply.as_ref().filter(|reply| reply.act.as_deref().is_none_or(|act| act == "answer"));
        let status = self.status.or_else(|| scripted.map(|reply| reply.status.unwrap_or(200)));
        let event = self.event.clone().or_else(|| self.header(&format!("{prefix}Event")).map(str::to_owned));
        let id = self.id.clone().filter(|id| !id.is_empty())?;
        let attempt = self.attempt.or_else(|| self.header(&format!("{prefix}Attempt"))?.parse().ok());
        Some(Arrival { at: self.at()?, id, event: event.unwrap_or_default(), attempt, status })
    }

    /// The gateway's own event that it carries, if it carries one.
    fn moment(&self, prefix: &str) -> Option<Moment> {
        self.header(&format!("{prefix}Event")).filter(|event| event.starts_with(OPERATIONAL_PREFIX))?;
        let payload: Value = serde_json::from_slice(&self.bytes()).ok()?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
        // The body is signed, and the header is not.
        let kind = text("type")?;
        let kind = NewsKind::ALL.into_iter().find(|known| known.event_type() == kind)?;
        let event = kind.event_type().trim_start_matches(OPERATIONAL_PREFIX).replace('.', "_");
        let at = text("at")?.parse().ok()?;
        let source = "operational event".to_owned();
        let detail = [text("reason"), text("detail")].into_iter().flatten().collect::<Vec<_>>().join(", ");
        // As the log names them.
        let event = event.strip_prefix("rollout_").unwrap_or(&event).to_owned();
        Some(Moment { at, endpoint: text("endpoint"), event, detail: redacted(&detail), source })
    }
}

/// What all files of records say.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordFacts {
    pub headers: Headers,
    /// The gateways' own events.
    pub moments: Vec<Moment>,
    /// Deliveries that were tried more than once.
    pub retries: Vec<Example>,
}

/// What signatures are looked for and checked with. A record verifies when its receiver says so and, where there are
/// secrets and the record has headers, one of its signatures is made with one of them.
pub(super) struct Keys<'a> {
    /// How the names of the headers begin.
    pub prefix: &'a str,
    pub secrets: &'a [Zeroizing<Vec<u8>>],
}

/// Reads a file of records.
///
/// # Errors
/// When it cannot be read or holds something else; the error does not quote it.
pub(super) fn read(path: &Path, from: Timestamp, keys: &Keys<'_>, told: &mut RecordFacts) -> Result<()> {
    let Keys { prefix, secrets } = *keys;
    let text = given::text_file("--records", path)?;
    let (headers, mut arrivals) = (&mut told.headers, Vec::new());
    for record in parse(&text).with_context(|| given::named("--records", path))? {
        if record.at().is_some_and(|at| at < from) {
            continue;
        }
        let is_signed = record.is_signed(prefix, secrets);
        headers.mismatched_here += u64::from(is_signed == Some(false));
        if is_signed == Some(false) || !record.is_verified_by_receiver() {
            headers.unverified += 1;
            continue;
        }
        headers.attempts += 1;
        headers.verified_by_receiver += 1;
        headers.verified_here += u64::from(is_signed == Some(true));
        match record.has_all_four(prefix) {
            Some(all) => headers.with_all_four += u64::from(all),
            None => headers.unknown += 1,
        }
        told.moments.extend(record.moment(prefix));
        arrivals.extend(record.arrival(prefix));
        headers.sample = record.sample(prefix, secrets).or(headers.sample.take());
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    told.retries.extend(recorded(&name, &arrivals));
    Ok(())
}

/// Tells null from a key that is not there.
fn said<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

fn parse(text: &str) -> Result<Vec<RecordedRequest>> {
    const EXPECTED: &str =
        "expected the JSON of receiver.py's /-/NAME/records, or the lines of gatepost receiver --json";
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|_| anyhow::anyhow!(EXPECTED));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|_| anyhow::anyhow!("line {}: {EXPECTED}", number + 1))
        })
        .collect()
}

/// Headers whose values are no secret; an endpoint's own may be one.
const SHOWN: [&str; 5] = ["content-type", "content-length", "user-agent", "traceparent", "host"];

#[cfg(test)]
mod tests;
