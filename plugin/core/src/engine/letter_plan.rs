//! What is to be done so that the ring of this gateway and the fleet's letters become alike: a decision about values.
//!
//! | in the ring | in the journal | what is done |
//! |---|---|---|
//! | not known to be shared | no | the journal gets it |
//! | not known to be shared | yes | it is known to be shared; if it has died again, the journal gets it anew |
//! | shared | no | it leaves the ring: somebody has discarded it |
//! | shared | yes, being redelivered elsewhere | it leaves the ring for as long |
//! | shared | yes, but another one | it is read anew |
//! | has left it | yes | it leaves the journal, or is marked as being redelivered here |
//! | was never in it | yes | it is read, unless it is being redelivered elsewhere |
//!
//! What the journal has is known as of the time at which it was asked. What has changed here since is decided after the
//! next look.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::egress::dead_letter::{LetterIndex, Listed, name_of};
use crate::journal::letters::LetterList;
use crate::time::Instant;

/// The most letters that are read at once: 8 large ones are 2 MiB, half of what the examples let Envoy hold of an answer.
const PAGE: usize = 8;

/// What a worker knows of the fleet's letters.
#[derive(Debug)]
pub(super) struct FleetLetters {
    /// When they were asked for last.
    pub asked: Instant,
    /// The letters of the fleet by their names in the ring's index, as they were listed last.
    pub names: BTreeMap<u64, FleetLetter>,
    /// The revision of the list; `None`: it is to be listed anew.
    known: Option<u64>,
    /// A list that is not complete yet, and its revision.
    listing: BTreeMap<u64, FleetLetter>,
    listed: Option<u64>,
    /// The revisions of the letters that the ring has, as far as they are known.
    held: BTreeMap<u64, u64>,
    /// The revisions of letters that the ring does not take: of another version, or too large.
    left: BTreeMap<u64, u64>,
    /// The letters that are being redelivered, each with the name of the gateway.
    taken: BTreeMap<u64, String>,
    /// The ring as it was when the list was asked for.
    ring: RingThen,
    /// Letters to read.
    pub wanted: VecDeque<String>,
    /// The most letters that are read at once: half as many after an answer that did not come.
    pub page: usize,
    /// Letters to change.
    pub changes: VecDeque<PlannedChange>,
    /// The serial numbers of the letters that the journal is just getting, by their deliveries.
    pub keeping: BTreeMap<String, u64>,
}

/// A letter of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FleetLetter {
    /// The name of the delivery.
    pub delivery: String,
    /// The revision of the letter.
    pub revision: u64,
}

/// What is remembered of the ring from the time at which a list was asked for.
#[derive(Clone, Debug, Default)]
struct RingThen {
    shared: BTreeSet<u64>,
    gone: BTreeSet<u64>,
    serial: u64,
}

/// A change of the fleet's letters that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PlannedChange {
    Keep(Listed),
    Take(String),
    Forget(String),
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LetterPlan {
    /// These leave the ring.
    pub drop: Vec<Listed>,
    /// The journal is known to have these, by serial number and name.
    pub share: Vec<(u64, u64)>,
    /// These have left the journal, after the ring.
    pub settled: BTreeSet<u64>,
    /// These are read.
    pub read: VecDeque<String>,
    /// These are changed.
    pub changes: VecDeque<PlannedChange>,
}

/// This gateway, for a plan.
pub(super) struct Here<'a> {
    pub ring: &'a LetterIndex,
    /// The letters that had left the ring before it was found out which are being redelivered.
    pub gone: &'a BTreeSet<u64>,
    /// The letters that are being redelivered here.
    pub redelivered: &'a BTreeSet<u64>,
    /// The name of this process.
    pub instance: &'a str,
    /// The largest letter that the journal takes, in bytes.
    pub largest: u64,
}

impl Default for FleetLetters {
    fn default() -> Self {
        Self {
            asked: Instant::default(),
            names: BTreeMap::new(),
            known: None,
            listing: BTreeMap::new(),
            listed: None,
            held: BTreeMap::new(),
            left: BTreeMap::new(),
            taken: BTreeMap::new(),
            ring: RingThen::default(),
            wanted: VecDeque::new(),
            page: PAGE,
            changes: VecDeque::new(),
            keeping: BTreeMap::new(),
        }
    }
}

impl FleetLetters {
    /// Forgets what is known: another worker has kept the letters, or the store was away.
    pub fn begin_anew(&mut self) {
        *self = Self { asked: self.asked, page: self.page, ..Self::default() };
    }

    /// Remembers the ring as the list is asked for; returns the revision of the list before.
    pub fn begin_list(&mut self, ring: &LetterIndex) -> Option<u64> {
        self.ring = RingThen {
            shared: ring.letters.iter().filter(|letter| letter.is_shared).map(|letter| letter.serial).collect(),
            gone: ring.gone.iter().copied().collect(),
            serial: ring.serial,
        };
        self.listing.clear();
        self.known
    }

    /// Takes a list, or a part of one. Returns the last name of it if there is more; else the list is complete.
    pub fn take_list(&mut self, list: LetterList) -> Option<String> {
        self.taken = list.taken.into_iter().map(|(delivery, who)| (name_of(&delivery), who)).collect();
        let names = list.names?;
        if self.listing.is_empty() {
            // What changes while it is being listed is listed after that.
            self.listed = list.changed;
        }
        let last = names.last().map(|(delivery, _)| delivery.clone());
        let letter = |(delivery, revision): (String, u64)| (name_of(&delivery), FleetLetter { delivery, revision });
        self.listing.extend(names.into_iter().map(letter));
        if list.has_more {
            return last;
        }
        (self.names, self.known) = (std::mem::take(&mut self.listing), self.listed);
        self.left.retain(|name, _| self.names.contains_key(name));
        self.held.retain(|name, _| self.names.contains_key(name));
        for (name, letter) in &self.names {
            self.held.entry(*name).or_insert(letter.revision);
        }
        None
    }

    /// Remembers the revision of a letter that the ring has; `None`: it is this gateway's own.
    pub fn hold(&mut self, name: u64, revision: Option<u64>) {
        match revision {
            Some(revision) => drop(self.held.insert(name, revision)),
            None => drop(self.held.remove(&name)),
        }
    }

    /// Remembers a letter that the ring does not take.
    pub fn leave(&mut self, name: u64, revision: u64) {
        self.left.insert(name, revision);
    }

    /// Whether the ring's letter is older than this revision of it.
    pub fn is_older(&self, name: u64, revision: u64) -> bool {
        self.held.get(&name).is_some_and(|held| *held < revision)
    }

    /// What is to be done, now that a list is complete.
    pub fn plan(&self, here: &Here<'_>) -> LetterPlan {
        let mut plan = LetterPlan::default();
        let is_elsewhere = |name: u64| self.taken.get(&name).is_some_and(|who| who != here.instance);
        for letter in &here.ring.letters {
            match self.names.get(&letter.name) {
                None if letter.is_shared && self.ring.shared.contains(&letter.serial) => plan.drop.push(*letter),
                Some(_) if letter.is_shared && is_elsewhere(letter.name) => plan.drop.push(*letter),
                Some(_) if !letter.is_shared && !here.gone.contains(&letter.name) => {
                    plan.share.push((letter.serial, letter.name));
                }
                _ if !letter.is_shared && letter.serial <= self.ring.serial && letter.size <= here.largest => {
                    plan.changes.push_back(PlannedChange::Keep(*letter));
                }
                _ => {}
            }
        }
        let kept: BTreeSet<u64> = here.ring.letters.iter().map(|letter| letter.name).collect();
        for name in here.gone {
            match self.names.get(name) {
                None if self.ring.gone.contains(name) => drop(plan.settled.insert(*name)),
                // The letter has died again.
                _ if kept.contains(name) => {}
                Some(_) if here.redelivered.contains(name) && self.taken.contains_key(name) => {}
                Some(letter) if here.redelivered.contains(name) => {
                    plan.changes.push_back(PlannedChange::Take(letter.delivery.clone()));
                }
                Some(letter) => plan.changes.push_back(PlannedChange::Forget(letter.delivery.clone())),
                None => {}
            }
        }
        let is_lacking = |name: &u64| !kept.contains(name) && !here.ring.gone.contains(name) && !is_elsewhere(*name);
        let is_wanted = |(name, letter): &(&u64, &FleetLetter)| {
            let is_left = self.left.get(name).is_some_and(|left| *left >= letter.revision);
            (is_lacking(name) && !is_left) || (kept.contains(name) && self.is_older(**name, letter.revision))
        };
        let lacking = self.names.iter().filter(is_wanted);
        plan.read = lacking.map(|(_, letter)| letter.delivery.clone()).collect();
        plan
    }
}

#[cfg(test)]
mod tests;
