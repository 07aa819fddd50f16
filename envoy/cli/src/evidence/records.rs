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
        let secrets: Vec<_> = secrets.iter().map(|secret| Zeroizing::new(secret.as_bytes().to_vec())).collect();
        let mut told = RecordFacts::default();
        read(file.path(), Timestamp::UNIX_EPOCH, &Keys { prefix: PREFIX, secrets: &secrets }, &mut told)?;
        Ok((told.headers, told.moments))
    }

    #[test]
    fn a_signature_is_recomputed_and_only_the_right_secret_matches() {
        let text = json!([record(SIGNATURE)]).to_string();
        let matches = |secrets: &[&str]| told(&text, secrets).unwrap().0.sample.map(|sample| sample.signature_matches);
        assert_eq!(matches(&["demo-billing"]), Some(Some(true)));
        assert_eq!(matches(&["another", "demo-billing"]), Some(Some(true)));
        assert_eq!(matches(&["another"]), None);
        assert_eq!(matches(&[]), Some(None));
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
        assert_eq!((headers.attempts, headers.with_all_four, headers.unverified), (1, 1, 1));
        assert!(headers.sample.is_none());
    }

    #[test]
    fn the_gateways_own_events_are_moments() {
        let mut own = record(SIGNATURE);
        own["headers"][3][1] = json!("gatepost.rollout.rolled_back");
        own["body"] = json!(
            r#"{"type":"gatepost.rollout.rolled_back","endpoint":"billing","reason":"success","at":"2026-11-25T12:00:00.125Z"}"#
        );
        let (_, moments) = told(&json!([own]).to_string(), &[]).unwrap();
        assert_eq!((moments[0].event.as_str(), moments[0].endpoint.as_deref()), ("rolled_back", Some("billing")));
        assert_eq!(moments[0].at.to_string(), "2026-11-25T12:00:00.125Z");
    }

    /// No timeline entry, no example, no count and no sample, whoever says that it does not verify.
    #[test]
    fn a_record_that_does_not_verify_counts_for_nothing() {
        let body = r#"{"type":"gatepost.rollout.rolled_back","endpoint":"billing","at":"2026-11-25T12:00:00Z"}"#;
        let own = |number: u32| {
            let mut own = record(SIGNATURE);
            own["headers"][3][1] = json!("gatepost.rollout.rolled_back");
            own["headers"][4] = json!(["x-webhook-attempt", number.to_string()]);
            own["body"] = json!(body);
            own
        };
        let with = |change: &dyn Fn(&mut Value)| {
            let mut pair = [own(1), own(2)];
            pair.iter_mut().for_each(change);
            json!(pair).to_string()
        };
        let all = |text: &str, secrets: &[&str]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let secrets: Vec<_> = secrets.iter().map(|secret| Zeroizing::new(secret.as_bytes().to_vec())).collect();
            let mut told = RecordFacts::default();
            read(file.path(), Timestamp::UNIX_EPOCH, &Keys { prefix: PREFIX, secrets: &secrets }, &mut told).unwrap();
            (told.headers.attempts, told.moments.len(), told.retries.len(), told.headers.sample.is_some())
        };
        assert_eq!(all(&with(&|_| {}), &[]), (2, 2, 1, true), "without a secret the receiver's word counts");
        let nothing = (0, 0, 0, false);
        // The signature is that of another body.
        assert_eq!(all(&with(&|_| {}), &["demo-billing"]), nothing);
        let unsigned = |record: &mut Value| record["headers"][0] = json!(["x-other", "1"]);
        assert_eq!(all(&with(&unsigned), &["demo-billing"]), nothing);
        let stale = |record: &mut Value| record["headers"][1] = json!(["x-other", "1"]);
        assert_eq!(all(&with(&stale), &["demo-billing"]), nothing);
        let refused = |record: &mut Value| record["problem"] = json!("does not match");
        assert_eq!(all(&with(&refused), &[]), nothing);
        let silent = |record: &mut Value| drop(record.as_object_mut().unwrap().remove("problem"));
        assert_eq!(all(&with(&silent), &[]), nothing, "a receiver that says nothing");
        let verdict = |record: &mut Value| record["verdict"] = json!("refused");
        assert_eq!(all(&with(&verdict), &[]), nothing);
    }

    /// The header with the event type is not signed, and the body is.
    #[test]
    fn an_own_event_is_what_its_body_says() {
        let mut own = record(SIGNATURE);
        own["headers"][3][1] = json!("gatepost.rollout.rolled_back");
        let moments = |body: &str| {
            let mut own = own.clone();
            own["body"] = json!(body);
            told(&json!([own]).to_string(), &[]).unwrap().1
        };
        assert_eq!(moments(r#"{"type":"paid","endpoint":"a","at":"2026-11-25T12:00:00Z"}"#), []);
        let opened = moments(r#"{"type":"gatepost.breaker.opened","endpoint":"a","at":"2026-11-25T12:00:00Z"}"#);
        assert_eq!(opened[0].event, "breaker_opened");
    }

    #[test]
    fn what_is_no_record_is_refused_without_being_quoted() {
        let error = format!("{:#}", told("{\"at\": \"s3cret\"}", &[]).unwrap_err());
        assert!(error.contains("line 1: expected the JSON of receiver.py's"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
