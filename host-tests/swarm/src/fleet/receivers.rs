//! The receivers of a fleet's events, which all gateways attempt.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use host_tests::{Reply, Thread, Upstream};

/// An attempt as a receiver got it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The gateway's process, as etcd knows it.
    pub process: String,
    /// The thread whose VM made the attempt.
    pub thread: Thread,
    /// When it came, by the time of all.
    pub at: Duration,
    /// The endpoint.
    pub endpoint: String,
    /// The event's id.
    pub id: String,
    /// The receiver took the event, and answered in time.
    pub is_taken: bool,
    /// When the gateway is told the end.
    pub ends: Duration,
}

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Takes,
    Fails,
    Hangs,
    Resets,
    /// Each attempt in its own way.
    Wavers,
}

/// All receivers.
#[derive(Debug)]
pub struct FleetReceivers {
    rng: Rng,
    manners: BTreeMap<String, Manner>,
    /// The attempts that have come since they were last looked at, in order.
    pub arrived: Vec<Arrival>,
}

impl FleetReceivers {
    /// Receivers that take everything.
    pub fn new(rng: Rng) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { rng, manners: BTreeMap::new(), arrived: Vec::new() }))
    }

    /// The cluster of an endpoint, for the process of this name, which started at this time of all.
    pub fn upstream(receivers: &Rc<RefCell<Self>>, endpoint: &str, process: &str, start: Duration) -> Upstream {
        let receivers = Rc::clone(receivers);
        let (endpoint, process) = (endpoint.to_owned(), process.to_owned());
        Upstream::by(move |call| {
            let mut receivers = receivers.borrow_mut();
            let (reply, is_taken, wait) = receivers.reply(&endpoint, call.timeout);
            let at = start + call.at;
            receivers.arrived.push(Arrival {
                process: process.clone(),
                thread: call.thread,
                at,
                endpoint: endpoint.clone(),
                id: call.header("x-webhook-id").to_owned(),
                is_taken,
                ends: at + wait,
            });
            reply
        })
    }

    /// Draws another manner for one of the receivers.
    pub fn change(&mut self, endpoint: &str) {
        let manner = self.manner();
        self.manners.insert(endpoint.to_owned(), manner);
    }

    /// Lets all take everything, from now on.
    pub fn heal(&mut self) {
        self.manners.clear();
    }

    fn manner(&mut self) -> Manner {
        match self.rng.u8(0..10) {
            0..5 => Manner::Takes,
            5 => Manner::Fails,
            6 => Manner::Hangs,
            7 => Manner::Resets,
            _ => Manner::Wavers,
        }
    }

    /// The reply to an attempt, whether it is taken, and how long until the gateway is told.
    fn reply(&mut self, endpoint: &str, timeout: Duration) -> (Reply, bool, Duration) {
        let mut manner = self.manners.get(endpoint).copied().unwrap_or(Manner::Takes);
        while manner == Manner::Wavers {
            manner = self.manner();
        }
        let wait = Duration::from_millis(if self.rng.u8(0..6) == 0 { self.rng.u64(1..2000) } else { 2 });
        let is_late = wait >= timeout;
        let told = wait.min(timeout);
        match manner {
            Manner::Takes | Manner::Wavers => (Reply::status(200).after(wait), !is_late, told),
            Manner::Fails => (Reply::status(503).after(wait), false, told),
            Manner::Hangs => (Reply::hang(), false, timeout),
            Manner::Resets => (Reply::reset().after(wait), false, told),
        }
    }
}
