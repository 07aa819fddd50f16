//! What must hold of a fleet, judged from outside. `ends`: what must hold in the end.

mod ends;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use etcd_messages::KeyValue;
use etcd_model::{Applied, Change, Etcd};
use gatepost_core::journal::record::{KeyRecord, decode_segment};
use host_tests::Thread;

use super::claims::Claims;
use super::ownership::{JournalKey, Ownership, SegmentName};
use super::plan::{FleetPlan, PREFIX};
use super::receivers::{Arrival, FleetReceivers};
use super::switches::{IN_FORCE, ON, Switch, Switches};
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};

/// How far the clocks of a process that has just started a VM may be ahead of the others.
const AHEAD: Duration = Duration::from_millis(20);

/// Of an event whose attempts have not ended so often, because their gateways did, nobody knows whether it kills them:
/// it is given up.
const TRIALS: usize = 3;

/// How a segment stands in etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    There,
    Void,
    Gone,
}

#[derive(Debug)]
struct Segment {
    standing: Standing,
    /// The deliveries: event and endpoint.
    deliveries: Vec<(String, String)>,
}

/// What is known of an event's delivery.
#[derive(Clone, Debug, Default)]
struct Progress {
    attempts: usize,
    taken: usize,
    /// Attempts that had not ended when their gateway did.
    unended: usize,
}

/// The checks of a run.
pub struct FleetChecks {
    plan: Rc<FleetPlan>,
    etcd: Etcd,
    receivers: Rc<RefCell<FleetReceivers>>,
    seen: usize,
    ownership: Ownership,
    segments: BTreeMap<SegmentName, Segment>,
    /// The segments that an event stands in: more than one after an append whose outcome nobody knew.
    events: BTreeMap<String, BTreeSet<SegmentName>>,
    deliveries: BTreeMap<(String, String), Progress>,
    under_way: Vec<Arrival>,
    /// The events of the idempotency keys that etcd has had.
    keys: BTreeMap<String, String>,
    /// Who has which inbound message.
    pub claims: Claims,
    /// The switches of operators.
    pub switches: Switches,
    /// The messages that an application has taken, and whose VM is to tell etcd: the process and the thread of that.
    untold: BTreeMap<u32, (String, Thread)>,
    /// The events that a process attempts, and the messages that it lets through, by its own memory alone.
    by_memory: BTreeMap<String, (BTreeSet<String>, u64)>,
    /// The events whose producers were told that they are accepted, with the endpoints that they were told.
    pub accepted: BTreeMap<String, Vec<String>>,
    /// Processes whose workers have waited in the middle of a callback, until then.
    pub frozen: BTreeMap<String, Duration>,
    /// What happened, a line each.
    pub log: Vec<String>,
}

impl FleetChecks {
    /// The checks for a run of this plan.
    pub fn new(plan: &Rc<FleetPlan>, etcd: &Etcd, receivers: &Rc<RefCell<FleetReceivers>>) -> Self {
        Self {
            plan: Rc::clone(plan),
            etcd: etcd.clone(),
            receivers: Rc::clone(receivers),
            seen: 0,
            ownership: Ownership::default(),
            segments: BTreeMap::new(),
            events: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            under_way: Vec::new(),
            keys: BTreeMap::new(),
            claims: Claims::default(),
            switches: Switches::default(),
            untold: BTreeMap::new(),
            by_memory: BTreeMap::new(),
            accepted: BTreeMap::new(),
            frozen: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    /// Adds a line to the log.
    pub fn tell(&mut self, at: Duration, what: impl AsRef<str>) {
        self.log.push(format!("{:>12.6} {}", at.as_secs_f64(), what.as_ref()));
    }

    /// Looks at all that has happened since the last time; to be called after each event of any process.
    pub fn look(&mut self, now: Duration) -> Result<(), Broken> {
        self.etcd.advance(now);
        let applied = self.etcd.applied_since(self.seen);
        self.seen += applied.len();
        let arrived = std::mem::take(&mut self.receivers.borrow_mut().arrived);
        let mut applied = applied.iter().peekable();
        for arrival in arrived {
            while let Some(one) = applied.next_if(|one| one.at <= arrival.at) {
                self.applied(one)?;
            }
            self.arrived(arrival)?;
        }
        applied.try_for_each(|one| self.applied(one))?;
        self.switches.are_stored(now)
    }

    fn applied(&mut self, applied: &Applied) -> Result<(), Broken> {
        // Who owned what before: a transaction that gives a claim up deletes what it was about, too.
        for change in &applied.changes {
            self.is_by_owner(applied, change)?;
        }
        for change in &applied.changes {
            self.changed(applied, change)?;
        }
        Ok(())
    }

    fn is_by_owner(&self, applied: &Applied, change: &Change) -> Result<(), Broken> {
        let Some(JournalKey::Segment(name) | JournalKey::Progress(name)) = JournalKey::parse(&change.key) else {
            return Ok(());
        };
        if self.ownership.owns(&applied.by, &name.writer) {
            return Ok(());
        }
        let owners = self.ownership.told(&name.writer);
        broken(Invariant::Fenced, format!("{} changes {name:?} at {:?}, owners {owners}", applied.by, applied.at))
    }

    fn changed(&mut self, applied: &Applied, change: &Change) -> Result<(), Broken> {
        let (by, at) = (&applied.by, applied.at);
        let line = format!(
            "etcd {}: {by} {} {} bytes",
            applied.revision,
            String::from_utf8_lossy(&change.key),
            change.after.as_ref().map_or_else(|| "deleted, after".to_owned(), |kv| kv.value.len().to_string()),
        );
        self.tell(at, line);
        match (JournalKey::parse(&change.key), &change.after) {
            (Some(JournalKey::Alive(writer)), Some(_)) if change.before.is_none() => {
                self.ownership.opened(&writer, by, at);
            }
            (Some(JournalKey::Claimed(dead)), Some(kv)) if change.before.is_none() => {
                self.ownership.claimed(&dead, &String::from_utf8_lossy(&kv.value), at);
            }
            (Some(JournalKey::Alive(writer)), None) => self.ownership.died(&writer, at),
            (Some(JournalKey::Claimed(writer)), None) => self.ownership.ended(&writer, at),
            (Some(JournalKey::Segment(name)), Some(kv)) => self.put(name, kv)?,
            (Some(JournalKey::Segment(name)), None) => self.deleted(&name, at)?,
            (Some(JournalKey::Message(name)), after) => {
                let value = after.as_ref().map_or(b"".as_slice(), |kv| &kv.value);
                self.claims.changed(&name, value, at, &self.ownership)?;
                self.untold.retain(|number, _| !self.claims.is_done(*number));
            }
            (Some(JournalKey::Key(name)), Some(kv)) => self.key_put(name, kv)?,
            (Some(JournalKey::Document(name)), Some(kv)) => self.switches.written(&name, &kv.value, at)?,
            (Some(_), _) => {}
            (None, _) => return broken(Invariant::KeysBounded, String::from_utf8_lossy(&change.key)),
        }
        Ok(())
    }

    /// A segment is appended, or made void.
    fn put(&mut self, name: SegmentName, kv: &KeyValue) -> Result<(), Broken> {
        if kv.value.is_empty() {
            if let Some(segment) = self.segments.get_mut(&name) {
                segment.standing = Standing::Void;
                let events: Vec<String> = segment.deliveries.iter().map(|(id, _)| id.clone()).collect();
                return events.iter().filter(|id| self.accepted.contains_key(*id)).try_for_each(|id| self.is_kept(id));
            }
            self.segments.insert(name, Segment { standing: Standing::Void, deliveries: Vec::new() });
            return Ok(());
        }
        let Ok(entries) = decode_segment(&kv.value) else {
            return broken(Invariant::Harness, format!("the segment {name:?} cannot be read"));
        };
        let mut deliveries = Vec::new();
        for head in entries.iter().map(|entry| &entry.head) {
            let id = head.meta.id.to_string();
            self.events.entry(id.clone()).or_default().insert(name.clone());
            deliveries.extend(head.deliveries.iter().map(|one| (id.clone(), one.endpoint.clone())));
        }
        self.segments.insert(name, Segment { standing: Standing::There, deliveries });
        Ok(())
    }

    /// An idempotency key is claimed, once and for all, for one event.
    fn key_put(&mut self, name: String, kv: &KeyValue) -> Result<(), Broken> {
        let Ok(KeyRecord { id, .. }) = KeyRecord::decode(&kv.value) else {
            return broken(Invariant::Harness, format!("the key {name} cannot be read"));
        };
        let first = self.keys.entry(name).or_insert_with(|| id.to_string());
        if *first == id.to_string() { Ok(()) } else { broken(Invariant::OneEventAKey, format!("{first}, and {id}")) }
    }

    fn deleted(&mut self, name: &SegmentName, at: Duration) -> Result<(), Broken> {
        let Some(segment) = self.segments.get_mut(name) else { return Ok(()) };
        let was = std::mem::replace(&mut segment.standing, Standing::Gone);
        if was != Standing::There {
            return Ok(());
        }
        let deliveries = segment.deliveries.clone();
        match deliveries.iter().find(|delivery| !self.has_ended(delivery) && !self.is_elsewhere(delivery, name)) {
            Some((id, endpoint)) => {
                let known = self.deliveries.get(&(id.clone(), endpoint.clone()));
                broken(Invariant::SegmentStays, format!("{name:?} at {at:?}: {id} to {endpoint}, {known:?}"))
            }
            None => Ok(()),
        }
    }

    /// Whether a delivery has come to its end: taken, or a dead letter after as many attempts as it may have.
    fn has_ended(&self, delivery: &(String, String)) -> bool {
        self.deliveries.get(delivery).is_some_and(|progress| {
            let is_given_up = progress.attempts >= self.plan.delays.len() || progress.unended >= TRIALS;
            progress.taken > 0 || (is_given_up && self.is_letter(delivery))
        })
    }

    fn is_letter(&self, (id, endpoint): &(String, String)) -> bool {
        self.etcd.get(format!("{PREFIX}/l/{id}.{endpoint}")).is_some()
    }

    fn is_elsewhere(&self, (id, _): &(String, String), name: &SegmentName) -> bool {
        self.events.get(id).into_iter().flatten().any(|other| other != name && self.stands(other))
    }

    fn stands(&self, name: &SegmentName) -> bool {
        self.segments.get(name).is_some_and(|segment| segment.standing == Standing::There)
    }

    fn arrived(&mut self, arrival: Arrival) -> Result<(), Broken> {
        let Arrival { process, at, endpoint, id, is_taken, thread, .. } = &arrival;
        self.tell(*at, format!("{process} {thread} attempts {id} at {endpoint}, taken: {is_taken}"));
        if self.plan.is_prompt() {
            self.is_on(&Switch::State, &arrival, Invariant::Stopped)?;
            self.is_on(&Switch::Endpoint(endpoint.clone()), &arrival, Invariant::EndpointDisabled)?;
        }
        let is_owner = self.is_owner(process, id, *at);
        if is_owner.is_err() && self.plan.falls_back {
            self.by_memory.entry(process.clone()).or_default().0.insert(id.clone());
        } else {
            is_owner?;
        }
        let progress = self.deliveries.entry((id.clone(), endpoint.clone())).or_default();
        progress.attempts += 1;
        progress.taken += usize::from(*is_taken);
        if progress.taken > 1 && self.plan.is_calm() {
            return broken(Invariant::Once, format!("{id} at {endpoint}, {at:?}"));
        }
        self.under_way.retain(|one| one.ends > *at);
        self.under_way.push(arrival);
        Ok(())
    }

    /// Checks that this process owns a segment with the event.
    fn is_owner(&self, process: &str, id: &str, at: Duration) -> Result<(), Broken> {
        let Some(segments) = self.events.get(id) else {
            return broken(Invariant::Committed, format!("{process} attempts {id} at {at:?}"));
        };
        let slack = self.slack(process, at);
        if segments.iter().any(|name| self.ownership.owned(process, &name.writer, at, slack)) {
            return Ok(());
        }
        let owners: Vec<String> = segments.iter().map(|name| self.ownership.told(&name.writer)).collect();
        broken(Invariant::OneOwner, format!("{process} attempts {id} at {at:?}, owners {owners:?}"))
    }

    /// By how much what a process does at this time may be late.
    fn slack(&self, process: &str, at: Duration) -> Duration {
        if self.frozen.get(process).is_some_and(|until| at <= *until) { Duration::MAX / 4 } else { AHEAD }
    }

    /// Checks that an attempt does not leave while what stands in etcd, and is known by now, stops it.
    fn is_on(&self, switch: &Switch, arrival: &Arrival, invariant: Invariant) -> Result<(), Broken> {
        let Arrival { process, at, id, .. } = arrival;
        let is_stopped = *at > IN_FORCE
            && !self.switches.is_switching_on(process, switch, *at)
            && self.switches.was_always(switch, *at - IN_FORCE, |word| word != ON);
        if is_stopped { broken(invariant, format!("{process} attempts {id} at {at:?}: {switch:?}")) } else { Ok(()) }
    }

    /// A message goes on to the application of a process.
    pub fn passes(&mut self, process: &str, number: u32, at: Duration) -> Result<(), Broken> {
        self.tell(at, format!("{process} lets message {number} through"));
        if self.claims.had(process, number, at, self.slack(process, at)) {
            return Ok(());
        }
        if self.plan.falls_back {
            self.by_memory.entry(process.to_owned()).or_default().1 += 1;
            return Ok(());
        }
        let seen = format!("{process} at {at:?}: message {number}, {}", self.claims.told(number));
        broken(Invariant::Claimed, seen)
    }

    /// The application has taken a message, as the VM of this thread knows: etcd is to know it, too.
    pub fn is_taken(&mut self, process: &str, thread: Thread, number: u32) {
        if !self.claims.is_done(number) && !self.plan.falls_back {
            self.untold.insert(number, (process.to_owned(), thread));
        }
    }

    /// Checks that what a process does by its memory alone is counted: the events, and the messages.
    pub fn are_counted(&self, process: &str, events: u64, messages: u64) -> Result<(), Broken> {
        let Some((attempted, passed)) = self.by_memory.get(process) else { return Ok(()) };
        if attempted.len() as u64 <= events && *passed <= messages {
            return Ok(());
        }
        let seen = format!("{process}: {attempted:?} of {events}, {passed} messages of {messages}");
        broken(Invariant::MemoryCounted, seen)
    }

    /// The VMs of a process have ended, or that of one thread.
    pub fn lost(&mut self, process: &str, thread: Option<Thread>, now: Duration) {
        self.switches.lost(process);
        self.untold.retain(|_, (other, of)| other != process || thread.is_some_and(|thread| thread != *of));
        let is_lost = |one: &&Arrival| {
            one.process == process && thread.is_none_or(|thread| one.thread == thread) && one.ends + AHEAD > now
        };
        for one in self.under_way.iter().filter(is_lost) {
            self.deliveries.entry((one.id.clone(), one.endpoint.clone())).or_default().unended += 1;
        }
    }

    /// A producer is told that its event is accepted, and for whom.
    pub fn accepted(&mut self, id: &str, endpoints: Vec<String>) -> Result<(), Broken> {
        self.accepted.insert(id.to_owned(), endpoints);
        if !self.events.contains_key(id) {
            return broken(Invariant::Committed, format!("{id} is answered, and stands in no segment"));
        }
        self.is_kept(id)
    }

    /// Checks that a gateway, which says that it is drained, has no segment any more.
    pub fn drained(&mut self, process: &str, since: Duration) -> Result<(), Broken> {
        let standing = self.segments.iter().filter(|(_, segment)| segment.standing == Standing::There);
        let held: Vec<_> = standing.filter(|(name, _)| self.ownership.owns(process, &name.writer)).collect();
        match held.first() {
            Some((name, _)) => broken(Invariant::GivenUp, format!("{process}, since {since:?}: {name:?}")),
            None => Ok(()),
        }
    }

    /// Checks that an event that was accepted stands in a segment, or has ended.
    fn is_kept(&self, id: &str) -> Result<(), Broken> {
        let segments = self.events.get(id).into_iter().flatten();
        let endpoints = self.accepted.get(id).into_iter().flatten();
        let mut left = endpoints.filter(|endpoint| !self.has_ended(&(id.to_owned(), (*endpoint).clone())));
        if segments.clone().any(|name| self.stands(name)) || left.next().is_none() {
            return Ok(());
        }
        let segments: Vec<_> = segments.map(|name| (name, self.segments.get(name).map(|one| one.standing))).collect();
        broken(Invariant::NothingVanishes, format!("{id} was accepted, and stands in none of {segments:?}"))
    }
}
