//! Plays many seeds, on all cores.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use host_tests::Filter;

use crate::bugs::Bug;
use crate::checks::Broken;
use crate::outcome::{Summary, Violation};
use crate::run::played;

/// The outcome of many runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Total {
    /// The number of runs in which every invariant held.
    pub seeds: u64,
    /// The sum of their outcomes.
    pub sum: Summary,
}

/// The number of threads to play on: one for each core.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// Plays these seeds in their order on so many threads, and hands the outcome of each to `take`. Once `take` returns false
/// no further seed is begun.
pub fn each(
    seeds: Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Result<Summary, Box<Violation>> + Sync,
    take: impl Fn(u64, Result<Summary, Box<Violation>>) -> bool + Sync,
) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            if !take(seed, run(seed)) {
                next.store(seeds.end, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| (0..threads.max(1)).for_each(|_| drop(scope.spawn(work))));
}

/// Plays these seeds of one process until one breaks an invariant; `progress` is told the total after each run.
///
/// # Errors
/// As [`play_all`].
pub fn play(
    filter: &Filter,
    seeds: Range<u64>,
    threads: usize,
    progress: impl Fn(&Total) + Sync,
) -> Result<Total, Box<Violation>> {
    play_all(seeds, threads, |seed| played(filter, seed, None).map(|(summary, _)| summary), progress)
}

/// Plays these seeds until one breaks an invariant; `progress` is told the total after each run.
///
/// # Errors
/// The violation of the lowest seed that has one, whatever the number of threads: when a violation is found the seeds
/// below are done or under way.
pub fn play_all(
    seeds: Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Result<Summary, Box<Violation>> + Sync,
    progress: impl Fn(&Total) + Sync,
) -> Result<Total, Box<Violation>> {
    let (total, first) = (Mutex::new(Total::default()), Mutex::new(None::<Box<Violation>>));
    each(seeds, threads, run, |_, played| match played {
        Ok(summary) => {
            let mut total = lock(&total);
            total.add(summary);
            progress(&total);
            true
        }
        Err(found) => {
            let mut first = lock(&first);
            if first.as_ref().is_none_or(|first| found.seed < first.seed) {
                *first = Some(found);
            }
            false
        }
    });
    match lock(&first).take() {
        Some(violation) => Err(violation),
        None => Ok(*lock(&total)),
    }
}

/// Plays all of these seeds, with a deliberate bug if there is one; returns what broke in each seed in which something
/// did.
pub fn survey(filter: &Filter, seeds: Range<u64>, threads: usize, bug: Option<&Bug>) -> BTreeMap<u64, Broken> {
    survey_all(seeds, threads, |seed| played(filter, seed, bug).map(|(summary, _)| summary))
}

/// Plays all of these seeds; returns what broke in each seed in which something did.
pub fn survey_all(
    seeds: Range<u64>,
    threads: usize,
    run: impl Fn(u64) -> Result<Summary, Box<Violation>> + Sync,
) -> BTreeMap<u64, Broken> {
    let found = Mutex::new(BTreeMap::new());
    each(seeds, threads, run, |seed, played| {
        lock(&found).extend(played.err().map(|violation| (seed, violation.broken)));
        true
    });
    std::mem::take(&mut lock(&found))
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
