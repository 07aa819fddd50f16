//! The example config, as it is shipped, with the events it is shipped with.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use gatepost_e2e::{Event, Gateway, Protocol, Setup};
use gatepost_kit::receiver::{Options, Receiver};
use serde_json::Value;

const SECRETS: [(&str, &str); 2] = [("billing", "demo-billing"), ("audit", "demo-audit")];

/// Ten events reach both endpoints byte for byte and verify under the secret of each.
#[test]
fn ten_events_reach_both_endpoints_unchanged_and_verify() -> Result<()> {
    let receiver = Receiver::start(&SECRETS, &Options::default())?;
    let gateway = Gateway::start(&Setup::example(&receiver)?)?;
    let samples = fs::read_to_string(gatepost_kit::workspace::root()?.join("envoy/testdata/events.jsonl"))?;
    let mut sent = Vec::new();
    for line in samples.lines() {
        let sample: Value = serde_json::from_str(line)?;
        let answer = gateway.send(&Event::new(sample["event"].as_str().unwrap(), line))?;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let deliveries = answer.json()?["deliveries"].as_array().unwrap().len();
        assert_eq!(deliveries, 2, "{}", answer.text());
        assert_eq!(answer.header("x-webhook-id"), answer.id()?);
        sent.push((answer.id()?, line));
    }
    assert_eq!(sent.len(), 10);

    let mut signatures = BTreeSet::new();
    for (endpoint, _) in SECRETS {
        let records = receiver.wait_for(endpoint, sent.len(), Duration::from_secs(10))?;
        assert_eq!(records.len(), sent.len(), "at {endpoint}");
        for (id, line) in &sent {
            let record = records.iter().find(|record| record.id == *id).unwrap();
            assert_eq!(record.problem, None, "{endpoint} {id}");
            assert_eq!(record.body(), line.as_bytes());
            let event: Value = serde_json::from_str(line)?;
            assert_eq!(record.header("x-webhook-event"), event["event"].as_str().unwrap());
            assert_eq!(record.header("x-webhook-attempt"), "1");
            signatures.insert(record.header("x-webhook-signature").to_owned());
        }
    }
    assert_eq!(signatures.len(), 20, "each delivery has a signature of its own");
    Ok(())
}

#[test]
fn a_delivery_carries_the_documented_headers_and_no_other() -> Result<()> {
    let receiver = Receiver::start(&SECRETS, &Options::default())?;
    let gateway = Gateway::start(&Setup::example(&receiver)?)?;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let plain = Event::new("payment_verified", "{}");
    let traced = plain.clone().with_header("traceparent", trace).with_header("x-envoy-upstream-rq-timeout-ms", "1");
    for (protocol, event, trace) in [(Protocol::Http1, plain, None), (Protocol::Http2, traced, Some(trace))] {
        receiver.forget("billing")?;
        assert_eq!(gateway.connect(protocol)?.send(&event)?.status, 202);
        let records = receiver.wait_for("billing", 1, Duration::from_secs(10))?;
        let record = &records[0];
        let mut names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut expected = DOCUMENTED.to_vec();
        expected.extend(trace.map(|_| "traceparent"));
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(record.header("host"), "127.0.0.1:9000");
        assert_eq!(record.header("content-type"), "application/json");
        assert_eq!(record.header("user-agent"), concat!("Gatepost/", env!("CARGO_PKG_VERSION")));
        assert_eq!(record.header("traceparent"), trace.unwrap_or_default());
        let timestamp: f64 = record.header("x-webhook-timestamp").parse()?;
        assert!((record.wall * 1000.0 - timestamp).abs() < 60_000.0, "{timestamp} is not now in milliseconds");
        let signature = record.header("x-webhook-signature");
        assert_eq!(signature.len(), 64);
        assert!(signature.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{signature}");
    }
    Ok(())
}

/// What HTTP/1.1 needs, and what the contract lists.
const DOCUMENTED: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "user-agent",
    "x-webhook-signature",
    "x-webhook-timestamp",
    "x-webhook-id",
    "x-webhook-event",
    "x-webhook-attempt",
];
