//! What an event costs at full load: CPU time of the Envoy process for each event that arrives.
//!
//! Each case is measured from the first request until the receiver has everything: what was accepted but not yet
//! delivered is not paid for.

use crate::terminal::{say, tell};

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use gatepost_kit::envoy::Envoy;

use super::case::{self, Case, SECRET};
use super::figures::{median, quantile};
use super::messages::Messages;
use super::options::Options;
use super::process::cpu_seconds;
use super::sink::Sink;
use super::wrk;

/// An Envoy under load, and what was measured of it.
pub struct Loaded {
    /// What it is.
    pub case: Case,
    /// Its process, warm.
    pub envoy: Envoy,
    /// Events a second that reached the receiver, of each run.
    rates: Vec<f64>,
    /// CPU time of the Envoy process for each of them, in microseconds, of each run.
    cpu_us: Vec<f64>,
}

/// Loads all cases in turn, so that whatever else the machine does falls on all of them alike.
///
/// # Errors
/// When a request is refused, a delivery does not arrive, or connections are not kept alive.
pub fn measure<'a>(cases: impl Iterator<Item = &'a Case>, options: &Options, sink: &Sink) -> Result<Vec<Loaded>> {
    let start = |case: &Case| Ok(Loaded::new(case.clone(), case.start(1, sink)?));
    let mut all = cases.map(start).collect::<Result<Vec<_>>>()?;
    for loaded in &all {
        loaded.warm_up(options, sink)?;
    }
    for repetition in 1..=options.repetitions {
        for loaded in &mut all {
            let (rate, cpu_us) = loaded.measure_once(options, sink)?;
            tell!("{repetition}/{} {}: {rate:.0}/s, {cpu_us:.1} µs", options.repetitions, loaded.case);
        }
    }
    Ok(all)
}

impl Loaded {
    /// An Envoy of which nothing was measured yet.
    pub fn new(case: Case, envoy: Envoy) -> Self {
        Self { case, envoy, rates: Vec::new(), cpu_us: Vec::new() }
    }

    /// Loads it for a while: V8 compiles what runs often once more, and better.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn warm_up(&self, options: &Options, sink: &Sink) -> Result<()> {
        self.run(WARM_UP_SECONDS, options.connections, sink).map(drop)
    }

    /// Loads it once, and notes events a second and CPU microseconds for each.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn measure_once(&mut self, options: &Options, sink: &Sink) -> Result<(f64, f64)> {
        let (rate, cpu_us) = self.run(options.seconds, options.connections, sink)?;
        self.rates.push(rate);
        self.cpu_us.push(cpu_us);
        Ok((rate, cpu_us))
    }

    /// Events a second.
    ///
    /// # Errors
    /// When there were no runs.
    pub fn rate(&self) -> Result<f64> {
        median(&self.rates)
    }

    /// CPU microseconds an event.
    ///
    /// # Errors
    /// When there were no runs.
    pub fn cpu_us(&self) -> Result<f64> {
        median(&self.cpu_us)
    }

    /// Events a second, and CPU microseconds for each.
    fn run(&self, seconds: u32, connections: u32, sink: &Sink) -> Result<(f64, f64)> {
        let url = case::url(&self.envoy)?;
        let signed = self.case.filter.takes_signed();
        let messages = signed.then(|| Messages::sign(SECRET, seconds * MESSAGES_A_SECOND)).transpose()?;
        let script = messages.as_ref().map_or_else(|| wrk::ONE_KIB.to_owned(), Messages::script);
        let (received, connected) = (sink.received(), sink.connections());
        let (cpu, start) = (cpu_seconds(self.envoy.pid())?, Instant::now());
        let sent = wrk::run(&url, seconds, connections, &script)?;
        let delivered = case::all_delivered(&self.envoy, sink, received, sent)?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds(self.envoy.pid())? - cpu);
        let connected = sink.connections() - connected;
        ensure!(
            connected <= CONNECTIONS_AT_ONCE + delivered / EVENTS_A_CONNECTION_MIN,
            "{connected} connections to the receiver for {delivered} events: they are not kept alive, and what was \
             measured is how long connecting takes"
        );
        Ok((delivered as f64 / seconds, cpu * 1e6 / delivered as f64))
    }
}

/// What was measured of a case of this source, by its letter.
///
/// # Errors
/// When nothing was.
pub fn own<'a>(all: &'a [Loaded], letter: &str) -> Result<&'a Loaded> {
    let mut found = all.iter().filter(|loaded| loaded.case.letter == letter && loaded.case.beside.is_none());
    found.next().with_context(|| format!("no case {letter}"))
}

/// A table in Markdown, and how what does the same compares.
///
/// # Errors
/// When nothing was measured.
pub fn print(all: &[Loaded], options: &Options) -> Result<()> {
    let Options { seconds, repetitions, connections, .. } = options;
    say!("Medians of {repetitions} runs of {seconds} s, interleaved; one worker, {connections} connections,")?;
    say!("HTTP/1.1, POSTs of 1 KiB. CPU is that of the whole Envoy process.")?;
    say!("")?;
    say!("| | events/s | CPU µs an event | of (a) |")?;
    say!("|---|--:|--:|--:|")?;
    let base = own(all, "(a)")?.cpu_us()?;
    for loaded in all {
        let (rate, cpu) = (loaded.rate()?, loaded.cpu_us()?);
        say!("| {} | {rate:.0} | {cpu:.1} | {:.2} × |", loaded.case.title(), cpu / base)?;
    }
    say!("")?;
    for (letter, floor) in [("(c)", "(m)"), ("(f)", "(e)")] {
        let this = own(all, letter)?;
        let does_the_same = |that: &&Loaded| that.case.letter == letter && that.case.beside.is_some();
        for that in all.iter().filter(|that| that.case.letter == floor || does_the_same(that)) {
            let ratios: Vec<f64> = this.cpu_us.iter().zip(&that.cpu_us).map(|(this, that)| this / that).collect();
            let (low, high) = (quantile(&ratios, 0.25)?, quantile(&ratios, 0.75)?);
            let ratio = median(&ratios)?;
            say!("- {letter} costs {ratio:.2} × {}; half of the runs between {low:.2} and {high:.2}", that.case)?;
        }
    }
    Ok(())
}

/// More than a worker verifies: each may come once.
const MESSAGES_A_SECOND: u32 = 50_000;
const WARM_UP_SECONDS: u32 = 10;
/// Envoy opens one for each request under way, once: as many as an endpoint's `max_in_flight`.
const CONNECTIONS_AT_ONCE: u64 = 64;
/// A receiver that closes connections makes it one for each event.
const EVENTS_A_CONNECTION_MIN: u64 = 50;
