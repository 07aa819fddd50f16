//! What must hold of a fleet, judged from outside.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use etcd_messages::KeyValue;
use etcd_model::{Applied, Change, Etcd};
use gatepost_core::journal::record::decode_segment;

use super::ownership::{JournalKey, Ownership, SegmentName};
use super::plan::{FleetPlan, PREFIX};
use super::receivers::{Arrival, FleetReceivers};
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
        applied.try_for_each(|one| self.applied(one))
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
            (Some(JournalKey::Alive(writer) | JournalKey::Claimed(writer)), None) => self.ownership.ended(&writer, at),
            (Some(JournalKey::Segment(name)), Some(kv)) => self.put(name, kv)?,
            (Some(JournalKey::Segment(name)), None) => self.deleted(&name, at)?,
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
        let Some(segments) = self.events.get(id) else {
            return broken(Invariant::Committed, format!("{process} attempts {id} at {at:?}"));
        };
        let slack = if self.frozen.get(process).is_some_and(|until| at <= until) { Duration::MAX / 4 } else { AHEAD };
        if !segments.iter().any(|name| self.ownership.owned(process, &name.writer, *at, slack)) {
            let owners: Vec<String> = segments.iter().map(|name| self.ownership.told(&name.writer)).collect();
            return broken(Invariant::OneOwner, format!("{process} attempts {id} at {at:?}, owners {owners:?}"));
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

    /// The VMs of a process have ended, or that of one thread.
    pub fn lost(&mut self, process: &str, thread: Option<host_tests::Thread>, now: Duration) {
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

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.etcd.pairs(PREFIX).iter().all(|kv| self.may_stay(kv))
    }

    /// May this key stand in the end? Living writers; what they have made void, since that may come late as long as they
    /// live; and what is no gateway's own.
    fn may_stay(&self, kv: &KeyValue) -> bool {
        let is_alive = |writer: &str| self.etcd.get(format!("{PREFIX}/w/{writer}")).is_some();
        match JournalKey::parse(&kv.key) {
            Some(JournalKey::Alive(_) | JournalKey::Letter(_) | JournalKey::Shared) => true,
            Some(JournalKey::Registered(writer)) => is_alive(&writer),
            Some(JournalKey::Segment(name)) => kv.value.is_empty() && is_alive(&name.writer),
            Some(JournalKey::Claimed(_) | JournalKey::Progress(_)) | None => false,
        }
    }

    /// Checks the end: every delivery that was accepted was taken or is a dead letter, and nothing else is left in the
    /// journal.
    pub fn judge(&self) -> Result<(usize, usize), Broken> {
        let (mut taken, mut failed) = (0, 0);
        for (id, endpoints) in &self.accepted {
            for endpoint in endpoints {
                let delivery = (id.clone(), endpoint.clone());
                if !self.has_ended(&delivery) {
                    let known = self.deliveries.get(&delivery);
                    return broken(Invariant::NothingVanishes, format!("{id} to {endpoint}: {known:?}"));
                }
                let is_taken = self.deliveries.get(&delivery).is_some_and(|progress| progress.taken > 0);
                (taken, failed) = (taken + usize::from(is_taken), failed + usize::from(!is_taken));
            }
        }
        let pairs = self.etcd.pairs(PREFIX);
        let strange = pairs.iter().filter(|kv| !self.may_stay(kv)).map(|kv| String::from_utf8_lossy(&kv.key));
        let strange: Vec<_> = strange.collect();
        if !strange.is_empty() {
            return broken(Invariant::JournalEmpty, format!("{strange:?}"));
        }
        Ok((taken, failed))
    }
}
