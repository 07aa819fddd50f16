//! What a receiver recorded: do all attempts carry the four headers, and does a signature check with code that is not
//! the filter's?
//!
//! Two forms are read: what `envoy/receivers/receiver.py` answers at `/-/NAME/records`, a list with headers and bodies,
//! and the lines of `gatepost receiver --json`, which hold neither. Nothing of a body and no header that may hold a secret
//! goes further than this file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::log::Moment;
use super::personal::redacted;
use super::retries::{Arrival, Example, recorded};

/// What the records say.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Headers {
    /// Attempts in the records, within the time.
    pub attempts: u64,
    /// Those with signature, timestamp, id and event.
    pub with_all_four: u64,
    /// Those of which that cannot be told: the receiver recorded no headers (`--compact`).
    pub unknown: u64,
    /// Those that the receiver verified itself.
    pub verified_by_receiver: u64,
    /// Those whose signature was recomputed here, and matched.
    pub verified_here: u64,
    /// Those whose signature was recomputed here, and did not.
    pub mismatched_here: u64,
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
    problem: Option<String>,
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

    /// Is one of its signatures made with one of the secrets? `None`: there is nothing to check, or nothing to check with.
    fn is_signed(&self, prefix: &str, secrets: &[String]) -> Option<bool> {
        let timestamp = self.header(&format!("{prefix}Timestamp"))?;
        let signature = self.header(&format!("{prefix}Signature"))?;
        let also = self.header(&format!("{prefix}Signature-Also")).unwrap_or_default();
        if secrets.is_empty() {
            return None;
        }
        let mut signatures =
            also.split(',').map(str::trim).chain([signature]).filter_map(|text| hex::decode(text).ok());
        let body = self.bytes();
        Some(signatures.any(|signature| {
            secrets.iter().any(|secret| {
                let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
                mac.chain_update(timestamp).chain_update(".").chain_update(&body).verify_slice(&signature).is_ok()
            })
        }))
    }

    fn sample(&self, prefix: &str, secrets: &[String]) -> Option<AttemptSample> {
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
        let event = self.header(&format!("{prefix}Event"))?.strip_prefix("gatepost.")?.replace('.', "_");
        let payload: Value = serde_json::from_slice(&self.bytes()).ok()?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
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

/// What signatures are looked for and checked with.
pub(super) struct Keys<'a> {
    /// How the names of the headers begin.
    pub prefix: &'a str,
    pub secrets: &'a [String],
}

/// Reads a file of records.
///
/// # Errors
/// When it cannot be read or holds something else; the error does not quote it.
pub(super) fn read(path: &Path, from: Timestamp, keys: &Keys<'_>, told: &mut RecordFacts) -> Result<()> {
    let Keys { prefix, secrets } = *keys;
    let text = fs::read_to_string(path).with_context(|| format!("--records {}", path.display()))?;
    let (headers, mut arrivals) = (&mut told.headers, Vec::new());
    for record in parse(&text).with_context(|| format!("--records {}", path.display()))? {
        if record.at().is_some_and(|at| at < from) {
            continue;
        }
        headers.attempts += 1;
        match record.has_all_four(prefix) {
            Some(all) => headers.with_all_four += u64::from(all),
            None => headers.unknown += 1,
        }
        headers.verified_by_receiver += u64::from(record.problem.is_none());
        match record.is_signed(prefix, secrets) {
            Some(true) => headers.verified_here += 1,
            Some(false) => headers.mismatched_here += 1,
            None => {}
        }
        told.moments.extend(record.moment(prefix));
        arrivals.extend(record.arrival(prefix));
        headers.sample = record.sample(prefix, secrets).or(headers.sample.take());
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    told.retries.extend(recorded(&name, &arrivals));
    Ok(())
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
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::Write;

    const PREFIX: &str = "X-Webhook-";

    /// Made with `printf '1795609917123.{"a":1}' | openssl dgst -sha256 -hmac demo-billing`.
    const SIGNATURE: &str = "527e23fe135fc0b09992bad943f499d29e3c554e415c7a27d9bbb9a87a84e387";

    fn record(signature: &str) -> Value {
        json!({"wall": 1_795_609_917.2, "signed": 1_795_609_917.1, "id": "i", "problem": null, "body": "{\"a\":1}", "headers": [
            ["x-webhook-signature", signature], ["x-webhook-timestamp", "1795609917123"], ["x-webhook-id", "i"],
            ["x-webhook-event", "paid"], ["x-api-key", "s3cret"], ["content-type", "application/json"]]})
    }

    fn told(text: &str, secrets: &[&str]) -> Result<(Headers, Vec<Moment>)> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let mut told = RecordFacts::default();
        read(file.path(), Timestamp::UNIX_EPOCH, &Keys { prefix: PREFIX, secrets: &secrets }, &mut told)?;
        Ok((told.headers, told.moments))
    }

    #[test]
    fn a_signature_is_recomputed_and_only_the_right_secret_matches() {
        let text = json!([record(SIGNATURE)]).to_string();
        let matches = |secrets: &[&str]| told(&text, secrets).unwrap().0.sample.unwrap().signature_matches;
        assert_eq!(matches(&["demo-billing"]), Some(true));
        assert_eq!(matches(&["another", "demo-billing"]), Some(true));
        assert_eq!(matches(&["another"]), Some(false));
        assert_eq!(matches(&[]), None);
    }

    #[test]
    fn the_sample_shows_no_body_and_no_header_that_may_be_a_secret() {
        let (headers, _) = told(&json!([record(SIGNATURE)]).to_string(), &["demo-billing"]).unwrap();
        let shown = serde_json::to_string(&headers).unwrap();
        assert!(shown.contains("\"x-api-key\",\"(not shown)\"") && !shown.contains("s3cret"), "{shown}");
        assert!(!shown.contains("{\\\"a\\\""), "{shown}");
    }

    /// An attempt without one of the four headers is counted as such.
    #[test]
    fn attempt_missing_a_required_header_is_counted() {
        let mut lacking = record(SIGNATURE);
        lacking["headers"].as_array_mut().unwrap().remove(3);
        let compact = json!({"wall": 1.0, "monotonic": 1.0, "id": "i", "problem": null});
        let (headers, _) = told(&json!([record(SIGNATURE), lacking, compact]).to_string(), &[]).unwrap();
        assert_eq!((headers.attempts, headers.with_all_four, headers.unknown), (3, 1, 1));
    }

    #[test]
    fn lines_of_a_receiver_without_headers_count_by_its_verdict() {
        let line = |verdict: &str| {
            json!({"at": "2026-11-25T12:00:00Z", "method": "POST", "path": "/a", "event": "paid", "id": "i", "attempt": 1,
                   "timestamp": "1795609917123", "bytes": 7, "verdict": verdict, "status": 200})
        };
        let text = format!("{}\n{}\n", line("verified"), line("refused"));
        let (headers, _) = told(&text, &[]).unwrap();
        assert_eq!((headers.attempts, headers.with_all_four), (2, 1));
        assert!(headers.sample.is_none());
    }

    #[test]
    fn the_gateways_own_events_are_moments() {
        let mut own = record(SIGNATURE);
        own["headers"][3][1] = json!("gatepost.rollout.rolled_back");
        own["body"] = json!(r#"{"type":"x","endpoint":"billing","reason":"success","at":"2026-11-25T12:00:00.125Z"}"#);
        let (_, moments) = told(&json!([own]).to_string(), &[]).unwrap();
        assert_eq!((moments[0].event.as_str(), moments[0].endpoint.as_deref()), ("rolled_back", Some("billing")));
        assert_eq!(moments[0].at.to_string(), "2026-11-25T12:00:00.125Z");
    }

    #[test]
    fn what_is_no_record_is_refused_without_being_quoted() {
        let error = format!("{:#}", told("{\"at\": \"s3cret\"}", &[]).unwrap_err());
        assert!(error.contains("line 1: expected the JSON of receiver.py's"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
