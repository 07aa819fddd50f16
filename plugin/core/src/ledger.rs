//! The ledger: the events that a worker has accepted, in shared data. They stand in the slots of the worker's
//! partition, whose lease makes the worker its only writer.
//!
//! | key | holds | written |
//! |---|---|---|
//! | `<name>/lease/<p>` | who owns partition `p`, and its heartbeat | claim, heartbeat |
//! | `<name>/body/<p>/<i>` | an event's bytes and headers | once, at accept |
//! | `<name>/state/<p>/<i>` | the event's deliveries | at accept and at each change |
//!
//! The host can neither delete nor list keys, so partitions and slots are numbered from 0 and the lowest free number is
//! used first: the keys that exist are the high-water mark, and a reader of a partition may stop at the first key that
//! is missing. The body of a freed slot is one byte; its state stays until the slot is used again.
//!
//! **One writer.** Only the holder of the lease writes a partition. Every callback calls [`Partition::renew`] first.
//! The call trusts the worker's last heartbeat without reading the lease while that heartbeat is younger than
//! [`HEARTBEAT`]: nobody may take a partition over before [`LEASE`] has passed since its holder's last heartbeat. An
//! older heartbeat is renewed by compare-and-swap, which fails if the partition has changed hands; the worker then
//! forgets what it held there. So a worker that stalls between callbacks is fenced off for good. A worker that stalls
//! for `LEASE - HEARTBEAT`, seven seconds, inside a callback may still write to the partition: an event that it
//! accepted, which [`Partition::rescan`] finds, or the state of an event, which can make an attempt again. The store
//! has no write that would prevent this for the price of one call.
//!
//! **A lease's life.** Missing or freed: the partition is empty, and a worker that needs one claims it
//! ([`Partition::claim`]). Held: the partition is a VM's. Left, or held without a heartbeat for [`LEASE`]: the
//! partition holds events that nobody delivers, until a VM adopts it ([`Partition::adopt`]).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::EventId;
use crate::ledger::record::{EventMeta, StateRecord, split_payload, with_payload};
use crate::store::keys::{KeyRow, Keys, StoreKey, Stored};
use crate::store::{Cas, FREED, Record, SharedStore, StoreError, is_freed};
use crate::time::Instant;

pub mod generation;
mod place;
pub mod record;
mod survey;

pub use place::Place;

/// How often the owner renews its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long after its last heartbeat an owner is taken for dead. Three heartbeats may be missed.
pub const LEASE: Duration = Duration::from_secs(10);

/// The largest number of partitions of one plugin: one for each worker, times the generations that drain side by side
/// after config changes: 32 workers and 30 changes in the 10 minutes of a drain. Claiming reads at most this many keys,
/// about 2 ms once in a worker's life.
pub const PARTITIONS_MAX: u32 = 1024;

/// The number of leases that a claim looks at: each of them once, and as many again for those that another worker was
/// quicker to take.
const CLAIM_TRIES: u32 = 2 * PARTITIONS_MAX;

/// The lease of a partition: who owns the partition. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Lease {
    Held {
        /// The holder's nonce.
        nonce: u64,
        heartbeat: Instant,
    },
    Left,
}

impl Stored for Lease {
    const NAME: &'static str = "lease";
}

impl Record for Lease {
    const VERSION: u8 = 1;
}

impl Lease {
    /// Whether a partition under this lease may be adopted, if it holds events.
    fn is_abandoned(self, now: Instant) -> bool {
        match self {
            Self::Held { heartbeat, .. } => now.since(heartbeat) >= LEASE,
            Self::Left => true,
        }
    }

    fn is_held_by(bytes: &[u8], nonce: u64) -> bool {
        matches!(Self::decode(bytes), Ok((Self::Held { nonce: holder, .. }, _)) if holder == nonce)
    }
}

/// The nonce of a partition's holder, from the bytes of the lease; `None`: the partition was left.
///
/// # Errors
/// [`StoreError::UnknownFormat`].
pub fn holder(lease: &[u8]) -> Result<Option<u64>, StoreError> {
    Lease::decode(lease).map(|(lease, _)| match lease {
        Lease::Held { nonce, .. } => Some(nonce),
        Lease::Left => None,
    })
}

/// A partition that this worker holds: the slots that only it writes.
#[derive(Debug)]
pub struct Partition {
    number: u32,
    lease_key: StoreKey<Lease>,
    /// The keys of the slots' bodies.
    body_keys: KeyRow<EventMeta>,
    state_keys: KeyRow<StateRecord<String>>,
    nonce: u64,
    heartbeat: Instant,
    freed: BinaryHeap<Reverse<u32>>,
    /// The number from which on all slots are free: they were never used, or hold nothing.
    untouched: u32,
    /// The number of slots that hold records of another version.
    foreign: u32,
}

/// Whether a worker still owns its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ownership {
    /// Yes.
    Held,
    /// No: the worker was taken for dead.
    Lost,
}

/// An event found in a partition that was adopted.
#[derive(Debug)]
pub struct Recovered {
    /// The slot of the event.
    pub slot: u32,
    /// The state of the event.
    pub state: StateRecord<String>,
    /// The size of the event's payload, in bytes.
    pub bytes: u64,
}

impl Partition {
    /// Claims the lowest partition that is empty.
    ///
    /// # Errors
    /// [`StoreError::Contended`] when all partitions are taken; the store's own.
    pub fn claim(store: &mut dyn SharedStore, keys: &Keys, nonce: u64, now: Instant) -> Result<Self, StoreError> {
        let mut number = 0;
        for _ in 0..CLAIM_TRIES {
            let cas = match store.get(keys.of::<Lease>(number).as_str())? {
                None => Cas::CREATE,
                Some((bytes, cas)) if is_freed(&bytes) => cas,
                Some(_) => {
                    number += 1;
                    if number == PARTITIONS_MAX {
                        break;
                    }
                    continue;
                }
            };
            // If somebody was quicker, the loop looks at the same number again: no number is left out, since readers
            // stop at the first that is missing.
            if let Some(partition) = Self::take(store, keys, number, cas, nonce, now)? {
                return Ok(partition);
            }
        }
        Err(StoreError::Contended)
    }

    /// Takes over the lowest partition that was left, or whose holder is dead. Returns the partition, the events in it,
    /// and whether its holder is dead. A partition under a lease of another version belongs to a filter that may be
    /// alive.
    ///
    /// # Errors
    /// The store's. A partition that was taken but could not be read may be adopted again after [`LEASE`].
    pub fn adopt(
        store: &mut dyn SharedStore,
        keys: &Keys,
        nonce: u64,
        now: Instant,
    ) -> Result<Option<(Self, Vec<Recovered>, bool)>, StoreError> {
        for number in 0..PARTITIONS_MAX {
            let Some((bytes, cas)) = store.get(keys.of::<Lease>(number).as_str())? else { break };
            let Ok((lease, _)) = Lease::decode(&bytes) else { continue };
            if !lease.is_abandoned(now) {
                continue;
            }
            if let Some(mut partition) = Self::take(store, keys, number, cas, nonce, now)? {
                let mut recovered = partition.rescan(store)?;
                let is_dead = lease != Lease::Left;
                if is_dead {
                    // The holder may have died of an attempt of which it wrote nothing.
                    recovered.iter_mut().for_each(|event| event.state.trials = event.state.trials.max(1));
                }
                return Ok(Some((partition, recovered, is_dead)));
            }
        }
        Ok(None)
    }

    /// The number of partitions that were left and wait to be adopted.
    ///
    /// # Errors
    /// The store's.
    pub fn count_left(store: &mut dyn SharedStore, keys: &Keys) -> Result<u32, StoreError> {
        let mut left = 0;
        for number in 0..PARTITIONS_MAX {
            let Some((bytes, _)) = store.get(keys.of::<Lease>(number).as_str())? else { break };
            left += u32::from(matches!(Lease::decode(&bytes), Ok((Lease::Left, _))));
        }
        Ok(left)
    }

    /// Takes a partition by writing its lease under `cas`; `None`: somebody else was quicker.
    fn take(
        store: &mut dyn SharedStore,
        keys: &Keys,
        number: u32,
        cas: Cas,
        nonce: u64,
        now: Instant,
    ) -> Result<Option<Self>, StoreError> {
        let lease_key = keys.of::<Lease>(number);
        let lease = Lease::Held { nonce, heartbeat: now }.encode()?;
        match store.set(lease_key.as_str(), &lease, Some(cas)) {
            Ok(()) => Ok(Some(Self {
                number,
                lease_key,
                body_keys: keys.row_of(number),
                state_keys: keys.row_of(number),
                nonce,
                heartbeat: now,
                freed: BinaryHeap::new(),
                untouched: 0,
                foreign: 0,
            })),
            Err(StoreError::CasMismatch) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number of the partition, which also names the worker's queue.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Makes sure that the partition is still this worker's, and renews the lease when it is time.
    ///
    /// # Errors
    /// The store's.
    pub fn renew(&mut self, store: &mut dyn SharedStore, now: Instant) -> Result<Ownership, StoreError> {
        if now.since(self.heartbeat) < HEARTBEAT {
            return Ok(Ownership::Held);
        }
        let Some((bytes, cas)) = store.get(self.lease_key.as_str())? else { return Ok(Ownership::Lost) };
        if !Lease::is_held_by(&bytes, self.nonce) {
            return Ok(Ownership::Lost);
        }
        let lease = Lease::Held { nonce: self.nonce, heartbeat: now }.encode()?;
        match store.set(self.lease_key.as_str(), &lease, Some(cas)) {
            Ok(()) => {
                self.heartbeat = now;
                Ok(Ownership::Held)
            }
            Err(StoreError::CasMismatch) => Ok(Ownership::Lost),
            Err(error) => Err(error),
        }
    }

    /// Gives the partition up: freed if nothing is in it, left to be adopted if something is.
    ///
    /// # Errors
    /// The store's; the lease lapses then.
    pub fn release(self, store: &mut dyn SharedStore, is_empty: bool) -> Result<(), StoreError> {
        match store.get(self.lease_key.as_str())? {
            Some((bytes, cas)) if Lease::is_held_by(&bytes, self.nonce) => {
                let freed = is_empty && self.foreign == 0;
                let lease = if freed { vec![FREED] } else { Lease::Left.encode()? };
                store.set(self.lease_key.as_str(), &lease, Some(cas))
            }
            _ => Ok(()),
        }
    }

    /// Whether the partition holds records of another version, which only a filter of that version can deliver.
    pub fn is_foreign(&self) -> bool {
        self.foreign > 0
    }

    /// Keeps an event; returns its slot. From then on the event survives the worker.
    ///
    /// # Errors
    /// The store's; the slot is free again then.
    pub fn accept(
        &mut self,
        store: &mut dyn SharedStore,
        meta: &EventMeta,
        payload: &[u8],
        state: &StateRecord<&str>,
    ) -> Result<u32, StoreError> {
        let body = with_payload(meta, payload)?;
        let slot = self.take_slot();
        let written =
            store.set(self.body_keys.at(slot).as_str(), &body, None).and_then(|()| self.write(store, slot, state));
        match written {
            Ok(()) => Ok(slot),
            Err(error) => {
                // A slot with a body and no state is free, but its body takes room.
                let _ = store.set(self.body_keys.at(slot).as_str(), &[FREED], None);
                self.freed.push(Reverse(slot));
                Err(error)
            }
        }
    }

    /// Writes the state of an event: how its deliveries stand.
    ///
    /// # Errors
    /// The store's.
    pub fn write(&self, store: &mut dyn SharedStore, slot: u32, state: &StateRecord<&str>) -> Result<(), StoreError> {
        store.set(self.state_keys.at(slot).as_str(), &state.encode()?, None)
    }

    /// Reads the metadata and the payload of the event `id`.
    ///
    /// # Errors
    /// The store's, and [`StoreError::UnknownFormat`] when the slot holds anything but that event.
    pub fn body(
        &self,
        store: &mut dyn SharedStore,
        slot: u32,
        id: EventId,
    ) -> Result<(EventMeta, Vec<u8>), StoreError> {
        let (bytes, _) = store.get(self.body_keys.at(slot).as_str())?.ok_or(StoreError::UnknownFormat)?;
        let (meta, payload) = split_payload::<EventMeta>(bytes)?;
        if meta.id == id { Ok((meta, payload)) } else { Err(StoreError::UnknownFormat) }
    }

    /// Frees a slot whose deliveries have all ended, by one write, of the body: a state counts for nothing beside a
    /// body that is freed, or is another event's.
    ///
    /// # Errors
    /// The store's.
    pub fn free(&mut self, store: &mut dyn SharedStore, slot: u32) -> Result<(), StoreError> {
        store.set(self.body_keys.at(slot).as_str(), &[FREED], None)?;
        self.freed.push(Reverse(slot));
        Ok(())
    }

    fn take_slot(&mut self) -> u32 {
        if let Some(Reverse(slot)) = self.freed.pop() {
            return slot;
        }
        let slot = self.untouched;
        self.untouched += 1;
        slot
    }

    /// Reads all events in the partition. A record of another version keeps its slot, untouched.
    ///
    /// # Errors
    /// The store's.
    pub fn rescan(&mut self, store: &mut dyn SharedStore) -> Result<Vec<Recovered>, StoreError> {
        (self.untouched, self.foreign) = (0, 0);
        self.freed.clear();
        let mut recovered = Vec::new();
        loop {
            let slot = self.untouched;
            // The body is written first, so it is the body that marks the end of what was ever used.
            let Some((body, _)) = store.get(self.body_keys.at(slot).as_str())? else { return Ok(recovered) };
            self.untouched += 1;
            let state = if is_freed(&body) { None } else { store.get(self.state_keys.at(slot).as_str())? };
            // Earlier releases freed the state too.
            let Some((state, _)) = state.filter(|(state, _)| !is_freed(state)) else {
                self.freed.push(Reverse(slot));
                continue;
            };
            match (StateRecord::<String>::decode(&state), EventMeta::decode(&body)) {
                (Ok((state, _)), Ok((meta, payload))) if meta.id == state.id => {
                    recovered.push(Recovered { slot, state, bytes: payload.len() as u64 });
                }
                // The body of an event that never was accepted, and the state of the event that had the slot before.
                (Ok(_), Ok(_)) => self.freed.push(Reverse(slot)),
                _ => self.foreign += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests;
