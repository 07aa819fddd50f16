//! `gatepost soak-fleet`: two gateways on an etcd under load, killed in turn again and again, while the receiver fails one
//! attempt in ten. Nothing accepted may be missing, and what came twice must have been delivered just before a kill.
//! Without kills it tells what the processes' memory and etcd's file do over the whole load.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatepost_kit::envoy::Launch;
use gatepost_kit::etcd::{self, Etcd, Size};
use gatepost_kit::example::Example;
use gatepost_kit::fleet::account::{Account, NOTED, Takeover};
use gatepost_kit::fleet::load::{Load, Outcome, Producers};
use gatepost_kit::fleet::{Fleet, now};
use gatepost_kit::process::Memory;
use gatepost_kit::receiver::{Options as ReceiverOptions, Receiver, Record};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::terminal::{say, tell};

/// The arguments of `gatepost soak-fleet`.
#[derive(clap::Args)]
pub struct Options {
    /// Events that are accepted in all
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
    events: u32,
    /// Events a second, to both gateways in turn
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    per_second: u32,
    /// How often a gateway is killed with SIGKILL, each in turn
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Seconds until it is started again
    #[arg(long, default_value_t = 3)]
    down: u32,
    /// Members of etcd
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    members: u8,
}

/// A gateway was killed.
#[derive(Clone, Copy)]
struct Kill {
    gateway: usize,
    /// In seconds since the Unix epoch.
    at: f64,
}

/// Runs it and prints a table in Markdown.
///
/// # Errors
/// When there is no etcd, an accepted event is missing or does not verify, or a duplicate has no reason.
pub fn run(options: &Options) -> Result<()> {
    etcd::find()?;
    let mut example = Example::load_file("envoy/fleet.yaml")?;
    let secret = example.variable("BILLING_WEBHOOK_SECRET")?;
    let receiver =
        Receiver::start(&[(ENDPOINT, &secret)], &ReceiverOptions { compact: true, ..ReceiverOptions::default() })?;
    let etcd = Etcd::start(&etcd::Options { members: options.members.into(), quota: None })?;
    let launch = launch(&mut example, &etcd, &receiver)?;
    let mut fleet = Fleet::start(etcd, vec![launch.clone(), launch])?;
    let load =
        Load { producers: PRODUCERS, per_second: options.per_second, event: "payment_verified", filler: EVENT_BYTES };
    let started = Instant::now();
    let producers = Producers::start(fleet.addresses(), load);
    let kills = kill_in_turn(&mut fleet, &producers, options)?;
    let sizes = if options.kills == 0 { sizes(&fleet, &producers, options)? } else { Vec::new() };
    let outcome = producers.finish_at(options.events as usize, deadline(options.events, options))?;
    let seconds = started.elapsed().as_secs_f64();
    let records = settle(&fleet, &receiver, &outcome)?;
    print_kills(&kills, &outcome, &records)?;
    print_totals(&fleet, &outcome, seconds)?;
    judge(&Account::of(&outcome.accepted, &records), &kills)?;
    print_sizes(&sizes)?;
    judge_sizes(&sizes)
}

/// The example with one endpoint, which bears a receiver that fails one in ten.
fn launch(example: &mut Example, etcd: &Etcd, receiver: &Receiver) -> Result<Launch> {
    example.use_free_ports()?;
    example.set_members("etcd", &etcd.addresses())?;
    example.set_cluster(ENDPOINT, receiver.address())?;
    let endpoints = example.plugin()?.get_mut("endpoints").and_then(Value::as_array_mut);
    let endpoints = endpoints.context("the example has no endpoints")?;
    endpoints.retain(|endpoint| endpoint.get("name").is_some_and(|name| name == ENDPOINT));
    let endpoint = endpoints.first_mut().and_then(Value::as_object_mut).context("the example has no such endpoint")?;
    // The receiver is not down, though it fails five times in a row now and then.
    endpoint.insert("breaker".to_owned(), Value::Null);
    endpoint.insert("retry".to_owned(), json!({"delays": ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]}));
    receiver.fail_one_in_ten(ENDPOINT, ANSWER)?;
    Ok(Launch { config: example.config().clone(), workers: WORKERS, env: vec![], arguments: vec![] })
}

/// Kills the gateways in turn, all over the load, each once the one before has been started again.
fn kill_in_turn(fleet: &mut Fleet, producers: &Producers, options: &Options) -> Result<Vec<Kill>> {
    let between = options.events / (options.kills + 1);
    let mut kills = Vec::new();
    for number in 0..options.kills {
        let due = ((number + 1) * between) as usize;
        producers.wait_for_more(due.saturating_sub(producers.accepted()), deadline(between, options))?;
        let gateway = number as usize % 2;
        let at = fleet.gateway_mut(gateway)?.kill()?;
        tell!("kill {} of {} after {} events", number + 1, options.kills, producers.accepted());
        kills.push(Kill { gateway, at });
        wait::until("the gateway has been down", DOWN, || Ok((now()? - at >= options.down.into()).then_some(())))?;
        fleet.gateway_mut(gateway)?.restart()?;
    }
    Ok(kills)
}

/// What the fleet took up at some time.
struct Sizes {
    /// Events accepted so far.
    events: usize,
    /// Of the first member of etcd.
    etcd: Size,
    /// Resident, of each gateway, in MiB.
    resident: Vec<f64>,
}

impl Sizes {
    fn of(fleet: &Fleet, events: usize) -> Result<Self> {
        let resident = [0, 1].map(|number| {
            let memory = Memory::of(fleet.gateway(number)?.envoy()?.pid())?;
            Ok(memory.resident as f64 / 1024.0)
        });
        let resident = resident.into_iter().collect::<Result<_>>()?;
        Ok(Self { events, etcd: fleet.etcd.size(0)?, resident })
    }
}

/// What the fleet takes up after each tenth of the load.
fn sizes(fleet: &Fleet, producers: &Producers, options: &Options) -> Result<Vec<Sizes>> {
    let tenth = |number: u32| {
        let due = (options.events / 10 * number) as usize;
        producers.wait_for_more(due.saturating_sub(producers.accepted()), deadline(options.events / 10, options))?;
        tell!("{} of {} events", producers.accepted(), options.events);
        Sizes::of(fleet, producers.accepted())
    };
    (1..10).map(tenth).collect()
}

fn print_sizes(sizes: &[Sizes]) -> Result<()> {
    if sizes.is_empty() {
        return Ok(());
    }
    say!("")?;
    say!("| after events | etcd's file | in use | resident: gateway 1 | gateway 2 |")?;
    say!("|--:|--:|--:|--:|--:|")?;
    for Sizes { events, etcd, resident } in sizes {
        let resident: Vec<_> = resident.iter().map(|mib| format!("{mib:.1} MiB")).collect();
        say!("| {events} | {:.1} MiB | {:.1} MiB | {} |", mib(etcd.file), mib(etcd.used), resident.join(" | "))?;
    }
    Ok(())
}

/// # Errors
/// When a gateway needs more in the end than it did after three tenths of the load.
fn judge_sizes(sizes: &[Sizes]) -> Result<()> {
    let (Some(begun), Some(end)) = (sizes.get(2), sizes.last()) else { return Ok(()) };
    for (begun, end) in begun.resident.iter().zip(&end.resident) {
        ensure!(end / begun <= 1.0 + GROWTH_MAX, "a gateway grew from {begun:.1} to {end:.1} MiB");
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Ten times as long as so many events take at their pace, and a minute.
fn deadline(events: u32, options: &Options) -> Duration {
    Duration::from_secs(60) + Duration::from_secs(10) * events / options.per_second
}

/// Waits until everything has arrived and nothing is pending, or for as long as that may take; what the receiver got.
fn settle(fleet: &Fleet, receiver: &Receiver, outcome: &Outcome) -> Result<Vec<Record>> {
    let is_idle = wait::within(SETTLED, LOOK, || {
        let pending = fleet.gateway(0)?.pending()? + fleet.gateway(1)?.pending()?;
        let delivered = receiver.counters(ENDPOINT)?.delivered;
        tell!("{delivered} of {} arrived, {pending} pending", outcome.accepted.len());
        Ok((pending == 0 && delivered >= outcome.accepted.len() as u64).then_some(()))
    })?;
    if is_idle.is_none() {
        tell!("not everything arrived within {SETTLED:?}");
    }
    receiver.records(ENDPOINT, 0)
}

fn print_kills(kills: &[Kill], outcome: &Outcome, records: &[Record]) -> Result<()> {
    if kills.is_empty() {
        return Ok(());
    }
    let account = Account::of(&outcome.accepted, records);
    say!("| kill | gateway | its pending | went on after | all of them after | came twice |")?;
    say!("|--:|--:|--:|--:|--:|--:|")?;
    for (number, Kill { gateway, at }) in kills.iter().enumerate() {
        let twice = account.duplicates.iter().filter(|duplicate| duplicate.is_explained(&[*at], NOTED)).count();
        let (pending, first, last) = match Takeover::of(&outcome.accepted, records, *gateway, *at) {
            Some(found) => (found.deliveries, format!("{:.1} s", found.first), format!("{:.1} s", found.last)),
            None => (0, "-".to_owned(), "-".to_owned()),
        };
        say!("| {} | {} | {pending} | {first} | {last} | {twice} |", number + 1, gateway + 1)?;
    }
    say!("")?;
    Ok(())
}

fn print_totals(fleet: &Fleet, outcome: &Outcome, seconds: f64) -> Result<()> {
    let accepted = outcome.accepted.len();
    let journalled = outcome.accepted.iter().filter(|event| event.is_journalled).count();
    say!(
        "{accepted} accepted in {seconds:.0} s ({:.0}/s), {journalled} of them into the journal.",
        accepted as f64 / seconds
    )?;
    let count = |status| outcome.refused.iter().filter(|refused| refused.status == status).count();
    let (unanswered, unavailable) = (count(None), count(Some(503)));
    let others = outcome.refused.len() - unanswered - unavailable;
    say!(
        "Not accepted: {unanswered} not answered, {unavailable} with 503, {others} otherwise. Longest time without an \
         acceptance: {:.1} s.",
        outcome.longest_pause()
    )?;
    let Sizes { etcd, resident, .. } = Sizes::of(fleet, accepted)?;
    let resident: Vec<_> = resident.iter().map(|mib| format!("{mib:.0} MiB")).collect();
    let (file, used) = (mib(etcd.file), mib(etcd.used));
    say!("etcd's file {file:.1} MiB, in use {used:.1} MiB; resident: {}.", resident.join(", "))?;
    Ok(())
}

fn judge(account: &Account, kills: &[Kill]) -> Result<()> {
    let Account { accepted, missing, unverified, duplicates, untold, .. } = account;
    let times: Vec<f64> = kills.iter().map(|kill| kill.at).collect();
    let unexplained = account.unexplained(&times, NOTED);
    say!(
        "{accepted} accepted, {} arrived, {} came twice ({} delivered within {NOTED} s before a kill), {untold} more arrived \
         whose producers got no answer.",
        accepted - missing.len(),
        duplicates.len(),
        duplicates.len() - unexplained.len()
    )?;
    ensure!(missing.is_empty(), "{} accepted events did not arrive, such as {:?}", missing.len(), missing.first());
    ensure!(unverified.is_empty(), "{} did not verify, such as {:?}", unverified.len(), unverified.first());
    ensure!(
        unexplained.is_empty(),
        "{} came twice for no reason, such as {:?}",
        unexplained.len(),
        unexplained.first()
    );
    Ok(())
}

/// The endpoint of the example that is kept.
const ENDPOINT: &str = "billing";
const WORKERS: u32 = 2;
const PRODUCERS: u32 = 16;
const EVENT_BYTES: usize = 1000;
/// How long the receiver takes for an answer, in seconds.
const ANSWER: f64 = 0.02;
/// Longer than any `--down` that makes sense.
const DOWN: Duration = Duration::from_secs(600);
/// Longer than a lease, a takeover and all retries.
const SETTLED: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(1);
/// How much a gateway's memory may grow after the warm-up, as a share.
const GROWTH_MAX: f64 = 0.05;
