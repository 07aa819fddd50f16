//! The backlog of each worker, for the metrics: each worker writes its own once a second, and whoever reads adds up
//! those of all.
//!
//! `<name>/standing/<p>` is written by the worker that accepts into the partition `p`, as long as it has deliveries
//! pending, and once more when it has none. A backlog that was not written again for as long as a lease lasts does not
//! count: another worker has adopted its deliveries by then, and counts them in its own backlog.

use serde::{Deserialize, Serialize};

use crate::ledger::{LEASE, Partition};
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, read};
use crate::time::Instant;

/// The backlog of one worker or, added up, of all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    at: Instant,
    /// Deliveries that have not ended, by the endpoint's name.
    pub pending: Vec<(String, u32)>,
    /// When the oldest event with a pending delivery was accepted.
    pub oldest: Option<Instant>,
}

impl Stored for Backlog {
    const NAME: &'static str = "standing";
}

impl Record for Backlog {
    const VERSION: u8 = 1;
}

impl Backlog {
    /// An empty backlog, written at `now`.
    pub fn at(now: Instant) -> Self {
        Self { at: now, ..Self::default() }
    }

    /// The backlog of all workers, added up.
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

    /// Adds the backlog of another worker, if it is not older than a lease lasts.
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

    /// The number of pending deliveries of an endpoint.
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
