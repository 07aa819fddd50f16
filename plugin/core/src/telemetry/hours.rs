//! Counts of each of the last 168 hours, for the reports of a week: one record for each endpoint and hour.
//!
//! `<name>/hours/<endpoint>/<i>`, with `i` the hour since the Unix epoch modulo 168, holds one hour for all workers.
//! Each worker adds its new counts to the record once a second, by compare-and-swap. So at most a second of counts is
//! lost when a VM dies, and all counts are lost at the end of the process. A record is 60 bytes, and a few more for
//! each bucket of durations (an eighth of an octave) that is in use: some 0.4 KiB, and 168 records for an endpoint.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::{DeliveryResult, Ending};
use crate::rollout::guard::Counts;
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, read, update};
use crate::time::WallTime;

/// Hours that are kept.
pub const HOURS: u64 = 168;

const SECONDS: u64 = 3600;

/// The outcomes that [`Hour::outcomes`] counts, in the order of the counters: the values of the label `outcome`.
pub const OUTCOMES: [&str; 8] = ["2xx", "3xx", "4xx", "5xx", "timeout", "reset", "connect", REJECTED];

/// The outcome of a call that Envoy refused to send, which is no attempt.
pub const REJECTED: &str = "rejected";

/// The counts of an endpoint in one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// The number of the hour, counted from the Unix epoch.
    number: u64,
    /// Deliveries that were accepted.
    pub accepted: u32,
    /// Attempts by their outcome, in the order of [`OUTCOMES`]; counters that are missing at the end are 0.
    outcomes: Vec<u32>,
    /// Attempts that were not the first of their delivery.
    pub retries: u32,
    /// Deliveries that grew too old.
    pub expired: u32,
    /// How often the endpoint's breaker opened by itself.
    pub breaker_opens: u32,
    /// Deliveries that were delivered or failed, attempts, and how long the attempts took.
    pub counts: Counts,
}

impl Stored for Hour {
    const NAME: &'static str = "hours";
}

impl Record for Hour {
    const VERSION: u8 = 1;
}

impl Hour {
    fn at(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// When the hour began.
    pub fn start(&self) -> WallTime {
        WallTime::from_millis(self.number * SECONDS * 1000)
    }

    /// Attempts by outcome.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        OUTCOMES.into_iter().zip(self.outcomes.iter().copied().chain(std::iter::repeat(0)))
    }

    /// Counts an attempt with this outcome.
    pub fn outcome(&mut self, label: &str) {
        let place = OUTCOMES.iter().position(|outcome| *outcome == label).unwrap_or_default();
        self.add_outcome(place, 1);
    }

    /// Counts an attempt that ended.
    pub fn attempt(&mut self, ending: Ending, took: Duration, is_retry: bool) {
        self.outcome(ending.label());
        self.retries += u32::from(is_retry);
        self.counts.add_attempt(ending, took);
    }

    /// Counts the end of a delivery.
    pub fn delivery(&mut self, result: DeliveryResult) {
        match result {
            DeliveryResult::Delivered => self.counts.delivered += 1,
            DeliveryResult::Failed => self.counts.failed += 1,
            DeliveryResult::Expired => self.expired += 1,
        }
    }

    fn add_outcome(&mut self, place: usize, count: u32) {
        if self.outcomes.len() <= place {
            self.outcomes.resize(place + 1, 0);
        }
        self.outcomes.get_mut(place).into_iter().for_each(|counted| *counted += count);
    }

    /// Adds these counts to the record of the hour in shared data.
    fn write(&self, store: &mut dyn SharedStore, keys: &Keys, endpoint: &str) -> Result<(), StoreError> {
        if *self == Self::at(self.number) {
            return Ok(());
        }
        update(store, &keys.of_part(endpoint, self.number % HOURS), |hour: &mut Self| {
            // The record in this place is of another week.
            if hour.number != self.number {
                *hour = Self::at(self.number);
            }
            hour.add(self);
            (Write::Yes, ())
        })
    }

    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        other.outcomes.iter().enumerate().for_each(|(place, count)| self.add_outcome(place, *count));
        self.retries += other.retries;
        self.expired += other.expired;
        self.breaker_opens += other.breaker_opens;
        self.counts.add(&other.counts);
    }
}

/// A worker's counts of an endpoint that are not written yet.
#[derive(Debug, Default)]
pub struct Hours {
    now: Hour,
    earlier: Vec<Hour>,
}

impl Hours {
    /// Says whether all counts are written.
    pub fn is_empty(&self) -> bool {
        self.earlier.is_empty() && self.now == Hour::at(self.now.number)
    }

    /// The counts of the hour of this time, to be added to.
    pub fn now(&mut self, now: WallTime) -> &mut Hour {
        let number = now.as_secs() / SECONDS;
        if self.now.number != number {
            let earlier = std::mem::replace(&mut self.now, Hour::at(number));
            self.earlier.push(earlier);
        }
        &mut self.now
    }

    /// Adds the counts to the records in shared data.
    ///
    /// # Errors
    /// The store's; counts that could not be written stay.
    pub fn write(&mut self, store: &mut dyn SharedStore, keys: &Keys, endpoint: &str) -> Result<(), StoreError> {
        while let Some(earlier) = self.earlier.last() {
            earlier.write(store, keys, endpoint)?;
            self.earlier.pop();
        }
        self.now.write(store, keys, endpoint)?;
        self.now = Hour::at(self.now.number);
        Ok(())
    }
}

/// The counts of an endpoint's last hours, the current hour included, oldest first. Hours without a record are left
/// out.
///
/// # Errors
/// The store's.
pub fn list(
    store: &mut dyn SharedStore,
    keys: &Keys,
    endpoint: &str,
    now: WallTime,
    hours: u64,
) -> Result<Vec<Hour>, StoreError> {
    let this = now.as_secs() / SECONDS;
    let mut found = Vec::new();
    for number in (this + 1).saturating_sub(hours.min(HOURS))..=this {
        found
            .extend(read::<Hour>(store, &keys.of_part(endpoint, number % HOURS))?.filter(|hour| hour.number == number));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::recorded::assert_recorded;

    fn at(hour: u64) -> WallTime {
        WallTime::from_millis(hour * SECONDS * 1000 + 1)
    }

    fn count(hours: &mut Hours, hour: u64) {
        let hour = hours.now(at(hour));
        hour.accepted += 1;
        hour.attempt(Ending::Status(503), Duration::from_millis(20), false);
        hour.attempt(Ending::Status(200), Duration::from_millis(20), true);
        hour.outcome(REJECTED);
        hour.delivery(DeliveryResult::Delivered);
        hour.delivery(DeliveryResult::Expired);
    }

    fn accepted(store: &mut MemoryStore, now: u64, hours: u64) -> Vec<(u64, u32)> {
        let listed = list(store, &Keys::new("g"), "a", at(now), hours).unwrap();
        listed.iter().map(|hour| (hour.start().as_secs() / SECONDS, hour.accepted)).collect()
    }

    #[test]
    fn two_workers_add_to_one_hour() {
        let mut store = MemoryStore::default();
        for _ in 0..2 {
            let mut hours = Hours::default();
            (0..3).for_each(|_| count(&mut hours, 500_000));
            hours.write(&mut store, &Keys::new("g"), "a").unwrap();
            assert!(hours.is_empty());
        }
        let hour = list(&mut store, &Keys::new("g"), "a", at(500_000), 24).unwrap().remove(0);
        assert_eq!((hour.accepted, hour.retries, hour.expired), (6, 6, 6));
        assert_eq!((hour.counts.delivered, hour.counts.failed, hour.counts.attempts), (6, 0, 12));
        let outcomes: Vec<(&str, u32)> = hour.outcomes().filter(|(_, count)| *count > 0).collect();
        assert_eq!(outcomes, [("2xx", 6), ("5xx", 6), ("rejected", 6)]);
    }

    #[test]
    fn an_hour_that_has_passed_while_it_was_counted_is_written_too() {
        let (mut store, mut hours) = (MemoryStore::default(), Hours::default());
        count(&mut hours, 7);
        count(&mut hours, 8);
        hours.write(&mut store, &Keys::new("g"), "a").unwrap();
        assert_eq!(accepted(&mut store, 8, 24), [(7, 1), (8, 1)]);
        assert_eq!(accepted(&mut store, 8, 1), [(8, 1)]);
    }

    #[test]
    fn a_week_later_an_hour_begins_anew_and_no_key_is_added() {
        let mut store = MemoryStore::default();
        for hour in 1..=2 * HOURS {
            let mut hours = Hours::default();
            count(&mut hours, hour);
            hours.write(&mut store, &Keys::new("g"), "a").unwrap();
        }
        assert_eq!(store.values.len() as u64, HOURS);
        let all: Vec<(u64, u32)> = (HOURS + 1..=2 * HOURS).map(|hour| (hour, 1)).collect();
        assert_eq!(accepted(&mut store, 2 * HOURS, 10_000), all);
    }

    #[test]
    fn what_shared_data_does_not_take_is_written_later() {
        let (mut store, mut hours) = (MemoryStore::default(), Hours::default());
        store.refuse_sets = true;
        count(&mut hours, 9);
        assert!(hours.write(&mut store, &Keys::new("g"), "a").is_err());
        count(&mut hours, 9);
        store.refuse_sets = false;
        hours.write(&mut store, &Keys::new("g"), "a").unwrap();
        assert_eq!(accepted(&mut store, 9, 1), [(9, 2)]);
    }

    #[test]
    fn a_record_is_as_large_as_the_module_says() {
        let mut hour = Hour::at(500_000);
        for octave in 0..18 {
            (8..16).for_each(|eighth| {
                hour.attempt(Ending::Status(200), Duration::from_millis(eighth << octave), true);
            });
        }
        let size = hour.encode().unwrap().len();
        assert!(size < 480, "{size}");
    }

    /// An hour is read and written as the previous release wrote it.
    #[test]
    fn hour_format_matches_previous_release() {
        let mut hour = Hour::at(500_000);
        (hour.accepted, hour.retries, hour.expired, hour.breaker_opens) = (1, 128, 300, 4);
        OUTCOMES.iter().for_each(|outcome| hour.outcome(outcome));
        for millis in [0, 7, 90_000] {
            hour.attempt(Ending::Status(401), Duration::from_millis(millis), true);
        }
        assert_recorded("hour", &hour);
    }
}
