//! The receivers of a run: how they behave at the moment, and how each attempt ended that reached them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use host_tests::{Call, Reply, Upstream};

/// The text in the body of an event whose attempts kill their VM.
pub const POISON: &[u8] = b"poison";

/// The cluster of all sinks.
pub const SINK: &str = "sink";

/// The mood of a receiver: how it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// The receiver answers 200.
    Healthy,
    /// The receiver answers this status.
    Fails(u16),
    /// The receiver answers this status, and `retry-after` with so many seconds.
    RetryAfter(u16, u32),
    /// The receiver never answers.
    Hangs,
    /// The connection breaks in the middle of the answer.
    Resets,
    /// The connection breaks before the answer.
    Disconnects,
    /// No connection can be made.
    Unreachable,
    /// Envoy refuses to send.
    Refused,
    /// The mood is drawn anew for each attempt.
    Flaky,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// When the gateway learned of the end, if no fault prevented that.
    pub at: Duration,
    /// The status; `None`: there was none in time.
    pub status: Option<u16>,
    /// The wait that the receiver asked for.
    pub retry_after: Duration,
}

impl End {
    /// Whether the receiver took the event.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether the end is a sign of trouble to a breaker.
    pub fn is_failure(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }

    /// Whether no further attempt follows: a status below 500, but not 408 or 429.
    pub fn is_final(&self) -> bool {
        self.status.is_some_and(|status| status < 500 && status != 408 && status != 429)
    }
}

/// An attempt as a receiver got it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The call.
    pub call: Call,
    /// How the attempt ended, or will end.
    pub end: End,
    /// The VM that made the attempt dies of it.
    pub kills: bool,
}

/// All receivers of a run.
#[derive(Debug)]
pub struct Receivers {
    rng: Rng,
    moods: BTreeMap<String, Mood>,
    /// The attempts that have come since the checks last took them, in order.
    pub received: Vec<Received>,
}

impl Receivers {
    /// Receivers that are all healthy.
    pub fn new(rng: Rng) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { rng, moods: BTreeMap::new(), received: Vec::new() }))
    }

    /// The upstream of a cluster, which answers as the receiver does.
    pub fn upstream(receivers: &Rc<RefCell<Self>>, cluster: &str) -> Upstream {
        let (receivers, cluster) = (Rc::clone(receivers), cluster.to_owned());
        Upstream::by(move |call| receivers.borrow_mut().receive(&cluster, call))
    }

    /// Draws a new mood for one of the receivers, and returns it.
    pub fn change(&mut self, cluster: &str) -> Mood {
        let mood = self.mood();
        self.moods.insert(cluster.to_owned(), mood);
        mood
    }

    /// Makes all receivers healthy, from now on.
    pub fn heal(&mut self) {
        self.moods.clear();
    }

    fn mood(&mut self) -> Mood {
        match self.rng.u8(0..14) {
            0..=3 => Mood::Healthy,
            4 => Mood::Fails(500),
            5 => Mood::Fails(503),
            6 => Mood::Fails([400, 401, 404, 410, 302].get(self.rng.usize(0..5)).copied().unwrap_or(400)),
            7 => Mood::RetryAfter(if self.rng.bool() { 429 } else { 503 }, self.rng.u32(1..10)),
            8 => Mood::Hangs,
            9 => Mood::Resets,
            10 => Mood::Disconnects,
            11 => Mood::Unreachable,
            12 => Mood::Refused,
            _ => Mood::Flaky,
        }
    }

    fn receive(&mut self, cluster: &str, call: &Call) -> Reply {
        let mut mood = self.moods.get(cluster).copied().unwrap_or(Mood::Healthy);
        while mood == Mood::Flaky {
            mood = self.mood();
        }
        let kills = call.body.windows(POISON.len()).any(|window| window == POISON);
        if kills {
            mood = Mood::Hangs;
        }
        let latency = Duration::from_millis(if self.rng.u8(0..8) == 0 { self.rng.u64(0..5000) } else { 1 });
        let (reply, status, retry_after) = match mood {
            Mood::Healthy | Mood::Flaky => (Reply::status(200), Some(200), 0),
            Mood::Fails(status) => (Reply::status(status), Some(status), 0),
            Mood::RetryAfter(status, seconds) => {
                (Reply::status(status).header("retry-after", seconds.to_string()), Some(status), seconds)
            }
            Mood::Hangs => (Reply::hang(), None, 0),
            Mood::Resets => (Reply::reset(), None, 0),
            Mood::Disconnects => (Reply::disconnect(), None, 0),
            Mood::Unreachable => (Reply::connect_failure(), None, 0),
            // Envoy does not send at all: no call, and no end of it.
            Mood::Refused => return Reply::refused(),
        };
        let late = mood == Mood::Hangs || latency >= call.timeout;
        let end = End {
            at: call.at + if late { call.timeout } else { latency },
            // An answer after the timeout does not count, although the receiver has taken the event for all it knows.
            status: status.filter(|_| !late),
            retry_after: Duration::from_secs(if late { 0 } else { retry_after.into() }),
        };
        self.received.push(Received { call: call.clone(), end, kills });
        reply.after(latency)
    }
}
