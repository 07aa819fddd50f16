//! A running Envoy.

mod binary;

use std::fs::{self, File};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::{http, wait, workspace};

pub use binary::{VERSION, find};

/// How to start an Envoy.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The whole bootstrap config. Its admin port should be 0: Envoy tells which one it took.
    pub config: Value,
    /// Worker threads.
    pub workers: u32,
    /// Environment variables, besides those of this process.
    pub env: Vec<(String, String)>,
    /// More arguments of Envoy's command line.
    pub arguments: Vec<String>,
}

/// An Envoy process with a directory of its own; both end when this is dropped.
pub struct Envoy {
    process: Process,
    directory: TempDir,
    http: ureq::Agent,
}

impl Envoy {
    /// Starts Envoy and waits until its listeners are open.
    ///
    /// # Errors
    /// When there is no Envoy, or it ends or is not ready within a minute; the error then holds the end of its log.
    pub fn start(launch: &Launch) -> Result<Self> {
        let envoy = Self::spawn(launch)?;
        wait::until("Envoy becomes ready", READY, || {
            if let Some(status) = envoy.exited()? {
                bail!("Envoy ended with {status}");
            }
            // Until the admin interface is up there is no address to ask.
            Ok(envoy.admin("/ready").is_ok().then_some(()))
        })
        .with_context(|| format!("Envoy's log ends so:\n{}", envoy.log_tail().unwrap_or_default()))?;
        Ok(envoy)
    }

    /// Starts Envoy and does not wait for anything: for a config it is expected to refuse.
    ///
    /// # Errors
    /// When there is no Envoy, or it cannot be executed.
    pub fn spawn(launch: &Launch) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // Envoy tells JSON from YAML by the end of the name.
        fs::write(directory.path().join("envoy.json"), launch.config.to_string())?;
        let log = File::create(directory.path().join("log"))?;
        let mut command = Command::new(find()?);
        command
            .arg("--config-path")
            .arg(directory.path().join("envoy.json"))
            .arg("--admin-address-path")
            .arg(directory.path().join("admin"))
            .args(["--concurrency", &launch.workers.to_string()])
            // Without it two Envoys of one machine meet in shared memory.
            .arg("--disable-hot-restart")
            .args(&launch.arguments)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(workspace::root()?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::spawn(&mut command).context("Envoy does not start")?;
        Ok(Self { process, directory, http: http::client() })
    }

    /// Its process id, for reading its CPU time.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its exit status, once it has ended.
    ///
    /// # Errors
    /// When the operating system will not say.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// Ends it as Kubernetes does, with SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    /// When the signal cannot be sent, or it has not ended within a minute.
    pub fn terminate(&self) -> Result<ExitStatus> {
        self.process.signal("TERM")?;
        wait::until("Envoy ends", READY, || self.exited())
    }

    /// Stops it with SIGSTOP: its connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn pause(&self) -> Result<()> {
        self.process.signal("STOP")
    }

    /// Lets it go on after [`Envoy::pause`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<()> {
        self.process.signal("CONT")
    }

    /// Everything Envoy and its filters logged so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.directory.path().join("log"))?).into_owned())
    }

    /// The last lines that say what went wrong.
    fn log_tail(&self) -> Result<String> {
        let log = self.log()?;
        let lines = log.lines().filter(|line| !line.contains("[info]")).rev();
        let lines: Vec<&str> = lines.take(LOG_TAIL_LINES).collect();
        Ok(lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// The address of the admin interface, such as `127.0.0.1:40123`.
    ///
    /// # Errors
    /// When Envoy has not opened it yet.
    pub fn admin_address(&self) -> Result<String> {
        let address = fs::read_to_string(self.directory.path().join("admin")).unwrap_or_default();
        ensure!(!address.is_empty(), "the admin interface is not open");
        Ok(address)
    }

    /// The answer of the admin interface to a GET.
    ///
    /// # Errors
    /// When it does not answer, or not with 200.
    pub fn admin(&self, path: &str) -> Result<String> {
        let mut response = self.http.get(format!("http://{}{path}", self.admin_address()?)).call()?;
        ensure!(response.status() == 200, "GET {path} of the admin interface: {}", response.status());
        Ok(response.body_mut().read_to_string()?)
    }

    /// The value of a counter or gauge, by its full name; 0 when Envoy does not have it (yet).
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub fn stat(&self, name: &str) -> Result<u64> {
        // `filter` is a regular expression that need only match a part: the name is looked up in what comes back.
        let escaped = name.replace('.', "\\.").replace('|', "\\|");
        let text = self.admin(&format!("/stats?filter={escaped}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map_or(Ok(0), |value| value.parse().with_context(|| format!("{name} is {value}")))
    }

    /// How often a filter's VM trapped and was, or was to be, rebuilt.
    ///
    /// # Errors
    /// When Envoy's admin interface does not answer.
    pub fn traps(&self) -> Result<u64> {
        let stats = self.admin("/stats?filter=vm_reload")?;
        Ok(stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum())
    }

    /// The value of a series as Prometheus sees it, such as `gatepost_pending{endpoint="a"}`; `None` when there is none.
    ///
    /// # Errors
    /// When Envoy's admin interface does not answer.
    pub fn series(&self, series: &str) -> Result<Option<f64>> {
        let text = self.admin("/stats/prometheus")?;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().with_context(|| format!("{series} is {value}"))).transpose()
    }

    /// `host:port` of a listener, also when its config says port 0.
    ///
    /// # Errors
    /// When there is no such listener.
    pub fn listener(&self, name: &str) -> Result<String> {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json")?)?;
        let statuses = listeners.pointer("/listener_statuses").and_then(Value::as_array).into_iter().flatten();
        let address = statuses
            .filter(|status| status.pointer("/name").and_then(Value::as_str) == Some(name))
            .find_map(|status| status.pointer("/local_address/socket_address"))
            .ok_or_else(|| anyhow!("Envoy has no listener {name}: {listeners}"))?;
        let host = address.pointer("/address").and_then(Value::as_str);
        let port = address.pointer("/port_value").and_then(Value::as_u64);
        let (host, port) = host.zip(port).with_context(|| format!("an address of Envoy's: {address}"))?;
        Ok(format!("{host}:{port}"))
    }
}

/// Loading takes some 0.3 s; a machine that compiles at the same time may need far longer.
const READY: Duration = Duration::from_secs(60);
/// Enough to hold a line for each mistake of a config.
const LOG_TAIL_LINES: usize = 30;
