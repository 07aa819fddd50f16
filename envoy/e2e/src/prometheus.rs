//! A real Prometheus with the shipped scrape config and the shipped rules, their times made short.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gatepost_kit::process::Process;
use gatepost_kit::{http, wait, workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tool;

/// Where Prometheus's files are in the repository.
///
/// # Errors
/// When the repository is not found.
pub fn directory() -> Result<PathBuf> {
    Ok(workspace::root()?.join("envoy/prometheus"))
}

/// Is this program of Prometheus's here? Says on stderr when it is not.
///
/// # Errors
/// When it is not, where `CI` is set: there it must be.
pub fn has(program: &str) -> Result<bool> {
    tool::is_here(program, "--version", "prometheus and prometheus-alertmanager")
}

/// The text of a file of rules, its minutes made seconds: a window, `for`, or `offset` becomes a sixtieth of what it was,
/// and none is longer than a minute or shorter than five seconds. So does the age of what is pending, which is a time too.
pub fn hasten(rules: &str) -> String {
    let lines = rules.lines().map(|line| {
        let line = ["[", "for: ", "offset "].iter().fold(line.to_owned(), |line, before| hasten_after(&line, before));
        match line.split_once(OLDEST).and_then(|(head, limit)| Some((head, limit.trim().parse::<u64>().ok()?))) {
            Some((head, limit)) => format!("{head}{OLDEST}{}", limit / HASTE),
            None => line,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Shortens each duration that stands directly after this text.
fn hasten_after(line: &str, before: &str) -> String {
    let mut pieces = line.split(before);
    let mut hastened = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.len() - piece.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = piece.split_at(digits);
        let unit =
            rest.chars().next().and_then(|unit| Some((unit.len_utf8(), SECONDS.iter().find(|of| of.0 == unit)?.1)));
        hastened.push_str(before);
        match number.parse::<u64>().ok().zip(unit) {
            Some((number, (length, seconds))) => {
                let seconds = (number * seconds).div_ceil(HASTE).clamp(SHORTEST, LONGEST);
                hastened.push_str(&format!("{seconds}s"));
                hastened.push_str(rest.get(length..).unwrap_or_default());
            }
            None => hastened.push_str(piece),
        }
    }
    hastened
}

/// A running Prometheus, which scrapes and evaluates every second; it and all it knows end when this is dropped.
pub struct Prometheus {
    url: String,
    http: ureq::Agent,
    directory: TempDir,
    _process: Process,
}

/// One alert as Prometheus tells it.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Its labels, its name among them.
    pub labels: BTreeMap<String, String>,
    /// What it tells whoever is on call, filled in.
    pub annotations: BTreeMap<String, String>,
    /// It has lasted as long as it must.
    pub is_firing: bool,
}

impl Prometheus {
    /// Starts one that scrapes these targets and only then learns the rules; [`Prometheus::scrape`] replaces the targets.
    ///
    /// Prometheus tells itself of targets every five seconds, whatever the config says: five minutes to hastened rules,
    /// in which they would find none and say so.
    ///
    /// # Errors
    /// When it does not start or cannot scrape them, or the shipped config does not have the shape we know.
    pub fn start(targets: &[(&str, String)]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let shipped = self::directory()?;
        for rules in RULES {
            let text = fs::read_to_string(shipped.join("rules").join(rules)).with_context(|| rules.to_owned())?;
            fs::write(directory.path().join(rules), hasten(&text))?;
        }
        fs::write(directory.path().join(CONFIG), config(&shipped, &[])?.to_string())?;
        write_targets(directory.path(), targets)?;
        let mut command = Command::new("prometheus");
        command.args(["--config.file", CONFIG, "--storage.tsdb.path=data", "--web.enable-lifecycle"]);
        let (process, url) = serve(command, directory.path())?;
        let prometheus = Self { url, http: http::client(), directory, _process: process };
        wait::until("all are scraped", READY, || {
            Ok((prometheus.query("up{job=\"gatepost\"}")?.len() == targets.len()).then_some(()))
        })?;
        fs::write(prometheus.directory.path().join(CONFIG), config(&shipped, &RULES)?.to_string())?;
        prometheus.reload()?;
        Ok(prometheus)
    }

    /// Has it read its config again.
    fn reload(&self) -> Result<()> {
        let mut response = self.http.post(format!("{}/-/reload", self.url)).send_empty()?;
        ensure!(response.status() == 200, "{}: {}", response.status(), response.body_mut().read_to_string()?);
        Ok(())
    }

    /// Scrapes these from now on, and no others: what they are called (`instance`), and `host:port` of their admin
    /// interfaces.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scrape(&self, targets: &[(&str, String)]) -> Result<()> {
        write_targets(self.directory.path(), targets)
    }

    /// All alerts that are pending or firing.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        let data = self.get("alerts", &[])?;
        let strings = |value: &Value| -> BTreeMap<String, String> {
            let pairs = value.as_object().into_iter().flatten();
            pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
        };
        let alerts = data.pointer("/alerts").and_then(Value::as_array).context("alerts are a list")?;
        let alert = |alert: &Value| Alert {
            labels: alert.get("labels").map(strings).unwrap_or_default(),
            annotations: alert.get("annotations").map(strings).unwrap_or_default(),
            is_firing: alert.get("state").is_some_and(|state| state == "firing"),
        };
        Ok(alerts.iter().map(alert).collect())
    }

    /// What a query gives now: a vector's samples, each with its labels and its value.
    ///
    /// # Errors
    /// When Prometheus refuses the query, or it gives something else.
    pub fn query(&self, query: &str) -> Result<Vec<(BTreeMap<String, String>, f64)>> {
        let data = self.get("query", &[("query", query)]).with_context(|| query.to_owned())?;
        let samples = data.pointer("/result").and_then(Value::as_array).context("a result is a list")?;
        let sample = |sample: &Value| {
            let labels = sample.get("metric").and_then(Value::as_object).context("a sample has labels")?;
            let labels =
                labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
            let value = sample.pointer("/value/1").and_then(Value::as_str).context("a sample has a value")?;
            Ok((labels.collect(), value.parse()?))
        };
        samples.iter().map(sample).collect()
    }

    /// `data` of an answer of Prometheus's API.
    ///
    /// # Errors
    /// When Prometheus does not answer, or refuses.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let request = self.http.get(format!("{}/api/v1/{path}", self.url)).query_pairs(parameters.iter().copied());
        let answer: Value = request.call()?.body_mut().read_json()?;
        ensure!(answer.get("status").is_some_and(|status| status == "success"), "Prometheus answers {answer}");
        answer.get("data").cloned().context("an answer has data")
    }
}

/// Starts a server of Prometheus's family on a port of its own, in this directory, and waits until it is ready.
pub(crate) fn serve(mut command: Command, directory: &Path) -> Result<(Process, String)> {
    let log = File::create(directory.join("log"))?;
    command.arg("--web.listen-address=127.0.0.1:0").current_dir(directory).stdin(Stdio::null());
    let process = Process::spawn(command.stdout(log.try_clone()?).stderr(log))?;
    let http = http::client();
    let url = wait::until("the server is ready", READY, || {
        let log = fs::read_to_string(directory.join("log"))?;
        if let Some(status) = process.exited()? {
            bail!("it ended with {status}: {log}");
        }
        let Some((_, address)) = log.lines().find_map(|line| line.split_once("msg=\"Listening on\" address=")) else {
            return Ok(None);
        };
        let url = format!("http://{}", address.trim());
        let is_ready = http.get(format!("{url}/-/ready")).call().is_ok_and(|response| response.status() == 200);
        Ok(is_ready.then_some(url))
    })?;
    Ok((process, url))
}

/// The shipped config with these rules, with targets that can change, and every second.
fn config(shipped: &Path, rules: &[&str]) -> Result<Value> {
    let path = shipped.join("prometheus.yml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut config: Value = serde_saphyr::from_str(&text).context("envoy/prometheus/prometheus.yml")?;
    let job = config.pointer_mut("/scrape_configs/0").and_then(Value::as_object_mut).context("there is a job")?;
    job.remove("static_configs");
    job.insert("file_sd_configs".to_owned(), json!([{"files": [TARGETS]}]));
    let all = config.as_object_mut().context("a config is an object")?;
    all.remove("alerting");
    all.insert("rule_files".to_owned(), json!(rules));
    all.insert("global".to_owned(), json!({"scrape_interval": "1s", "evaluation_interval": "1s"}));
    Ok(config)
}

/// Prometheus watches for the file being moved into place: it never sees half of it.
fn write_targets(directory: &Path, targets: &[(&str, String)]) -> Result<()> {
    let groups: Vec<Value> =
        targets.iter().map(|(name, address)| json!({"targets": [address], "labels": {"instance": name}})).collect();
    let scratch = directory.join("scratch");
    fs::write(&scratch, json!(groups).to_string())?;
    Ok(fs::rename(scratch, directory.join(TARGETS))?)
}

/// A minute of the rules is a second of a test.
const HASTE: u64 = 60;
/// In seconds: who does not answer a scrape or two is busy, not down.
const SHORTEST: u64 = 5;
/// In seconds: an hour is a minute, and so is a day.
const LONGEST: u64 = 60;
const SECONDS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];
const OLDEST: &str = "gatepost_oldest_pending_seconds > ";
const RULES: [&str; 2] = ["recording.yml", "alerts.yml"];
const CONFIG: &str = "prometheus.yml";
const TARGETS: &str = "targets.json";
const READY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows and waits become a sixtieth and a day is a minute and a minute five seconds and names stay.
    #[test]
    fn hasten_shrinks_durations_and_keeps_names() {
        let rules = "record: a:increase5m\nexpr: increase(a[5m]) > 300 or b[1d] offset 6m\nfor: 15m\nfor: 1h\nfor: 1m\n\
                     expr: gatepost_oldest_pending_seconds > 900";
        let hastened = "record: a:increase5m\nexpr: increase(a[5s]) > 300 or b[60s] offset 6s\nfor: 15s\nfor: 60s\nfor: 5s\n\
                        expr: gatepost_oldest_pending_seconds > 15";
        assert_eq!(hasten(rules), hastened);
    }
}
