//! A real Alertmanager with the shipped config.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use gatepost_kit::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::prometheus::{directory, serve};

/// The name that Debian gives it.
pub const PROGRAM: &str = "prometheus-alertmanager";

/// A running Alertmanager; it and all it knows end when this is dropped.
pub struct Alertmanager {
    url: String,
    http: ureq::Agent,
    _process: Process,
    _directory: TempDir,
}

impl Alertmanager {
    /// Starts one. What it would send goes nowhere: the files with addresses are not there.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let mut command = Command::new(PROGRAM);
        command.arg("--config.file").arg(directory()?.join("alertmanager.yml"));
        // Without an address there is no cluster.
        command.args(["--storage.path=data", "--cluster.listen-address="]);
        let (process, url) = serve(command, scratch.path())?;
        Ok(Self { url, http: gatepost_kit::http::client(), _process: process, _directory: scratch })
    }

    /// Tells it of alerts, by their labels, as Prometheus does.
    ///
    /// # Errors
    /// When it refuses them.
    pub fn tell(&self, labels: &[Value]) -> Result<()> {
        let alerts: Vec<Value> = labels.iter().map(|labels| json!({"labels": labels})).collect();
        let mut response = self.http.post(format!("{}/api/v2/alerts", self.url)).send_json(alerts)?;
        ensure!(response.status() == 200, "{}: {}", response.status(), response.body_mut().read_to_string()?);
        Ok(())
    }

    /// All alerts, with their receivers, and what inhibits them.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let alerts: Value = self.http.get(format!("{}/api/v2/alerts", self.url)).call()?.body_mut().read_json()?;
        alerts.as_array().cloned().context("alerts are a list")
    }
}
