//! The receiver that the other tests believe: it must be able to say no.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::http;
use gatepost_kit::receiver::{Options, Receiver};
use serde_json::json;

/// A published vector of the scheme: secret, body, timestamp, signature. Right, but of 2023.
const VECTOR: (&str, &str, &str, &str) = (
    "my-secret",
    "{\"event\":\"test\"}",
    "1700000000000",
    "5846e63e92eace31580d4c87e75255c05084bea61855b29df8f20efe5beda21f",
);

#[test]
fn receiver_refuses_unsigned_stale_future_and_tampered() -> Result<()> {
    let (secret, body, stale, signature) = VECTOR;
    let receiver = Receiver::start(&[("a", secret)], &Options::default())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let (fresh, future) = (now.to_string(), (now + 60_000).to_string());
    for (signature, timestamp, problem) in [
        ("", stale, "x-webhook-signature: 1 values, expected one that is not empty"),
        (signature, stale, "x-webhook-timestamp: "),
        (signature, future.as_str(), "x-webhook-timestamp: "),
        (signature, "yesterday", "x-webhook-timestamp: not Unix milliseconds"),
        (signature, fresh.as_str(), "x-webhook-signature: does not match"),
    ] {
        receiver.forget("a")?;
        let request = http::client().post(format!("http://{}/a", receiver.address()));
        let request = request.header("x-webhook-id", "1").header("x-webhook-event", "test");
        let request = request.header("x-webhook-timestamp", timestamp).header("x-webhook-signature", signature);
        assert_eq!(request.send(body)?.status(), 401, "{problem}");
        let records = receiver.records("a", 0)?;
        let found = records[0].problem.clone().unwrap_or_default();
        assert!(found.starts_with(problem), "{found:?}, expected {problem:?}");
    }
    Ok(())
}

#[test]
fn it_refuses_what_the_gateway_signed_with_another_secret() -> Result<()> {
    let receiver = Receiver::start(&[("a", "the-secret-it-knows")], &Options::default())?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "another-secret", json!({}))]))?;
    gateway.send(&Event::new("payment_verified", "{}"))?;
    let records = receiver.wait_for("a", 1, Duration::from_secs(30))?;
    let problem = records[0].problem.as_deref();
    assert_eq!(problem, Some("x-webhook-signature: does not match the body, the timestamp and the secret"));
    assert_eq!(receiver.counters("a")?.delivered, 0);
    Ok(())
}
