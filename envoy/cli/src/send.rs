//! `gatepost send`: posts events to a gateway, or signed webhooks to what verifies them, and shows what is answered.

mod answer;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use gatepost_core::egress::endpoint::Endpoint;
use gatepost_core::event_type::is_event_type_byte;
use gatepost_core::ids::EventId;
use gatepost_core::signature::Scheme;
use gatepost_core::signature::timestamped::DEFAULT_PREFIX;
use gatepost_core::time::WallTime;
use gatepost_kit::http;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Uri};
use uuid::Uuid;

use answer::{Answer, SentMessage, show};

use crate::clock::now;
use crate::given::{self, unusable};
use crate::signing::{self, header_prefix};
use crate::terminal::{self, tell};

/// The arguments of `gatepost send`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The event type; it is the last segment of the path, except with --url
    #[arg(required_unless_present = "url")]
    event: Option<String>,
    /// Where events go, without the event type
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10000/events")]
    gateway: String,
    /// The whole URL instead: an inbound path of the gateway's, or a receiver
    #[arg(long, value_name = "URL", conflicts_with = "gateway")]
    url: Option<String>,
    /// The body: JSON, a file after `@`, or `-` for stdin
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// A further header, `name: value`; again for each one
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// User and password, as curl's -u
    #[arg(long, value_name = "USER:PASSWORD", conflicts_with = "token_env")]
    user: Option<String>,
    /// The environment variable that holds a bearer token
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
    /// The same key is the same event, for ten minutes
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How many times to send it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Print each answer as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    signed: Signed,
}

/// How it is signed, if it is.
#[derive(Args)]
#[command(next_help_heading = "Signed, as a gateway signs what it delivers")]
struct Signed {
    /// Sign it in this scheme
    #[arg(long, value_parser = signing::scheme(), requires = "secrets")]
    scheme: Option<Scheme>,
    /// A secret, in this environment variable; again for each further one, as while a secret is being changed
    #[arg(long, value_name = "NAME", group = "secrets", requires = "scheme")]
    secret_env: Vec<String>,
    /// A secret, in this file; one line end at its end is not part of it
    #[arg(long, value_name = "FILE", group = "secrets", requires = "scheme")]
    secret_file: Vec<PathBuf>,
    /// What the names of the headers begin with, in scheme timestamped
    #[arg(long, value_name = "PREFIX", default_value = DEFAULT_PREFIX, value_parser = header_prefix)]
    header_prefix: String,
    /// The id of what is sent, a UUID; a new one each time unless given
    #[arg(long, value_name = "UUID", value_parser = id, requires = "scheme")]
    id: Option<EventId>,
    /// The time to sign instead of now: RFC 3339 or Unix milliseconds; with --id it is the same message again
    #[arg(long, value_name = "TIME", value_parser = time, requires = "scheme")]
    timestamp: Option<WallTime>,
}

fn id(text: &str) -> Result<EventId, String> {
    EventId::parse(text).ok_or_else(|| "expected a UUID such as 0b7e2f3c-5d1a-4c8e-9f60-3a2b1c0d9e8f".to_owned())
}

fn time(text: &str) -> Result<WallTime, String> {
    let millis = text.parse().ok().map(WallTime::from_millis);
    millis
        .or_else(|| WallTime::parse(text))
        .ok_or_else(|| "expected RFC 3339, such as 2026-01-31T12:00:00Z, or Unix milliseconds".to_owned())
}

/// Sends the events: 0 when all were answered 2xx, 1 when not, 2 when they cannot be made from the arguments.
///
/// # Errors
/// When they cannot be made from the arguments, or what was answered cannot be written.
pub fn run(options: &Options) -> Result<ExitCode> {
    let request = EventRequest::of(options).map_err(unusable)?;
    let client = http::client();
    let (mut accepted, mut answers) = (0, 0);
    for _ in 0..options.count {
        let answer = request.send(&client, &options.signed);
        match &answer {
            Ok(answer) if options.json => terminal::say_json(answer)?,
            Ok(answer) => show(answer)?,
            Err(error) => {
                if options.json {
                    terminal::say_json(&serde_json::json!({ "error": format!("{error:#}") }))?;
                } else {
                    terminal::tell_error(error);
                }
                // The next one would end the same way.
                break;
            }
        }
        answers += 1;
        accepted += u32::from(answer.is_ok_and(|answer| answer.is_success()));
    }
    if options.count > 1 && !options.json {
        tell!("{accepted} of {} accepted, {answers} answered", options.count);
    }
    Ok(if accepted == options.count { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An event, ready to be sent.
struct EventRequest {
    event: String,
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    /// What signs it.
    signs: Option<Endpoint>,
    /// The whole URL was given.
    is_inbound: bool,
}

impl EventRequest {
    fn of(options: &Options) -> Result<Self> {
        let url = url(options)?;
        let mut headers = Vec::new();
        for header in &options.header {
            // Not shown again: it may hold a token.
            let (name, value) = header.split_once(':').context("--header: expected `name: value`")?;
            headers.push((
                name.trim().parse().context("--header: the name is not one")?,
                value.trim().parse().context("--header: the value holds what no header may")?,
            ));
        }
        if let Some(key) = &options.idempotency_key {
            let key = key.parse().context("--idempotency-key: it holds what no header may")?;
            headers.push((HeaderName::from_static("idempotency-key"), key));
        }
        if let Some(authorization) = authorization(options)? {
            headers.push((ureq::http::header::AUTHORIZATION, authorization));
        }
        if !headers.iter().any(|(name, _)| name == "content-type") {
            let json = HeaderValue::from_static("application/json");
            headers.push((ureq::http::header::CONTENT_TYPE, json));
        }
        let Signed { scheme, secret_env, secret_file, header_prefix, .. } = &options.signed;
        let signs = scheme
            .map(|scheme| signing::endpoint(scheme, header_prefix, &signing::secrets(secret_env, secret_file)?))
            .transpose()?;
        let event = options.event.clone().unwrap_or_else(|| EVENT.to_owned());
        // It goes into a header.
        let is_type = signs.is_none() || event.bytes().all(is_event_type_byte);
        ensure!(is_type, "the event type: expected letters, digits and _ . : -");
        Ok(Self { event, url, headers, body: body(&options.data)?, signs, is_inbound: options.url.is_some() })
    }

    fn send(&self, client: &Agent, signed: &Signed) -> Result<Answer> {
        let mut request = client.post(self.url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut sent = None;
        if let Some(endpoint) = &self.signs {
            let id = signed.id.unwrap_or_else(|| EventId(Uuid::new_v4().into_bytes()));
            let at = signed.timestamp.unwrap_or_else(now);
            let attempt = signing::attempt(id, at, &self.event, None, &self.body);
            for (name, value) in signing::headers(endpoint, &attempt) {
                request = request.header(name, value.as_ref());
            }
            sent = Some(SentMessage { id: id.to_string(), timestamp_ms: attempt.at.as_millis() });
        }
        let mut response = request.send(self.body.as_slice()).map_err(|error| self.explained(error))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (id, replayed) = (header("x-webhook-id"), header("idempotent-replayed").is_some());
        let retry_after = header("retry-after");
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().context("the answer broke off")?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, id, replayed, retry_after, sent, answer, is_inbound: self.is_inbound })
    }

    /// Why nothing was answered, and what to look at.
    fn explained(&self, error: ureq::Error) -> anyhow::Error {
        let to = self.url.authority().map(ToString::to_string).unwrap_or_default();
        let https = self.url.scheme_str() == Some("https");
        let says = match &error {
            ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
                "nothing listens there: does Envoy run, and is this the port of its event listener?"
            }
            ureq::Error::ConnectionFailed => "no connection: does Envoy run, and does a firewall let this through?",
            ureq::Error::HostNotFound => NO_HOST,
            // The resolver's own failure has no kind of its own.
            ureq::Error::Io(io) if io.to_string().contains("lookup address") => NO_HOST,
            ureq::Error::Timeout(_) => {
                "no answer within 60 s: an event that hangs is often a filter without \
                 allow_on_headers_stop_iteration; with `ack: delivered` see ack_timeout"
            }
            ureq::Error::Rustls(_) => {
                "TLS failed: is the listener one with TLS, and its certificate from a public authority and for this host?"
            }
            ureq::Error::Io(_) if https => "the connection ended: is the listener one with TLS?",
            ureq::Error::Io(_) => "the connection ended: does the listener want https, or did a worker die?",
            _ => "the event could not be sent",
        };
        anyhow::Error::new(error).context(format!("{to}: {says}"))
    }
}

/// Where it goes.
fn url(options: &Options) -> Result<Uri> {
    let event = options.event.as_deref().unwrap_or(EVENT);
    ensure!(!event.is_empty(), "the event type is empty");
    let (option, whole, example) = match &options.url {
        Some(url) => ("--url", url.clone(), "http://127.0.0.1:10000/webhooks/partner"),
        None => {
            let base = options.gateway.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
            let event = utf8_percent_encode(event, SEGMENT);
            ("--gateway", format!("{base}/{event}"), "http://127.0.0.1:10000/events")
        }
    };
    let expected = format!("{option}: expected a URL such as {example}");
    let url: Uri = whole.parse().with_context(|| expected.clone())?;
    ensure!(matches!(url.scheme_str(), Some("http" | "https")), expected);
    let is_shown = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    ensure!(!is_shown, "{option} has a user in it, which would be shown: use --user");
    Ok(url)
}

/// The event type where none was given: one that means nothing.
const EVENT: &str = "gatepost.ping";

const NO_HOST: &str = "there is no such host: look at --gateway, and at DNS";

/// All but what a segment of a path has as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn authorization(options: &Options) -> Result<Option<HeaderValue>> {
    let value = match (&options.user, &options.token_env) {
        (Some(user), _) => {
            ensure!(user.contains(':'), "--user: expected user:password");
            format!("Basic {}", STANDARD.encode(user))
        }
        (None, Some(variable)) => {
            format!("Bearer {}", *given::text("--token-env", &given::of_variable("--token-env", variable)?)?)
        }
        (None, None) => return Ok(None),
    };
    let mut value: HeaderValue = value.parse().context("--token-env: the token holds what no header may")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn body(data: &str) -> Result<Vec<u8>> {
    match data.strip_prefix('@') {
        Some("") => bail!("--data @ lacks the name of a file"),
        Some(path) => given::file("--data", Path::new(path)),
        None if data == "-" => given::stdin(),
        None => Ok(data.as_bytes().to_vec()),
    }
}

const EXAMPLES: &str = "\
Examples:
  gatepost send payment_verified --user shop:demo --data '{\"amount\": 42}'
  gatepost send order.created --gateway https://hooks.example.com/events --token-env TOKEN --data @order.json
  jq -c .order export.json | gatepost send order.created --data - --header 'x-tenant-id: 7' --json
  gatepost send ping --user shop:demo --count 100 --json | jq -r .answer.status | sort | uniq -c

An inbound rule, tried as its sender would; the same message twice is a replay, and the application sees it once:
  gatepost send --url http://127.0.0.1:10000/webhooks/partner --scheme standard --secret-env PARTNER_SECRET
  gatepost send push --url http://127.0.0.1:10000/webhooks/github --scheme github --secret-env GITHUB_SECRET --data @push.json
  gatepost send --url http://127.0.0.1:10000/webhooks/partner --scheme standard --secret-env PARTNER_SECRET \\
    --id 0b7e2f3c-5d1a-4c8e-9f60-3a2b1c0d9e8f --timestamp $(date +%s)000 --count 2

Exit codes: 0 when each was answered 2xx, 1 when not or nothing answered, 2 usage, or a file or secret
that cannot be read.
A password in --user is in the process list and the shell's history: --token-env is not.";
