//! Dead letters: the deliveries that have failed for good, in a ring with their bodies, one ring for all workers.
//!
//! `<name>/dead/index` lists the used slots, oldest first, each with the size of its letter and a serial number that no
//! other letter has; `<name>/dead/<i>` holds a letter. The index is changed by compare-and-swap, and only when a
//! delivery fails for good or letters are taken out, so contention is rare and a few kilobytes a change do not matter.
//! When one more letter would pass the limits, by number or by bytes, a letter goes for it: the oldest one of the endpoint
//! that has the most. So an endpoint may use the whole ring while the others need none of it, and of two endpoints each
//! has at least half: one that is dead takes no letter from another's share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ledger::record::{CodedRecord, EventMeta, decode_coded, encode_coded, split_payload, with_payload};
use crate::outcome::Reason;
use crate::store::keys::{Keys, Stored};
use crate::store::{FREED, Record, SharedStore, StoreError, Write, is_freed, read, update};
use crate::time::WallTime;

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

/// The limits of the ring: a letter beyond them takes the place of the oldest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The largest number of letters.
    pub letters: u32,
    /// The largest size of the letters' records and payloads together, in bytes.
    pub bytes: u64,
}

impl Room {
    /// The endpoint whose share is the largest in what is exceeded, by number or by bytes, of those with a letter that can
    /// go; of two alike the one with the smaller number. `None`: all letters fit, or only the new one is left.
    fn exceeded_by(&self, shares: &BTreeMap<u32, EndpointShare>) -> Option<u32> {
        let largest = |of: fn(&EndpointShare) -> u64| {
            let may_go = shares.iter().filter(|(_, share)| share.older > 0);
            let sizes = may_go.map(|(endpoint, share)| (of(share), std::cmp::Reverse(*endpoint)));
            sizes.max().map(|(_, endpoint)| endpoint.0)
        };
        let letters: u64 = shares.values().map(|share| share.letters).sum();
        let bytes: u64 = shares.values().map(|share| share.bytes).sum();
        if letters > u64::from(self.letters) {
            return largest(|share| share.letters);
        }
        if bytes > self.bytes { largest(|share| share.bytes) } else { None }
    }
}

/// The share of an endpoint in the ring.
#[derive(Clone, Copy, Debug, Default)]
struct EndpointShare {
    letters: u64,
    bytes: u64,
    /// The letters that were there before the new one.
    older: u64,
}

impl EndpointShare {
    fn add(&mut self, size: u64) {
        self.letters += 1;
        self.older += 1;
        self.bytes = self.bytes.saturating_add(size);
    }

    fn take(&mut self, size: u64) {
        self.letters = self.letters.saturating_sub(1);
        self.older = self.older.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }
}

/// The entry of a letter in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    slot: u32,
    /// The size of the letter's record and payload, in bytes.
    pub size: u64,
    /// The serial number of the letter, which no other letter has.
    pub serial: u64,
    /// The letter's endpoint: the beginning of the SHA-256 of its name, or 0 if an older filter kept the letter.
    pub endpoint: u32,
}

/// The number of an endpoint in the index: the beginning of the SHA-256 of its name. Two endpoints with one number would
/// have one share.
fn endpoint_number(name: &str) -> u32 {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    u32::from_be_bytes([a, b, c, d])
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct LetterIndex {
    /// The letters, oldest first.
    letters: Vec<Listed>,
    /// The number of letters that were ever kept: the serial number of the last one.
    serial: u64,
}

impl Stored for LetterIndex {
    const NAME: &'static str = "dead/index";
}

impl Record for LetterIndex {
    /// Version 2 has each letter's endpoint.
    const VERSION: u8 = 2;

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), StoreError> {
        let Some((version, fields)) = bytes.split_first() else { return Err(StoreError::UnknownFormat) };
        let read = match version {
            1 => postcard::take_from_bytes::<(Vec<(u32, u64, u64)>, u64)>(fields).map(|((letters, serial), rest)| {
                let listed = |(slot, size, serial)| Listed { slot, size, serial, endpoint: 0 };
                (Self { letters: letters.into_iter().map(listed).collect(), serial }, rest)
            }),
            2 => postcard::take_from_bytes(fields),
            _ => return Err(StoreError::UnknownFormat),
        };
        read.map_err(|_| StoreError::UnknownFormat)
    }
}

impl LetterIndex {
    /// Adds a letter; returns its slot, and the slots of the older letters that were evicted for it.
    fn push(&mut self, endpoint: u32, size: u64, room: Room) -> (u32, Vec<u32>) {
        let mut evicted = Vec::new();
        let mut shares = BTreeMap::from([(endpoint, EndpointShare { letters: 1, bytes: size, older: 0 })]);
        for letter in &self.letters {
            shares.entry(letter.endpoint).or_insert(EndpointShare::default()).add(letter.size);
        }
        while let Some(largest) = room.exceeded_by(&shares) {
            let Some(oldest) = self.letters.iter().position(|letter| letter.endpoint == largest) else { break };
            let oldest = self.letters.remove(oldest);
            shares.entry(oldest.endpoint).and_modify(|share| share.take(oldest.size));
            evicted.push(oldest.slot);
        }
        let slot = self.lowest_free();
        self.serial += 1;
        self.letters.push(Listed { slot, size, serial: self.serial, endpoint });
        (slot, evicted)
    }

    fn lowest_free(&self) -> u32 {
        let mut used = vec![false; self.letters.len() + 1];
        for letter in &self.letters {
            if let Some(used) = used.get_mut(letter.slot as usize) {
                *used = true;
            }
        }
        used.iter().position(|used| !used).unwrap_or_default() as u32
    }
}

/// A letter that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The serial number of the letter.
    pub serial: u64,
    /// The number of older letters that were evicted for it.
    pub evicted: u32,
}

/// Keeps a letter.
///
/// # Errors
/// The store's; the letter is not kept then.
pub fn keep(
    store: &mut dyn SharedStore,
    keys: &Keys,
    letter: &Letter,
    payload: &[u8],
    room: Room,
) -> Result<Kept, StoreError> {
    let bytes = with_payload(letter, payload)?;
    let (endpoint, size) = (endpoint_number(&letter.endpoint), bytes.len() as u64);
    let (slot, mut evicted, serial) = update(store, &keys.single(), |index: &mut LetterIndex| {
        let (slot, evicted) = index.push(endpoint, size, room);
        (Write::Yes, (slot, evicted, index.serial))
    })?;
    store.set(keys.of::<Letter>(slot).as_str(), &bytes, None)?;
    let count = evicted.len() as u32;
    evicted.retain(|old| *old != slot);
    if !evicted.is_empty() {
        free(store, keys, &evicted)?;
    }
    Ok(Kept { serial, evicted: count })
}

/// The serial number of the letter of a delivery, if the ring has it. Reads every letter.
///
/// # Errors
/// The store's.
pub fn find(store: &mut dyn SharedStore, keys: &Keys, delivery: &str) -> Result<Option<u64>, StoreError> {
    for listed in list(store, keys)? {
        if open(store, keys, listed)?.is_some_and(|(letter, _)| letter.delivery() == delivery) {
            return Ok(Some(listed.serial));
        }
    }
    Ok(None)
}

/// The entries of all letters, oldest first.
///
/// # Errors
/// The store's.
pub fn list(store: &mut dyn SharedStore, keys: &Keys) -> Result<Vec<Listed>, StoreError> {
    Ok(read(store, &keys.single())?.map(|index: LetterIndex| index.letters).unwrap_or_default())
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
    let is_listed = list(store, keys)?.contains(&letter);
    Ok(opened.filter(|_| is_listed))
}

/// Takes letters out of the ring. `letters` must be in the order of [`list`]; those that are no longer in the ring are
/// skipped.
///
/// # Errors
/// The store's.
pub fn discard(store: &mut dyn SharedStore, keys: &Keys, letters: &[Listed]) -> Result<(), StoreError> {
    update(store, &keys.single(), |index: &mut LetterIndex| {
        let before = index.letters.len();
        // `letters` are oldest first, as `list` gives them: sorted by serial number.
        let is_meant = |listed: &Listed| letters.binary_search_by_key(&listed.serial, |letter| letter.serial).is_ok();
        index.letters.retain(|listed| !is_meant(listed));
        (if index.letters.len() == before { Write::No } else { Write::Yes }, ())
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
    let index: LetterIndex = read(store, &keys.single())?.unwrap_or_default();
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
