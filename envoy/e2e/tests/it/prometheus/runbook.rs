//! The runbook's commands, as they stand there, on a real gateway.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatepost_e2e::prometheus::directory;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use gatepost_kit::example::ADMIN_AUTHORIZATION;
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::admin::Operator;

const DEADLINE: Duration = Duration::from_secs(60);
/// The event that the runbook asks for.
const ID: &str = "7f0c9d7e-3b1f-4c58-9d3a-0d5c1f6f2b11";

/// What the runbook asks the admin surface, in its order.
fn commands() -> Result<Vec<String>> {
    let runbook = std::fs::read_to_string(directory()?.join("../docs/runbook.md"))?;
    let of_line = |line: &str| {
        let command = line.get(line.find("curl -fsS")?..)?;
        Some(command.split('`').next().unwrap_or_default().to_owned())
    };
    Ok(runbook.lines().filter_map(of_line).filter(|command| command.contains("$G/")).collect())
}

#[test]
fn what_the_runbook_asks_the_admin_surface_is_answered() -> Result<()> {
    let receiver = Receiver::start(&[("billing", "secret-of-billing")], &Options::default())?;
    receiver.script("billing", &json!({"then": {"status": 400}}))?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("billing", "secret-of-billing", json!({}))]))?;
    let operator = Operator::of(&gateway)?;
    let id = gateway.send(&Event::new("paid", "{}"))?.id()?;
    let letter = wait::until("it is a dead letter", DEADLINE, || {
        let letters = operator.done("GET", "dead-letters", &Value::Null)?;
        Ok(letters["dead_letters"][0]["delivery"].as_str().map(str::to_owned))
    })?;
    let (drains, commands): (Vec<_>, Vec<_>) = commands()?.into_iter().partition(|command| command.contains("/drain"));
    ensure!(commands.len() >= 10 && !drains.is_empty(), "{commands:?} {drains:?}");
    // A drain is the last thing that is asked.
    for command in commands.iter().chain(&drains) {
        let command = command.replace(ID, &id).replace("DELIVERY", &letter).replace("NAME", "billing");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("G", &operator.url).env("A", format!("authorization: {ADMIN_AUTHORIZATION}"));
        let output = shell.output().context("sh starts")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command}: {said}");
        let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| command.clone())?;
        ensure!(answer["instance"].is_string(), "{command}: {answer}");
    }
    Ok(())
}
