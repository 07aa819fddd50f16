//! `gatepost evidence`: what a change board wants to see of a stretch of time, as Markdown, JSON and a picture.
//!
//! It asks gateways and reads files; it sends no event. Each figure says where it comes from, and what could not be looked
//! at is said so, never left out.
//!
//! - `hours`, `objectives`: the gateways' hourly counters against the objectives. Pure.
//! - `records`, `log`, `config`, `personal`: what the files say, without what they may not tell.
//! - `retries`: examples from the gateways' history. Pure.
//! - `bundle`, `markdown`, `chart`: all of it, as it is written; `escape`: text of others in it.

mod attainment;
mod bundle;
mod chart;
mod config;
pub(crate) mod escape;
mod hours;
mod log;
mod markdown;
mod objectives;
mod personal;
mod records;
mod retries;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use gatepost_kit::http;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::gateway::{self, Deliveries, Gateway, Gateways, HoursView, ListedDelivery, ask_all, query};
use crate::given;
use crate::terminal::{self, say, tell};
use attainment::Attainment;
use bundle::{Bundle, EnvoyFacts, GatewayFacts, Retries, Timeline};
use hours::{HOURS_MAX, Series, grid, lay};
use log::LogFacts;
use objectives::{Objective, judge};
use personal::PersonalData;
use records::Keys;

/// The arguments of `gatepost evidence`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The time to look back, up to 168h
    #[arg(long = "for", value_name = "TIME", default_value = "24h",
          value_parser = clap::builder::ValueParser::new(stretch))]
    stretch: Duration,
    /// The directory to write to: evidence.md, evidence.json, chart.svg
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Exit with 1 when an objective is missed; all of them, or those named
    #[arg(long, value_name = "OBJECTIVES", num_args = 0.., require_equals = true, value_delimiter = ',',
          default_missing_value = "all")]
    assert: Vec<Asserted>,
    /// Print evidence.json too
    #[arg(long)]
    json: bool,
    /// The gateways' config (the filter's, or Envoy's whole one): its digest, without secrets
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A log of Envoy: the timeline, and a scan for personal data
    #[arg(long, value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// A receiver's records, of scheme timestamped: receiver.py's /-/NAME/records, or the lines of `gatepost receiver --json`
    #[arg(long, value_name = "FILE")]
    records: Vec<PathBuf>,
    /// An endpoint that is not judged: the one of `gatepost smoke` fails by intent
    #[arg(long, value_name = "NAME", default_value = "smoke")]
    except: Vec<String>,
    /// A variable with a secret to recompute the records' signatures with
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// How the names of the signature headers begin
    #[arg(long, value_name = "TEXT", default_value = "X-Webhook-")]
    header_prefix: String,
    /// Envoy's admin interface, such as http://127.0.0.1:9901: its version and metrics
    #[arg(long, value_name = "URL")]
    envoy_admin: Vec<String>,
    /// Metrics only, such as http://127.0.0.1:9901/stats/prometheus
    #[arg(long, value_name = "URL")]
    stats_url: Vec<String>,
    #[command(flatten)]
    gateways: Gateways,
}

/// What `--assert` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Asserted {
    All,
    Success,
    P95,
    BreakerOpens,
    PersonalData,
}

impl Asserted {
    /// Was it named, and not only one of all?
    fn names(self, objective: &Objective) -> bool {
        self != Self::All && self.covers(objective)
    }

    fn covers(self, objective: &Objective) -> bool {
        match self {
            Self::All => true,
            Self::Success => objective.objective == objectives::SUCCESS,
            Self::P95 => objective.objective == objectives::P95,
            Self::BreakerOpens => objective.objective == objectives::BREAKER_OPENS,
            Self::PersonalData => objective.objective == objectives::PERSONAL_DATA,
        }
    }
}

/// Runs the command. Code 1: a gateway did not answer, an asserted objective is missed, or one that was named has no data.
///
/// # Errors
/// When a file that was named cannot be read, or the bundle cannot be written.
pub fn run(options: &Options) -> Result<ExitCode> {
    let secret = |name: &String| given::of_variable("--secret-env", name);
    let secrets = options.secret_env.iter().map(secret).collect::<Result<Vec<_>>>()?;
    let bundle = collect(options, &secrets)?;
    write(&options.out, &bundle)?;
    if options.json {
        terminal::say_pretty_json(&bundle)?;
    } else {
        for Objective { objective, endpoint, figure, verdict, .. } in &bundle.objectives {
            let endpoint = endpoint.as_deref().unwrap_or("all");
            say!("{:8} {objective:24} {endpoint:16} {figure}", verdict.word())?;
        }
        say!("{}", options.out.join("evidence.md").display())?;
    }
    let problems = bundle.problems();
    problems.iter().for_each(|problem| tell!("not asked: {problem}"));
    let missed = bundle.objectives.iter().filter(|one| one.verdict == Attainment::Missed);
    let missed: Vec<_> = missed.filter(|one| options.assert.iter().any(|asserted| asserted.covers(one))).collect();
    // Whoever names an objective wants to know; `all` are those that can be told.
    let unknown = bundle.objectives.iter().filter(|one| one.verdict == Attainment::NoData);
    let is_named = |one: &&Objective| options.assert.iter().any(|asserted| asserted.names(one));
    let (named, unnamed): (Vec<_>, Vec<_>) = unknown.partition(is_named);
    let told = [("no data", &named), ("not looked at", &unnamed), ("missed", &missed)];
    for (word, objectives) in told.into_iter().filter(|_| !options.assert.is_empty()) {
        for Objective { objective, endpoint, figure, .. } in objectives {
            let endpoint = endpoint.as_ref().map(|endpoint| format!("{endpoint}: ")).unwrap_or_default();
            tell!("{word}: {endpoint}{objective}: {figure}");
        }
    }
    Ok(if problems.is_empty() && missed.is_empty() && named.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn collect(options: &Options, secrets: &[Zeroizing<Vec<u8>>]) -> Result<Bundle> {
    let until = Timestamp::now();
    let from = until.checked_sub(SignedDuration::try_from(options.stretch)?)?;
    // What does not need a gateway is read first: a slip in a name is said before anything is waited for.
    let config = options.config.as_deref().map(config::read).transpose()?;
    let mut told = LogFacts::default();
    for path in &options.logs {
        tell!("Reading {}", path.display());
        log::read(path, from, &mut told)?;
    }
    let mut recorded = records::RecordFacts::default();
    let keys = Keys { prefix: &options.header_prefix, secrets };
    for path in &options.records {
        tell!("Reading {}", path.display());
        records::read(path, from, &keys, &mut recorded)?;
    }
    let gateways = options.gateways.resolve();
    gateways.iter().for_each(|gateway| tell!("Asking {}", gateway.url()));
    let (mut facts, mut hours, mut retries) = (Vec::new(), Vec::new(), Retries::default());
    for (gateway, answer) in gateways.iter().zip(ask_all(&gateways, |gateway| ask(gateway, from, until))) {
        match answer {
            Ok(GatewayAnswer { facts: answered, series, deliveries }) => {
                facts.push(answered);
                hours.extend(series.into_iter().filter(|one| !options.except.contains(&one.endpoint)));
                retries.looked_at += deliveries.len() as u64;
                retries.examples.extend(retries::remembered(gateway.url(), &deliveries));
            }
            Err(failure) => facts.push(GatewayFacts::unknown(gateway.url(), failure.sentence)),
        }
    }
    retries.examples.extend(recorded.retries);
    let mut envoys: Vec<EnvoyFacts> = options.envoy_admin.iter().map(|admin| envoy(admin)).collect();
    let counted = counted(options, &mut envoys);
    let logs = (!options.logs.is_empty()).then_some(told);
    let personal_data = PersonalData {
        guard: config.as_ref().map(|config| config.has_payload_guard),
        counted,
        logs: logs.as_ref().map(|told| told.scan.clone()),
    };
    Ok(Bundle {
        made_at: until,
        from,
        until,
        gatepost_cli: env!("CARGO_PKG_VERSION"),
        gateways: facts,
        envoys,
        objectives: judge(&hours, &personal_data),
        headers: (!options.records.is_empty()).then_some(recorded.headers),
        retries,
        timeline: Timeline::of(logs.map(|told| told.moments), recorded.moments, &hours),
        personal_data,
        config,
        hours,
    })
}

/// What a gateway says of itself.
struct GatewayAnswer {
    facts: GatewayFacts,
    series: Vec<Series>,
    deliveries: Vec<ListedDelivery>,
}

fn ask(gateway: &Gateway, from: Timestamp, until: Timestamp) -> gateway::Result<GatewayAnswer> {
    let status = gateway.status()?;
    let grid = grid(from, until);
    let count = grid.len().to_string();
    let mut series = Vec::new();
    for endpoint in &status.endpoints {
        let path = query("hours", &[("endpoint", Some(&endpoint.name)), ("hours", Some(&count))]);
        let told: HoursView = gateway.get(&path)?;
        let rows = lay(&grid, &told.hours, status.process.started_at.into(), until);
        series.push(Series { gateway: gateway.url().to_owned(), endpoint: endpoint.name.clone(), rows });
    }
    let since = from.to_string();
    let listed: Deliveries = gateway.get(&query("deliveries", &[("since", Some(&since)), ("limit", Some("1000"))]))?;
    Ok(GatewayAnswer { facts: GatewayFacts::of(gateway.url(), &status), series, deliveries: listed.deliveries })
}

fn envoy(admin: &str) -> EnvoyFacts {
    let admin = admin.trim_end_matches('/').to_owned();
    let answer = text_at(&format!("{admin}/server_info"));
    let version = answer.and_then(|text| {
        let info: Value = serde_json::from_str(&text).context("/server_info is no JSON")?;
        // The commit, the version, how it was built.
        let version = info.get("version").and_then(Value::as_str).context("/server_info has no version")?;
        let mut parts = version.split('/');
        let (commit, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Ok(format!("{number}, commit {commit}"))
    });
    match version {
        Ok(version) => EnvoyFacts { admin, version: Some(version), problem: None },
        Err(problem) => EnvoyFacts { admin, version: None, problem: Some(format!("{problem:#}")) },
    }
}

/// The findings of the payload guards of all Envoys whose metrics can be read.
fn counted(options: &Options, envoys: &mut Vec<EnvoyFacts>) -> Option<BTreeMap<String, u64>> {
    let of_admin = options.envoy_admin.iter().map(|admin| format!("{}/stats/prometheus", admin.trim_end_matches('/')));
    let mut sum = None::<BTreeMap<String, u64>>;
    for url in of_admin.chain(options.stats_url.iter().cloned()) {
        let counted = text_at(&url).and_then(|text| {
            personal::counted(&text).context("it has no gatepost_payload_findings_total: are stats_tags set?")
        });
        match counted {
            Ok(counted) => {
                let sum = sum.get_or_insert_default();
                counted.into_iter().for_each(|(kind, count)| *sum.entry(kind).or_default() += count);
            }
            Err(problem) => {
                envoys.push(EnvoyFacts { admin: url, version: None, problem: Some(format!("{problem:#}")) });
            }
        }
    }
    sum
}

fn text_at(url: &str) -> Result<String> {
    let mut response = http::client_within(STATS_WITHIN).get(url).call().context("cannot be reached")?;
    ensure!(response.status() == 200, "it answers {}", response.status());
    Ok(response.body_mut().with_config().limit(STATS_BYTES_MAX).read_to_string()?)
}

/// Each file is moved into place whole: who reads the directory never sees half of one.
fn write(directory: &Path, bundle: &Bundle) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("--out {}", directory.display()))?;
    let files = [
        ("chart.svg", chart::svg(&bundle.hours)?),
        ("evidence.json", terminal::pretty_json(bundle)? + "\n"),
        ("evidence.md", markdown::text(bundle)?),
    ];
    for (name, text) in files {
        let (path, new) = (directory.join(name), directory.join(format!(".{name}.new")));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn stretch(text: &str) -> Result<Duration, String> {
    let stretch = gateway::duration(text)?;
    let most = Duration::from_secs(HOURS_MAX.unsigned_abs() * 3600);
    let fits = !stretch.is_zero() && stretch <= most;
    if fits { Ok(stretch) } else { Err("expected up to 168h: so long a gateway remembers".to_owned()) }
}

/// Envoy writes them in a fraction of a second.
const STATS_WITHIN: Duration = Duration::from_secs(30);
/// Ten thousand series are 2 MiB.
const STATS_BYTES_MAX: u64 = 64 * 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  gatepost evidence --out review
  gatepost evidence --for 7d --out review --config envoy.yaml --logs /var/log/envoy.log --envoy-admin http://127.0.0.1:9901
  curl -s http://127.0.0.1:9000/-/billing/records > billing.json
  gatepost evidence --out review --records billing.json --secret-env BILLING_WEBHOOK_SECRET
  gatepost evidence --for 1h --out scan --assert=personal-data --logs /var/log/envoy.log

The bundle holds no secret and no payload. A record that does not verify counts for nothing. Envoy's log must have the default format; its times are taken for UTC.
Exit code: 0 the bundle is written, 1 a gateway did not answer or (--assert) an objective is missed or, if it was named, has
no data; 2 wrong usage, or a file or secret that cannot be read.";
