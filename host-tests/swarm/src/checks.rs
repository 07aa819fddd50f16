//! The checks: what must hold after every step, judged from outside, by the calls that left, the answers that came, and
//! each write to shared data.
//!
//! | module | checks |
//! |---|---|
//! | [`invariant`] | the names of all that must hold |
//! | `facts` | what is known of each event and delivery |
//! | `attempts` | what receivers get: signature, schedule, rate |
//! | `breakers` | how breakers move, and what leaves through them |
//! | `ledger` | partitions, leases and slots |
//! | `ring` | dead letters |
//! | `orders` | what operators have ordered |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use gatepost_core::ledger::generation;
use gatepost_core::telemetry::hours::HOURS;
use host_tests::{Process, Thread, Write};

use crate::plan::{Config, PARTNER, Plan, REPLAYS};
use crate::receivers::{Received, Receivers, SINK};

pub mod attempts;
mod breakers;
mod facts;
pub mod invariant;
mod ledger;
mod orders;
mod ring;

use attempts::Attempts;
use breakers::Breakers;
pub use facts::Sent;
use facts::{Facts, Mirror};
use invariant::broken;
pub use invariant::{Broken, Invariant};
use ledger::Ledger;
use orders::Orders;
use ring::Ring;

/// The largest size of an idempotency key's entry, in bytes: about 80, and the answer, which is about 120 and 45 for
/// each of three deliveries.
const IDEMPOTENCY_KEY: usize = 400;

/// The largest size of one worker's counts of one endpoint, in bytes: 35 cells, each with at most a duration in every
/// eighth of an octave.
const COUNTS: usize = 10 * 1024;

/// The largest size of the progress of an endpoint's rollout, in bytes: 1001 times at which the breaker opened, and a
/// little.
const ROLLOUT: usize = 12 * 1024;

/// The largest size of the counts of an endpoint in an hour, in bytes.
const HOUR: usize = 480;

/// The largest size of the backlog of a worker, in bytes.
const STANDING: usize = 256;

/// The largest size of a bucket of the replay table, in bytes: a head of 3 bytes, and 64 entries.
const REPLAY_BUCKET: usize = 3 + 64 * 16;

/// The largest size of an event in the history, in bytes.
const HISTORY_EVENT: usize = 1024;

/// The checks of a run.
pub struct Checks {
    plan: Rc<Plan>,
    receivers: Rc<RefCell<Receivers>>,
    /// The number of writes that were looked at.
    seen: usize,
    /// What is known of events and deliveries.
    pub facts: Facts,
    /// A copy of shared data.
    pub store: Mirror,
    /// The checks of partitions and slots.
    pub ledger: Ledger,
    /// The checks of breakers.
    pub breakers: Breakers,
    /// The checks of dead letters.
    pub ring: Ring,
    /// The checks of operators' orders.
    pub orders: Orders,
    attempts: Attempts,
    /// The fingerprint of each configuration that has sent.
    fingerprints: BTreeMap<String, u64>,
    /// An operator's request is under way.
    pub is_operating: bool,
    /// The VMs that die of an attempt that they have just made, each with the id of the event.
    pub victims: Vec<(Thread, String)>,
}

impl Checks {
    /// The checks for a run of this plan.
    pub fn new(plan: &Rc<Plan>, receivers: &Rc<RefCell<Receivers>>) -> Self {
        Self {
            plan: Rc::clone(plan),
            receivers: Rc::clone(receivers),
            seen: 0,
            facts: Facts::default(),
            store: Mirror::default(),
            ledger: Ledger::default(),
            breakers: Breakers::default(),
            ring: Ring::default(),
            orders: Orders::default(),
            attempts: Attempts::default(),
            fingerprints: BTreeMap::new(),
            is_operating: false,
            victims: Vec::new(),
        }
    }

    /// Forgets what was in the memory of the process, which has ended and begun again.
    pub fn restarted(&mut self) {
        (self.store, self.ledger, self.ring) = (Mirror::default(), Ledger::default(), Ring::default());
        (self.breakers, self.attempts, self.orders) = (Breakers::default(), Attempts::default(), Orders::default());
        self.facts.kept.clear();
    }

    /// Checks what was written and what has left since the last call; to be called after each callback.
    pub fn check(&mut self, process: &Process) -> Result<(), Broken> {
        let plan = Rc::clone(&self.plan);
        let writes = process.writes();
        let is_changed = self.seen < writes.len();
        let mut writes = writes.iter().skip(self.seen).peekable();
        self.seen = process.writes().len();
        let received = std::mem::take(&mut self.receivers.borrow_mut().received);
        for got in &received {
            // All writes of a callback are at one moment, and its attempts are judged by all of them.
            while let Some(write) = writes.next_if(|write| write.at <= got.call.at) {
                self.write(&plan, write)?;
            }
            self.attempt(&plan, got)?;
        }
        writes.try_for_each(|write| self.write(&plan, write))?;
        if is_changed {
            self.ring.passed(&plan, &mut self.store)?;
            self.bounded()?;
        }
        if plan.is_calm() {
            self.breakers.passed(&plan, process.clock().elapsed())?;
        }
        Ok(())
    }

    fn write(&mut self, plan: &Plan, write: &Write) -> Result<(), Broken> {
        let rest = write.key.strip_prefix("gatepost/").unwrap_or_default();
        let (family, name) = rest.split_once('/').unwrap_or((rest, ""));
        let facts = &mut self.facts;
        match (family, name) {
            ("lease", _) => self.ledger.lease(plan, name, write)?,
            ("body", _) => self.ledger.body(facts, name, write)?,
            ("state", _) => self.ledger.state(plan, facts, name, write, self.is_operating)?,
            ("breaker", _) => match plan.endpoint(name) {
                Some(endpoint) => self.breakers.write(plan, endpoint, write, self.is_operating)?,
                None => return broken(Invariant::KeysBounded, &write.key),
            },
            ("rollout", _) if plan.endpoint(name).is_some() => sized(write, ROLLOUT)?,
            ("dead", "index") => {
                self.store.put(&write.key, &write.value);
                self.ring.index(plan, &mut self.store, write.at, self.is_operating)?;
            }
            ("dead", _) => self.ring.slot(plan, facts, name, write)?,
            ("rate" | "generation" | "control" | "about" | "ending", _) => {}
            // The buckets hold 16 keys each.
            ("idempotency", _) => {
                numbered(write, name, plan.limits.idempotency_keys.div_ceil(16), 16 * IDEMPOTENCY_KEY)?;
            }
            // The buckets hold 64 entries each: half of them are used by so many messages of two marks each.
            ("replay", _) => {
                let number = name.strip_prefix(PARTNER).and_then(|name| name.strip_prefix('/')).unwrap_or_default();
                numbered(write, number, (2 * REPLAYS).div_ceil(32), REPLAY_BUCKET)?;
            }
            ("history", "next") => {}
            ("history", _) => numbered(write, name, plan.limits.history, HISTORY_EVENT)?,
            ("hours", _) => {
                let (endpoint, number) = name.rsplit_once('/').unwrap_or((name, ""));
                if plan.endpoint(endpoint).is_none() {
                    return broken(Invariant::KeysBounded, &write.key);
                }
                numbered(write, number, HOURS as usize, HOUR)?;
            }
            ("standing", _) => numbered(write, name, self.ledger.partitions(), STANDING)?,
            ("guard", _) => {
                self.ledger.counts(plan, name, write)?;
                sized(write, COUNTS)?;
            }
            _ => return broken(Invariant::KeysBounded, &write.key),
        }
        self.store.put(&write.key, &write.value);
        Ok(())
    }

    fn attempt(&mut self, plan: &Plan, got: &Received) -> Result<(), Broken> {
        let call = &got.call;
        let Some(config) = plan.config_of(call.header("user-agent")) else {
            return broken(Invariant::Headers, format!("user-agent {:?}", call.header("user-agent")));
        };
        self.generation(plan, config, got)?;
        if got.kills {
            self.victims.push((call.thread, call.header("x-webhook-id").to_owned()));
        }
        if call.cluster == SINK {
            self.orders.attempt(plan, config, None, got)?;
            return self.attempts.sink(plan, &mut self.facts, got);
        }
        let Some(endpoint) = plan.endpoint(&call.cluster) else {
            return broken(Invariant::Harness, format!("a call to {}", call.cluster));
        };
        self.orders.attempt(plan, config, Some(endpoint), got)?;
        self.breakers.attempt(endpoint, got)?;
        self.attempts.check(plan, &mut self.facts, endpoint, got)
    }

    /// Checks that only the newest configuration starts attempts, to endpoints that it has.
    fn generation(&mut self, plan: &Plan, config: &Config, got: &Received) -> Result<(), Broken> {
        let (call, agent) = (&got.call, &config.agent);
        let record = call.shared.iter().find(|(key, _)| key == "gatepost/generation").map(|(_, value)| value);
        let place = format!("{agent} to {} at {:?}", call.cluster, call.at);
        let Some(Ok(newest)) = record.map(|record| generation::newest(record)) else {
            return broken(Invariant::Generation, format!("{place}, and none is known"));
        };
        let own = *self.fingerprints.entry(agent.to_owned()).or_insert(newest);
        let others = self.fingerprints.iter().any(|(other, fingerprint)| other != agent && *fingerprint == newest);
        let is_strange = plan.endpoint(&call.cluster).is_some() && !config.endpoints.contains(&call.cluster);
        if own != newest || others || is_strange {
            return broken(Invariant::Generation, place);
        }
        Ok(())
    }

    /// Checks the size of shared data by the arithmetic of the limits, as envoy/docs/config.md has it, for the
    /// partitions that were ever used.
    fn bounded(&self) -> Result<(), Broken> {
        let (plan, limits) = (&self.plan, &self.plan.limits);
        // Partitions that may wait to be adopted, and a few for each worker and each disruption.
        let most = 32 + 4 * (plan.workers + self.facts.disruptions as usize);
        let partitions = self.ledger.partitions();
        // An operator may redeliver the whole ring, into one partition.
        let slots = limits.pending.max(limits.dead_letters);
        let bodies = limits.pending_bytes.max(limits.dead_letter_bytes);
        let pending = partitions.saturating_mul(bodies + slots.saturating_mul(700));
        let letters = limits.dead_letter_bytes + limits.dead_letters * 512;
        let keys = limits.idempotency_keys.next_multiple_of(16) * IDEMPOTENCY_KEY;
        let endpoints = plan.endpoints.len() * (2048 + ROLLOUT + HOURS as usize * HOUR);
        let counts = partitions * ((plan.endpoints.len() + 1) * COUNTS + STANDING);
        let history = limits.history * HISTORY_EVENT;
        let replays = (2 * REPLAYS).div_ceil(32) * (REPLAY_BUCKET + 32);
        let more = letters + keys + endpoints + counts + history + replays + 1024 + partitions * 64;
        let arithmetic = pending.saturating_add(more);
        if partitions > most || self.store.bytes > arithmetic {
            let seen = format!("{partitions} partitions, {} bytes of {arithmetic}", self.store.bytes);
            return broken(Invariant::BytesBounded, seen);
        }
        Ok(())
    }

    /// Checks that these deliveries of an event have ended; returns how many are dead letters.
    pub fn have_ended(&self, id: &str, endpoints: &[String]) -> Result<usize, Broken> {
        let mut dead = 0;
        for endpoint in endpoints {
            let (taken, is_dead) =
                (self.facts.is_delivered(id, endpoint, Duration::MAX), self.facts.is_dead(id, endpoint));
            if !taken && !is_dead {
                return broken(Invariant::NothingVanishes, format!("{id} to {endpoint}"));
            }
            if taken && is_dead && self.facts.is_calm(&self.plan, id) {
                return broken(Invariant::Once, format!("{id} to {endpoint} was taken and is a dead letter"));
            }
            dead += usize::from(!taken);
        }
        Ok(dead)
    }
}

/// Checks a write of one of so many numbered keys, of so many bytes at the most.
fn numbered(write: &Write, number: &str, keys: usize, bytes: usize) -> Result<(), Broken> {
    if !number.parse().is_ok_and(|number: usize| number < keys) {
        return broken(Invariant::KeysBounded, &write.key);
    }
    sized(write, bytes)
}

/// Checks a write of so many bytes at the most.
fn sized(write: &Write, bytes: usize) -> Result<(), Broken> {
    if write.value.len() > bytes {
        return broken(Invariant::BytesBounded, format!("{}: {} bytes", write.key, write.value.len()));
    }
    Ok(())
}
