//! What a worker has accepted, in shared data: its partition, the lease that makes it the only writer, and the slots.
//!
//! | key | holds | written |
//! |---|---|---|
//! | `<name>/lease/<p>` | who owns partition `p`, and its heartbeat | claim, heartbeat |
//! | `<name>/body/<p>/<i>` | an event's bytes and headers | once, at accept |
//! | `<name>/state/<p>/<i>` | its deliveries | at accept and at each change |
//!
//! The host can neither delete nor list keys, so both numbers count from 0 and the lowest free one is used first: the
//! keys that exist are the high-water mark, and a reader of a partition may stop at the first that is missing. A freed
//! slot holds one byte.
//!
//! **One writer.** Only the owner of the lease writes a partition. Every callback calls [`Partition::renew`] first. It
//! trusts a heartbeat younger than [`HEARTBEAT`] without reading it: nobody may take a partition over before
//! [`LEASE`] has passed since the owner's last one. An older heartbeat is renewed by compare-and-swap, which fails if
//! the partition has changed hands; the worker then forgets what it held and claims another.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::{EventMeta, StateRecord, split_payload, with_payload};
use crate::message::EventId;
use crate::store::{Cas, FREED, Record, SharedStore, StoreError, is_freed};
use crate::time::Instant;

/// How often the owner renews its lease.
pub const HEARTBEAT: Duration = Duration::from_secs(3);

/// How long after its last heartbeat an owner is taken for dead. Three heartbeats may be missed.
pub const LEASE: Duration = Duration::from_secs(10);

/// Partitions of one plugin: one for each worker and the main thread, times the generations that drain side by side
/// after config changes: 32 workers and 30 changes in the 10 minutes of a drain. Claiming reads at most this many keys,
/// about 2 ms once in a worker's life.
pub const PARTITIONS_MAX: u32 = 1024;

/// Who owns a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    nonce: u64,
    heartbeat: Instant,
    /// When this owner first held it: the newest generation is the one that came last.
    since: Instant,
}

impl Record for Lease {
    const VERSION: u8 = 1;
}

/// The slots that one worker writes.
#[derive(Debug)]
pub struct Partition {
    number: u32,
    lease_key: String,
    /// What the keys of the slots begin with.
    body_keys: String,
    state_keys: String,
    lease: Lease,
    freed: BinaryHeap<Reverse<u32>>,
    /// Slots from here on were never used.
    untouched: u32,
}

/// Does the worker still own its partition?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ownership {
    /// Yes.
    Held,
    /// No: it was taken for dead.
    Lost,
}

/// An event found in a partition whose owner died.
#[derive(Debug)]
pub struct Recovered {
    /// Its slot.
    pub slot: u32,
    /// Its state.
    pub state: StateRecord<String>,
    /// The bytes of its payload.
    pub bytes: u64,
}

impl Partition {
    /// Claims the lowest partition that is free or whose owner is dead, with what the dead owner left there.
    ///
    /// # Errors
    /// [`StoreError::Contended`] when all partitions are taken; the store's own.
    pub fn claim(
        store: &mut dyn SharedStore,
        prefix: &str,
        nonce: u64,
        now: Instant,
    ) -> Result<(Self, Vec<Recovered>), StoreError> {
        let lease = Lease { nonce, heartbeat: now, since: now };
        for number in 0..PARTITIONS_MAX {
            let key = format!("{prefix}/lease/{number}");
            let cas = match store.get(&key)? {
                None => Cas::CREATE,
                Some((bytes, cas)) if is_free(&bytes, now) => cas,
                Some(_) => continue,
            };
            match store.set(&key, &lease.encode(), Some(cas)) {
                Ok(()) => {}
                Err(StoreError::CasMismatch) => continue,
                Err(error) => return Err(error),
            }
            let mut partition = Self {
                number,
                lease_key: key,
                body_keys: format!("{prefix}/body/{number}/"),
                state_keys: format!("{prefix}/state/{number}/"),
                lease,
                freed: BinaryHeap::new(),
                untouched: 0,
            };
            let recovered = partition.recover(store)?;
            return Ok((partition, recovered));
        }
        Err(StoreError::Contended)
    }

    /// Its number, which also names the worker's queue.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The owner's nonce.
    pub fn nonce(&self) -> u64 {
        self.lease.nonce
    }

    /// Makes sure that the partition is still this worker's, and renews the lease when it is time.
    ///
    /// # Errors
    /// The store's.
    pub fn renew(&mut self, store: &mut dyn SharedStore, now: Instant) -> Result<Ownership, StoreError> {
        if now.since(self.lease.heartbeat) < HEARTBEAT {
            return Ok(Ownership::Held);
        }
        let Some((bytes, cas)) = store.get(&self.lease_key)? else { return Ok(Ownership::Lost) };
        if !matches!(Lease::decode(&bytes), Ok((lease, _)) if lease.nonce == self.lease.nonce) {
            return Ok(Ownership::Lost);
        }
        let renewed = Lease { heartbeat: now, ..self.lease };
        match store.set(&self.lease_key, &renewed.encode(), Some(cas)) {
            Ok(()) => {
                self.lease = renewed;
                Ok(Ownership::Held)
            }
            Err(StoreError::CasMismatch) => Ok(Ownership::Lost),
            Err(error) => Err(error),
        }
    }

    /// Gives the partition back, so that the next worker need not wait for the lease to lapse.
    ///
    /// # Errors
    /// The store's.
    pub fn release(self, store: &mut dyn SharedStore) -> Result<(), StoreError> {
        match store.get(&self.lease_key)? {
            Some((bytes, cas)) if matches!(Lease::decode(&bytes), Ok((lease, _)) if lease.nonce == self.lease.nonce) => {
                store.set(&self.lease_key, &[FREED], Some(cas))
            }
            _ => Ok(()),
        }
    }

    /// Keeps an event: after this it survives the worker.
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
        let slot = self.take_slot();
        let written = store
            .set(&self.body_key(slot), &with_payload(meta, payload), None)
            .and_then(|()| self.write(store, slot, state));
        match written {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.freed.push(Reverse(slot));
                Err(error)
            }
        }
    }

    /// Writes how an event's deliveries stand.
    ///
    /// # Errors
    /// The store's.
    pub fn write(&self, store: &mut dyn SharedStore, slot: u32, state: &StateRecord<&str>) -> Result<(), StoreError> {
        store.set(&self.state_key(slot), &state.encode(), None)
    }

    /// Reads the bytes of the event `id`.
    ///
    /// # Errors
    /// The store's, and [`StoreError::UnknownFormat`] when the slot holds anything but that event.
    pub fn body(
        &self,
        store: &mut dyn SharedStore,
        slot: u32,
        id: EventId,
    ) -> Result<(EventMeta, Vec<u8>), StoreError> {
        let (bytes, _) = store.get(&self.body_key(slot))?.ok_or(StoreError::UnknownFormat)?;
        let (meta, payload) = split_payload::<EventMeta>(bytes)?;
        if meta.id == id { Ok((meta, payload)) } else { Err(StoreError::UnknownFormat) }
    }

    /// Frees a slot whose deliveries have all ended. The state goes first: a body without one is free.
    ///
    /// # Errors
    /// The store's.
    pub fn free(&mut self, store: &mut dyn SharedStore, slot: u32) -> Result<(), StoreError> {
        store.set(&self.state_key(slot), &[FREED], None)?;
        store.set(&self.body_key(slot), &[FREED], None)?;
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

    /// Reads what a dead owner left. A record of another version keeps its slot, untouched.
    fn recover(&mut self, store: &mut dyn SharedStore) -> Result<Vec<Recovered>, StoreError> {
        let mut recovered = Vec::new();
        loop {
            let slot = self.untouched;
            // The body is written first, so it is the body that marks the end of what was ever used.
            let Some((body, _)) = store.get(&self.body_key(slot))? else { break };
            self.untouched += 1;
            let state = match store.get(&self.state_key(slot))? {
                Some((state, _)) if !is_freed(&state) => state,
                _ => {
                    self.freed.push(Reverse(slot));
                    continue;
                }
            };
            let (Ok((state, _)), Ok((meta, payload))) =
                (StateRecord::<String>::decode(&state), EventMeta::decode(&body))
            else {
                continue;
            };
            if meta.id == state.id {
                recovered.push(Recovered { slot, state, bytes: payload.len() as u64 });
            } else {
                self.freed.push(Reverse(slot));
            }
        }
        Ok(recovered)
    }

    fn body_key(&self, slot: u32) -> String {
        slot_key(&self.body_keys, slot)
    }

    fn state_key(&self, slot: u32) -> String {
        slot_key(&self.state_keys, slot)
    }
}

/// Made several times for every event, so without the machinery of `format!`.
fn slot_key(keys: &str, slot: u32) -> String {
    [keys, itoa::Buffer::new().format(slot)].concat()
}

/// May a partition with this lease be claimed? One of another version belongs to a filter that may be alive.
fn is_free(bytes: &[u8], now: Instant) -> bool {
    is_freed(bytes) || matches!(Lease::decode(bytes), Ok((lease, _)) if now.since(lease.heartbeat) >= LEASE)
}

#[cfg(test)]
mod tests;
