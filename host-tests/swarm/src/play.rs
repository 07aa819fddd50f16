//! Many seeds, on all cores.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use host_tests::Filter;

use crate::{Summary, Violation, run};

/// What many runs came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Total {
    /// Runs that held.
    pub seeds: u64,
    /// Their sum.
    pub sum: Summary,
}

/// One thread for each core.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// Plays these seeds on so many threads; `progress` is told the total after each run.
///
/// # Errors
/// The violation of the lowest seed that has one, whatever the number of threads.
pub fn play(
    filter: &Filter,
    seeds: Range<u64>,
    threads: usize,
    progress: impl Fn(&Total) + Sync,
) -> Result<Total, Box<Violation>> {
    let next = AtomicU64::new(seeds.start);
    let (total, first) = (Mutex::new(Total::default()), Mutex::new(None::<Box<Violation>>));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match run(filter, seed) {
                Ok(summary) => {
                    let mut total = lock(&total);
                    total.add(summary);
                    progress(&total);
                }
                Err(found) => {
                    // Those below are under way or done, so the lowest of all is among what is found.
                    next.store(seeds.end, Ordering::Relaxed);
                    let mut first = lock(&first);
                    if first.as_ref().is_none_or(|first| found.seed < first.seed) {
                        *first = Some(found);
                    }
                }
            }
        }
    };
    thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    match lock(&first).take() {
        Some(violation) => Err(violation),
        None => Ok(*lock(&total)),
    }
}

impl Total {
    fn add(&mut self, summary: Summary) {
        self.seeds += 1;
        self.sum.accepted += summary.accepted;
        self.sum.delivered += summary.delivered;
        self.sum.dead += summary.dead;
        self.sum.disruptions += summary.disruptions;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
