//! What comes in is verified before the application sees it, and a message is seen once.

use std::fs;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use gatepost_e2e::load::at_once;
use gatepost_e2e::{Event, Gateway, Protocol, Setup};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::{artifact, wait, workspace};
use serde_json::{Value, json};

use crate::isolation::one_load_at_a_time;
use crate::receivers::webhook::signature;

const DEADLINE: Duration = Duration::from_secs(30);
const SECRET: &str = "secret-of-the-partner";
const PATH: &str = "/webhooks/inbound";

/// The application: it verifies once more, and keeps what it gets.
fn application() -> Result<Receiver> {
    Receiver::start(&[("app", SECRET)], &Options::default())
}

/// One rule and no event route, in front of the application.
fn setup(application: &Receiver, more: Value) -> Setup {
    let mut rule = json!({
        "name": "partner",
        "match": {"path": PATH},
        "secrets": [{"value": SECRET}],
    });
    if let (Some(rule), Value::Object(more)) = (rule.as_object_mut(), more) {
        rule.extend(more);
    }
    Setup::bare(json!({"inbound": [rule]})).with_application("/webhooks", "app", application.address())
}

/// A message to this path that its sender signs now, under this secret.
pub fn message(path: &str, id: &str, body: &str, secret: &str) -> Result<Event> {
    let at = UNIX_EPOCH.elapsed()?.as_millis().to_string();
    let signature = signature(secret, &at, body.as_bytes());
    Ok(Event { body: body.into(), ..Event::request("POST", path) }
        .with_header("x-webhook-id", id)
        .with_header("x-webhook-event", "paid")
        .with_header("x-webhook-attempt", "1")
        .with_header("x-webhook-timestamp", &at)
        .with_header("x-webhook-signature", &signature))
}

fn counted(gateway: &Gateway, result: &str) -> Result<Option<f64>> {
    gateway.envoy.series(&format!("gatepost_inbound_total{{route=\"partner\",result=\"{result}\"}}"))
}

/// Only what is signed reaches the application and it is told so.
#[test]
fn only_signed_requests_reach_the_application_marked() -> Result<()> {
    let app = application()?;
    let gateway = Gateway::start(&setup(&app, json!({})))?;
    let good = message(PATH, "one", "{\"amount\": 42}", SECRET)?;
    let forged = message(PATH, "two", "{}", "another")?.with_header("x-gatepost-verified", "partner");
    let unsigned = Event::request("POST", PATH).with_header("x-gatepost-verified", "partner");
    for (event, status) in [(&forged, 401), (&unsigned, 401), (&good, 200)] {
        assert_eq!(gateway.send(event)?.status, status);
    }
    let spelled = Event { path: "/webhooks/%69NBOUND/".to_owned(), ..unsigned.clone() };
    assert_eq!(gateway.send(&spelled)?.status, 401);
    let records = app.wait_for("app", 1, DEADLINE)?;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].problem.as_deref(), records[0].body()), (None, good.body.clone()));
    assert_eq!(records[0].header("x-gatepost-verified"), "partner");
    // What no rule guards goes on, and claims nothing.
    let elsewhere = Event { path: "/webhooks/other".to_owned(), ..unsigned };
    gateway.send(&elsewhere)?;
    let records = app.wait_for("app", 2, DEADLINE)?;
    assert_eq!(records[1].header("x-gatepost-verified"), "");
    for (result, count) in [("verified", 1.0), ("signature", 1.0), ("unsigned", 2.0), ("stale", 0.0)] {
        wait::until(result, DEADLINE, || Ok((counted(&gateway, result)? == Some(count)).then_some(())))?;
    }
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

/// A message that comes a thousand times on two workers at once is seen once.
#[test]
fn message_sent_a_thousand_times_at_once_is_seen_once() -> Result<()> {
    let _alone = one_load_at_a_time();
    let app = application()?;
    let gateway = Gateway::start(&setup(&app, json!({})))?;
    let message = message(PATH, "one", "{}", SECRET)?;
    let (mut seen, mut told) = (0, 0);
    for _ in 0..10 {
        for answer in at_once(&gateway, 100, &message)? {
            match (answer.status, answer.header("retry-after")) {
                (200, _) if answer.text() == "{\"status\":\"duplicate\"}" => told += 1,
                (200, _) => seen += 1,
                (409, "1") => told += 1,
                (status, _) => panic!("{status}: {}", answer.text()),
            }
        }
    }
    println!("the same message 1,000 times on two workers: the application saw {seen}, {told} were told so");
    assert_eq!((seen, told), (1, 999));
    assert_eq!(app.records("app", 0)?.len(), 1);
    Ok(())
}

/// A message that the application has not taken gets through when it comes again.
#[test]
fn message_the_application_failed_gets_through_on_retry() -> Result<()> {
    let app = application()?;
    app.script("app", &json!({"replies": [{"status": 500}]}))?;
    let gateway = Gateway::start(&setup(&app, json!({"replay": {"duplicate": "reject"}})))?;
    let first = message(PATH, "one", "{}", SECRET)?;
    // As a sender does that signs each attempt afresh, and as one that sends the same bytes.
    let mut statuses = Vec::new();
    for event in [&first, &first, &first, &message(PATH, "one", "{}", SECRET)?] {
        statuses.push(gateway.send(event)?.status);
    }
    assert_eq!(statuses, [500, 200, 409, 409]);
    assert_eq!(app.records("app", 0)?.len(), 2);
    Ok(())
}

#[test]
fn a_worker_whose_vm_trapped_lets_nothing_by_unverified() -> Result<()> {
    let app = application()?;
    let gateway = Gateway::start(&setup(&app, json!({})).with_wasm(artifact::wasm_that_traps()?))?;
    let trap = message(PATH, "one", "{}", SECRET)?.with_header("x-gatepost-trap", "now");
    assert_eq!(gateway.send(&trap)?.status, 503);
    let unsigned = Event::request("POST", PATH);
    let statuses = wait::until("the VM is rebuilt", DEADLINE, || {
        let status = gateway.send(&unsigned)?.status;
        assert!([401, 503].contains(&status), "{status}");
        Ok((gateway.rebuilt()? >= 1).then_some(status))
    })?;
    println!("after a trap and its rebuilding the answer is {statuses}");
    assert_eq!(app.records("app", 0)?.len(), 0);
    assert_eq!(gateway.send(&message(PATH, "two", "{}", SECRET)?)?.status, 200);
    Ok(())
}

#[test]
fn a_bad_config_is_not_taken_and_the_old_one_goes_on_verifying() -> Result<()> {
    let app = application()?;
    let good = setup(&app, json!({}));
    let gateway = Gateway::start_dynamic(&good)?;
    let bad = good.with(json!({"inbound": [{"name": "partner", "match": {"path": PATH}}]}));
    assert!(!gateway.update(&bad)?);
    assert_eq!(gateway.send(&Event::request("POST", PATH))?.status, 401);
    assert_eq!(gateway.send(&message(PATH, "one", "{}", SECRET)?)?.status, 200);
    assert!(Gateway::start(&bad).is_err(), "Envoy does not start with it");
    assert_eq!(app.records("app", 0)?.len(), 1);
    Ok(())
}

#[test]
fn under_the_documented_capabilities_alone_it_verifies_too() -> Result<()> {
    let capabilities: Value =
        serde_saphyr::from_str(&fs::read_to_string(workspace::root()?.join("envoy/capabilities.yaml"))?)?;
    let app = application()?;
    let gateway = Gateway::start(&setup(&app, json!({})).with_around(capabilities))?;
    let claims = message(PATH, "one", "{}", SECRET)?.with_header("x-gatepost-verified", "me");
    assert_eq!(gateway.send(&claims)?.status, 200);
    assert_eq!(gateway.send(&Event::request("POST", PATH))?.status, 401);
    let records = app.records("app", 0)?;
    let told: Vec<&str> = records.iter().map(|record| record.header("x-gatepost-verified")).collect();
    assert_eq!(told, ["partner"]);
    Ok(())
}

#[test]
fn the_example_of_verifying_is_valid_as_it_is_written() -> Result<()> {
    artifact::wasm("gatepost")?;
    let output = Command::new(gatepost_kit::envoy::find()?)
        .args(["--mode", "validate", "--use-dynamic-base-id", "-c", "envoy/inbound.yaml"])
        .current_dir(workspace::root()?)
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Without the line that shows the filter bodies nothing passes.
#[test]
fn nothing_passes_without_allow_on_headers_stop_iteration() -> Result<()> {
    let app = application()?;
    let setup = setup(&app, json!({})).with_around(json!({"allow_on_headers_stop_iteration": false}));
    let gateway = Gateway::start(&setup)?;
    let pending = gateway.connect(Protocol::Http1)?.begin(message(PATH, "one", "{}", SECRET)?);
    // Envoy has it, and the request before it on another connection has been answered.
    wait::until("it is with Envoy", DEADLINE, || {
        Ok((gateway.envoy.stat("http.public.downstream_rq_active")? >= 1).then_some(()))
    })?;
    assert_eq!(gateway.send(&Event::request("POST", PATH))?.status, 401);
    assert!(!pending.is_finished());
    assert_eq!(app.records("app", 0)?.len(), 0);
    pending.leave();
    Ok(())
}
