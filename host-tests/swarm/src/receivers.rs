//! The receivers of a run: how they behave at the moment, and how each attempt ended that reached them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use host_tests::{Call, Reply, Upstream};

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// 200.
    Healthy,
    /// This status.
    Fails(u16),
    /// 429 with so many seconds.
    RetryAfter(u32),
    /// Never.
    Hangs,
    /// The connection breaks in the middle of the answer.
    Resets,
    /// It breaks before the answer.
    Disconnects,
    /// There is none.
    Unreachable,
    /// Envoy does not send.
    Refused,
    /// Each attempt is drawn anew.
    Flaky,
}

/// How an attempt ended for its receiver.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// When the gateway learned of it, if nothing kept that from it.
    pub at: Duration,
    /// The status; `None` when there was none.
    pub status: Option<u16>,
}

/// All receivers of a run.
#[derive(Debug)]
pub struct Receivers {
    rng: Rng,
    moods: BTreeMap<String, Mood>,
    /// For each cluster, one for each of its calls.
    pub ends: BTreeMap<String, Vec<End>>,
}

impl Receivers {
    /// Healthy ones.
    pub fn new(rng: Rng) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { rng, moods: BTreeMap::new(), ends: BTreeMap::new() }))
    }

    /// The script of a cluster.
    pub fn upstream(receivers: &Rc<RefCell<Self>>, cluster: &str) -> Upstream {
        let (receivers, cluster) = (Rc::clone(receivers), cluster.to_owned());
        Upstream::by(move |call| receivers.borrow_mut().receive(&cluster, call))
    }

    /// Changes how one of them behaves.
    pub fn change(&mut self, cluster: &str) -> Mood {
        let mood = self.mood();
        self.moods.insert(cluster.to_owned(), mood);
        mood
    }

    /// From now on all are healthy.
    pub fn heal(&mut self) {
        self.moods.clear();
    }

    fn mood(&mut self) -> Mood {
        match self.rng.u8(0..14) {
            0..=3 => Mood::Healthy,
            4 => Mood::Fails(500),
            5 => Mood::Fails(503),
            6 => Mood::Fails([400, 401, 404, 410, 302].get(self.rng.usize(0..5)).copied().unwrap_or(400)),
            7 => Mood::RetryAfter(self.rng.u32(1..10)),
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
        let latency = Duration::from_millis(if self.rng.u8(0..8) == 0 { self.rng.u64(0..5000) } else { 1 });
        let (reply, status) = match mood {
            Mood::Healthy | Mood::Flaky => (Reply::status(200), Some(200)),
            Mood::Fails(status) => (Reply::status(status), Some(status)),
            Mood::RetryAfter(seconds) => (Reply::status(429).header("retry-after", &seconds.to_string()), Some(429)),
            Mood::Hangs => (Reply::hang(), None),
            Mood::Resets => (Reply::reset(), None),
            Mood::Disconnects => (Reply::disconnect(), None),
            Mood::Unreachable => (Reply::connect_failure(), None),
            // Envoy does not send at all: no call, and no end of it.
            Mood::Refused => return Reply::refused(),
        };
        let late = mood == Mood::Hangs || latency >= call.timeout;
        let end = End {
            at: call.at + if late { call.timeout } else { latency },
            // What came after the timeout was taken all the same, for all the receiver knows.
            status: status.filter(|_| !late),
        };
        self.ends.entry(cluster.to_owned()).or_default().push(end);
        reply.after(latency)
    }
}
