//! The verifying receiver `envoy/receivers/receiver.py`, as a child process.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::process::Process;
use crate::{http, wait, workspace};

/// A running receiver; it ends when this is dropped.
pub struct Receiver {
    /// Held for its end.
    _process: Process,
    address: String,
    http: ureq::Agent,
}

/// A request, as the receiver saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// Seconds since the Unix epoch, when it had arrived whole.
    pub wall: f64,
    /// When it was signed, which is when its attempt began, in seconds since the Unix epoch on the sender's clock: what its
    /// timestamp says. When it had arrived, if it did not verify.
    pub signed: f64,
    /// Its `X-Webhook-Id`; empty when it had none.
    pub id: String,
    /// What is wrong with its signature, timestamp or headers; `None` when it verified.
    pub problem: Option<String>,
    /// It was answered 2xx.
    pub taken: bool,
    /// Its `X-Webhook-Attempt`; 0 when it had none.
    pub attempt: u32,
    /// Its `User-Agent`; empty when it had none.
    pub agent: String,
    /// Its headers in the order they came; empty in compact mode.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Its body, one character a byte (Latin-1); empty in compact mode.
    #[serde(default)]
    body: String,
    /// How it was answered, as its script said; empty in compact mode, and for an ordinary 200.
    #[serde(default)]
    pub reply: Value,
}

impl Record {
    /// The bytes of its body; none in compact mode.
    pub fn body(&self) -> Vec<u8> {
        self.body.chars().filter_map(|byte| u8::try_from(byte).ok()).collect()
    }

    /// The first value of a header, by its name in lower case; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// What an endpoint of the receiver has counted since its last reset.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Counters {
    /// All requests.
    pub requests: u64,
    /// Those whose signature, timestamp and headers were good.
    pub verified: u64,
    /// Those answered 401 because they were not.
    pub refused: u64,
    /// Different ids answered 2xx.
    pub delivered: u64,
    /// Requests for an id that had been answered 2xx before.
    pub duplicates: u64,
}

/// How to start a receiver.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port, or 0 for any free one.
    pub port: u16,
    /// Remember neither headers nor bodies.
    pub compact: bool,
    /// A file in which ids are remembered over restarts.
    pub journal: Option<PathBuf>,
}

impl Receiver {
    /// Starts a receiver with these endpoints, `(name, secret)`, and waits until it listens.
    ///
    /// # Errors
    /// When there is no Python 3, or the receiver does not come up.
    pub fn start(endpoints: &[(&str, &str)], options: &Options) -> Result<Self> {
        let mut command = Command::new("python3");
        command.arg(workspace::root()?.join("envoy/receivers/receiver.py"));
        command.args(["--port", &options.port.to_string()]);
        command.args(options.compact.then_some("--compact"));
        if let Some(journal) = &options.journal {
            command.arg("--journal").arg(journal);
        }
        for (name, secret) in endpoints {
            command.args(["--endpoint", &format!("{name}={secret}")]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let process = Process::spawn(&mut command).context("python3 does not start; install Python 3")?;
        let stdout = process.stdout().context("the receiver has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.with_context(|| format!("the receiver did not start: {line:?}"))?.to_owned();
        Ok(Self { _process: process, address, http: http::client() })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Says how an endpoint answers; the form is documented in the receiver.
    ///
    /// # Errors
    /// When the receiver refuses the script.
    pub fn script(&self, endpoint: &str, script: &Value) -> Result<()> {
        let mut response = self.http.put(self.url(endpoint, "script")).send_json(script)?;
        ensure!(response.status() == 200, "script: {}", response.body_mut().read_to_string()?);
        Ok(())
    }

    /// Has an endpoint take so many seconds for each answer, and fail one attempt in ten.
    ///
    /// # Errors
    /// When the receiver refuses the script.
    pub fn fail_one_in_ten(&self, endpoint: &str, delay: f64) -> Result<()> {
        let mut replies = vec![json!({"delay": delay}); 9];
        replies.push(json!({"status": 503, "delay": delay}));
        self.script(endpoint, &json!({"replies": replies, "cycle": true}))
    }

    /// What an endpoint has received since its last reset, without the first `since`.
    ///
    /// # Errors
    /// When the receiver does not answer.
    pub fn records(&self, endpoint: &str, since: usize) -> Result<Vec<Record>> {
        self.read(&format!("{}?since={since}", self.url(endpoint, "records")))
    }

    /// Waits until an endpoint has received at least this many requests, and gives them all back.
    ///
    /// # Errors
    /// When they do not arrive within `deadline`.
    pub fn wait_for(&self, endpoint: &str, requests: usize, deadline: Duration) -> Result<Vec<Record>> {
        let what = format!("{requests} requests at {endpoint}");
        let mut arrived = 0;
        wait::until(&what, deadline, || {
            arrived = self.counters(endpoint)?.requests;
            Ok((arrived >= requests as u64).then_some(()))
        })
        .with_context(|| format!("{arrived} of {what} had arrived when last seen"))?;
        self.records(endpoint, 0)
    }

    /// Lets an endpoint forget what it has received and counted.
    ///
    /// # Errors
    /// When the receiver does not answer.
    pub fn forget(&self, endpoint: &str) -> Result<()> {
        let response = self.http.delete(self.url(endpoint, "records")).call()?;
        ensure!(response.status() == 200, "forget: {}", response.status());
        Ok(())
    }

    /// What an endpoint has counted.
    ///
    /// # Errors
    /// When the receiver does not answer, or has no such endpoint.
    pub fn counters(&self, endpoint: &str) -> Result<Counters> {
        let all: Value = self.read(&format!("http://{}/-/endpoints", self.address))?;
        let one = all.get(endpoint).with_context(|| format!("the receiver has no endpoint {endpoint}"))?;
        Ok(Counters::deserialize(one)?)
    }

    fn url(&self, endpoint: &str, what: &str) -> String {
        format!("http://{}/-/{endpoint}/{what}", self.address)
    }

    fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        let mut response = self.http.get(url).call()?;
        Ok(response.body_mut().with_config().limit(RECORDS_BYTES_MAX).read_json()?)
    }
}

/// 100,000 compact records of 200 bytes, ten times over.
const RECORDS_BYTES_MAX: u64 = 192 * 1024 * 1024;
