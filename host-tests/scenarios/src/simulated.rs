//! The simulated Envoy as a gateway.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gatepost_cli::artifact;
use host_tests::{Call, Filter, Process, Request, Upstream};
use serde_json::Value;

use crate::{Answer, ENDPOINTS, Gateway, Reply, Seen, secret};

/// How long what is waited for may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A simulated process with two workers.
pub struct Simulated {
    process: Process,
    requests: usize,
}

impl Simulated {
    /// Starts it.
    ///
    /// # Errors
    /// When the filter does not build, or refuses the configuration.
    pub fn start(config: &Value) -> Result<Self> {
        let builder = Process::builder(filter()?).name("gatepost").vm_id("gatepost").workers(2);
        let healthy = || Upstream::always(host_tests::Reply::status(200));
        let builder = ENDPOINTS.into_iter().fold(builder, |builder, name| builder.cluster(name, healthy()));
        let process = builder.config(config.to_string()).start().map_err(|error| anyhow!("{error}"))?;
        Ok(Self { process, requests: 0 })
    }
}

/// The filter, built and compiled once.
fn filter() -> Result<&'static Filter> {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    if let Some(filter) = FILTER.get() {
        return Ok(filter);
    }
    let filter = Filter::load(&artifact::wasm("gatepost")?).map_err(|error| anyhow!("{error}"))?;
    Ok(FILTER.get_or_init(|| filter))
}

impl Gateway for Simulated {
    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let request = Request::post(path).header("content-type", "application/json").body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        self.requests += 1;
        let stream = self.process.request(self.requests % 2, request)?;
        let answered = self.process.run_until(|process| process.answer(stream).is_some(), LIMIT)?;
        ensure!(answered, "no answer\n{}", self.process.trace());
        let answer = self.process.answer(stream).context("no answer")?;
        Ok(Answer {
            status: answer.status(),
            json: serde_json::from_slice(&answer.body).unwrap_or_default(),
            replayed: answer.header("idempotent-replayed") == "true",
        })
    }

    fn script(&mut self, endpoint: &str, replies: &[Reply]) -> Result<()> {
        let replies = replies.iter().map(|reply| match *reply {
            Reply::Status(status) => host_tests::Reply::status(status),
            Reply::RetryAfter(status, seconds) => {
                host_tests::Reply::status(status).header("retry-after", &seconds.to_string())
            }
            Reply::Hang => host_tests::Reply::hang(),
            Reply::Drop => host_tests::Reply::reset(),
        });
        self.process.set_upstream(endpoint, Upstream::replies(replies.collect::<Vec<_>>()));
        Ok(())
    }

    fn wait_for(&mut self, endpoint: &str, attempts: usize) -> Result<Vec<Seen>> {
        let came = self.process.run_until(|process| process.calls(endpoint).len() >= attempts, LIMIT)?;
        ensure!(came, "not {attempts} attempts at {endpoint}\n{}", self.process.trace());
        Ok(self.process.calls(endpoint).into_iter().map(|call| seen(call, endpoint)).collect())
    }

    fn pass(&mut self, time: Duration) -> Result<()> {
        Ok(self.process.advance(time)?)
    }

    fn update(&mut self, config: &Value) -> Result<()> {
        self.process.update_config(config.to_string()).map_err(|error| anyhow!("{error}"))?;
        // Its first tick.
        self.pass(Duration::from_secs(1))
    }
}

fn seen(call: &Call, endpoint: &str) -> Seen {
    let header = |name| call.header(name).to_owned();
    let signed = [call.header("x-webhook-timestamp").as_bytes(), b".", &call.body].concat();
    let signature = hmac_sha256::HMAC::mac(signed, secret(endpoint));
    let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    Seen {
        at: call.at,
        id: header("x-webhook-id"),
        attempt: header("x-webhook-attempt"),
        event: header("x-webhook-event"),
        agent: header("user-agent"),
        body: call.body.clone(),
        verified: header("x-webhook-signature") == signature,
    }
}
