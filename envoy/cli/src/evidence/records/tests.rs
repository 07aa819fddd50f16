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
