//! The files themselves: they are well-formed, they agree with each other, and each alert has a test of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gatepost_e2e::prometheus::{directory, has};
use serde_json::Value;

/// An alert of the shipped rules.
pub struct Rule {
    pub name: String,
    pub severity: String,
    runbook_url: String,
}

/// All of them.
pub fn rules() -> Result<Vec<Rule>> {
    let file: Value = serde_saphyr::from_str(&read("rules/alerts.yml")?)?;
    let groups = file["groups"].as_array().context("groups")?.iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let text = |rule: &Value, pointer: &str| {
        let text = rule.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("{pointer} of {rule}"))
    };
    let rule = |rule: &Value| {
        text(rule, "/annotations/summary")?;
        text(rule, "/annotations/description")?;
        Ok(Rule {
            name: text(rule, "/alert")?,
            severity: text(rule, "/labels/severity")?,
            runbook_url: text(rule, "/annotations/runbook_url")?,
        })
    };
    rules.map(rule).collect()
}

pub fn read(name: &str) -> Result<String> {
    fs::read_to_string(directory()?.join(name)).with_context(|| name.to_owned())
}

/// The files of a directory, by name.
fn files(of: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory()?.join(of))?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    ensure!(!entries.is_empty(), "there is nothing in {of}");
    Ok(entries)
}

/// What a program says; an error when it ends with anything but 0.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

#[test]
fn the_config_and_the_rules_are_well_formed() -> Result<()> {
    if has("promtool")? {
        run(Command::new("promtool").args(["check", "config"]).arg(directory()?.join("prometheus.yml")))?;
        run(Command::new("promtool").args(["check", "rules", "--lint-fatal"]).args(files("rules")?))?;
    }
    Ok(())
}

/// Each alert fires for its cause and not when there is little traffic.
#[test]
fn each_alert_fires_for_its_cause_and_not_on_low_traffic() -> Result<()> {
    if has("promtool")? {
        run(Command::new("promtool").args(["test", "rules"]).args(files("tests")?))?;
    }
    let mut tests = String::new();
    for file in files("tests")? {
        tests.push_str(&fs::read_to_string(file)?);
    }
    for Rule { name, severity, .. } in rules()? {
        let fires = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\",severity=\"{severity}\"");
        assert!(tests.contains(&fires), "no test lets {name} fire");
    }
    Ok(())
}

#[test]
fn each_alert_leads_to_a_heading_of_the_runbook() -> Result<()> {
    let runbook = fs::read_to_string(directory()?.join("../docs/runbook.md"))?;
    let anchors: BTreeSet<String> = runbook.lines().filter_map(anchor).collect();
    for Rule { name, runbook_url, .. } in rules()? {
        let (file, wanted) = runbook_url.split_once('#').with_context(|| format!("{name}: {runbook_url}"))?;
        assert_eq!(file, "envoy/docs/runbook.md", "{name}");
        assert!(anchors.contains(wanted), "{name}: the runbook has no heading for #{wanted}");
    }
    Ok(())
}

/// The anchor that GitHub and GitLab give a heading.
fn anchor(line: &str) -> Option<String> {
    let title = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))?;
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}
