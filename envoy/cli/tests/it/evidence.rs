//! `gatepost evidence`, of a real run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use gatepost_kit::{http, wait};
use serde_json::{Value, json};

use crate::site::{DEADLINE, SECRET, Site};

fn endpoint(name: &str, variable: &str) -> Value {
    json!({
        "name": name, "cluster": name, "url": format!("http://127.0.0.1:9000/{name}"), "events": ["payment_*"],
        "secrets": [{"env": variable}], "headers": {"x-api-key": "the-key-of-an-endpoint"},
        // More attempts than an outage uses up until the test has seen the breaker open and has ended it.
        "retry": {"delays": ["0s", "0.2s", "0.4s", "1s", "1s", "1s"]}, "breaker": {"failures": 5, "window": "60s", "open": "1s"},
    })
}

/// A gateway that has been through retries, an outage and a rollback.
fn eventful() -> Result<Site> {
    let site = Site::start(
        1,
        json!({
            "endpoints": [endpoint("billing", "BILLING_WEBHOOK_SECRET"), endpoint("audit", "AUDIT_WEBHOOK_SECRET")],
            "rollout": {"guard": {"for": "2s", "min_events": 5}},
            "payload_guard": {},
        }),
    )?;
    site.receiver.script("billing", &json!({"replies": [{"status": 503}, {"status": 503}]}))?;
    site.send(0, "payment_verified", 1)?;
    site.receiver.wait_for("billing", 3, DEADLINE)?;
    let breaker = |state: &str| {
        let what = format!("the breaker is {state}");
        site.wait_for(0, &what, |status| status["endpoints"][0]["breaker"]["state"] == state)
    };
    site.receiver.script("billing", &json!({"then": {"status": 503}}))?;
    site.send(0, "payment_refunded", 3)?;
    breaker("open")?;
    site.receiver.script("billing", &json!({}))?;
    breaker("closed")?;
    site.receiver.script("audit", &json!({"then": {"status": 400}}))?;
    // The guard wants to see it for as long as its `for` says.
    wait::until("the rollback", DEADLINE, || {
        site.send(0, "payment_failed", 1)?;
        Ok((site.status(0)?["endpoints"][1]["rollout"]["state"] == "rolled_back").then_some(()))
    })?;
    site.wait_for(0, "all is delivered to billing", |status| status["endpoints"][0]["pending"] == 0)?;
    site.wait_for_hours(0, "billing", site.receiver.counters("billing")?.delivered)?;
    site.wait_for_log(0, "event=rolled_back")?;
    Ok(site)
}

/// The files that a bundle is made of besides.
fn files(site: &Site, directory: &Path) -> Result<()> {
    fs::write(directory.join("envoy.log"), site.gateways[0].log()?)?;
    fs::write(directory.join("envoy.json"), site.config().to_string())?;
    let records = http::client().get(format!("http://{}/-/billing/records", site.receiver.address())).call()?;
    fs::write(directory.join("billing.json"), records.into_body().read_to_string()?)?;
    Ok(())
}

/// A run with retries an outage and a rollback is told in a bundle without secrets.
#[test]
fn bundle_tells_retries_outage_and_rollback_but_no_secrets() -> Result<()> {
    let site = eventful()?;
    let directory = tempfile::tempdir()?;
    files(&site, directory.path())?;
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let admin = format!("http://{}", site.gateways[0].admin_address()?);
    let (out, log, config, records) = (path("out"), path("envoy.log"), path("envoy.json"), path("billing.json"));
    let arguments = [
        "evidence",
        "--for",
        "1h",
        "--out",
        &out,
        "--assert",
        "--logs",
        &log,
        "--config",
        &config,
        "--records",
        &records,
        "--secret-env",
        "SECRET_OF_BILLING",
        "--envoy-admin",
        &admin,
    ];
    let output = site.command(&arguments)?.env("SECRET_OF_BILLING", SECRET).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("missed: audit: success ≥ 95 %: "), "{said}");
    assert!(!said.contains("missed: billing: "), "{said}");
    let told: Value = serde_json::from_str(&fs::read_to_string(Path::new(&out).join("evidence.json"))?)?;

    let verdict = |objective: &str, endpoint: &Value| {
        let all = told["objectives"].as_array().into_iter().flatten();
        let mut found = all.filter(|one| one["objective"] == objective && one["endpoint"] == *endpoint);
        found.next().map(|one| one["verdict"].clone()).unwrap_or_default()
    };
    assert_eq!(verdict("success ≥ 95 %", &json!("billing")), "met");
    assert_eq!(verdict("success ≥ 95 %", &json!("audit")), "missed");
    assert_eq!(verdict("breaker opens < 5 a day", &json!("billing")), "met");
    assert_eq!(verdict("no personal data", &Value::Null), "met", "{}", told["personal_data"]);

    let counters = site.receiver.counters("billing")?;
    let rows = told["hours"][0]["rows"].as_array().context("rows")?;
    let sum = |what: &str| -> u64 { rows.iter().filter_map(|row| row["figures"].pointer(what)?.as_u64()).sum() };
    assert_eq!(told["hours"][0]["endpoint"], "billing");
    assert_eq!(sum("/delivered"), counters.delivered);
    assert_eq!(sum("/attempts/2xx") + sum("/attempts/5xx"), counters.requests);
    assert!(sum("/breaker_opens") >= 1 && sum("/retries") >= 4, "{rows:?}");

    let headers = &told["headers"];
    for count in ["attempts", "with_all_four", "verified_by_receiver", "verified_here"] {
        assert_eq!(headers[count], counters.requests, "{count}: {headers}");
    }
    assert_eq!(headers["sample"]["signature_matches"], true);

    let moments: Vec<(&str, &str)> = told["timeline"]["moments"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|moment| Some((moment["event"].as_str()?, moment["endpoint"].as_str()?)))
        .collect();
    for expected in [("breaker_opened", "billing"), ("breaker_closed", "billing"), ("rolled_back", "audit")] {
        assert!(moments.contains(&expected), "{expected:?}: {moments:?}");
    }
    let examples = told["retries"]["examples"].as_array().context("examples")?;
    let thrice = examples.iter().filter_map(|one| one["attempts"].as_array()).find(|tried| tried.len() == 3);
    let waits: Vec<f64> =
        thrice.context("three attempts")?.iter().filter_map(|one| one["waited_seconds"].as_f64()).collect();
    assert!(waits.len() == 2 && waits[0] >= 0.2 && waits[1] >= 0.4, "{examples:?}");

    assert!(told["envoys"][0]["version"].as_str().is_some_and(|version| version.starts_with("1.")));
    assert_eq!(told["gateways"][0]["instance"], site.status(0)?["instance"]);
    for name in ["evidence.md", "evidence.json", "chart.svg"] {
        let text = fs::read_to_string(Path::new(&out).join(name))?;
        for secret in [SECRET, "demo-audit", "demo-admin-demo-admin-demo-admin", "the-key-of-an-endpoint", "\"amount\""]
        {
            assert!(!text.contains(secret), "{name} holds {secret}");
        }
    }
    Ok(())
}

/// A gateway that is down is said at the top and the bundle is written all the same.
#[test]
fn down_gateway_is_stated_first_and_bundle_still_written() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    site.send(0, "payment_verified", 25)?;
    site.wait_for_hours(0, "billing", 25)?;
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out").to_string_lossy().into_owned();
    let surfaces = format!("{},http://127.0.0.1:1/gatepost", site.surfaces()?);
    let output =
        site.command(&["evidence", "--for", "1h", "--out", &out])?.env("GATEPOST_GATEWAYS", surfaces).output()?;
    assert_eq!(output.status.code(), Some(1));
    let text = fs::read_to_string(Path::new(&out).join("evidence.md"))?;
    assert!(
        text.contains("- **Not asked:** http://127.0.0.1:1/gatepost: cannot be reached: the connection is refused")
    );
    assert!(text.contains("| success ≥ 95 % | billing | 100.00 % (25 of 25 deliveries) | met |"), "{text}");
    assert!(text.contains("No data: no receiver's records were given (--records)."), "{text}");
    Ok(())
}

/// Personal data in a log fails the scan that asserts it and is not repeated.
#[test]
fn personal_data_in_a_log_fails_the_scan_and_is_not_shown() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    let directory = tempfile::tempdir()?;
    let (out, log) = (directory.path().join("out"), directory.path().join("envoy.log"));
    // An operator's own words are the one thing of a person's that the filter logs.
    assert_eq!(site.gatepost(&["pause", "--reason", "asked by maria.rossi@example.com"])?.status.code(), Some(0));
    fs::write(&log, site.wait_for_log(0, "event=admin")?)?;
    let (out, log) = (out.to_string_lossy().into_owned(), log.to_string_lossy().into_owned());
    let scan = |asserted: &str| site.gatepost(&["evidence", "--for", "1h", "--out", &out, asserted, "--logs", &log]);
    let output = scan("--assert=personal-data")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("missed: no personal data: 1 in "), "{said}");
    // Only what is named is asserted, and what is named must be known.
    let output = scan("--assert=success")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("missed: "), "{said}");
    assert!(said.contains("no data: billing: success ≥ 95 %: no delivery ended"), "{said}");
    assert!(said.contains("not looked at: billing: p95"), "{said}");
    for name in ["evidence.md", "evidence.json"] {
        let text = fs::read_to_string(Path::new(&out).join(name))?;
        assert!(!text.contains("maria"), "{name}: what was found is not shown again");
    }
    Ok(())
}

#[test]
fn wrong_usage_is_told_before_anything_is_asked() -> Result<()> {
    let site = Site::start(1, json!({}))?;
    let directory = tempfile::tempdir()?;
    let out = directory.path().to_string_lossy().into_owned();
    let said = |more: &[&str]| -> Result<(Option<i32>, String)> {
        let output = site.gatepost(&[&["evidence", "--out", &out], more].concat())?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (code, text) = said(&["--for", "200h"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("expected up to 168h: so long a gateway remembers"), "{text}");
    let (code, text) = said(&["--secret-env", "NOWHERE_TO_BE_FOUND"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("--secret-env: the environment has no variable of that name"), "{text}");
    let (code, text) = said(&["--logs", "/nonexistent/envoy.log"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("--logs /nonexistent/envoy.log: No such file"), "{text}");
    Ok(())
}
