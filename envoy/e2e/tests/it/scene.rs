//! A load while a test breaks things, and the account of what became of it: what was accepted, what arrived, what arrived
//! again and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use gatepost_e2e::load::Load;
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Events of one load.
const EVENTS: usize = 10_000;
const CONNECTIONS: u32 = 8;
/// On each connection: 400 events a second in all, so that the load outlasts leases and drains.
const PACE: Duration = Duration::from_millis(20);
/// Attempts of the endpoint under way at each thread at the same moment: what one thread's end can repeat.
pub const IN_FLIGHT: usize = 8;
/// How long an attempt may be under way, in seconds.
const TIMEOUT: f64 = 20.0;
/// How long the receiver takes to answer, in seconds.
const ANSWER: f64 = 0.02;
/// And how long when it is to outlast an update and its drain.
const OUTLASTING: f64 = 6.0;
/// Longer than a lease, an attempt that is under way, and every retry.
const ARRIVAL: Duration = Duration::from_secs(120);
const TOKEN: &str = "operates";

/// A receiver that remembers over its own death, and what runs beside it.
pub struct Scene {
    directory: TempDir,
    options: Options,
}

/// From when to when something happened, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Just before.
    pub begin: f64,
    /// Just after.
    pub end: f64,
}

impl Span {
    /// When this happens.
    pub fn of<T>(act: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let begin = now()?;
        let done = act()?;
        Ok((Self { begin, end: now()? }, done))
    }
}

/// Seconds since the Unix epoch.
pub fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// An event that arrived twice: when, and when again.
#[derive(Clone, Copy, Debug)]
pub struct Duplicate {
    /// When the attempt began that arrived before.
    pub first: f64,
    /// When this one began.
    pub again: f64,
}

impl Duplicate {
    /// Was an attempt of it under way when this happened, and was it made again so many seconds later or more?
    pub fn is_made_again(&self, after: Span, seconds: f64) -> bool {
        (after.begin - TIMEOUT..=after.end).contains(&self.first) && self.again >= after.begin + seconds
    }
}

/// What became of a load.
pub struct Account {
    /// Events that were accepted.
    pub accepted: usize,
    /// Those of them that arrived.
    pub arrived: usize,
    /// Events that were refused or not answered, and followed by others.
    pub refused: usize,
    /// Those of them that arrived: their producers were not told that they were accepted.
    pub untold: usize,
    /// Arrivals of ids that had arrived before.
    pub duplicates: Vec<Duplicate>,
}

impl Account {
    /// Prints the account, and fails when an event is missing, a duplicate is not there for the reason `why`, or there are
    /// more than `at_most`.
    pub fn settle(
        &self,
        what: &str,
        why: &str,
        at_most: usize,
        is_explained: impl Fn(&Duplicate) -> bool,
    ) -> Result<()> {
        let Self { accepted, arrived, refused, untold, duplicates } = self;
        println!(
            "{what}: accepted {accepted}, arrived {arrived}, duplicates {} (at most {at_most}: {why}); refused or not \
             answered, and another event sent instead: {refused}, of which {untold} arrived",
            duplicates.len()
        );
        ensure!(arrived == accepted, "{} accepted events have not arrived", accepted - arrived);
        let unexplained: Vec<_> = duplicates.iter().filter(|duplicate| !is_explained(duplicate)).collect();
        ensure!(unexplained.is_empty(), "duplicates for another reason: {unexplained:?}");
        ensure!(duplicates.len() <= at_most, "{} duplicates, at most {at_most} expected", duplicates.len());
        Ok(())
    }
}

impl Scene {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let journal = Some(directory.path().join("journal"));
        Ok(Self { directory, options: Options { port: 0, compact: true, journal } })
    }

    /// A life of the receiver; the next one has the same port. It takes its time, so that whatever breaks finds attempts
    /// under way.
    pub fn receiver(&mut self) -> Result<Receiver> {
        let receiver = Receiver::start(&[("a", "secret-of-a")], &self.options)?;
        let (_, port) = receiver.address().rsplit_once(':').context("no port")?;
        self.options.port = port.parse()?;
        receiver.script("a", &json!({"then": {"delay": ANSWER}}))?;
        Ok(receiver)
    }

    /// What is run: an endpoint with these keys, and an admin surface to ask what is pending.
    pub fn setup(receiver: &Receiver, more: Value) -> Setup {
        let mut entry = json!({
            "max_in_flight": IN_FLIGHT, "timeout": format!("{TIMEOUT}s"), "breaker": {"failures": 100, "open": "1s"},
        });
        if let (Some(entry), Value::Object(more)) = (entry.as_object_mut(), more) {
            entry.extend(more);
        }
        let reload = json!({"reload_config": {"backoff": {"base_interval": "0.1s"}}});
        let admin = json!({"admin": {"tokens": [{"value": TOKEN, "role": "operate"}]}});
        Setup::new(receiver, &[endpoint("a", "secret-of-a", entry)]).with(admin).with_around(reload).administered()
    }

    /// Breaks things while 10,000 events are sent, then waits until all of them have come to their end. The account, and
    /// what `break_things` returned.
    pub fn play<T>(
        &mut self,
        gateway: &Gateway,
        break_things: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<(Account, T)> {
        let load = Load {
            protocol: Protocol::Http1,
            connections: CONNECTIONS,
            events: EVENTS as u32 / CONNECTIONS,
            every: Some(PACE),
        };
        let event = Event::new("payment_verified", format!("{{\"filler\":\"{}\"}}", "x".repeat(1000)));
        let ((accepted, refused), kept) = thread::scope(|scope| {
            let load = scope.spawn(|| load.run_stubbornly(gateway, &event));
            let broken = break_things(self);
            let loaded = load.join().map_err(|_| anyhow!("the load panicked"))?;
            broken.and_then(|kept| Ok((loaded?, kept)))
        })?;
        let sent: BTreeSet<&str> = accepted.iter().map(|event| event.id.as_str()).collect();
        ensure!(sent.len() == EVENTS, "each event has an id of its own");
        wait::until("nothing is pending", ARRIVAL, || Ok((pending(gateway)? == 0).then_some(())))?;
        let arrivals = self.arrivals()?;
        let arrived = sent.iter().filter(|id| arrivals.contains_key(**id)).count();
        let pairs = arrivals.values().flat_map(|times| times.iter().zip(times.iter().skip(1)));
        let duplicates = pairs.map(|(first, again)| Duplicate { first: *first, again: *again }).collect();
        let untold = arrivals.len() - arrived;
        Ok((Account { accepted: sent.len(), arrived, refused, untold, duplicates }, kept))
    }

    /// When the attempts began with which each id arrived.
    fn arrivals(&self) -> Result<BTreeMap<String, Vec<f64>>> {
        let mut arrivals: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for line in fs::read_to_string(self.directory.path().join("journal"))?.lines() {
            let (of_endpoint, time) = line.rsplit_once(' ').context("a line of the journal")?;
            let (_, id) = of_endpoint.split_once(' ').context("a line of the journal")?;
            arrivals.entry(id.to_owned()).or_default().push(time.parse()?);
        }
        Ok(arrivals)
    }
}

/// Lets the next attempts at a receiver outlast a drain of 2 s.
pub fn outlast(receiver: &Receiver) -> Result<()> {
    let before = receiver.counters("a")?.requests;
    let slow = vec![json!({"delay": OUTLASTING}); IN_FLIGHT];
    receiver.script("a", &json!({"replies": slow, "then": {"delay": ANSWER}}))?;
    wait::until("they are under way", ARRIVAL, || {
        Ok((receiver.counters("a")?.requests >= before + IN_FLIGHT as u64).then_some(()))
    })
}

/// Waits until so many events more have arrived.
pub fn wait_for_more(receiver: &Receiver, events: u64) -> Result<()> {
    let before = receiver.counters("a")?.delivered;
    wait::until("events arrive", ARRIVAL, || Ok((receiver.counters("a")?.delivered >= before + events).then_some(())))
}

/// What the gateway says is pending.
fn pending(gateway: &Gateway) -> Result<u64> {
    let request = Event::request("GET", "/gatepost/status").with_header("authorization", &format!("Bearer {TOKEN}"));
    let status = gateway.send(&request)?.json()?;
    status.get("pending").and_then(Value::as_u64).with_context(|| format!("no `pending` in {status}"))
}
