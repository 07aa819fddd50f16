//! Dead letters: the deliveries that have failed for good, in a ring with their bodies, one ring for all workers.
//!
//! `<name>/dead/index` lists the used slots, oldest first, each with the size of its letter and a serial number that no
//! other letter has; `<name>/dead/<i>` holds a letter. The index is changed by compare-and-swap, and only when a
//! delivery fails for good or letters are taken out, so contention is rare and some 30 bytes a letter do not matter.
//! When one more letter would pass the limits, by number or by bytes, a letter goes for it: the oldest one of the endpoint
//! that has the most. So an endpoint may use the whole ring while the others need none of it, and of two endpoints each
//! has at least half: one that is dead takes no letter from another's share.
//!
//! With a journal the letters are the fleet's: each gateway's ring has those that the journal has. The index says which
//! of its letters the journal has, too, and which of the journal's have left this ring and are to leave the journal.

use std::collections::BTreeSet;

use index::NewLetter;
pub use index::{Arrival, LetterIndex, Listed, Room, name_of};
use serde::{Deserialize, Serialize};

use crate::ledger::record::{CodedRecord, EventMeta, decode_coded, encode_coded, split_payload, with_payload};
use crate::outcome::Reason;
use crate::store::keys::{Keys, Stored};
use crate::store::{FREED, Record, SharedStore, StoreError, Write, is_freed, read, update};
use crate::time::WallTime;

mod index;

/// The record of a dead letter; the payload stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The metadata of the event.
    pub meta: EventMeta,
    /// The name of the endpoint that did not get the event.
    pub endpoint: String,
    /// Why the delivery failed.
    pub reason: Reason,
    /// The number of attempts made.
    pub attempts: u32,
    /// The status of the last attempt that was answered.
    pub response_status: Option<u16>,
    /// When the event was accepted.
    pub accepted: WallTime,
    /// When the delivery ended.
    pub died: WallTime,
}

impl Letter {
    /// The name of the delivery, `<event id>.<endpoint>`: an event goes to an endpoint once.
    pub fn delivery(&self) -> String {
        format!("{}.{}", self.meta.id, self.endpoint)
    }
}

impl Stored for Letter {
    const NAME: &'static str = "dead";
}

impl Record for Letter {
    const VERSION: u8 = 1;

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        encode_coded(self, self.meta.content_encoding.as_deref())
    }

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), StoreError> {
        let (CodedRecord { record: mut letter, content_encoding }, rest) = decode_coded::<Self>(bytes)?;
        letter.meta.content_encoding = content_encoding;
        Ok((letter, rest))
    }
}

/// A letter that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The serial number of the letter, counted from 1; 0: the letter is not in the ring, and is not to be.
    pub serial: u64,
    /// The number of older letters that were evicted for it.
    pub evicted: u32,
}

/// Keeps a letter, as the way in which it [arrives](Arrival) has it.
///
/// # Errors
/// The store's; the letter is not kept then.
pub fn keep(
    store: &mut dyn SharedStore,
    keys: &Keys,
    letter: &Letter,
    payload: &[u8],
    arrival: Arrival,
    room: Room,
) -> Result<Kept, StoreError> {
    let bytes = with_payload(letter, payload)?;
    let new = NewLetter::new(&letter.endpoint, name_of(&letter.delivery()), bytes.len() as u64, letter.died, arrival);
    let pushed = update(store, &keys.single(), |index: &mut LetterIndex| {
        let pushed = index.push(new, room);
        (if pushed.is_change { Write::Yes } else { Write::No }, pushed)
    })?;
    let mut freed = pushed.freed;
    if let Some(slot) = pushed.slot {
        store.set(keys.of::<Letter>(slot).as_str(), &bytes, None)?;
        freed.retain(|old| *old != slot);
    }
    if !freed.is_empty() {
        free(store, keys, &freed)?;
    }
    Ok(Kept { serial: pushed.serial, evicted: pushed.evicted })
}

/// The serial number of the letter of a delivery, if the ring has it.
///
/// # Errors
/// The store's.
pub fn find(store: &mut dyn SharedStore, keys: &Keys, delivery: &str) -> Result<Option<u64>, StoreError> {
    let name = name_of(delivery);
    Ok(list(store, keys)?.into_iter().find(|listed| listed.name == name).map(|listed| listed.serial))
}

/// The index of the ring.
///
/// # Errors
/// The store's.
pub fn index(store: &mut dyn SharedStore, keys: &Keys) -> Result<LetterIndex, StoreError> {
    Ok(read(store, &keys.single())?.unwrap_or_default())
}

/// Notes that the journal has these letters, given by their serial numbers and names. One that has left the ring meanwhile
/// is to leave the journal.
///
/// # Errors
/// The store's.
pub fn note_shared(store: &mut dyn SharedStore, keys: &Keys, letters: &[(u64, u64)]) -> Result<(), StoreError> {
    update(store, &keys.single(), |index: &mut LetterIndex| {
        letters.iter().for_each(|(serial, name)| index.note_shared(*serial, *name));
        (if letters.is_empty() { Write::No } else { Write::Yes }, ())
    })
}

/// Notes that letters with these names, which had left the ring, have left the journal, too.
///
/// # Errors
/// The store's.
pub fn forget_gone(store: &mut dyn SharedStore, keys: &Keys, names: &BTreeSet<u64>) -> Result<(), StoreError> {
    update(store, &keys.single(), |index: &mut LetterIndex| {
        let before = index.gone.len();
        index.gone.retain(|name| !names.contains(name));
        (if index.gone.len() == before { Write::No } else { Write::Yes }, ())
    })
}

/// The entries of all letters, oldest first.
///
/// # Errors
/// The store's.
pub fn list(store: &mut dyn SharedStore, keys: &Keys) -> Result<Vec<Listed>, StoreError> {
    Ok(index(store, keys)?.letters)
}

/// Reads the letter in the slot of an entry, with its payload; `None` when the slot was freed meanwhile, or holds a letter
/// of another size. Another letter of the same size may have taken the slot since the entry was listed: who acts on what
/// was read takes [`open_listed`].
///
/// # Errors
/// The store's.
pub fn open(store: &mut dyn SharedStore, keys: &Keys, letter: Listed) -> Result<Option<(Letter, Vec<u8>)>, StoreError> {
    match store.get(keys.of::<Letter>(letter.slot).as_str())? {
        Some((bytes, _)) if !is_freed(&bytes) && bytes.len() as u64 == letter.size => split_payload(bytes).map(Some),
        _ => Ok(None),
    }
}

/// Reads the letter of an entry like [`open`], if the entry is still in the ring behind it: then what was read is not of a
/// later letter in the same slot.
///
/// # Errors
/// The store's.
pub fn open_listed(
    store: &mut dyn SharedStore,
    keys: &Keys,
    letter: Listed,
) -> Result<Option<(Letter, Vec<u8>)>, StoreError> {
    let opened = open(store, keys, letter)?;
    let is_listed = list(store, keys)?.iter().any(|listed| listed.serial == letter.serial);
    Ok(opened.filter(|_| is_listed))
}

/// Takes letters out of the ring; those that the journal has are to leave it. Letters that are no longer in the ring are
/// skipped.
///
/// # Errors
/// The store's.
pub fn discard(store: &mut dyn SharedStore, keys: &Keys, letters: &[Listed]) -> Result<(), StoreError> {
    take_out(store, keys, letters, true)
}

/// Takes letters out of the ring that have left the journal, or are another gateway's for a while.
///
/// # Errors
/// The store's.
pub fn drop_shared(store: &mut dyn SharedStore, keys: &Keys, letters: &[Listed]) -> Result<(), StoreError> {
    take_out(store, keys, letters, false)
}

fn take_out(store: &mut dyn SharedStore, keys: &Keys, letters: &[Listed], is_for_all: bool) -> Result<(), StoreError> {
    let serials: BTreeSet<u64> = letters.iter().map(|letter| letter.serial).collect();
    update(store, &keys.single(), |index: &mut LetterIndex| {
        (if index.take_out(&serials, is_for_all) { Write::Yes } else { Write::No }, ())
    })?;
    let slots: Vec<u32> = letters.iter().map(|letter| letter.slot).collect();
    free(store, keys, &slots)
}

/// Frees the slots of letters that have left the ring, except slots into which another worker has put a letter
/// meanwhile: such a slot is in the index again, or was written after it was read here, which makes the
/// compare-and-swap fail. The index, whose size is that of the ring, is read once.
fn free(store: &mut dyn SharedStore, keys: &Keys, slots: &[u32]) -> Result<(), StoreError> {
    let letters = keys.row::<Letter>();
    let mut seen = Vec::with_capacity(slots.len());
    for slot in slots {
        if let Some((_, cas)) = store.get(letters.at(*slot).as_str())? {
            seen.push((*slot, cas));
        }
    }
    let index = index(store, keys)?;
    let mut used = vec![false; index.letters.iter().map(|listed| listed.slot as usize + 1).max().unwrap_or_default()];
    for listed in &index.letters {
        if let Some(used) = used.get_mut(listed.slot as usize) {
            *used = true;
        }
    }
    for (slot, cas) in seen.into_iter().filter(|(slot, _)| used.get(*slot as usize) != Some(&true)) {
        match store.set(letters.at(slot).as_str(), &[FREED], Some(cas)) {
            Ok(()) | Err(StoreError::CasMismatch) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
