//! Those who send to a fleet, and what each knows: producers, senders of messages, operators. Each has a random generator of
//! its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use host_tests::{Application, Forwarded, Process, Reply, StreamId, Thread};

use crate::requests::PATH;

/// The number of keys that producers use again: the last ones.
const KEYS: u32 = 4;

/// The header with a message's number, by which its application knows it.
pub const NUMBER: &str = "x-number";

/// An event under an idempotency key: the key's number, and whether it is another event than the key was drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub key: u32,
    pub is_other: bool,
}

/// What is known of an idempotency key.
#[derive(Debug, Default)]
pub struct Key {
    /// The id of its event, the endpoints, and which of the two events that is, once one is accepted in the journal.
    pub first: Option<(String, Vec<String>, bool)>,
    /// The events that were sent under it.
    pub sent: BTreeSet<bool>,
    /// The requests that are under way.
    pub open: usize,
    /// When one ended last.
    pub ended: Duration,
}

/// The idempotency keys of the producers. They have a random generator of their own, as the senders of messages and the
/// operators have.
pub struct Keys {
    pub rng: Rng,
    pub keys: BTreeMap<u32, Key>,
}

impl Keys {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed ^ 0x0e75), keys: BTreeMap::new() }
    }

    /// Draws a key for the next event, in a quarter of the cases: a new one, or one of the last.
    pub fn draw(&mut self) -> Option<Use> {
        if self.rng.u8(0..4) > 0 {
            return None;
        }
        let next = self.keys.len() as u32;
        let is_new = next == 0 || self.rng.bool();
        let key = if is_new { next } else { next - 1 - self.rng.u32(0..next.min(KEYS)) };
        Some(Use { key, is_other: self.rng.u8(0..10) == 0 })
    }
}

/// A request with a message that has not ended.
pub struct Passing {
    pub number: u32,
    pub gateway: usize,
    pub worker: usize,
    pub stream: StreamId,
    pub at: Duration,
    pub has_passed: bool,
}

/// What is known of a message.
#[derive(Debug, Default)]
pub struct Message {
    /// A VM was lost that had it: its process takes it for claimed for some minutes.
    pub is_unsure: bool,
    /// When a request with it ended last.
    pub ended: Duration,
}

/// The sender, with a random generator of its own.
pub struct Sender {
    pub rng: Rng,
    pub messages: BTreeMap<u32, Message>,
    pub open: Vec<Passing>,
    /// The messages that an application has taken, whether its answer arrives or not.
    pub taken: Rc<RefCell<BTreeSet<u32>>>,
}

impl Sender {
    pub fn new(seed: u64) -> Self {
        let rng = Rng::with_seed(seed ^ 0x5e9d);
        Self { rng, messages: BTreeMap::new(), open: Vec::new(), taken: Rc::default() }
    }

    /// The application of a gateway, which takes messages, refuses them, or does not answer; a healthy one takes all.
    pub fn application(&self, seed: u64, is_healthy: bool) -> Application {
        let (mut rng, taken) = (Rng::with_seed(seed ^ 0x0a11), Rc::clone(&self.taken));
        Application::by(move |request| {
            if request.header(":path") != PATH {
                return Reply::status(200).after(Duration::ZERO);
            }
            let later = Duration::from_millis(rng.u64(1..4_000));
            let reply = match if is_healthy { 0 } else { rng.u8(0..12) } {
                0..4 => Reply::status(200).after(Duration::ZERO),
                4..6 => Reply::status(202).after(later),
                6 | 7 => return Reply::status(500).after(later),
                8 => return Reply::status(404).after(Duration::ZERO),
                9 => return Reply::disconnect(),
                // It breaks behind its headers, which say 200.
                10 => Reply::reset().after(later),
                _ => return Reply::hang(),
            };
            taken.borrow_mut().extend(number(request));
            reply
        })
    }

    /// The VM of a worker is lost: its process takes for claimed what it had.
    pub fn lost(&mut self, gateway: usize, thread: Thread) {
        for one in self.open.iter().filter(|one| one.gateway == gateway && thread == Thread::Worker(one.worker)) {
            self.messages.entry(one.number).or_default().is_unsure = true;
        }
    }
}

fn number(request: &Forwarded) -> Option<u32> {
    request.header(NUMBER).parse().ok()
}

impl Passing {
    /// Whether there is something to look at.
    pub fn has_moved(&self, process: &Process) -> bool {
        !process.is_open(self.stream) || (!self.has_passed && process.forwarded(self.stream).is_some())
    }
}

/// The operators of the fleet, with a random generator of their own.
pub struct Operator {
    pub rng: Rng,
    /// When somebody ordered last that the filter be disabled.
    pub disabled: Option<Duration>,
}

impl Operator {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed ^ 0x09e7), disabled: None }
    }

    /// Whether somebody has ordered since then that the filter be disabled.
    pub fn has_disabled(&self, since: Duration) -> bool {
        self.disabled.is_some_and(|at| at >= since)
    }
}
