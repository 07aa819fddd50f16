//! What must hold after every step, judged from outside: from the calls that left, the answers that came, and the keys
//! in shared data.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use gatepost_core::breaker::{PROBE_GRACE, Position};
use gatepost_core::endpoint::Shared;
use gatepost_core::generation;
use gatepost_core::store::Record;
use host_tests::{Call, Process};

use crate::plan::{Endpoint, Plan, secret};
use crate::receivers::{End, Receivers};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, in a few words that stay the same.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
}

/// Makes the error of a broken invariant.
pub fn broken<T>(invariant: &'static str, seen: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { invariant, seen: seen.into() })
}

/// An event that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Duration,
    /// Its type.
    pub event: String,
    /// How often. Under one idempotency key an event whose first answer was lost may be kept twice, with one id.
    pub times: u32,
}

/// One delivery, as its receiver sees it.
#[derive(Clone, Debug, Default)]
struct Delivery {
    last: Option<(u32, Duration, Duration)>,
    sends: u32,
    /// Attempts that were answered 2xx in time.
    taken: u32,
}

/// The probe of a half-open breaker.
#[derive(Clone, Copy, Debug)]
struct Probe {
    epoch: u32,
    until: Duration,
}

/// Watches a run.
pub struct Checks {
    plan: Plan,
    receivers: Rc<RefCell<Receivers>>,
    /// How many calls of each cluster were looked at.
    seen: BTreeMap<String, usize>,
    /// The bodies that were sent: each event has one of its own.
    pub sent: BTreeMap<Vec<u8>, Sent>,
    /// The event of each id.
    ids: BTreeMap<String, Vec<u8>>,
    deliveries: BTreeMap<(String, String), Delivery>,
    probes: BTreeMap<String, Probe>,
    /// The fingerprint of each configuration that has sent.
    fingerprints: BTreeMap<String, u64>,
    /// Things done to the process, each of which may cost a delivery one attempt more.
    pub disruptions: u32,
}

impl Checks {
    /// For a run of this plan.
    pub fn new(plan: &Plan, receivers: &Rc<RefCell<Receivers>>) -> Self {
        Self {
            plan: plan.clone(),
            receivers: Rc::clone(receivers),
            seen: BTreeMap::new(),
            sent: BTreeMap::new(),
            ids: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            probes: BTreeMap::new(),
            fingerprints: BTreeMap::new(),
            disruptions: 0,
        }
    }

    /// Deliveries that reached their receiver.
    pub fn delivered(&self) -> usize {
        self.deliveries.values().filter(|delivery| delivery.taken > 0).count()
    }

    /// Did the receiver take this delivery?
    pub fn is_delivered(&self, id: &str, endpoint: &str) -> bool {
        let key = (id.to_owned(), endpoint.to_owned());
        self.deliveries.get(&key).is_some_and(|delivery| delivery.taken > 0)
    }

    /// An id belongs to one event, and an event has one id.
    pub fn identify(&mut self, id: &str, body: &[u8]) -> Result<(), Broken> {
        match self.ids.get(id) {
            Some(other) if other != body => broken("one id a delivery", format!("{id} names two events")),
            Some(_) => Ok(()),
            None if self.ids.values().any(|other| other == body) => {
                broken("one id a delivery", format!("{} has another id: {id}", String::from_utf8_lossy(body)))
            }
            None => {
                self.ids.insert(id.to_owned(), body.to_vec());
                Ok(())
            }
        }
    }

    /// Looks at what has left since the last time.
    pub fn check(&mut self, process: &Process) -> Result<(), Broken> {
        for endpoint in self.plan.endpoints.clone() {
            let seen = self.seen.get(&endpoint.name).copied().unwrap_or_default();
            let calls = process.calls(&endpoint.name);
            for (number, call) in calls.iter().enumerate().skip(seen) {
                let end = self.receivers.borrow().ends.get(&endpoint.name).and_then(|ends| ends.get(number).copied());
                let Some(end) = end else { return broken("the harness", "a call without an end") };
                self.attempt(&endpoint, call, end)?;
            }
            self.seen.insert(endpoint.name.clone(), calls.len());
        }
        Ok(())
    }

    fn attempt(&mut self, endpoint: &Endpoint, call: &Call, end: End) -> Result<(), Broken> {
        signed(endpoint, call)?;
        self.generation(call)?;
        self.breaker(endpoint, call)?;
        let Some(sent) = self.sent.get(&call.body).cloned() else {
            return broken("a body is the one that was sent", String::from_utf8_lossy(&call.body));
        };
        let id = call.header("x-webhook-id");
        self.identify(id, &call.body)?;
        if call.header("x-webhook-event") != sent.event {
            return broken("an event keeps its type", call.header("x-webhook-event"));
        }
        if call.at >= sent.at + endpoint.max_age {
            return broken("no attempt past max_age", format!("{id} at {:?}, sent at {:?}", call.at, sent.at));
        }
        self.schedule(endpoint, call, end, id, sent.times)
    }

    /// Never more attempts than the schedule has, never sooner than it says.
    fn schedule(&mut self, endpoint: &Endpoint, call: &Call, end: End, id: &str, times: u32) -> Result<(), Broken> {
        let (schedule, calm) = (endpoint.delays.len() as u32, self.plan.is_calm());
        let copies = if calm { 1 } else { times };
        let delivery = self.deliveries.entry((id.to_owned(), endpoint.name.clone())).or_default();
        let number: u32 = call.header("x-webhook-attempt").parse().unwrap_or_default();
        let place = format!("attempt {number} of {id} to {} at {:?}", endpoint.name, call.at);
        delivery.sends += 1;
        if number == 0 || number > schedule || delivery.sends > schedule * copies + self.disruptions {
            return broken("attempts never above the schedule", format!("{place}, {} were sent", delivery.sends));
        }
        let (last, last_at, last_end) = delivery.last.unwrap_or_default();
        let alone = copies == 1;
        if alone && number > last + 1 || (calm && number != last + 1) {
            return broken("attempts count up", format!("{place}, after attempt {last} at {last_at:?}"));
        }
        let delay = endpoint.delays.get(number as usize - 1).copied().unwrap_or_default();
        if alone && last > 0 && number == last + 1 && call.at < last_end + delay {
            return broken("delays never below the schedule", format!("{place}, after {last_at:?} to {last_end:?}"));
        }
        if calm && delivery.taken > 0 {
            return broken("delivered once where nothing goes wrong", place);
        }
        delivery.last = Some((number, call.at, end.at));
        delivery.taken += u32::from(end.status.is_some_and(|status| (200..300).contains(&status)));
        Ok(())
    }

    /// No attempt while the breaker is open, one in each half-open.
    fn breaker(&mut self, endpoint: &Endpoint, call: &Call) -> Result<(), Broken> {
        let key = format!("gatepost/breaker/{}", endpoint.name);
        let record = call.shared.iter().find(|(other, _)| *other == key).map(|(_, value)| value);
        // None yet: it is closed.
        let Some(Ok((Shared { breaker, .. }, _))) = record.map(|record| Shared::decode(record)) else { return Ok(()) };
        let place = format!("{} at {:?}", endpoint.name, call.at);
        match breaker.position() {
            Position::Closed => Ok(()),
            Position::Open => broken("no attempt while open", place),
            Position::HalfOpen => {
                let probe = Probe { epoch: breaker.epoch(), until: call.at + endpoint.timeout + PROBE_GRACE };
                match self.probes.insert(endpoint.name.clone(), probe) {
                    Some(other) if other.epoch == probe.epoch && call.at < other.until => broken("one probe", place),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Only the newest configuration starts attempts, and one that is off starts none.
    fn generation(&mut self, call: &Call) -> Result<(), Broken> {
        let agent = call.header("user-agent");
        let record = call.shared.iter().find(|(key, _)| key == "gatepost/generation").map(|(_, value)| value);
        let Some(Ok(newest)) = record.map(|record| generation::newest(record)) else {
            return broken("the newest configuration is known", format!("{agent} at {:?}", call.at));
        };
        let own = *self.fingerprints.entry(agent.to_owned()).or_insert(newest);
        let others = self.fingerprints.iter().any(|(other, fingerprint)| other != agent && *fingerprint == newest);
        if own != newest || others || self.plan.configs.iter().any(|config| config.agent == agent && !config.enabled) {
            return broken("only the newest configuration sends", format!("{agent} at {:?}", call.at));
        }
        Ok(())
    }
}

/// The signature is valid, and was made at this moment.
fn signed(endpoint: &Endpoint, call: &Call) -> Result<(), Broken> {
    let timestamp = call.header("x-webhook-timestamp");
    if timestamp != call.wall_millis.to_string() {
        return broken("a fresh timestamp", format!("{timestamp} at {}", call.wall_millis));
    }
    let signed = [timestamp.as_bytes(), b".", &call.body].concat();
    let expected = hmac_sha256::HMAC::mac(&signed, secret(&endpoint.name));
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    if call.header("x-webhook-signature") != expected {
        return broken("signature valid at every attempt", call.header("x-webhook-signature"));
    }
    Ok(())
}
