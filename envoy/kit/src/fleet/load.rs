//! Producers that send events to several gateways in turn, and go on with the others when one is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::now;
use crate::example::AUTHORIZATION;
use crate::{http, wait};

/// How to send.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Producers, each with one event under way.
    pub producers: u32,
    /// Events a second, of all producers together.
    pub per_second: u32,
    /// The type of the events.
    pub event: &'static str,
    /// The bytes of filler in each.
    pub filler: usize,
}

/// An event that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Its id.
    pub id: String,
    /// Which gateway it was sent to.
    pub gateway: usize,
    /// Seconds since the Unix epoch, just before it was sent.
    pub sent: f64,
    /// And when the answer had come.
    pub answered: f64,
    /// The receipt says that it is in the journal.
    pub is_journalled: bool,
}

/// An event that was not accepted, or whose answer did not come.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Which gateway it was sent to.
    pub gateway: usize,
    /// Seconds since the Unix epoch, just before it was sent.
    pub sent: f64,
    /// The answer; `None` when none came.
    pub status: Option<u16>,
    /// The answer says when to try again.
    pub has_retry_after: bool,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Events that were accepted.
    pub accepted: Vec<Accepted>,
    /// Those that were not: another event was sent in the place of each.
    pub refused: Vec<Refused>,
}

/// Running producers. They end when this is dropped.
pub struct Producers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Outcome>>>,
}

struct Shared {
    load: Load,
    gateways: Vec<String>,
    accepted: AtomicUsize,
    /// Those, and what is under way.
    granted: AtomicUsize,
    /// Producers end when so many are accepted.
    enough: AtomicUsize,
    is_over: AtomicBool,
}

impl Producers {
    /// Starts to send to these gateways, `host:port` each.
    pub fn start(gateways: Vec<String>, load: Load) -> Self {
        let (accepted, granted, enough) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let shared = Arc::new(Shared { load, gateways, accepted, granted, enough, is_over: AtomicBool::new(false) });
        let producer = |number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.produce(number))
        };
        let threads = (0..load.producers as usize).map(producer).collect();
        Self { shared, threads }
    }

    /// How many events have been accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Waits until so many events more have been accepted.
    ///
    /// # Errors
    /// When they are not within `deadline`.
    pub fn wait_for_more(&self, events: usize, deadline: Duration) -> Result<()> {
        let wanted = self.accepted() + events;
        wait::until("events are accepted", deadline, || Ok((self.accepted() >= wanted).then_some(())))
    }

    /// Goes on until so many have been accepted in all, and gives back what came of it.
    ///
    /// # Errors
    /// When they are not within `deadline`, or an accepted event has no id.
    pub fn finish_at(self, events: usize, deadline: Duration) -> Result<Outcome> {
        self.shared.enough.store(events, Ordering::Relaxed);
        wait::until("events are accepted", deadline, || Ok((self.accepted() >= events).then_some(())))
            .with_context(|| format!("{} of {events} were", self.accepted()))?;
        self.finish()
    }

    /// Ends it, and gives back what came of it.
    ///
    /// # Errors
    /// When an accepted event has no id.
    pub fn finish(mut self) -> Result<Outcome> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut outcome = Outcome::default();
        for thread in std::mem::take(&mut self.threads) {
            let Outcome { accepted, refused } = thread.join().map_err(|_| anyhow!("a producer panicked"))??;
            outcome.accepted.extend(accepted);
            outcome.refused.extend(refused);
        }
        outcome.accepted.sort_by(|one, other| one.answered.total_cmp(&other.answered));
        Ok(outcome)
    }
}

impl Drop for Producers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What it found is nobody's any more.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn produce(&self, number: usize) -> Result<Outcome> {
        let http = http::client_within(ANSWER);
        let body = json!({"filler": "x".repeat(self.load.filler)});
        let every = Duration::from_secs(1) * self.load.producers / self.load.per_second.max(1);
        let mut outcome = Outcome::default();
        let mut next = Instant::now();
        let mut refusals = 0;
        // Each begins elsewhere, and takes the gateways in turn.
        for gateway in (0..self.gateways.len()).cycle().skip(number) {
            if self.is_over.load(Ordering::Relaxed) || self.accepted() >= self.enough.load(Ordering::Relaxed) {
                break;
            }
            // What one gateway refuses is sent to the next at once, as a load balancer does; when all have, it waits.
            if refusals % self.gateways.len() == 0 {
                // What was late is not made up for: the load stays even.
                thread::sleep(next.saturating_duration_since(Instant::now()));
                next = next.max(Instant::now()) + every;
            }
            // Not one more than is wanted, but for what was under way when that was said.
            let is_granted = self.granted.fetch_add(1, Ordering::Relaxed) < self.enough.load(Ordering::Relaxed);
            if is_granted && self.attempt(&http, gateway, &body, &mut outcome)? {
                refusals = 0;
            } else {
                self.granted.fetch_sub(1, Ordering::Relaxed);
                refusals += 1;
            }
        }
        Ok(outcome)
    }

    /// Sends one event; says whether it was accepted.
    fn attempt(&self, http: &ureq::Agent, gateway: usize, body: &Value, outcome: &mut Outcome) -> Result<bool> {
        let address = self.gateways.get(gateway).context("there is no such gateway")?;
        let sent = now()?;
        let request = http.post(format!("http://{address}/events/{}", self.load.event));
        let answer = request.header("authorization", AUTHORIZATION).send_json(body);
        let answer = answer.map_err(anyhow::Error::from).and_then(super::answer);
        let answered = now()?;
        match answer {
            Ok(answer) if answer.status == 202 => {
                ensure!(!answer.id().is_empty(), "an accepted event without an id: {answer:?}");
                let is_journalled = answer.body.get("durability").is_some_and(|durability| durability == "journal");
                outcome.accepted.push(Accepted { id: answer.id().to_owned(), gateway, sent, answered, is_journalled });
                self.accepted.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            other => {
                let status = other.as_ref().ok().map(|answer| answer.status);
                let has_retry_after = other.is_ok_and(|answer| !answer.retry_after.is_empty());
                outcome.refused.push(Refused { gateway, sent, status, has_retry_after });
                Ok(false)
            }
        }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Outcome {
    /// The longest time in which no event was accepted, in seconds.
    pub fn longest_pause(&self) -> f64 {
        let times = self.accepted.iter().map(|event| event.answered);
        let pairs = times.clone().zip(times.skip(1));
        pairs.map(|(one, next)| next - one).fold(0.0, f64::max)
    }
}

/// A gateway that was stopped answers nothing; one that asks its journal answers after 4 s at most.
const ANSWER: Duration = Duration::from_secs(10);
