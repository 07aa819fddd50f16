//! The checks of dead letters: each holds its event and died of what it says; none goes without a reason.

use std::time::Duration;

use gatepost_core::egress::dead_letter::{self, Letter, Listed};
use gatepost_core::ledger::record::split_payload;
use gatepost_core::outcome::Reason;
use gatepost_core::store::is_freed;
use gatepost_core::store::keys::Keys;
use host_tests::Write;

use super::facts::{Facts, Mirror};
use super::invariant::{Broken, Invariant, broken};
use crate::plan::{Endpoint, Plan};
use crate::receivers::End;

/// The checks of dead letters.
#[derive(Debug, Default)]
pub struct Ring {
    listed: Vec<Listed>,
    /// The ring was written in this callback.
    is_changed: bool,
}

impl Ring {
    /// Checks a write of the index, which stands in `store`. `is_operating`: an operator's request is under way.
    pub fn index(&mut self, plan: &Plan, store: &mut Mirror, at: Duration, is_operating: bool) -> Result<(), Broken> {
        let Ok(listed) = dead_letter::list(store, &Keys::new("gatepost")) else {
            return broken(Invariant::LetterWhole, format!("the index is no record at {at:?}"));
        };
        let before = std::mem::replace(&mut self.listed, listed);
        self.is_changed = true;
        let (limits, now) = (&plan.limits, &self.listed);
        let bytes = now.iter().map(|letter| letter.size).sum::<u64>() as usize;
        if now.len() > limits.dead_letters || (bytes > limits.dead_letter_bytes && now.len() > 1) {
            return broken(Invariant::RingBounded, format!("{} letters, {bytes} bytes at {at:?}", now.len()));
        }
        // A delivery that has died again has one letter: the new one.
        let is_replaced =
            |letter: &&Listed| now.iter().any(|other| other.name == letter.name && !before.contains(other));
        let gone: Vec<&Listed> = before.iter().filter(|letter| !now.contains(letter) && !is_replaced(letter)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let overflows = |letter: &&Listed| bytes + letter.size as usize > limits.dead_letter_bytes;
        let is_full = now.len() + 1 > limits.dead_letters || gone.iter().any(overflows);
        let is_new = now.iter().any(|letter| !before.contains(letter));
        let made_room = is_new && is_full && gone.iter().all(|letter| is_to_go(letter, &before, now));
        if made_room || is_operating {
            return Ok(());
        }
        broken(Invariant::LetterStays, format!("{} of {} letters went at {at:?}", gone.len(), before.len()))
    }

    /// Checks a write of a slot of the ring.
    pub fn slot(&mut self, plan: &Plan, facts: &mut Facts, slot: &str, write: &Write) -> Result<(), Broken> {
        self.is_changed = true;
        let place = format!("{} at {:?}", write.key, write.at);
        if !slot.parse().is_ok_and(|slot: usize| slot < plan.limits.dead_letters) {
            return broken(Invariant::RingBounded, place);
        }
        if is_freed(&write.value) {
            return Ok(());
        }
        let Ok((letter, payload)) = split_payload::<Letter>(write.value.clone()) else {
            return broken(Invariant::LetterWhole, format!("{place} is no record"));
        };
        let id = letter.meta.id.to_string();
        let sent = facts.sent.get(&payload);
        let (Some(endpoint), Some(true)) =
            (plan.endpoint(&letter.endpoint), sent.map(|sent| sent.event == letter.meta.event_type))
        else {
            return broken(Invariant::LetterWhole, format!("{place}: {id} to {}", letter.endpoint));
        };
        facts.identify(&id, &payload)?;
        if !died_of(plan, facts, endpoint, &letter, write.at) {
            let Letter { reason, attempts, response_status, .. } = letter;
            let seen = format!(
                "{place}: {id} to {}: {reason:?}, {attempts} attempts, {response_status:?}; {:?}",
                endpoint.name,
                facts.delivery(&id, &endpoint.name)
            );
            return broken(Invariant::LetterReason, seen);
        }
        facts.delivery_mut(&id, &endpoint.name).letters += 1;
        Ok(())
    }

    /// Checks, when a callback is over, that each letter that is listed is there, unless failed writes or lost VMs may
    /// have prevented that.
    pub fn passed(&mut self, plan: &Plan, store: &mut Mirror) -> Result<(), Broken> {
        if !std::mem::take(&mut self.is_changed) || plan.faults.store + plan.faults.trap > 0 {
            return Ok(());
        }
        for letter in &self.listed {
            if !matches!(dead_letter::open(store, &Keys::new("gatepost"), *letter), Ok(Some(_))) {
                return broken(Invariant::LetterStays, format!("{letter:?} is listed and is not there"));
            }
        }
        Ok(())
    }

    /// The letters in the ring: the ids of their events, and the names of their endpoints.
    pub fn letters(&self, store: &mut Mirror) -> Vec<(String, String)> {
        let opened = self
            .listed
            .iter()
            .filter_map(|letter| dead_letter::open(store, &Keys::new("gatepost"), *letter).ok().flatten());
        opened.map(|(letter, _)| (letter.meta.id.to_string(), letter.endpoint)).collect()
    }

    /// The number of letters that are listed.
    pub fn count(&self) -> usize {
        self.listed.len()
    }
}

/// Whether it was this letter's turn to go for a new one: no older one of its endpoint stays, and before it went the
/// endpoint had as many letters or bytes as any other has now. A letter that is the only one of its endpoint may have
/// more bytes: it has just come.
fn is_to_go(letter: &Listed, before: &[Listed], now: &[Listed]) -> bool {
    let sum = |letters: &mut dyn Iterator<Item = &Listed>| {
        letters.fold((0, 0), |(letters, bytes), letter| (letters + 1, bytes + letter.size))
    };
    let share = |endpoint: u32| sum(&mut now.iter().filter(|other| other.endpoint == endpoint));
    let place = before.iter().position(|other| other == letter).unwrap_or_default();
    let (older, newer) = before.split_at(place);
    let (letters, bytes) = share(letter.endpoint);
    let is_gone = |other: &&Listed| other.endpoint == letter.endpoint && !now.contains(other);
    let (went, bytes_went) = sum(&mut newer.iter().filter(is_gone));
    let is_largest = now.iter().all(|other| {
        let (others, others_bytes) = share(other.endpoint);
        others == 1 || letters + went >= others || bytes + bytes_went >= others_bytes
    });
    is_largest && older.iter().filter(|other| other.endpoint == letter.endpoint).all(|older| !now.contains(older))
}

/// Whether a delivery ended as its letter says.
fn died_of(plan: &Plan, facts: &Facts, endpoint: &Endpoint, letter: &Letter, at: Duration) -> bool {
    let id = letter.meta.id.to_string();
    let delivery = facts.delivery(&id, &endpoint.name);
    match letter.reason {
        Reason::Failed => {
            let status = letter.response_status;
            let is_final = End { status, ..End::default() }.is_final() && status.is_none_or(|status| status >= 300);
            let is_over = letter.attempts as usize >= endpoint.delays.len();
            let failed = |end: &End| !end.is_success() && end.at <= at;
            let last = delivery.and_then(|delivery| delivery.last);
            (is_final || is_over)
                && (!facts.is_calm(plan, &id)
                    || (delivery.is_some_and(|delivery| delivery.sends == letter.attempts)
                        && last.is_some_and(|last| failed(&last.end) && last.end.status.or(status) == status)))
        }
        Reason::Expired => delivery.and_then(|delivery| delivery.accepted).is_some_and(|(first, last)| {
            let since = if facts.is_calm(plan, &id) { last } else { first };
            at >= since + endpoint.max_age
        }),
        Reason::Overflow => endpoint.overflows,
        Reason::EndpointRemoved => {
            plan.faults.config > 0 && plan.configs.iter().any(|config| !config.endpoints.contains(&endpoint.name))
        }
        // Three VMs were lost: that of the worker that took the event, and those of two attempts since.
        Reason::Poison => facts.disruptions >= 3,
    }
}
