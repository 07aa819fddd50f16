//! What users put around the filter: secrets being changed, restricted capabilities, a Prometheus.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::{wait, workspace};
use rcgen::CertifiedKey;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(30);

/// While a secret is changed receivers that know either one verify.
#[test]
fn receivers_of_either_secret_verify_during_rotation() -> Result<()> {
    let receiver = Receiver::start(&[("old", "secret-1"), ("new", "secret-2")], &Options::default())?;
    let both = json!({"secrets": [{"value": "secret-1"}, {"value": "secret-2"}]});
    let endpoints = [endpoint("old", "", both.clone()), endpoint("new", "", both)];
    let gateway = Gateway::start(&Setup::new(&receiver, &endpoints))?;
    gateway.send(&Event::new("payment_verified", "{}"))?;
    for name in ["old", "new"] {
        let records = receiver.wait_for(name, 1, DEADLINE)?;
        assert_eq!(records[0].problem, None, "{name}");
        assert_ne!(records[0].header("x-webhook-signature"), records[0].header("x-webhook-signature-also"));
    }
    Ok(())
}

/// An event is delivered under the documented capabilities alone.
#[test]
fn event_is_delivered_under_the_documented_capabilities() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let capabilities: Value =
        serde_saphyr::from_str(&fs::read_to_string(workspace::root()?.join("envoy/capabilities.yaml"))?)?;
    let setup = Setup::new(&receiver, &[endpoint("a", "", json!({"secrets": [{"env": "GATEPOST_TEST_SECRET"}]}))]);
    let setup = setup.with_env("GATEPOST_TEST_SECRET", "secret-of-a").with_around(capabilities);
    let gateway = Gateway::start(&setup)?;
    receiver.script("a", &json!({"replies": [{"status": 503}]}))?;
    assert_eq!(gateway.send(&Event::new("payment_verified", "{}"))?.status, 202);
    let records = receiver.wait_for("a", 2, DEADLINE)?;
    assert!(records.iter().all(|record| record.problem.is_none()));
    assert_eq!(receiver.counters("a")?.delivered, 1);
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

#[test]
fn prometheus_sees_what_happened_with_labels() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    receiver.script("a", &json!({"replies": [{"status": 503}]}))?;
    let policy = json!({"retry": {"delays": ["0s", "0.1s"]}});
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", policy)]))?;
    gateway.send(&Event::new("payment_verified", "{}"))?;
    for series in [
        "gatepost_events_total{route=\"ingest\",result=\"accepted\"}",
        "gatepost_attempts_total{endpoint=\"a\",outcome=\"5xx\"}",
        "gatepost_attempts_total{endpoint=\"a\",outcome=\"2xx\"}",
        "gatepost_deliveries_total{endpoint=\"a\",result=\"delivered\"}",
        "gatepost_delivery_duration_ms_count{endpoint=\"a\"}",
    ] {
        wait::until(series, DEADLINE, || Ok((gateway.envoy.series(series)? == Some(1.0)).then_some(())))?;
    }
    Ok(())
}

/// Envoy reads a YAML file with a loader of its own, which hands fractions on as strings.
#[test]
fn example_config_is_valid_and_may_hold_fractions() -> Result<()> {
    gatepost_kit::artifact::wasm("gatepost")?;
    let text = fs::read_to_string(workspace::root()?.join("envoy/envoy.yaml"))?;
    let fraction = text.replace("retry: { delays: [0s, 2s, 4s] }", "retry: { delays: [0s, 2s, 4s], jitter: 0.2 }");
    assert_ne!(text, fraction);
    validate(&fraction)
}

/// The example of a fleet loads, and so does the TLS that it has as a comment.
#[test]
fn fleet_example_is_valid_with_and_without_tls() -> Result<()> {
    gatepost_kit::artifact::wasm("gatepost")?;
    let text = fs::read_to_string(workspace::root()?.join("envoy/fleet.yaml"))?;
    let (head, comment) = text.split_once("      # transport_socket:\n").context("the example has TLS as a comment")?;
    let uncommented = comment.lines().map(|line| line.replacen("# ", "", 1) + "\n").collect::<String>();
    let tls = format!("{head}      transport_socket:\n{uncommented}");
    // One of this test's own stands for those of the reader's: Envoy reads the files.
    let directory = tempfile::tempdir()?;
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["etcd.test".to_owned()])?;
    fs::write(directory.path().join("certificate"), cert.pem())?;
    fs::write(directory.path().join("key"), signing_key.serialize_pem())?;
    let tls = tls
        .replace("/etc/envoy/etcd-client.crt", &directory.path().join("certificate").to_string_lossy())
        .replace("/etc/envoy/etcd-client.key", &directory.path().join("key").to_string_lossy())
        .replace("/etc/envoy/etcd-ca.crt", &directory.path().join("certificate").to_string_lossy());
    assert!(!tls.contains("/etc/envoy"), "{tls}");
    for config in [text, tls] {
        validate(&config)?;
    }
    Ok(())
}

/// Has Envoy read a config, from the repository's root.
fn validate(config: &str) -> Result<()> {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    file.write_all(config.as_bytes())?;
    let output = Command::new(gatepost_kit::envoy::find()?)
        .args(["--mode", "validate", "--use-dynamic-base-id", "-c"])
        .arg(file.path())
        .current_dir(workspace::root()?)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
