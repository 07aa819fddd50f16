//! etcd under virtual time: calls arrive, are applied in their turn, and leases expire.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use host_tests::RuleList;

use crate::disruption::{Arriving, Disruption, Mishap, Outage, decide};
use crate::server::{Asked, Server};
use crate::status::{self, Status};
use crate::store::Change;
use crate::users::Who;

/// How long a call takes on the way and back, unless told otherwise.
const LATENCY: Duration = Duration::from_millis(1);
/// Within this time of a leader's return, what waited for it is applied.
const CATCHING_UP: Duration = Duration::from_millis(200);

/// A call that was applied, and what it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// When, by etcd's clock.
    pub at: Duration,
    /// The name of the process that called; `etcd` where a lease expired, `test` where the test itself asked.
    pub by: String,
    /// The path of the call; empty where a lease expired.
    pub path: String,
    /// The revision that it made.
    pub revision: i64,
    /// The changes of keys, in order.
    pub changes: Vec<Change>,
}

/// Where the answer to a call comes to lie.
pub(crate) type Answer = Rc<RefCell<Option<Result<Vec<u8>, Status>>>>;

/// A call that waits for its turn.
struct Waiting {
    call: Call,
    answer: Answer,
}

/// A call of a process.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) process: String,
    pub(crate) path: String,
    pub(crate) message: Vec<u8>,
    pub(crate) token: Option<String>,
    /// How long the process waits; `None` for ever.
    pub(crate) timeout: Option<Duration>,
    /// It reads one member's state, and needs no leader.
    pub(crate) is_local: bool,
}

/// What a process hears of its call.
pub(crate) enum Heard {
    /// What comes of it, so long after it was made.
    Answer(Duration, Answer),
    /// Nothing.
    Nothing,
    NotSent,
    Unreachable,
    Disconnected,
    Reset,
}

/// What a test makes of the message of a call.
type Tamper = Box<dyn FnMut(&str, Vec<u8>) -> Vec<u8>>;

/// etcd, with all that waits and all that is wrong with it.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) now: Duration,
    pub(crate) disruptions: RuleList<Disruption>,
    pub(crate) applied: Vec<Applied>,
    pub(crate) latency: Duration,
    pub(crate) jitter: Duration,
    pub(crate) tamper: Option<Tamper>,
    outage: Option<(Outage, Duration)>,
    waiting: BTreeMap<(Duration, u64), Waiting>,
    arrived: u64,
}

/// What happens next.
enum Next {
    Recovery,
    Call,
    Expiry,
}

impl Cluster {
    pub(crate) fn new(seed: u64, members: usize) -> Self {
        Self {
            server: Server::new(seed, members),
            now: Duration::ZERO,
            disruptions: RuleList::default(),
            applied: Vec::new(),
            latency: LATENCY,
            jitter: Duration::ZERO,
            tamper: None,
            outage: None,
            waiting: BTreeMap::new(),
            arrived: 0,
        }
    }

    /// Lets time pass: what is due by `to` happens in its order.
    pub(crate) fn advance(&mut self, to: Duration) {
        while let Some((at, next)) = self.next().filter(|(at, _)| *at <= to) {
            self.now = self.now.max(at);
            match next {
                Next::Recovery => self.recover(),
                Next::Call => {
                    if let Some((_, waiting)) = self.waiting.pop_first() {
                        let answer = self.serve(&waiting.call);
                        waiting.answer.replace(Some(answer));
                    }
                }
                Next::Expiry => self.expire(),
            }
        }
        self.now = self.now.max(to);
    }

    fn next(&self) -> Option<(Duration, Next)> {
        let recovery = self.outage.map(|(_, until)| (until, Next::Recovery));
        let call = self.waiting.keys().next().map(|(at, _)| (*at, Next::Call));
        // Stopped members count the time of their leases, but delete nothing before they go on.
        let expiry = if self.outage.is_some() { None } else { self.server.leases.next_look(self.now) };
        let expiry = expiry.map(|at| (at, Next::Expiry));
        // Of what is due at one moment the first of these.
        [recovery, call, expiry].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    pub(crate) fn begin_outage(&mut self, outage: Outage, duration: Duration) {
        let until = self.now + duration;
        self.outage = Some((outage, until));
        // What has arrived and was not applied yet is not before etcd is well again; some of it went down with its member.
        for ((at, number), waiting) in std::mem::take(&mut self.waiting) {
            if outage != Outage::Down || self.server.rng.bool() {
                self.waiting.insert((at.max(until), number), waiting);
            }
        }
    }

    /// What is wrong with etcd as a whole.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.outage.map(|(outage, _)| outage)
    }

    /// What befalls a call or stream that begins now.
    pub(crate) fn mishap(&mut self, process: &str, path: &str, message: &[u8]) -> Mishap {
        let arriving = Arriving { at: self.now, process, path, message };
        decide(&mut self.disruptions, &arriving, &mut self.server.rng)
    }

    fn recover(&mut self) {
        if let Some((Outage::LeaderLost | Outage::Down, _)) = self.outage.take() {
            let server = &mut self.server;
            server.term += 1;
            server.leader = (server.leader + 1) % server.members.len().max(1);
            server.leases.extend(self.now);
        }
    }

    fn expire(&mut self) {
        for id in self.server.leases.expired(self.now) {
            if let Ok(changes) = self.server.revoke(id) {
                self.note("etcd", "", changes);
            }
        }
    }

    fn note(&mut self, by: &str, path: &str, changes: Vec<Change>) {
        if !changes.is_empty() {
            let (by, path) = (by.to_owned(), path.to_owned());
            self.applied.push(Applied { at: self.now, by, path, revision: self.server.store.revision(), changes });
        }
    }

    fn serve(&mut self, call: &Call) -> Result<Vec<u8>, Status> {
        self.carry_out(&call.process, &call.path, &call.message, Who::Holder(call.token.as_deref()))
    }

    /// Carries a call out, now.
    pub(crate) fn carry_out(&mut self, by: &str, path: &str, message: &[u8], who: Who<'_>) -> Result<Vec<u8>, Status> {
        let server = &mut self.server;
        let member = server.rng.choice(&server.members).copied().unwrap_or_default();
        let (answer, changes) = server.serve(&Asked { path, message, who, member, now: self.now })?;
        self.note(by, path, changes);
        Ok(answer)
    }

    /// The number of calls that have arrived and will be applied.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A call arrives. It is applied now or later, or never.
    pub(crate) fn arrive(&mut self, mut call: Call, at: Duration) -> Heard {
        self.advance(at);
        if let Some(tamper) = &mut self.tamper {
            call.message = tamper(&call.path, call.message);
        }
        let mishap = self.mishap(&call.process, &call.path, &call.message);
        let delay = self.delay();
        match mishap {
            Mishap::NotSent => Heard::NotSent,
            Mishap::Unreachable => Heard::Unreachable,
            Mishap::Refused(status) => self.refused(status),
            Mishap::Pass => self.meet(call, delay, Duration::ZERO),
            Mishap::Slow(wait) => self.meet(call, delay, wait),
            Mishap::Late(wait) => self.meet(call, delay + wait, Duration::ZERO),
            Mishap::Unanswered { is_applied } => self.unheard(call, delay, is_applied, Heard::Nothing),
            Mishap::Disconnected { is_applied } => self.unheard(call, delay, is_applied, Heard::Disconnected),
            Mishap::Reset => self.unheard(call, delay, true, Heard::Reset),
        }
    }

    /// Until a call is applied: calls that arrive within the jitter overtake each other.
    fn delay(&mut self) -> Duration {
        let most = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        if most == 0 { Duration::ZERO } else { Duration::from_nanos(self.server.rng.u64(0..=most)) }
    }

    fn refused(&self, status: Status) -> Heard {
        Heard::Answer(self.latency, Rc::new(RefCell::new(Some(Err(status)))))
    }

    /// Its process does not hear what comes of it.
    fn unheard(&mut self, call: Call, delay: Duration, is_applied: bool, heard: Heard) -> Heard {
        if is_applied {
            return match self.meet(call, delay, Duration::ZERO) {
                Heard::Answer(..) => heard,
                other => other,
            };
        }
        heard
    }

    /// The call comes to etcd, as well or unwell as it is.
    fn meet(&mut self, call: Call, delay: Duration, wait: Duration) -> Heard {
        match self.outage {
            None => self.take(call, delay, wait),
            Some((Outage::Down, _)) => Heard::Unreachable,
            Some((Outage::LeaderLost, _)) if call.is_local => self.take(call, delay, wait),
            Some((Outage::LeaderLost, until)) => {
                let catching_up = u64::try_from(CATCHING_UP.as_millis()).unwrap_or(0);
                let after = Duration::from_millis(self.server.rng.u64(1..=catching_up));
                match self.server.rng.u8(0..4) {
                    0 => Heard::Nothing,
                    1 => self.refused(status::leader_changed()),
                    2 => self.refused(status::timed_out()),
                    _ => self.take(call, (until - self.now + after).max(delay), wait),
                }
            }
            Some((Outage::Stopped, until)) => {
                let held = until - self.now;
                let is_given_up = call.timeout.is_some_and(|timeout| timeout <= held);
                if is_given_up && self.server.rng.bool() {
                    return Heard::Nothing;
                }
                self.take(call, held.max(delay), wait)
            }
        }
    }

    /// Applies a call after `delay`; its answer leaves after `wait` more.
    fn take(&mut self, call: Call, delay: Duration, wait: Duration) -> Heard {
        let answer = Answer::default();
        let heard = Heard::Answer(delay + wait + self.latency, Rc::clone(&answer));
        if delay.is_zero() {
            let served = self.serve(&call);
            answer.replace(Some(served));
        } else {
            self.arrived += 1;
            self.waiting.insert((self.now + delay, self.arrived), Waiting { call, answer });
        }
        heard
    }
}
