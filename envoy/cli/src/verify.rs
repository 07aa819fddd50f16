//! `gatepost verify`: checks a captured request, and says exactly which part of it is wrong.

mod candidate;
mod capture;
mod claim;
mod curl;
mod explain;
mod finding;
mod reformat;
mod scheme;
mod show;
#[cfg(test)]
mod tests;
mod variants;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use candidate::Candidate;
use capture::Captured;
use finding::Code;
use scheme::Scheme;
use verdict::{Rules, judge};

use crate::given::{self, unusable};
use crate::terminal;

/// The arguments of `gatepost verify`.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub struct Options {
    #[command(flatten)]
    source: RequestSource,
    /// The raw body, byte for byte as it came; `-` is stdin
    #[arg(long, value_name = "FILE", requires = "headers", conflicts_with_all = ["request", "curl"])]
    body: Option<PathBuf>,
    /// A secret, or a public key of scheme standard, from this environment variable; again for each further one
    #[arg(long, value_name = "NAME", required_unless_present = "secret_file")]
    secret_env: Vec<String>,
    /// A secret from this file; one line end at its end is not part of it; again for each further one
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// How it is to be signed
    #[arg(long, value_enum, default_value_t = Scheme::Timestamped)]
    scheme: Scheme,
    /// What the names of the headers begin with
    #[arg(long, value_name = "PREFIX", default_value = gatepost_core::signature::timestamped::DEFAULT_PREFIX)]
    header_prefix: String,
    /// The time to check against instead of now: RFC 3339 or Unix milliseconds
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<i64>,
    /// How old a timestamp may be
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = duration)]
    past: i64,
    /// How far ahead of this clock a timestamp may be
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    future: i64,
    /// Also print the signature that would have been right
    #[arg(long)]
    expected: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct RequestSource {
    /// A whole request as on the wire: headers, an empty line, the body; `-` is stdin
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The headers, one a line or as a JSON object, with --body; `-` is stdin
    #[arg(long, value_name = "FILE", requires = "body")]
    headers: Option<PathBuf>,
    /// A curl command; `-` is stdin
    #[arg(long, value_name = "FILE")]
    curl: Option<PathBuf>,
}

/// Checks the request: 0 when it is verified, 1 when not, 2 when it or a secret cannot be read.
///
/// # Errors
/// When the request or a secret cannot be read, or the result cannot be written.
pub fn run(options: &Options) -> Result<ExitCode> {
    let (request, secrets) = read(options).map_err(unusable)?;
    let rules = Rules {
        scheme: options.scheme,
        prefix: options.header_prefix.clone(),
        now: options.now.unwrap_or_else(|| Timestamp::now().as_millisecond()),
        past: options.past,
        future: options.future,
    };
    let mut verdict = judge(&rules, &request, &secrets);
    if !options.expected {
        verdict.expected.clear();
    }
    if options.json {
        terminal::say_json(&verdict)?;
    } else {
        show::verdict(&verdict, &request, &secrets, options.expected)?;
    }
    Ok(if verdict.verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(options: &Options) -> Result<(Captured, Vec<Candidate>)> {
    let source = &options.source;
    let inputs = [&source.request, &source.headers, &source.curl, &options.body];
    let stdins = inputs.into_iter().flatten().filter(|path| path.as_os_str() == "-").count();
    ensure!(stdins <= 1, "stdin can be read only once: one of --headers and --body must be a file");
    let request = if let Some(path) = &source.request {
        capture::request(&bytes(path)?).with_context(|| format!("--request {}", path.display()))?
    } else if let Some(path) = &source.curl {
        let command = bytes(path)?;
        let command = str::from_utf8(&command).with_context(|| format!("--curl {}", path.display()))?;
        curl::request(command.trim()).with_context(|| format!("--curl {}", path.display()))?
    } else if let (Some(headers), Some(body)) = (&source.headers, &options.body) {
        let read = capture::headers(&bytes(headers)?).with_context(|| format!("--headers {}", headers.display()))?;
        Captured::new(read, bytes(body)?)
    } else {
        bail!("no request: expected --request, --headers with --body, or --curl");
    };
    Ok((request, candidate::read(&options.secret_env, &options.secret_file)?))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() == "-" { given::stdin() } else { given::file("", path) }
}

fn time(text: &str) -> Result<i64, String> {
    let millis = claim::number(text).map(|(_, at)| at).or_else(|| claim::date(text));
    millis.ok_or_else(|| "expected RFC 3339, such as 2026-01-31T12:00:00Z, or Unix milliseconds".to_owned())
}

fn duration(text: &str) -> Result<i64, String> {
    let duration = text.parse::<SignedDuration>().ok().filter(|duration| !duration.is_negative());
    let millis = duration.and_then(|duration| i64::try_from(duration.as_millis()).ok());
    millis.ok_or_else(|| "expected a duration, such as 300s or 5m".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  gatepost verify --request captured.http --secret-env BILLING_WEBHOOK_SECRET
  gatepost verify --headers headers.txt --body body.bin --secret-file secret --now 2026-01-31T12:00:00Z
  pbpaste | gatepost verify --curl - --secret-env NEW --secret-env OLD --expected
  gatepost verify --scheme standard --request captured.http --secret-env PARTNER_PUBLIC_KEY     # whpk_…
  gatepost verify --scheme github --request - --secret-env GITHUB_SECRET --json < captured.http

Exit codes: 0 verified, 1 not verified, 2 usage, or a file or secret that cannot be read.
No secret is ever printed; --expected prints a signature, which is good for this body and timestamp only.
--help lists the codes of what can be wrong.";

fn long_help() -> String {
    let mut help = format!("{EXAMPLES}\n\nCodes:\n");
    for code in Code::value_variants() {
        let says = code.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.push_str(&format!("  {:<26}{}\n", code.name(), says.unwrap_or_default()));
    }
    help
}
