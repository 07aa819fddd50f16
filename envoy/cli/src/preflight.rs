//! `gatepost preflight`: the checklist before an endpoint is turned on, gone through with the receiver itself.
//!
//! It sends to the receiver directly, signed as the gateway would, and forged in each way a forger would try. All that
//! it sends is of one event type that means nothing, each time under an id of its own.
//!
//! - [`probe`]: what is sent, good and forged.
//! - [`forge`]: what a forger would try.
//! - [`judge`]: what an answer means.
//! - [`config`]: the config the endpoint will run with.
//! - [`tls`]: who answers, for https.

pub mod config;
pub mod forge;
pub mod judge;
pub mod probe;
pub mod tls;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatepost_core::signature::Scheme;
use gatepost_core::signature::standard::PRIVATE;
use gatepost_core::signature::timestamped::DEFAULT_PREFIX;
use serde_json::json;
use zeroize::Zeroizing;

use crate::checklist::{Check, Checklist, Verdict};
use crate::clock::now;
use crate::gateway::duration;
use crate::given::{self, Unusable};
use crate::signing::{self, Secrets};
use crate::smoke;
use crate::terminal::tell;
use config::Expected;
use forge::{Forgery, untried};
use judge::FORGERIES;
use probe::{Outcome, Probe};

/// The arguments of `gatepost preflight`.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Options {
    /// The receiver, as the endpoint's `url` says
    #[arg(long, value_parser = url)]
    url: ureq::http::Uri,
    /// The environment variable that holds the secret
    #[arg(long, value_name = "NAME", required_unless_present = "secret_file")]
    secret_env: Option<String>,
    /// A file that holds the secret; one line end at its end is not part of it
    #[arg(long, value_name = "FILE", conflicts_with = "secret_env")]
    secret_file: Option<PathBuf>,
    /// How it is signed
    #[arg(long, value_parser = signing::scheme(), default_value = "timestamped")]
    scheme: Scheme,
    /// The config it will run with: the filter's own, or an Envoy config that holds it, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the receiver says that it is well; unless given, /health at the same place is tried
    #[arg(long, value_name = "URL", value_parser = url)]
    health_url: Option<ureq::http::Uri>,
    /// A header the receiver wants besides, such as "x-api-key: …"; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = smoke::header)]
    header: Vec<(String, String)>,
    /// What the names of the gateway's headers begin with
    #[arg(long, value_name = "PREFIX", default_value = DEFAULT_PREFIX, value_parser = signing::header_prefix)]
    header_prefix: String,
    /// The event type of all that is sent
    #[arg(long, default_value = "gatepost.ping")]
    event: String,
    /// A file with the body of all that is sent, JSON; {"type": "gatepost.ping", …} unless given
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A good ping must be answered within this time
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    within: Duration,
    /// A file with the certificate authority of the receiver, PEM, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Sends a dozen requests to the receiver. A good one must be answered 2xx, in time. These must be refused with a 4xx,
best 401 or 400: signed 10 minutes ago or ahead, with another body or timestamp than was signed, under another
secret, without a signature or a timestamp. The same request twice must be acknowledged twice; that it is processed
once only the receiver's own log shows, by the id in the table. A 3xx is a failure: the gateway follows none.
What is no forgery in a scheme is not tried, and the table says so: github signs no time.
Exit code 0: nothing failed (a warning is none); 1: something did; 2: wrong usage, or a file or secret that cannot be read.

Examples:
  gatepost preflight --url https://api.example.com/webhooks --secret-env BILLING_WEBHOOK_SECRET
  gatepost preflight --url https://api.example.com/webhooks --secret-env BILLING_WEBHOOK_SECRET \\
    --config gatepost.yaml --health-url https://api.example.com/healthz --json
  gatepost preflight --url https://api.example.com/hook --scheme standard --secret-env BILLING_WEBHOOK_KEY    # whsk_…
  gatepost preflight --url https://10.0.0.7/hook --secret-file secret --ca internal-ca.pem
  gatepost receiver --secret-env S & gatepost preflight --url http://127.0.0.1:9000/hook --secret-env S";

/// Goes through the list; says the exit code.
///
/// # Errors
/// When a file or the secret cannot be read.
pub fn run(options: &Options) -> Result<ExitCode> {
    let secrets = options.secrets()?;
    let secret = secrets.first().context("there is no secret")?;
    let stranger = if secret.starts_with(PRIVATE) { OTHER_KEY } else { OTHER_SECRET };
    let sign = |secrets: &Secrets| signing::endpoint(options.scheme, &options.header_prefix, secrets);
    let roots = options.ca.as_ref().map(|path| tls::roots(path)).transpose()?;
    let probe = Probe {
        http: probe::agent(roots.as_deref()),
        url: options.url.clone(),
        endpoint: sign(&secrets)?,
        stranger: sign(&vec![Zeroizing::new(stranger.to_owned())])?,
        headers: options.header.clone(),
        event: options.event.clone(),
        body: options.payload()?,
    };
    let mut list = Checklist::default();
    list.push(judge::secret(options.scheme, secret));
    // What is in a query may be nobody's business.
    let subject = options.url.to_string();
    let subject = subject.split('?').next().unwrap_or_default();
    tell!("asking {subject}");
    list.push(tls::check(&options.url, roots.as_deref()));
    list.push(health(&probe, options.health_url.as_ref()));
    let took = ask(&probe, options.within, &mut list);
    if let Some(path) = &options.config {
        let text = given::text_file("--config", path)?;
        let expected = Expected { url: &options.url, endpoint: &probe.endpoint, took };
        config::check(&text, &expected).into_iter().for_each(|check| list.push(check));
    }
    list.print(subject, options.json)?;
    Ok(if list.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A good ping, the forgeries, a replay; says how long the ping took, if it was accepted.
fn ask(probe: &Probe, within: Duration, list: &mut Checklist) -> Option<Duration> {
    tell!("a good ping");
    let ping = probe.request(Forgery::None);
    let first = probe.send(&ping);
    let is_accepted = first.is_accepted();
    list.push(judge::ping(&first, within));
    list.push(judge::redirect(&first));
    for (forgery, name) in FORGERIES {
        let signature = probe.endpoint.signatures.first();
        if let Some(check) = signature.and_then(|signature| untried(signature, forgery, name)) {
            list.push(check);
            continue;
        }
        if matches!(first, Outcome::NoAnswer { .. }) {
            list.push(Check::new(Verdict::Skip, name, "the ping was not answered"));
            continue;
        }
        tell!("{name}");
        let outcome = probe.send(&probe.request(forgery));
        list.push(judge::forged(forgery, name, &outcome, is_accepted));
    }
    let again = is_accepted.then(|| {
        tell!("the good ping again");
        probe.send(&ping)
    });
    list.push(judge::replay(again.as_ref(), &ping.id));
    match first {
        Outcome::Answered { took, .. } if is_accepted => Some(took),
        _ => None,
    }
}

fn health(probe: &Probe, url: Option<&ureq::http::Uri>) -> Check {
    let origin = |uri: &ureq::http::Uri| {
        let (scheme, authority) = (uri.scheme_str().unwrap_or("http"), uri.authority().map(|part| part.as_str()));
        format!("{scheme}://{}/health", authority.unwrap_or_default())
    };
    let asked = url.map_or_else(|| origin(&probe.url), ToString::to_string);
    judge::health(&asked, &probe.get(&asked), url.is_some())
}

impl Options {
    fn secrets(&self) -> Result<Secrets> {
        let (variables, files) = (self.secret_env.as_slice(), self.secret_file.as_slice());
        signing::secrets(variables, files)
    }

    fn payload(&self) -> Result<Vec<u8>> {
        let Some(path) = &self.body else {
            let (at, event) = (now(), &self.event);
            // Linear signs the time that stands in the body.
            let ping = match self.scheme {
                Scheme::Preset("linear") => {
                    json!({"type": event, "at": at.to_string(), "webhookTimestamp": at.as_millis()})
                }
                _ => json!({"type": event, "at": at.to_string()}),
            };
            return Ok(ping.to_string().into_bytes());
        };
        let body = given::file("--body", path)?;
        ensure!(!body.is_empty(), Unusable(format!("--body {}: is empty", path.display())));
        Ok(body)
    }
}

/// No receiver's; base64 too, as scheme standard has its secrets.
const OTHER_SECRET: &str = "aSecretThatGatepostPreflightMadeUpAndNobodyHas00";
/// 32 bytes that preflight made up, in base64.
const OTHER_KEY: &str = "whsk_YVNlY3JldFRoYXRHYXRlcG9zdFByZWZsaWdodE0=";

fn url(text: &str) -> Result<ureq::http::Uri, String> {
    const EXPECTED: &str = "expected an absolute URL such as https://api.example.com/webhooks";
    let uri: ureq::http::Uri = text.parse().map_err(|_| EXPECTED)?;
    let is_absolute = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if is_absolute && !has_user { Ok(uri) } else { Err(EXPECTED.to_owned()) }
}
