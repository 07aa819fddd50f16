//! The fleet's dead letters: the ring of every gateway has those that the journal has, so that any of them lists,
//! redelivers and discards them.
//!
//! One worker of each gateway keeps the ring and the journal alike: about once a second it asks whether the journal's
//! letters have changed, and [plans](super::letter_plan) what follows. The index of the ring says what the journal has and
//! what is to leave it, so another worker may go on at any time.
//!
//! A letter of an event in the journal stays in its segment until it is known to be kept in the store
//! ([`super::letters`]). A letter that is redelivered stays in the store until that has ended well: it is only marked, for
//! as long as its gateway lives. So a gateway may die at any time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Engine;
use super::letter_plan::{FleetLetters, Here, LetterPlan, PlannedChange};
use crate::egress::dead_letter::{self, Arrival, Letter, name_of};
use crate::journal::letters::{LetterAnswer, LetterChange, LetterNews, LetterOperation, StoredLetter};
use crate::ledger::Partition;
use crate::ledger::record::{split_payload, with_payload};
use crate::store::{StoreError, World};
use crate::telemetry::notice::Notice;
use crate::time::Instant;

/// How often a gateway asks whether letters have changed.
const LIST_EVERY: Duration = Duration::from_secs(1);

/// The most names that are listed at once: 700 KB. With more letters a gateway asks less often.
const LIST_MAX: u32 = 4000;

impl Engine {
    /// Makes the ring and the fleet's letters alike.
    pub(super) fn sync_letters(&mut self, world: &mut World<'_>) {
        let now = world.now.mono;
        let keeps = self.keeps_documents() && self.journal.as_ref().is_some_and(|journal| journal.process.is_some());
        if !keeps || !self.journal.as_ref().is_some_and(|journal| journal.writer.is_alive(now)) {
            return self.fleet_letters.begin_anew();
        }
        let pages = u32::try_from(self.fleet_letters.names.len()).unwrap_or(u32::MAX) / LIST_MAX;
        if now.since(self.fleet_letters.asked) >= LIST_EVERY * (pages + 1) {
            self.fleet_letters.asked = now;
            let listed = self.list_letters(world);
            self.note_letters_failure(listed);
        }
        let changed = self.change_letters(world);
        self.note_letters_failure(changed);
    }

    fn note_letters_failure(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.output.note(Notice::Store { doing: "sharing dead letters", error });
        }
    }

    fn list_letters(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let ring = dead_letter::index(world.store, &self.keys)?;
        let Some(journal) = self.journal.as_mut().filter(|journal| !journal.writer.is_listing_letters()) else {
            return Ok(());
        };
        let known = self.fleet_letters.begin_list(&ring);
        journal.writer.ask_letters(world.now.mono, LetterOperation::List { known, after: None, most: LIST_MAX });
        Ok(())
    }

    /// Does what follows from what is known of the letters now.
    pub(super) fn letters_told(&mut self, world: &mut World<'_>, news: LetterNews) {
        let done = match news {
            LetterNews::Changed(changes) => self.letters_changed(world, changes),
            LetterNews::Answer(LetterAnswer::List(list)) => match self.fleet_letters.take_list(list) {
                None => self.reconcile_letters(world),
                after => {
                    if let Some(journal) = self.journal.as_mut() {
                        let next = LetterOperation::List { known: None, after, most: LIST_MAX };
                        journal.writer.ask_letters(world.now.mono, next);
                    }
                    Ok(())
                }
            },
            LetterNews::Answer(LetterAnswer::Read(letters)) => {
                let shared = letters.into_iter().try_for_each(|letter| self.share_letter(world, letter));
                self.read_letters(world.now.mono);
                shared
            }
            // What is wanted is found out again by the next look.
            LetterNews::ReadFailed => {
                self.fleet_letters.page = (self.fleet_letters.page / 2).max(1);
                Ok(())
            }
        };
        self.note_letters_failure(done);
    }

    /// Makes the ring what it is to be, and has the journal's letters read and changed that are to be.
    fn reconcile_letters(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let mut ring = dead_letter::index(world.store, &self.keys)?;
        let gone: BTreeSet<u64> = ring.gone.iter().copied().collect();
        let redelivered = self.redelivered(world, &gone)?;
        if !gone.is_empty() {
            // A letter that left the ring to be redelivered stands in a partition since before; one that has died again
            // is in the ring before it leaves its partition.
            ring = dead_letter::index(world.store, &self.keys)?;
        }
        let Some(journal) = self.journal.as_ref() else { return Ok(()) };
        let plan = self.fleet_letters.plan(&Here {
            ring: &ring,
            gone: &gone,
            redelivered: &redelivered,
            instance: journal.instance(),
            largest: journal.writer.entry_max() as u64,
        });
        let LetterPlan { drop, share, settled, read, changes } = plan;
        (self.fleet_letters.wanted, self.fleet_letters.changes) = (read, changes);
        if !drop.is_empty() {
            dead_letter::drop_shared(world.store, &self.keys, &drop)?;
        }
        if !share.is_empty() {
            dead_letter::note_shared(world.store, &self.keys, &share)?;
        }
        if !settled.is_empty() {
            dead_letter::forget_gone(world.store, &self.keys, &settled)?;
        }
        self.read_letters(world.now.mono);
        self.change_letters(world)
    }

    /// Those of the letters that have left the ring which are being redelivered.
    fn redelivered(&self, world: &mut World<'_>, gone: &BTreeSet<u64>) -> Result<BTreeSet<u64>, StoreError> {
        let names = &self.fleet_letters.names;
        let known: BTreeSet<&str> =
            gone.iter().filter_map(|name| names.get(name)).map(|letter| letter.delivery.as_str()).collect();
        let mut found = BTreeSet::new();
        if known.is_empty() {
            return Ok(found);
        }
        Partition::survey(world.store, &self.keys, world.now.mono, &mut |event| {
            for delivery in event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
                let name = format!("{}.{}", event.id, delivery.endpoint);
                if known.contains(name.as_str()) {
                    found.insert(name_of(&name));
                }
            }
        })?;
        Ok(found)
    }

    /// Has the next letters read that the ring lacks.
    fn read_letters(&mut self, now: Instant) {
        let FleetLetters { wanted, page, .. } = &mut self.fleet_letters;
        let Some(journal) = self.journal.as_mut().filter(|_| !wanted.is_empty()) else { return };
        let names: Vec<String> = wanted.iter().take(*page).cloned().collect();
        let count = names.len();
        if journal.writer.ask_letters(now, LetterOperation::Read { names }) {
            wanted.drain(..count);
        }
    }

    /// Puts a letter of the fleet into the ring. One that this version cannot read, or that has no room here, is left alone.
    fn share_letter(&mut self, world: &mut World<'_>, stored: StoredLetter) -> Result<(), StoreError> {
        let StoredLetter { name: delivery, revision, bytes } = stored;
        let name = name_of(&delivery);
        let Some((letter, payload)) =
            split_payload::<Letter>(bytes).ok().filter(|(letter, _)| letter.delivery() == delivery)
        else {
            self.fleet_letters.leave(name, revision);
            return Ok(());
        };
        if self.fleet_letters.is_older(name, revision) {
            let mut old = dead_letter::list(world.store, &self.keys)?;
            old.retain(|listed| listed.name == name && listed.is_shared);
            dead_letter::drop_shared(world.store, &self.keys, &old)?;
        }
        let room = self.config.limits.dead_letter_room();
        let kept = dead_letter::keep(world.store, &self.keys, &letter, &payload, Arrival::Shared, room)?;
        if kept.serial > 0 {
            self.fleet_letters.hold(name, Some(revision));
        } else {
            self.fleet_letters.leave(name, revision);
        }
        Ok(())
    }

    /// Has letters changed in the journal, as many as may be at once.
    fn change_letters(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        if self.fleet_letters.changes.is_empty() {
            return Ok(());
        }
        let Some(journal) = self.journal.as_ref().filter(|journal| journal.writer.may_change_letters()) else {
            return Ok(());
        };
        let (most, room, is_full) =
            (journal.writer.letters_most(), journal.writer.entry_max(), journal.writer.is_full());
        let instance = journal.instance().to_owned();
        let (mut changes, mut size) = (Vec::new(), 0);
        self.fleet_letters.keeping.clear();
        while changes.len() < most
            && let Some(change) = self.fleet_letters.changes.pop_front()
        {
            match change {
                PlannedChange::Take(delivery) => changes.push((delivery, LetterChange::Take(instance.clone()))),
                PlannedChange::Forget(delivery) => changes.push((delivery, LetterChange::Forget)),
                PlannedChange::Keep(_) if is_full => {}
                PlannedChange::Keep(listed) => {
                    let Some((letter, payload)) = dead_letter::open(world.store, &self.keys, listed)? else { continue };
                    let bytes = with_payload(&letter, &payload)?;
                    if size + bytes.len() > room {
                        self.fleet_letters.changes.push_front(PlannedChange::Keep(listed));
                        break;
                    }
                    size += bytes.len();
                    self.fleet_letters.keeping.insert(letter.delivery(), listed.serial);
                    changes.push((letter.delivery(), LetterChange::Keep(bytes)));
                }
            }
        }
        // After the letters: a slot whose letter is still in the ring now held no later one.
        let ring = dead_letter::index(world.store, &self.keys)?;
        let is_news: BTreeSet<u64> =
            ring.letters.iter().filter(|letter| !letter.is_shared).map(|letter| letter.serial).collect();
        self.fleet_letters.keeping.retain(|_, serial| is_news.contains(serial));
        changes.retain(|(delivery, change)| {
            !matches!(change, LetterChange::Keep(_)) || self.fleet_letters.keeping.contains_key(delivery)
        });
        if let Some(journal) = self.journal.as_mut().filter(|_| !changes.is_empty()) {
            journal.writer.change_letters(world.now.mono, changes);
        }
        Ok(())
    }

    /// Notes in the ring's index what was changed in the journal.
    fn letters_changed(
        &mut self,
        world: &mut World<'_>,
        changes: Vec<(String, LetterChange)>,
    ) -> Result<(), StoreError> {
        let (mut shared, mut forgotten) = (Vec::new(), BTreeSet::new());
        for (delivery, change) in changes {
            let name = name_of(&delivery);
            match change {
                LetterChange::Keep(_) => {
                    if let Some(serial) = self.fleet_letters.keeping.remove(&delivery) {
                        self.fleet_letters.hold(name, None);
                        shared.push((serial, name));
                    }
                }
                LetterChange::Forget => drop(forgotten.insert(name)),
                LetterChange::Take(_) => {}
            }
        }
        dead_letter::note_shared(world.store, &self.keys, &shared)?;
        dead_letter::forget_gone(world.store, &self.keys, &forgotten)?;
        self.change_letters(world)
    }
}
