//! Who is told of an alert, and of which ones nobody is.

use std::process::Command;

use anyhow::Result;
use gatepost_e2e::alertmanager::{Alertmanager, PROGRAM};
use gatepost_e2e::prometheus::{directory, has};
use gatepost_kit::wait;
use serde_json::{Value, json};

use super::files::{Rule, read, rules, run};
use super::site::DEADLINE;

/// Alertmanager takes its config and sends each alert to the receiver of its severity.
#[test]
fn alertmanager_routes_each_alert_by_severity() -> Result<()> {
    if !has("amtool")? {
        return Ok(());
    }
    let config = directory()?.join("alertmanager.yml");
    run(Command::new("amtool").arg("check-config").arg(&config))?;
    for Rule { name, severity, .. } in rules()? {
        let receiver = match severity.as_str() {
            "page" => "page",
            "alert" => "alerts",
            "update" => "updates",
            other => panic!("{name}: the severity {other}"),
        };
        let mut route = Command::new("amtool");
        route.args(["config", "routes", "test", "--verify.receivers", receiver, "--config.file"]).arg(&config);
        run(route.args([format!("alertname={name}"), format!("severity={severity}")]))?;
    }
    Ok(())
}

#[test]
fn personal_data_waits_for_no_other_alert() -> Result<()> {
    let config: Value = serde_saphyr::from_str(&read("alertmanager.yml")?)?;
    let first = &config["route"]["routes"][0];
    assert_eq!(first["matchers"], json!(["alertname = GatepostPersonalData"]));
    assert_eq!((&first["receiver"], &first["group_wait"]), (&json!("page"), &json!("0s")));
    Ok(())
}

/// An alert of an endpoint of a gateway: its name, its severity, and the two.
fn alert(name: &str, severity: &str, instance: &str, endpoint: &str) -> Value {
    let endpoint = if endpoint.is_empty() { Value::Null } else { endpoint.into() };
    let mut labels =
        json!({"alertname": name, "severity": severity, "job": "gatepost", "instance": instance, "endpoint": endpoint});
    if let Some(labels) = labels.as_object_mut() {
        labels.retain(|_, value| !value.is_null());
    }
    labels
}

/// A gateway that is down silences its other alerts but not personal data.
#[test]
fn gateway_down_silences_its_alerts_except_personal_data() -> Result<()> {
    if !has(PROGRAM)? {
        return Ok(());
    }
    let alertmanager = Alertmanager::start()?;
    let told = [
        (alert("GatepostTargetDown", "page", "down", ""), false),
        (alert("GatepostBreakerOpen", "alert", "down", "a"), true),
        (alert("GatepostDeadLettersEvicted", "page", "down", ""), true),
        (alert("GatepostPersonalData", "page", "down", ""), false),
        (alert("GatepostBreakerOpen", "alert", "up", "a"), false),
        // By far is enough to be told.
        (alert("GatepostSuccessRollback", "page", "up", "a"), false),
        (alert("GatepostSuccessBelowObjective", "alert", "up", "a"), true),
        (alert("GatepostSuccessBelowObjective", "alert", "up", "b"), false),
        (alert("GatepostLatencyAboveObjective", "alert", "up", "a"), false),
        (alert("NodeDown", "alert", "down", ""), false),
    ];
    let labels: Vec<Value> = told.iter().map(|(labels, _)| labels.clone()).collect();
    alertmanager.tell(&labels)?;
    let silenced = || -> Result<Vec<Option<bool>>> {
        let alerts = alertmanager.alerts()?;
        let of = |labels: &Value| {
            let alert = alerts.iter().find(|alert| alert["labels"] == *labels)?;
            Some(!alert["status"]["inhibitedBy"].as_array()?.is_empty())
        };
        Ok(told.iter().map(|(labels, _)| of(labels)).collect())
    };
    // It learns of them one after the other.
    wait::until("it silences some", DEADLINE, || {
        let seen = silenced()?;
        let wanted = told.iter().zip(&seen).filter(|((_, is_silenced), _)| *is_silenced);
        let all = wanted.into_iter().all(|(_, seen)| *seen == Some(true));
        Ok((all && seen.iter().all(Option::is_some)).then_some(()))
    })?;
    for ((labels, is_silenced), seen) in told.iter().zip(silenced()?) {
        assert_eq!(seen, Some(*is_silenced), "{labels}");
    }
    Ok(())
}
