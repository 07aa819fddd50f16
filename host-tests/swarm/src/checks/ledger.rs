//! The checks of partitions and slots: each has one writer, is taken over only from a dead worker, and is freed only
//! when all is done; the lowest free one is used first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gatepost_core::ledger::record::{EventMeta, Stage, StateRecord, split_payload};
use gatepost_core::ledger::{self, LEASE};
use gatepost_core::rollout::guard::PROCESS;
use gatepost_core::store::{Record, is_freed};
use host_tests::{Clock, Thread, Write};

use super::facts::Facts;
use super::invariant::{Broken, Invariant, broken};
use crate::plan::Plan;

type State = StateRecord<String>;
type Slot = (u32, u32);

/// The lease of a partition: who holds the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    Freed,
    Left,
    Held { thread: Thread, nonce: u64, heartbeat: Duration },
}

/// The body in a slot.
#[derive(Clone, Debug)]
struct Body {
    id: String,
    bytes: usize,
}

/// The checks of partitions and slots.
#[derive(Debug, Default)]
pub struct Ledger {
    leases: BTreeMap<u32, Lease>,
    /// The states of live events only.
    states: BTreeMap<Slot, State>,
    bodies: BTreeMap<Slot, Option<Body>>,
    /// Deliveries whose letter was redelivered by an operator while their own record, because a write failed, still
    /// says that they wait.
    overtaken: BTreeSet<(Slot, String)>,
    /// The deliveries that an operator's request has put back: ids of events, and names of endpoints.
    pub redelivered: Vec<(String, String)>,
}

impl Ledger {
    /// The number of partitions that were ever used.
    pub fn partitions(&self) -> usize {
        self.leases.len()
    }

    /// When the leases that a thread holds were last renewed.
    pub fn heartbeats(&self, holder: Thread) -> impl Iterator<Item = Duration> {
        self.leases.values().filter_map(move |lease| match lease {
            Lease::Held { thread, heartbeat, .. } if *thread == holder => Some(*heartbeat),
            _ => None,
        })
    }

    /// The states of the events that are not freed, with their slots.
    pub fn live(&self) -> impl Iterator<Item = (&Slot, &State)> {
        self.states.iter()
    }

    /// The number of deliveries of an endpoint that have not ended.
    pub fn pending(&self, endpoint: &str) -> usize {
        let deliveries = self.states.values().flat_map(|state| &state.deliveries);
        deliveries.filter(|delivery| delivery.endpoint == endpoint && !delivery.stage.is_settled()).count()
    }

    /// Checks a write of a lease.
    pub fn lease(&mut self, plan: &Plan, number: &str, write: &Write) -> Result<(), Broken> {
        let Ok(number) = number.parse() else { return broken(Invariant::KeysBounded, &write.key) };
        let old = self.leases.get(&number).copied().unwrap_or(Lease::Freed);
        let place = format!("{} by {} at {:?}, which was {old:?}", write.key, write.thread, write.at);
        let new = if is_freed(&write.value) {
            Lease::Freed
        } else {
            match ledger::holder(&write.value) {
                Ok(Some(nonce)) => Lease::Held { thread: write.thread, nonce, heartbeat: write.at },
                Ok(None) => Lease::Left,
                Err(_) => return broken(Invariant::Lease, format!("{place}, is no record")),
            }
        };
        match (old, new) {
            (Lease::Held { nonce, heartbeat, .. }, Lease::Held { nonce: other, .. }) if nonce != other => {
                if plan.is_calm() || write.at < heartbeat + LEASE {
                    return broken(Invariant::Lease, place);
                }
            }
            (Lease::Held { thread, .. }, _) if thread != write.thread => return broken(Invariant::OneWriter, place),
            (Lease::Freed, Lease::Held { .. }) => {
                let lower = self.leases.range(..number).filter(|(_, lease)| **lease != Lease::Freed).count();
                if lower < number as usize {
                    return broken(Invariant::KeysBounded, format!("{place}, {lower} below it are in use"));
                }
            }
            (Lease::Freed | Lease::Left, Lease::Freed | Lease::Left) => return broken(Invariant::OneWriter, place),
            (Lease::Left | Lease::Held { .. }, _) => {}
        }
        if new == Lease::Freed && self.of(number).next().is_some() {
            return broken(Invariant::FreedEmpty, place);
        }
        self.leases.insert(number, new);
        Ok(())
    }

    /// Checks a write of the counts that the holder of a partition keeps for an endpoint, or for the process.
    pub fn counts(&self, plan: &Plan, name: &str, write: &Write) -> Result<(), Broken> {
        let (number, endpoint) = name.split_once('/').unwrap_or((name, name));
        let lease = number.parse().ok().and_then(|number: u32| self.leases.get(&number));
        if lease.is_none() || !(endpoint == PROCESS || plan.endpoint(endpoint).is_some()) {
            return broken(Invariant::KeysBounded, &write.key);
        }
        if !matches!(lease, Some(Lease::Held { thread, .. }) if *thread == write.thread) {
            return broken(Invariant::OneWriter, format!("{} by {} at {:?}", write.key, write.thread, write.at));
        }
        Ok(())
    }

    /// Checks a write of an event's body.
    pub fn body(&mut self, facts: &mut Facts, name: &str, write: &Write) -> Result<(), Broken> {
        let slot = self.written(name, write)?;
        let place = || format!("{} by {} at {:?}", write.key, write.thread, write.at);
        if is_freed(&write.value) {
            self.bodies.insert(slot, None);
            let ended = self.states.remove(&slot);
            let result = ended.map_or(Ok(()), |ended| self.settled(facts, slot, &ended, None, write.at, &place()));
            self.overtaken.retain(|(other, _)| *other != slot);
            return result;
        }
        if self.states.contains_key(&slot) {
            return broken(Invariant::SlotInUse, place());
        }
        let Ok((meta, payload)) = split_payload::<EventMeta>(write.value.clone()) else {
            return broken(Invariant::Body, format!("{} is no record", place()));
        };
        let id = meta.id.to_string();
        if !facts.sent.contains_key(&payload) {
            return broken(Invariant::Body, format!("{} keeps {}", place(), String::from_utf8_lossy(&payload)));
        }
        facts.identify(&id, &payload)?;
        self.bodies.insert(slot, Some(Body { id, bytes: payload.len() }));
        Ok(())
    }

    /// Checks a write of an event's state. `is_operating`: an operator's request is under way.
    pub fn state(
        &mut self,
        plan: &Plan,
        facts: &mut Facts,
        name: &str,
        write: &Write,
        is_operating: bool,
    ) -> Result<(), Broken> {
        let slot = self.written(name, write)?;
        let place = format!("{} by {} at {:?}", write.key, write.thread, write.at);
        let old = self.states.remove(&slot);
        let Ok((new, _)) = State::decode(&write.value) else {
            return broken(Invariant::SlotInUse, format!("{place} is no record"));
        };
        match old {
            Some(old) if old.id != new.id => return broken(Invariant::SlotInUse, place),
            Some(old) => self.settled(facts, slot, &old, Some(&new), write.at, &place)?,
            None => self.accepted(plan, facts, slot, &new, write, is_operating)?,
        }
        self.states.insert(slot, new);
        Ok(())
    }

    /// Checks an event that comes into a slot.
    fn accepted(
        &mut self,
        plan: &Plan,
        facts: &mut Facts,
        slot: Slot,
        new: &State,
        write: &Write,
        is_operating: bool,
    ) -> Result<(), Broken> {
        let (id, place) = (new.id.to_string(), format!("{} at {:?}", write.key, write.at));
        let body = self.bodies.get(&slot).and_then(Option::as_ref);
        if body.is_none_or(|body| body.id != id) {
            return broken(Invariant::Kept, format!("{place}: {id} without its body"));
        }
        let live = self.of(slot.0).count();
        if plan.faults.store == 0 && slot.1 as usize > live && !write.has_waited {
            return broken(Invariant::KeysBounded, format!("{place}, with {live} in use"));
        }
        // The age of an event counts from the callback that accepted it, which may have stalled before it wrote.
        let accepted = Clock::elapsed_at(new.accepted.as_nanos()).min(write.at);
        for delivery in &new.deliveries {
            let known = facts.delivery_mut(&id, &delivery.endpoint);
            known.accepted = Some((known.accepted.map_or(accepted, |(first, _)| first), accepted));
        }
        let kept = facts.kept.entry(id.clone()).or_default();
        let endpoints = new.deliveries.iter().map(|delivery| delivery.endpoint.clone());
        kept.endpoints.extend(endpoints.clone());
        if is_operating {
            for endpoint in endpoints {
                if plan.faults.store > 0 && facts.is_dead(&id, &endpoint) {
                    self.overtake(&id, &endpoint);
                }
                facts.redelivered(&id, &endpoint);
                self.redelivered.push((id.clone(), endpoint));
            }
            return Ok(());
        }
        kept.times += 1;
        if plan.is_calm() && kept.times > 1 + kept.failures {
            return broken(Invariant::OneEventAKey, format!("{place}: {id} is kept again"));
        }
        if plan.faults.store == 0 { self.pending_bounded(plan, slot, new, &place) } else { Ok(()) }
    }

    /// Checks that what a worker accepts into its partition stays within its limits, and within each endpoint's share.
    fn pending_bounded(&self, plan: &Plan, slot: Slot, new: &State, place: &str) -> Result<(), Broken> {
        let limits = &plan.limits;
        let here = || self.of(slot.0).chain([new]);
        let deliveries = || here().flat_map(|state| &state.deliveries).filter(|one| !one.stage.is_settled());
        let bodies = self.bodies.range((slot.0, 0)..(slot.0 + 1, 0)).filter_map(|(_, body)| body.as_ref());
        let (count, bytes) = (deliveries().count(), bodies.map(|body| body.bytes).sum::<usize>());
        if count > limits.pending || bytes > limits.pending_bytes {
            return broken(Invariant::PendingBounded, format!("{place}: {count} deliveries, {bytes} bytes"));
        }
        for endpoint in &plan.endpoints {
            let own = || deliveries().filter(|delivery| delivery.endpoint == endpoint.name);
            let waiting = own().filter(|delivery| matches!(delivery.stage, Stage::Waiting { .. })).count();
            let all = own().count();
            let most = if endpoint.overflows { 2 * endpoint.pending } else { endpoint.pending };
            if waiting > endpoint.pending || all > most {
                let seen = format!("{place}: {waiting} wait, {all} in all, for {}", endpoint.name);
                return broken(Invariant::PendingBounded, seen);
            }
        }
        Ok(())
    }

    /// The slot of a key that was written; checks that the writer holds the partition.
    fn written(&self, name: &str, write: &Write) -> Result<Slot, Broken> {
        let slot =
            name.split_once('/').and_then(|(partition, slot)| Some((partition.parse().ok()?, slot.parse().ok()?)));
        let Some(slot): Option<Slot> = slot else { return broken(Invariant::KeysBounded, &write.key) };
        match self.leases.get(&slot.0) {
            Some(Lease::Held { thread, .. }) if *thread == write.thread => Ok(slot),
            // The writer held the partition when its callback began.
            _ if write.has_waited => Ok(slot),
            other => {
                let seen = format!("{} by {} at {:?}, held by {other:?}", write.key, write.thread, write.at);
                broken(Invariant::OneWriter, seen)
            }
        }
    }

    /// The live events in a partition.
    fn of(&self, partition: u32) -> impl Iterator<Item = &State> {
        self.states.range((partition, 0)..(partition + 1, 0)).map(|(_, state)| state)
    }

    /// Notes that a letter is about to be redelivered, for records that still have its delivery wait: they will say
    /// later that the delivery died.
    fn overtake(&mut self, id: &str, endpoint: &str) {
        let waits = |state: &State| {
            let one = state.deliveries.iter().find(|delivery| delivery.endpoint == endpoint);
            state.id.to_string() == id && one.is_some_and(|one| matches!(one.stage, Stage::Waiting { .. }))
        };
        let behind = self.states.iter().filter(|(_, state)| waits(state));
        self.overtaken.extend(behind.map(|(slot, _)| (*slot, endpoint.to_owned())));
    }

    /// Checks that each delivery that has ended with this write was taken, or has its letter.
    fn settled(
        &self,
        facts: &Facts,
        slot: Slot,
        old: &State,
        new: Option<&State>,
        at: Duration,
        place: &str,
    ) -> Result<(), Broken> {
        let id = old.id.to_string();
        for delivery in old.deliveries.iter().filter(|delivery| matches!(delivery.stage, Stage::Waiting { .. })) {
            let endpoint = &delivery.endpoint;
            let is_dead = || facts.is_dead(&id, endpoint) || self.overtaken.contains(&(slot, endpoint.clone()));
            let now = new.map(|new| new.deliveries.iter().find(|other| other.endpoint == *endpoint));
            let holds = match now.map(|now| now.map(|now| now.stage)) {
                Some(Some(Stage::Waiting { .. })) => true,
                Some(Some(Stage::Delivered)) => facts.is_delivered(&id, endpoint, at),
                Some(Some(Stage::Sinking { .. } | Stage::Dead) | None) => is_dead(),
                // The slot was freed: the delivery has ended in either way.
                None => facts.is_delivered(&id, endpoint, at) || is_dead(),
            };
            if !holds {
                return broken(Invariant::Settled, format!("{place}: {id} to {endpoint}"));
            }
        }
        Ok(())
    }
}
