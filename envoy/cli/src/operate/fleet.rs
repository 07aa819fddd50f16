//! `fleet`: the gateways that share a journal, and how that is, as one or more of them see it.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;

use crate::gateway::{self, Fleet, Gateway, GatewayView, Gateways, JournalView, ask_all};
use crate::terminal::{self, Line};
use crate::watch::age_of;

/// The arguments of `gatepost fleet`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    gateways: Gateways,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a gateway says of its fleet.
#[derive(Debug, Serialize)]
struct Reading {
    /// Its URL.
    gateway: String,
    /// What it says; `None`: it could not be asked, or is in no fleet.
    fleet: Option<Fleet>,
    /// Why it says nothing.
    error: Option<String>,
}

/// Asks each gateway. Code 1: one could not be asked, or its journal is not `ok`.
pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let gateways = options.gateways.resolve();
    let answers = ask_all(&gateways, |gateway| gateway.get::<Fleet>("fleet"));
    let readings: Vec<Reading> =
        gateways.iter().zip(answers).map(|(gateway, answer)| Reading::of(gateway, answer)).collect();
    if options.json {
        terminal::say_pretty_json(&readings)?;
    } else {
        readings.iter().flat_map(lines).try_for_each(|line| terminal::say_line(&line))?;
    }
    let is_well = |reading: &Reading| reading.fleet.as_ref().is_some_and(|fleet| fleet.journal.state == OK);
    Ok(if readings.iter().all(is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Reading {
    fn of(gateway: &Gateway, answer: gateway::Result<Fleet>) -> Self {
        let error = answer.as_ref().err().map(|failure| match failure.status {
            // A gateway without a journal says so itself; an older one knows no fleet.
            Some(404) if failure.problem.process.is_none() => "knows no fleet: its version is older".to_owned(),
            _ => failure.sentence.clone(),
        });
        Self { gateway: gateway.url().to_owned(), fleet: answer.ok(), error }
    }
}

fn lines(reading: &Reading) -> Vec<Line> {
    let head = Line::default().and(Style::new().bold(), &reading.gateway);
    let red = AnsiColor::Red.on_default().bold();
    let Some(fleet) = &reading.fleet else {
        let error = reading.error.as_deref().unwrap_or_default();
        return vec![head.and(red, "  UNKNOWN"), Line::plain(format!("  {error}"))];
    };
    let JournalView { state, last_error, last_error_at, .. } = &fleet.journal;
    let style = if *state == OK { AnsiColor::Green.on_default() } else { red };
    let mut lines = vec![head.and(Style::new(), "  journal ").and(style, state), Line::plain(kept(fleet))];
    if let Some((error, at)) = last_error.as_ref().zip(*last_error_at) {
        let ago = age_of(fleet.now.since(at).as_secs());
        lines.push(Line::plain(format!("  last error: {error}, {ago} ago")));
    }
    if fleet.dead_workers > 0 {
        let words =
            format!("  {} dead workers, whose events are being taken over or wait for that", fleet.dead_workers);
        lines.push(Line::default().and(AnsiColor::Yellow.on_default(), words));
    }
    match fleet.seen_seconds {
        None => lines.push(Line::plain("  it has not been told yet who is alive")),
        Some(seconds) if seconds > STALE_SECONDS => {
            let words = format!("  seen {} ago:", age_of(seconds));
            lines.push(Line::default().and(AnsiColor::Yellow.on_default(), words));
        }
        Some(_) => {}
    }
    if !fleet.gateways.is_empty() {
        lines.push(Line::default().and(Style::new().dimmed(), row(HEADINGS.map(str::to_owned))));
    }
    lines.extend(fleet.gateways.iter().map(|gateway| {
        let line = Line::plain(row(cells(fleet, gateway)));
        if gateway.instance == fleet.process.instance { line.and(Style::new(), "  (answers)") } else { line }
    }));
    lines
}

/// What the fleet keeps in the journal.
fn kept(fleet: &Fleet) -> String {
    let JournalView { segments, bytes, limit, oldest, .. } = &fleet.journal;
    let oldest = oldest.map(|oldest| format!(", the oldest event {}", age_of(fleet.now.since(oldest).as_secs())));
    format!("  {segments} segments, {} of {}{}", size(*bytes), size(*limit), oldest.unwrap_or_default())
}

fn cells(fleet: &Fleet, gateway: &GatewayView) -> [String; 8] {
    [
        gateway.instance.clone(),
        gateway.version.clone(),
        gateway.config.clone(),
        age_of(fleet.now.since(gateway.started_at).as_secs()),
        age_of(gateway.lease_age_seconds),
        gateway.workers.to_string(),
        gateway.pending.to_string(),
        gateway.takeovers.to_string(),
    ]
}

fn row([instance, version, config, up, lease, workers, pending, takeovers]: [String; 8]) -> String {
    format!("  {instance:36} {version:9} {config:16} {up:>5} {lease:>5} {workers:>7} {pending:>7} {takeovers:>9}")
}

fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

const OK: &str = "ok";

const HEADINGS: [&str; 8] = ["instance", "version", "config", "up", "lease", "workers", "pending", "takeovers"];

/// A gateway asks once a second who is alive.
const STALE_SECONDS: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::tests::scripted;
    use serde_json::{Value, json};

    fn answer(state: &str, more: &Value) -> Value {
        let row = |instance: &str, lease: u64| {
            json!({"instance": instance, "started_at": "2026-01-01T00:00:00Z", "version": "0.1.0", "config": "00000000deadbeef",
                   "workers": 3, "lease_age_seconds": lease, "pending": 4, "takeovers": 1})
        };
        let mut answer = json!({
            "instance": "one", "started_at": "2026-01-01T00:00:00Z", "now": "2026-01-01T00:10:00Z",
            "journal": {"state": state, "segments": 3, "bytes": 1536, "limit": 1 << 30, "oldest": "2026-01-01T00:09:30Z"},
            "seen_seconds": 1, "dead_workers": 0, "gateways": [row("one", 590), row("two", 60)],
        });
        for (key, value) in more.as_object().unwrap() {
            answer[key] = value.clone();
        }
        answer
    }

    fn shown(status: u16, answer: Value) -> String {
        let (gateway, asked) = scripted(vec![(status, answer)]);
        let reading = Reading::of(&gateway, gateway.get::<Fleet>("fleet"));
        assert_eq!(asked.join().unwrap(), ["GET /gatepost/fleet"]);
        lines(&reading).iter().skip(1).map(|line| format!("{line}\n")).collect()
    }

    /// Each gateway is a row, and the one that answers is marked.
    #[test]
    fn each_gateway_is_a_row_and_who_answers_is_marked() {
        let expected = "  3 segments, 1.5 KiB of 1.0 GiB, the oldest event 30s\n  \
             instance                             version   config              up lease workers pending takeovers\n  \
             one                                  0.1.0     00000000deadbeef   10m    9m       3       4         1  (answers)\n  \
             two                                  0.1.0     00000000deadbeef   10m   60s       3       4         1\n";
        assert_eq!(shown(200, answer("ok", &json!({}))), expected);
    }

    /// What is wrong is said in words: the last error, who is dead, and that the view is old.
    #[test]
    fn what_is_wrong_is_said_in_words() {
        let journal = json!({"state": "unavailable", "segments": 0, "bytes": 0, "limit": 1024, "oldest": null,
                             "last_error": "no answer", "last_error_at": "2026-01-01T00:09:57Z"});
        let text = shown(200, answer("", &json!({"journal": journal, "seen_seconds": 180, "dead_workers": 2})));
        let expected = "  0 segments, 0 B of 1.0 KiB\n  last error: no answer, 3s ago\n  \
             2 dead workers, whose events are being taken over or wait for that\n  seen 3m ago:\n";
        assert!(text.starts_with(expected), "{text}");
        let unasked = shown(200, answer("ok", &json!({"seen_seconds": null, "gateways": []})));
        assert!(unasked.ends_with("  it has not been told yet who is alive\n"), "{unasked}");
    }

    #[test]
    fn a_gateway_without_a_fleet_says_why() {
        let detail = "the config has no journal: this gateway is in no fleet";
        let bare = json!({"title": "Not Found", "status": 404, "detail": detail, "instance": "i", "started_at": "2026-01-01T00:00:00Z"});
        assert_eq!(shown(404, bare), format!("  404: {detail}\n"));
        assert_eq!(shown(404, json!({"title": "Not Found"})), "  knows no fleet: its version is older\n");
    }
}
