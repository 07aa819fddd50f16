//! Dead letters of events in the journal: their segment keeps them until they are known to be kept among the fleet's
//! ([`super::fleet_letters`]). Whoever takes a dead gateway over puts those that are not into its own ring.
//!
//! A letter that is redelivered leaves the ring at once. If it is not among the fleet's yet, its segment keeps it until the
//! redelivery has ended: if the gateway dies before, the letter is there again. So does one that is too large to be among
//! them.

use std::collections::BTreeMap;

use super::Engine;
use super::commits::KeptLetter;
use super::pending::{Delivery, Pending};
use crate::egress::dead_letter::{self, Arrival, Letter};
use crate::journal::record::{DeliveryProgress, EntryHead, JournalStage};
use crate::journal::segments::Origin;
use crate::ledger::Partition;
use crate::ledger::record::EventMeta;
use crate::outcome::Reason;
use crate::store::{StoreError, World};
use crate::telemetry::notice::Notice;

impl Engine {
    /// Remembers the letters of an event that has ended: their segment stays until they are among the fleet's.
    pub(super) fn remember_letters(&mut self, event: &Pending, origin: Origin) {
        for delivery in &event.deliveries {
            let Delivery { endpoint, letter: Some(serial), .. } = delivery else { continue };
            let Some(endpoint) = self.config.endpoints.get(endpoint.0).map(|endpoint| endpoint.name.clone()) else {
                continue;
            };
            if let Some(journal) = self.journal.as_mut() {
                journal.letters.push(KeptLetter { serial: *serial, id: event.id, endpoint, origin });
            }
        }
    }

    /// Puts the letter of a dead gateway into the ring, unless the ring has it; returns its serial number.
    pub(super) fn take_up_letter(
        &mut self,
        world: &mut World<'_>,
        head: &EntryHead,
        payload: &[u8],
        progress: &DeliveryProgress,
    ) -> Result<u64, StoreError> {
        let letter = Letter {
            meta: EventMeta { content_encoding: head.content_encoding.clone(), ..head.meta.clone() },
            endpoint: progress.endpoint.clone(),
            reason: progress.trail.reason.unwrap_or(Reason::Failed),
            attempts: progress.attempts,
            response_status: progress.response_status,
            accepted: head.accepted,
            died: progress.trail.ended.unwrap_or(world.now.wall),
        };
        let room = self.config.limits.dead_letter_room();
        dead_letter::keep(world.store, &self.keys, &letter, payload, Arrival::TakenOver, room).map(|kept| kept.serial)
    }

    /// Remembers a letter that was taken up.
    pub(super) fn remember_letter(&mut self, head: &EntryHead, endpoint: &str, origin: Origin, serial: u64) {
        if let Some(journal) = self.journal.as_mut() {
            let (id, endpoint) = (head.meta.id, endpoint.to_owned());
            journal.letters.push(KeptLetter { serial, id, endpoint, origin });
        }
    }

    /// Lets segments forget the letters that are among the fleet's, or in the ring no more, once a second.
    pub(super) fn check_letters(&mut self, world: &mut World<'_>) {
        if let Err(error) = self.forget_letters(world) {
            self.output.note(Notice::Store { doing: "looking for dead letters", error });
        }
    }

    fn forget_letters(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let Some(journal) = self.journal.as_mut().filter(|journal| !journal.letters.is_empty()) else { return Ok(()) };
        let ring = dead_letter::list(world.store, &self.keys)?;
        let ring: BTreeMap<u64, bool> = ring.iter().map(|listed| (listed.serial, listed.is_shared)).collect();
        let is_over = |letter: &mut KeptLetter| ring.get(&letter.serial).is_none_or(|is_shared| *is_shared);
        let mut gone: Vec<KeptLetter> = journal.letters.extract_if(.., is_over).collect();
        for letter in gone.extract_if(.., |letter| ring.contains_key(&letter.serial)) {
            journal.writer.segments.end_letter(letter.origin, &letter.endpoint);
        }
        if gone.is_empty() {
            return Ok(());
        }
        let mut redelivered = Vec::new();
        Partition::survey(world.store, &self.keys, world.now.mono, &mut |event| {
            let open = event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled());
            redelivered.extend(open.map(|delivery| (event.id, delivery.endpoint.clone())));
        })?;
        for letter in gone {
            let is_redelivered = redelivered.iter().any(|(id, name)| *id == letter.id && *name == letter.endpoint);
            let name = format!("{}.{}", letter.id, letter.endpoint);
            // Its redelivery may have failed: the letter is in the ring again.
            let again = if is_redelivered { None } else { dead_letter::find(world.store, &self.keys, &name)? };
            let Some(journal) = self.journal.as_mut() else { return Ok(()) };
            match again {
                Some(serial) => journal.letters.push(KeptLetter { serial, ..letter }),
                None if is_redelivered => journal.letters.push(letter),
                None => journal.writer.segments.end_letter(letter.origin, &letter.endpoint),
            }
        }
        Ok(())
    }
}

/// The stage of a delivery that has ended, for the journal.
pub(super) fn ended(delivery: &Delivery) -> JournalStage {
    if delivery.letter.is_some() { JournalStage::Letter } else { JournalStage::Ended }
}
