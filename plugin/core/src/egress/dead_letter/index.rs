//! The index of the ring: which letters there are, and which ones go when one more comes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::keys::Stored;
use crate::store::{Record, StoreError};
use crate::time::WallTime;

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
            let may_go = shares.iter().filter(|(_, share)| share.may_go > 0);
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
    /// The letters that may be evicted: all but a new one.
    may_go: u64,
}

impl EndpointShare {
    fn add(&mut self, size: u64, may_go: bool) {
        self.letters += 1;
        self.may_go += u64::from(may_go);
        self.bytes = self.bytes.saturating_add(size);
    }

    fn take(&mut self, size: u64) {
        self.letters = self.letters.saturating_sub(1);
        self.may_go = self.may_go.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }
}

/// The entry of a letter in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub(super) slot: u32,
    /// The size of the letter's record and payload, in bytes.
    pub size: u64,
    /// The serial number of the letter, which no other letter has.
    pub serial: u64,
    /// The letter's endpoint: the beginning of the SHA-256 of its name, or 0 if an older filter kept the letter.
    pub endpoint: u32,
    /// The letter's name: [`name_of`] its delivery, or 0 if an older filter kept the letter.
    pub name: u64,
    /// When the delivery ended, or 0 if an older filter kept the letter.
    pub died: WallTime,
    /// The journal has the letter, too.
    pub is_shared: bool,
}

/// The number of an endpoint in the index: the beginning of the SHA-256 of its name. Two endpoints with one number would
/// have one share.
pub(super) fn endpoint_number(name: &str) -> u32 {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    u32::from_be_bytes([a, b, c, d])
}

/// The name of a letter in the index: the beginning of the SHA-256 of its delivery's name. Of a million letters two have
/// one name with a chance of 1 to 40 million.
pub fn name_of(delivery: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::digest(delivery.as_bytes()).into();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The way in which a letter comes into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its delivery has died here: it takes the place of the letter that the ring has of the same delivery.
    Died,
    /// It is a dead gateway's, whose events were taken over: the ring gets it unless it has it, or had it and it is to leave
    /// the journal.
    TakenOver,
    /// The journal has it: as one that was taken over, and if there is no room the oldest letter goes, be it this one.
    Shared,
}

/// A letter that is to come into the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLetter {
    endpoint: u32,
    name: u64,
    size: u64,
    died: WallTime,
    arrival: Arrival,
}

impl NewLetter {
    pub fn new(endpoint: &str, name: u64, size: u64, died: WallTime, arrival: Arrival) -> Self {
        Self { endpoint: endpoint_number(endpoint), name, size, died, arrival }
    }
}

/// What came of a letter that was to come into the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// The slot to write the letter to; `None`: the ring has the letter, or does not take it.
    pub slot: Option<u32>,
    /// The serial number of the letter.
    pub serial: u64,
    /// The slots of letters that left the ring.
    pub freed: Vec<u32>,
    /// The number of letters that were evicted.
    pub evicted: u32,
    /// The index has changed.
    pub is_change: bool,
}

/// The index of the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterIndex {
    /// The letters, oldest first.
    pub letters: Vec<Listed>,
    /// The number of letters that were ever kept: the serial number of the last one.
    pub serial: u64,
    /// The names of letters that have left this ring, and that the journal may have still.
    pub gone: Vec<u64>,
}

impl Stored for LetterIndex {
    const NAME: &'static str = "dead/index";
}

/// An entry of a version before, whose letter has neither a name nor a time.
fn nameless(slot: u32, size: u64, serial: u64, endpoint: u32) -> Listed {
    Listed { slot, size, serial, endpoint, name: 0, died: WallTime::default(), is_shared: false }
}

impl Record for LetterIndex {
    /// Version 2 has each letter's endpoint; version 3 its name, when it died, and whether the journal has it.
    const VERSION: u8 = 3;

    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), StoreError> {
        let Some((version, fields)) = bytes.split_first() else { return Err(StoreError::UnknownFormat) };
        let read = match version {
            1 => postcard::take_from_bytes::<(Vec<(u32, u64, u64)>, u64)>(fields).map(|((letters, serial), rest)| {
                let letters = letters.into_iter().map(|(slot, size, serial)| nameless(slot, size, serial, 0));
                (Self { letters: letters.collect(), serial, gone: Vec::new() }, rest)
            }),
            2 => postcard::take_from_bytes::<(Vec<(u32, u64, u64, u32)>, u64)>(fields).map(
                |((letters, serial), rest)| {
                    let letters = letters.into_iter();
                    let letters = letters.map(|(slot, size, serial, endpoint)| nameless(slot, size, serial, endpoint));
                    (Self { letters: letters.collect(), serial, gone: Vec::new() }, rest)
                },
            ),
            3 => postcard::take_from_bytes(fields),
            _ => return Err(StoreError::UnknownFormat),
        };
        read.map_err(|_| StoreError::UnknownFormat)
    }
}

impl LetterIndex {
    /// Adds a letter, unless the ring has it.
    pub(super) fn push(&mut self, new: NewLetter, room: Room) -> Pushed {
        let is_shared = new.arrival == Arrival::Shared;
        let known = self.letters.iter().position(|letter| letter.name == new.name);
        let mut pushed = Pushed::default();
        match known.and_then(|at| self.letters.get(at).copied().map(|letter| (at, letter))) {
            // It was redelivered or taken over, and has died again: what is kept is how it stands now.
            Some((at, letter)) if new.arrival == Arrival::Died => {
                self.letters.remove(at);
                if letter.is_shared {
                    self.leave(letter.name);
                }
                pushed.freed.push(letter.slot);
            }
            Some((_, letter)) => return Pushed { serial: letter.serial, ..Pushed::default() },
            // It was discarded, or is being redelivered.
            None if new.arrival != Arrival::Died && self.gone.contains(&new.name) => return pushed,
            // What cannot be kept here at all is left to gateways with more room.
            None if is_shared && new.size > room.bytes => return pushed,
            None => {}
        }
        self.serial += 1;
        let NewLetter { endpoint, name, size, died, .. } = new;
        let listed = Listed { slot: u32::MAX, size, serial: self.serial, endpoint, name, died, is_shared };
        let at = self.letters.partition_point(|letter| letter.died <= died);
        self.letters.insert(at, listed);
        pushed.evicted = self.evict(room, (!is_shared).then_some(self.serial), &mut pushed.freed);
        (pushed.serial, pushed.is_change) = (self.serial, true);
        let slot = self.lowest_free();
        if let Some(listed) = self.letters.iter_mut().find(|listed| listed.serial == pushed.serial) {
            listed.slot = slot;
            pushed.slot = Some(slot);
        }
        pushed
    }

    /// Takes out letters until the others have room, except for `spared`; returns how many. Their slots go to `freed`.
    fn evict(&mut self, room: Room, spared: Option<u64>, freed: &mut Vec<u32>) -> u32 {
        let may_go = |letter: &Listed| Some(letter.serial) != spared;
        let mut shares: BTreeMap<u32, EndpointShare> = BTreeMap::new();
        for letter in &self.letters {
            shares.entry(letter.endpoint).or_default().add(letter.size, may_go(letter));
        }
        let mut evicted = 0;
        while let Some(largest) = room.exceeded_by(&shares) {
            let is_meant = |letter: &Listed| letter.endpoint == largest && may_go(letter);
            let Some(oldest) = self.letters.iter().position(is_meant) else { break };
            let oldest = self.letters.remove(oldest);
            shares.entry(oldest.endpoint).and_modify(|share| share.take(oldest.size));
            if oldest.is_shared {
                self.leave(oldest.name);
            }
            if oldest.slot != u32::MAX {
                freed.push(oldest.slot);
            }
            evicted += 1;
        }
        evicted
    }

    /// Remembers that a letter is to leave the journal.
    fn leave(&mut self, name: u64) {
        if !self.gone.contains(&name) {
            self.gone.push(name);
        }
    }

    /// Takes letters out by their serial numbers, to leave the journal if it is for all gateways; says whether there were
    /// any.
    pub(super) fn take_out(&mut self, serials: &BTreeSet<u64>, is_for_all: bool) -> bool {
        let taken: Vec<Listed> = self.letters.extract_if(.., |letter| serials.contains(&letter.serial)).collect();
        for letter in taken.iter().filter(|letter| letter.is_shared && is_for_all) {
            self.leave(letter.name);
        }
        !taken.is_empty()
    }

    /// Notes that the journal has a letter. If it has left the ring meanwhile it is to leave the journal.
    pub(super) fn note_shared(&mut self, serial: u64, name: u64) {
        if let Some(letter) = self.letters.iter_mut().find(|letter| letter.serial == serial) {
            letter.is_shared = true;
            self.gone.retain(|gone| *gone != name);
        } else if !self.letters.iter().any(|letter| letter.name == name && letter.is_shared) {
            self.leave(name);
        }
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
