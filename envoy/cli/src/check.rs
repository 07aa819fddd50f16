//! `gatepost check`: says what is wrong with a config before Envoy has it.
//!
//! The filter's own config is read by the filter's own parser, so the messages are those of Envoy's log, with the line in
//! the file. In a whole Envoy config each filter of Gatepost is checked with what is around it.
//!
//! - `document`: a file as a tree that knows its lines. `model`: what the checks read in it: listeners, routes, filters.
//! - `finding`: what is said.
//! - `surroundings`: a whole Envoy config; `filters`, `listeners`, `limits`, `routes`, `clusters`, `tls`, `journal` and
//!   `inbound` each check a part of it. Of a filter that verifies, `around`, `behind` and `copies` look for ways past it.
//! - `plugin`: the filter's own config; `secrets` and `inbound` each check a part of it.

mod around;
mod behind;
mod clusters;
mod copies;
pub(crate) mod document;
mod filters;
mod finding;
mod inbound;
mod journal;
mod limits;
mod listeners;
mod model;
mod plugin;
mod routes;
pub(crate) mod secrets;
mod surroundings;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result};
use serde::Serialize;

use document::Node;
use finding::Findings;
pub use finding::{Finding, Severity};
use gatepost_core::config::KEYS;
pub use model::source::Circumstances;
use model::source::{Environment, Source};

use crate::clock::now;
use crate::given::Unusable;
use crate::terminal::{self, say, tell};

/// The arguments of `gatepost check`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The filter's config or a whole Envoy config that holds it, as YAML or JSON
    file: PathBuf,
    /// Print an array of {file, line, severity, code, path, message}
    #[arg(long)]
    json: bool,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// A variable of host_env_keys that is not set here is an error, not a note
    #[arg(long)]
    strict_env: bool,
}

const EXAMPLES: &str = "\
Examples:
  gatepost check envoy/envoy.yaml
  gatepost check gatepost.json --strict
  BILLING_WEBHOOK_SECRET=… gatepost check envoy.yaml --strict-env
  gatepost check envoy.yaml --json | jq -r '.[] | select(.severity == \"error\") | .code'

Exit codes: 0 nothing that fails, 1 errors (with --strict warnings too), 2 usage, or a file that cannot be read.";

/// Checks a file and prints a line for each thing that was found; how many there were goes to stderr.
///
/// # Errors
/// When the file cannot be read, or what was found cannot be printed.
pub fn run(options: &Options) -> Result<ExitCode> {
    let name = options.file.display().to_string();
    let text = fs::read_to_string(&options.file).with_context(|| Unusable(format!("{name} cannot be read")))?;
    let host = |name: &str| env::var(name).ok();
    let findings = check(&text, &Circumstances { host: &host, is_strict_env: options.strict_env, now: now() });
    if options.json {
        let findings: Vec<_> = findings.iter().map(|finding| InFile { file: &name, finding }).collect();
        terminal::say_pretty_json(&findings)?;
    } else {
        findings.iter().try_for_each(|finding| say!("{name}:{finding}"))?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(count);
    tell!("{name}: {}, {}, {}", counted(errors, "error"), counted(warnings, "warning"), counted(notes, "note"));
    let fails = errors > 0 || (options.strict && warnings > 0);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A finding as `--json` prints it.
#[derive(Serialize)]
struct InFile<'a> {
    file: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// Everything to know about a config, in the order of its lines.
pub fn check(text: &str, circumstances: &Circumstances<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    match document::read(text) {
        Ok(root) if is_plugin_config(&root) => check_alone(&root, circumstances, &mut findings),
        Ok(root) => surroundings::check(&root, text, circumstances, &mut findings),
        Err(document::Fault { line, reason }) => {
            let message = format!("{reason}; expected YAML or JSON");
            let path = "file".to_owned();
            findings.push(Finding { line, severity: Severity::Error, code: "syntax", path, message });
        }
    }
    findings.sorted()
}

/// Both have an `admin`; an Envoy config has resources, whatever else it has.
fn is_plugin_config(root: &Node) -> bool {
    let has = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
    !has(&["static_resources", "dynamic_resources", "node"]) && has(&KEYS)
}

fn check_alone(root: &Node, circumstances: &Circumstances<'_>, findings: &mut Findings) {
    let environment = Environment { variables: None, is_whole: false, circumstances };
    let json = root.to_json().to_string();
    // Whether anyone reaches the listener it will be on is not known.
    let source = Source { tree: root, bytes: json.as_bytes(), environment: &environment, exposure: Severity::Warning };
    plugin::check(&source, findings);
}
