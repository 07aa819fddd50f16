//! `gatepost send`: posts events to a gateway, and shows what it answers.

use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;
use std::{env, fs, io};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Uri};

/// The arguments of `gatepost send`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The event type; it is the last segment of the path
    event: String,
    /// Where events go, without the event type
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10000/events")]
    gateway: String,
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
}

/// Sends the events: 0 when all were answered 2xx, 1 when not, 2 when they cannot be made from the arguments.
///
/// # Errors
/// When stdout is closed.
pub fn run(options: &Options) -> Result<ExitCode> {
    let request = match Request::of(options) {
        Ok(request) => request,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let client = crate::http();
    let (mut accepted, mut answers) = (0, 0);
    for _ in 0..options.count {
        let answer = request.send(&client);
        match &answer {
            Ok(answer) if options.json => writeln!(io::stdout(), "{}", serde_json::to_string(answer)?)?,
            Ok(answer) => show(answer)?,
            Err(error) => {
                if options.json {
                    let line = serde_json::json!({ "error": format!("{error:#}") });
                    writeln!(io::stdout(), "{line}")?;
                } else {
                    anstream::eprintln!("error: {error:#}");
                }
                // The next one would end the same way.
                break;
            }
        }
        answers += 1;
        accepted += u32::from(answer.is_ok_and(|answer| answer.is_success()));
    }
    if options.count > 1 && !options.json {
        anstream::eprintln!("{accepted} of {} accepted, {answers} answered", options.count);
    }
    Ok(if accepted == options.count { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An event, ready to be sent.
struct Request {
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Request {
    fn of(options: &Options) -> Result<Self> {
        let event = utf8_percent_encode(&options.event, SEGMENT);
        ensure!(!options.event.is_empty(), "the event type is empty");
        let base = options.gateway.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let expected = "--gateway: expected a URL such as http://127.0.0.1:10000/events";
        let url: Uri = format!("{base}/{event}").parse().context(expected)?;
        ensure!(matches!(url.scheme_str(), Some("http" | "https")), expected);
        let password = "--gateway has a user in it, which would be shown: use --user";
        ensure!(!url.authority().is_some_and(|authority| authority.as_str().contains('@')), password);
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
        Ok(Self { url, headers, body: body(&options.data)? })
    }

    fn send(&self, client: &Agent) -> Result<Answer> {
        let mut request = client.post(self.url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = request.send(self.body.as_slice()).map_err(|error| self.explained(error))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (id, replayed) = (header("x-webhook-id"), header("idempotent-replayed").is_some());
        let retry_after = header("retry-after");
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().context("the answer broke off")?;
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, id, replayed, retry_after, answer })
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
            let token = env::var(variable).ok().filter(|token| !token.is_empty());
            format!("Bearer {}", token.context("--token-env: the environment has no such variable, or it is empty")?)
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
        Some(path) => fs::read(path).with_context(|| format!("--data @{path}")),
        None if data == "-" => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).context("stdin")?;
            Ok(bytes)
        }
        None => Ok(data.as_bytes().to_vec()),
    }
}

/// What the gateway said.
#[derive(Serialize)]
struct Answer {
    status: u16,
    id: Option<String>,
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    answer: Value,
}

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

fn show(answer: &Answer) -> Result<()> {
    let mut out = anstream::stdout().lock();
    let body = &answer.answer;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let style = if answer.is_success() { GOOD } else { BAD };
    let what = text(body, "status").or_else(|| text(body, "title"));
    let what = what.unwrap_or_else(|| if answer.is_success() { "answered" } else { "refused" }.to_owned());
    let id = text(body, "id").or_else(|| answer.id.clone()).unwrap_or_default();
    let replayed = if answer.replayed { "  (the answer to the first one with this key)" } else { "" };
    writeln!(out, "{style}{} {what}{}  {id}{replayed}", answer.status, style.render_reset())?;
    for delivery in body.get("deliveries").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| text(delivery, name).unwrap_or_default();
        writeln!(out, "  {:<20} {}", field("endpoint"), field("status"))?;
    }
    if let Some(detail) = text(body, "detail") {
        writeln!(out, "  {detail}")?;
    }
    for finding in body.get("findings").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| text(finding, name).unwrap_or_default();
        writeln!(out, "  {:<20} {}", field("kind"), field("pointer"))?;
    }
    if let Some(seconds) = &answer.retry_after {
        writeln!(out, "  again in {seconds} s")?;
    }
    if let (Value::String(said), false) = (body, answer.is_success()) {
        writeln!(out, "  {}", said.chars().take(LONGEST).collect::<String>().trim())?;
    }
    if let Some(hint) = hint(answer) {
        writeln!(out, "  {hint}")?;
    }
    Ok(())
}

/// What is not the filter's own answer, and so does not say what to do.
fn hint(answer: &Answer) -> Option<&'static str> {
    let own = answer.answer.get("title").is_some() || answer.answer.get("status").is_some();
    match answer.status {
        _ if own => None,
        200..300 => Some("this is not an answer of Gatepost: no route of its matches this path"),
        401 | 403 => Some("Envoy lets nobody in without credentials: --user, --token-env or --header"),
        404 => Some("no event route here: look at --gateway, and at match.path of the routes"),
        413 => Some("the body is larger than Envoy's buffer: per_connection_buffer_limit_bytes"),
        _ => None,
    }
}

/// Of an answer that is not JSON, such as a page.
const LONGEST: usize = 300;

const GOOD: anstyle::Style = anstyle::AnsiColor::Green.on_default().bold();
const BAD: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

const EXAMPLES: &str = "\
Examples:
  gatepost send payment_verified --user shop:demo --data '{\"amount\": 42}'
  gatepost send order.created --gateway https://hooks.example.com/events --token-env TOKEN --data @order.json
  jq -c .order export.json | gatepost send order.created --data - --header 'x-tenant-id: 7' --json
  gatepost send ping --user shop:demo --count 100 --json | jq -r .answer.status | sort | uniq -c

Exit codes: 0 when each was answered 2xx, 1 when not or nothing answered, 2 usage.
A password in --user is in the process list and the shell's history: --token-env is not.";
