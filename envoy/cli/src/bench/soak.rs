//! `gatepost soak`: many events through two workers, and what Envoy's memory does meanwhile.
//!
//! The load comes in rounds; at the end of each, when everything is delivered, the process is measured. A few answers in
//! a hundred are 503, so that retries are part of it. The first tenth is warm-up: caches fill, V8 compiles.

use crate::terminal::{say, tell};

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatepost_kit::envoy::Envoy;
use gatepost_kit::process::Memory;
use gatepost_kit::wait;

use super::case::{self, Intermediary};
use super::sink::Sink;
use super::wrk;

/// The arguments of `gatepost soak`.
#[derive(clap::Args)]
pub struct Options {
    /// Send at least so many
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How long each round sends
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Connections that send, each with one request under way
    #[arg(long, default_value_t = 16)]
    connections: u32,
}

/// The process after a round.
#[derive(Clone, Copy)]
struct MemorySample {
    /// Events delivered so far.
    events: u64,
    memory: Memory,
}

/// Runs the soak and prints a table in Markdown.
///
/// # Errors
/// When an event is refused or does not arrive, a VM traps, or memory grows.
pub fn run(options: &Options) -> Result<()> {
    wrk::check()?;
    let sink = Sink::start(Some(UNAVAILABLE_EVERY))?;
    let cases = case::all(&[]);
    let gatepost = cases.iter().find(|case| case.filter == Intermediary::Gatepost).context("no case of Gatepost")?;
    let envoy = gatepost.start(2, &sink)?;
    let url = case::url(&envoy)?;
    let mut samples: Vec<MemorySample> = Vec::new();
    let mut events = 0;
    while events < options.events {
        let before = sink.received();
        let sent = wrk::run(&url, options.seconds, options.connections, wrk::MIXED)?;
        events += case::all_delivered(&envoy, &sink, before, sent)?;
        let sample = MemorySample { events, memory: Memory::of(envoy.pid())? };
        tell!("{events} of {} events, {} KiB resident", options.events, sample.memory.resident);
        samples.push(sample);
    }
    each_came_to_its_end(&envoy, &sink)?;
    let quarters = quarters(&samples, options.events / 10)?;
    print_table(&quarters)?;
    judge(&quarters)
}

/// Every accepted event arrived once, or is one of the few that met a 503 at each attempt: a dead letter.
fn each_came_to_its_end(envoy: &Envoy, sink: &Sink) -> Result<()> {
    let traps = envoy.stat("wasm.gatepost.vm_reload_success")?;
    ensure!(traps == 0, "a VM trapped; Envoy's log:\n{}", envoy.log()?);
    let count = |series: &str| Ok::<_, anyhow::Error>(envoy.series(series)?.unwrap_or_default() as u64);
    let accepted = count(ACCEPTED)?;
    let dead = wait::until("every event is delivered or a dead letter", RETRIED, || {
        let dead = count(FAILED)?;
        Ok((sink.received() + dead >= accepted).then_some(dead))
    })?;
    let (received, unavailable) = (sink.received(), sink.unavailable());
    ensure!(received + dead == accepted, "{accepted} accepted, {received} arrived, {dead} dead letters");
    say!("{accepted} accepted, {received} arrived once, {dead} dead letters; {unavailable} answers were 503.")?;
    say!("")?;
    Ok(())
}

/// What is left after the warm-up, in four parts.
fn quarters(samples: &[MemorySample], warm_up: u64) -> Result<Vec<&[MemorySample]>> {
    let measured = samples.get(samples.partition_point(|sample| sample.events <= warm_up)..).unwrap_or_default();
    ensure!(measured.len() >= 4, "{} rounds after the warm-up are too few: more --events", measured.len());
    let bound = |quarter: usize| measured.len() * quarter / 4;
    let quarters = (0..4).filter_map(|quarter| measured.get(bound(quarter)..bound(quarter + 1))).collect();
    Ok(quarters)
}

fn mean(quarter: &[MemorySample]) -> f64 {
    quarter.iter().map(|sample| sample.memory.resident as f64).sum::<f64>() / quarter.len() as f64
}

fn print_table(quarters: &[&[MemorySample]]) -> Result<()> {
    say!("| after events | resident memory, mean of a quarter | peak so far |")?;
    say!("|--:|--:|--:|")?;
    for quarter in quarters {
        let Some(last) = quarter.last() else { continue };
        say!("| {} | {:.1} MiB | {:.1} MiB |", last.events, mean(quarter) / 1024.0, last.memory.peak as f64 / 1024.0)?;
    }
    Ok(())
}

/// # Errors
/// When the last quarter needs more than the first.
fn judge(quarters: &[&[MemorySample]]) -> Result<()> {
    let (first, last) = quarters.first().zip(quarters.last()).context("no quarters")?;
    let growth = mean(last) / mean(first) - 1.0;
    say!("From the first to the last quarter: {:+.2} %.", growth * 100.0)?;
    ensure!(growth <= GROWTH_MAX, "memory grew by more than {:.0} %", GROWTH_MAX * 100.0);
    Ok(())
}

/// Accepted events, as Envoy counts them.
const ACCEPTED: &str = r#"gatepost_events_total{route="bench",result="accepted"}"#;
/// Deliveries that failed for good, likewise.
const FAILED: &str = r#"gatepost_deliveries_total{endpoint="bench",result="failed"}"#;
/// Longer than all delays of the retries.
const RETRIED: Duration = Duration::from_secs(30);
/// One answer in so many is a 503.
const UNAVAILABLE_EVERY: u64 = 50;
/// A share.
const GROWTH_MAX: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(resident: impl Fn(u64) -> u64) -> Vec<MemorySample> {
        (1..=100)
            .map(|n| MemorySample { events: n * 1000, memory: Memory { resident: resident(n), peak: 0 } })
            .collect()
    }

    #[test]
    fn memory_that_stays_passes_whatever_the_warm_up_took() {
        let samples = samples(|n| 50_000 + n % 3 + if n <= 10 { 90_000 } else { 0 });
        let quarters = quarters(&samples, 10_000).expect("four quarters");
        assert_eq!(quarters.iter().map(|quarter| quarter.len()).sum::<usize>(), 90);
        assert!(judge(&quarters).is_ok());
    }

    #[test]
    fn memory_that_grows_fails() {
        let samples = samples(|n| 50_000 + n * 20);
        assert!(judge(&quarters(&samples, 10_000).expect("four quarters")).is_err());
    }

    #[test]
    fn too_few_rounds_are_no_verdict() {
        let samples: Vec<MemorySample> = samples(|_| 1).into_iter().take(3).collect();
        assert!(quarters(&samples, 0).is_err());
    }
}
