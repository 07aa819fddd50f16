//! How long an event is under way, and what it costs where each wakes Envoy for itself: events sent at a given rate.
//!
//! The load is open: an event leaves when it is due, whatever became of those before it. Each connection has a thread
//! that sleeps until its next event is due: the timers of an async runtime count in milliseconds, and would send in
//! bursts. The receiver is a thread of the same process, so both ends of a delivery are told by one clock.

use crate::terminal::{say, tell};

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use gatepost_kit::example::LISTENER;
use gatepost_kit::wait;

use super::case::{Intermediary, PATH};
use super::client::Client;
use super::cost::{self, Loaded};
use super::figures::quantile;
use super::options::Options;
use super::process::cpu_seconds;
use super::sink::{Sink, numbered};

/// A case at a rate, all its runs together.
pub struct Paced<'a> {
    loaded: &'a Loaded,
    /// Events a second.
    rate: u32,
    /// Events that were sent.
    pub events: u64,
    cpu_seconds: f64,
    /// From when an event was due to leave until its producer had the answer, in milliseconds.
    pub answers: Vec<f64>,
    /// From when its producer had the answer until it had arrived, in milliseconds.
    deliveries: Vec<f64>,
}

/// Measures what was loaded fully at one event a wake-up, and at half of the rate that a worker of Gatepost can do, and
/// prints a table in Markdown.
///
/// # Errors
/// When an event is refused or does not arrive, or this machine cannot send so quickly.
pub fn run(loaded: &[Loaded], options: &Options, sink: &Sink) -> Result<()> {
    let half = (cost::own(loaded, "(c)")?.rate()? / 2.0) as u32;
    let basic = || loaded.iter().filter(|loaded| loaded.case.is_basic());
    let mut all: Vec<Paced<'_>> =
        [SLOW, half].into_iter().flat_map(|rate| basic().map(move |loaded| Paced::new(loaded, rate))).collect();
    let mut number = 0;
    for repetition in 1..=options.repetitions {
        for paced in &mut all {
            paced.run(sink, options, &mut number)?;
        }
        tell!("{repetition}/{} of the latencies", options.repetitions);
    }
    print(&all, options)
}

impl<'a> Paced<'a> {
    /// Nothing was sent yet.
    pub fn new(loaded: &'a Loaded, rate: u32) -> Self {
        Self { loaded, rate, events: 0, cpu_seconds: 0.0, answers: Vec::new(), deliveries: Vec::new() }
    }

    /// The CPU time of Envoy for each event, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.events as f64
    }

    /// Sends for so long, and adds what was measured. `number` is that of the last event.
    ///
    /// # Errors
    /// When an event is refused or does not arrive, or this machine cannot send so quickly.
    pub fn run(&mut self, sink: &Sink, options: &Options, number: &mut u64) -> Result<()> {
        let (envoy, rate) = (&self.loaded.envoy, self.rate);
        let address = envoy.listener(LISTENER)?;
        let (first, count) = (*number + 1, u64::from(rate * options.seconds));
        *number += count;
        let before = sink.received();
        let cpu = cpu_seconds(envoy.pid())?;
        let start = Instant::now() + LEAD;
        let senders = u64::from(options.connections);
        let sent: Result<Vec<Vec<PacedEvent>>> = thread::scope(|scope| {
            let send = |sender| {
                let numbers = (first..first + count).skip(sender as usize).step_by(senders as usize);
                let due = move |number| start + Duration::from_secs(1).mul_f64((number - first) as f64) / rate;
                let address = &address;
                scope.spawn(move || {
                    let mut client = Client::connect(address)?;
                    numbers.map(|number| send(&mut client, number, due(number))).collect::<Result<Vec<_>>>()
                })
            };
            let threads: Vec<_> = (0..senders).map(send).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a sender panicked"))?).collect()
        });
        wait::until("every event is delivered", DELIVERED, || Ok((sink.received() - before >= count).then_some(())))?;
        self.cpu_seconds += cpu_seconds(envoy.pid())? - cpu;
        self.events += count;
        let arrivals: HashMap<u64, Instant> = sink.take_arrivals().into_iter().collect();
        for PacedEvent { number, due, left, answered } in sent?.into_iter().flatten() {
            ensure!(left - due < LATE_MAX, "this machine cannot send {rate} events/s: one left late");
            let arrived = arrivals.get(&number).with_context(|| format!("event {number} has not arrived"))?;
            self.answers.push(milliseconds(answered - due));
            // It may be there before its producer has read the answer.
            self.deliveries.push(milliseconds(arrived.saturating_duration_since(answered)));
        }
        Ok(())
    }
}

/// An event that was accepted.
struct PacedEvent {
    number: u64,
    due: Instant,
    left: Instant,
    answered: Instant,
}

/// Sends an event when it is due.
fn send(client: &mut Client, number: u64, due: Instant) -> Result<PacedEvent> {
    let body = numbered(number);
    thread::sleep(due.saturating_duration_since(Instant::now()));
    let left = Instant::now();
    let (status, answered) = client.post(PATH, body)?;
    ensure!(status.is_success(), "event {number} is answered {status}");
    Ok(PacedEvent { number, due, left, answered })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn print(all: &[Paced<'_>], options: &Options) -> Result<()> {
    let Options { seconds, repetitions, connections, .. } = options;
    say!("{repetitions} runs of {seconds} s, interleaved, taken together; one worker, {connections} connections,")?;
    say!("HTTP/1.1, POSTs of 1 KiB, sent evenly whatever is answered.")?;
    say!("")?;
    say!("| | events/s | CPU µs an event | of full load | due to answer, p50 | p99 | answer to receiver, p50 | p99 |")?;
    say!("|---|--:|--:|--:|--:|--:|--:|--:|")?;
    for paced in all {
        let cpu = paced.cpu_us();
        let of = |values: &[f64], share| Ok::<_, anyhow::Error>(format!("{:.2} ms", quantile(values, share)?));
        let answer = [of(&paced.answers, 0.5)?, of(&paced.answers, 0.99)?].join(" | ");
        let delivery = match paced.loaded.case.filter {
            // It forwards, and answers when the receiver has.
            Intermediary::None => " | ".to_owned(),
            _ => [of(&paced.deliveries, 0.5)?, of(&paced.deliveries, 0.99)?].join(" | "),
        };
        let of_full_load = cpu / paced.loaded.cpu_us()?;
        let (title, rate) = (paced.loaded.case.title(), paced.rate);
        say!("| {title} | {rate} | {cpu:.1} | {of_full_load:.2} × | {answer} | {delivery} |")?;
    }
    Ok(())
}

/// Events a second so few that each wakes Envoy for itself.
pub const SLOW: u32 = 500;
/// Until all senders stand ready.
const LEAD: Duration = Duration::from_millis(20);
/// An event that leaves later than this was not sent at the given rate.
const LATE_MAX: Duration = Duration::from_millis(200);
const DELIVERED: Duration = Duration::from_secs(60);
