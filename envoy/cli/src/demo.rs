//! `gatepost demo`: the example config in a real Envoy, ten events, and what a receiver verified of them. With `--fleet` two
//! gateways on an etcd, of which one is killed.

mod fleet;

use crate::terminal::{say, tell};

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gatepost_kit::envoy::{self, Envoy, Launch};
use gatepost_kit::example::{ADMIN_AUTHORIZATION, ADMIN_LISTENER, AUTHORIZATION, Example, LISTENER, USER};
use gatepost_kit::receiver::{Options as ReceiverOptions, Receiver, Record};
use gatepost_kit::{http, wait, workspace};
use serde::Deserialize;

/// The arguments of `gatepost demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Leave all that was started running until Ctrl-C, and print the URLs
    #[arg(long)]
    keep: bool,
    /// Two gateways with a journal on etcd ($ETCD, or on the PATH): one is killed under load, the other delivers what it
    /// had accepted
    #[arg(long)]
    fleet: bool,
}

/// Runs the demo.
///
/// # Errors
/// When something it needs is missing, or not every delivery was verified.
pub fn run(options: &Options) -> Result<()> {
    if options.fleet {
        return fleet::run(options.keep);
    }
    tell!("Building the filter");
    let mut example = Example::load()?;
    let binary = envoy::find()?;
    tell!("Starting Envoy ({}) and the receiver", binary.display());
    let mut secrets = Vec::new();
    for (endpoint, variable) in ENDPOINTS {
        secrets.push((endpoint, example.variable(variable)?));
    }
    let endpoints: Vec<(&str, &str)> = secrets.iter().map(|(name, secret)| (*name, secret.as_str())).collect();
    let receiver = Receiver::start(&endpoints, &ReceiverOptions::default())?;
    example.use_free_ports()?;
    for (endpoint, _) in ENDPOINTS {
        example.set_cluster(endpoint, receiver.address())?;
    }
    let launch = Launch { config: example.config().clone(), workers: WORKERS, env: vec![], arguments: vec![] };
    let envoy = Envoy::start(&launch)?;
    let url = format!("http://{}/events", envoy.listener(LISTENER)?);
    let sent = send_samples(&url)?;
    let problems = show(&receiver, &sent)?;
    ensure!(problems.is_empty(), "not everything was delivered and verified:\n{}", problems.join("\n"));
    if options.keep {
        keep_running(&envoy, &receiver, &url)?;
    }
    Ok(())
}

/// An event that was accepted.
struct SentEvent {
    id: String,
    event: String,
}

fn send_samples(url: &str) -> Result<Vec<SentEvent>> {
    #[derive(Deserialize)]
    struct Sample {
        event: String,
    }
    #[derive(Deserialize)]
    struct Accepted {
        id: String,
    }
    let path = workspace::root()?.join("envoy/testdata/events.jsonl");
    let samples = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let client = http::client();
    let mut sent = Vec::new();
    for line in samples.lines() {
        let Sample { event } = serde_json::from_str(line)?;
        let request = client.post(format!("{url}/{event}")).header("authorization", AUTHORIZATION);
        let mut response = request.content_type("application/json").send(line)?;
        let status = response.status();
        let answer = response.body_mut().read_to_string()?;
        ensure!(status == 202, "{event} was answered {status}: {answer}");
        let Accepted { id } = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        sent.push(SentEvent { id, event });
    }
    say!("{} events accepted at {url}", sent.len())?;
    Ok(sent)
}

/// Waits for the deliveries, prints the table, and gives back what is wrong with it.
fn show(receiver: &Receiver, sent: &[SentEvent]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut verified = 0;
    say!("")?;
    say!("{:<18} {:<36} {:<9} {:<8} signature", "event", "id", "endpoint", "attempt")?;
    for (endpoint, _) in ENDPOINTS {
        let records = receiver.wait_for(endpoint, sent.len(), DELIVERED)?;
        for record in &records {
            let (event, attempt) = (record.header("x-webhook-event"), record.header("x-webhook-attempt"));
            let signature = record.problem.as_deref().unwrap_or("verified");
            say!("{event:<18} {:<36} {endpoint:<9} {attempt:<8} {signature}", record.id)?;
        }
        for event in sent {
            match records.iter().find(|record| record.id == event.id) {
                Some(Record { problem: None, .. }) => verified += 1,
                Some(_) => problems.push(format!("{} did not verify at {endpoint}", event.id)),
                None => problems.push(format!("{} ({}) did not reach {endpoint}", event.id, event.event)),
            }
        }
    }
    say!("")?;
    say!("{verified} of {} deliveries verified by the receiver", sent.len() * ENDPOINTS.len())?;
    Ok(problems)
}

fn keep_running(envoy: &Envoy, receiver: &Receiver, url: &str) -> Result<Infallible> {
    say!("")?;
    say!("events     {url}/<event type>")?;
    say!("page       http://{}/gatepost    (token: {})", envoy.listener(ADMIN_LISTENER)?, token())?;
    say!("metrics    http://{}/stats/prometheus", envoy.admin_address()?)?;
    for (endpoint, _) in ENDPOINTS {
        say!("received   http://{}/-/{endpoint}/records", receiver.address())?;
    }
    let json = "-H 'content-type: application/json' -d '{\"amount\": 42}'";
    say!("")?;
    say!("curl -i {url}/payment_verified -u {USER} {json}")?;
    say!("")?;
    say!("Ctrl-C ends it.")?;
    let status = wait::until("Envoy ends", Duration::MAX, || envoy.exited())?;
    bail!("Envoy ended with {status}")
}

/// The example's, for its admin surface.
fn token() -> &'static str {
    ADMIN_AUTHORIZATION.trim_start_matches("Bearer ")
}

/// The endpoints of the example, and the variables their secrets are in.
const ENDPOINTS: [(&str, &str); 2] = [("billing", "BILLING_WEBHOOK_SECRET"), ("audit", "AUDIT_WEBHOOK_SECRET")];
/// Two, so that the example is seen with state shared between workers.
const WORKERS: u32 = 2;
/// The receiver answers at once: what takes longer than all three attempts of the example will not come.
const DELIVERED: Duration = Duration::from_secs(15);
