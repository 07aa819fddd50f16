//! How much is pending with which worker, for the metrics: each worker says it once a second, whoever asks adds it up.
//!
//! `<name>/standing/<p>` is written by the worker whose partition `p` is, as long as anything is pending with it, and once
//! more when nothing is. What nobody has said again for as long as a lease lasts is another worker's to say: it has
//! adopted those deliveries by then.

use serde::{Deserialize, Serialize};

use crate::ledger::{LEASE, Partition};
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, read};
use crate::time::Instant;

/// What is pending with one worker, or, added up, with all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    at: Instant,
    /// Deliveries that have not ended, by the endpoint's name.
    pub pending: Vec<(String, u32)>,
    /// When the oldest of their events was accepted.
    pub oldest: Option<Instant>,
}

impl Stored for Backlog {
    const NAME: &'static str = "standing";
}

impl Record for Backlog {
    const VERSION: u8 = 1;
}

impl Backlog {
    /// Nothing is pending at this time.
    pub fn at(now: Instant) -> Self {
        Self { at: now, ..Self::default() }
    }

    /// What is pending, added up over all workers.
    ///
    /// # Errors
    /// The store's.
    pub fn of_all(store: &mut dyn SharedStore, keys: &Keys, now: Instant) -> Result<Self, StoreError> {
        let mut sum = Self::at(now);
        for number in Partition::claimed(store, keys)? {
            if let Some(backlog) = read::<Self>(store, &keys.of(number))? {
                sum.add(&backlog);
            }
        }
        Ok(sum)
    }

    /// Adds what another worker has said, if it still holds now.
    pub fn add(&mut self, other: &Self) {
        if self.at.since(other.at) >= LEASE {
            return;
        }
        for (endpoint, count) in &other.pending {
            match self.pending.iter_mut().find(|(name, _)| name == endpoint) {
                Some((_, pending)) => *pending += count,
                None => self.pending.push((endpoint.clone(), *count)),
            }
        }
        self.oldest = [self.oldest, other.oldest].into_iter().flatten().min();
    }

    /// How much is pending for an endpoint.
    pub fn of(&self, endpoint: &str) -> u32 {
        self.pending.iter().find(|(name, _)| name == endpoint).map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::recorded::assert_recorded;

    #[test]
    fn what_workers_say_is_added_up_while_it_is_fresh() {
        let second = |second| Instant::default().plus(Duration::from_secs(second));
        let worker = |at, pending: &[(&str, u32)], oldest| Backlog {
            at: second(at),
            pending: pending.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            oldest: Some(second(oldest)),
        };
        let mut sum = Backlog::at(second(20));
        sum.add(&worker(20, &[("a", 1), ("b", 2)], 7));
        sum.add(&worker(11, &[("a", 3)], 5));
        sum.add(&worker(10, &[("a", 100)], 1));
        assert_eq!((sum.of("a"), sum.of("b"), sum.of("c"), sum.oldest), (4, 2, 0, Some(second(5))));
    }

    #[test]
    fn it_is_read_and_written_as_the_previous_release_wrote_it() {
        let second = |second| Instant::default().plus(Duration::from_secs(second));
        let pending = vec![("billing".to_owned(), 1), (String::new(), u32::MAX)];
        assert_recorded("standing", &Backlog { at: second(1), pending, oldest: Some(second(0)) });
        assert_recorded("standing none", &Backlog::at(second(20)));
    }
}
