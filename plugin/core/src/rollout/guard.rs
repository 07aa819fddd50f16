//! The guard of a rollout: what is counted, and when it is too bad.
//!
//! Every VM counts for itself, in a ring of cells, each a thirtieth of the guard's `for`, and writes its ring to
//! `<name>/guard/<partition>/<endpoint>` once a second; whoever judges adds the rings of all. So there is one truth for
//! all workers, and one writer for each key.
//!
//! A rate is breached for as long as `for` when it is breached within `for` as a whole, and in each of five stretches of
//! it, the oldest of which began when `for` did: a bad minute is no bad five minutes, and neither is a bad start that has
//! recovered. A stretch without anything in it says nothing, and then there is no verdict, nor where fewer than
//! `min_events` were counted.
//!
//! Times are kept in buckets of which eight share an octave, as [HdrHistogram](http://hdrhistogram.org) has them: a
//! percentile is off by an eighth at most.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::Partition;
use crate::outcome::Ending;
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, read};
use crate::time::Instant;

/// Cells in `for`.
const WINDOW: u64 = 30;
/// The oldest stretch reaches back behind `for`, so that what has lasted for `for` is in it, and nothing shorter.
const RING: u64 = WINDOW + 5;
/// Where each stretch begins, in cells before now, and the last one ends.
const STRETCHES: [u64; 5] = [0, 7, 14, 21, WINDOW - 1];
/// The oldest one: the first cell of `for`, or, with nothing in it, as far back as the ring does. Longer, it would hold
/// what was before a failure that has lasted for `for`. So a breach is found a fifteenth of `for` early at the most.
const OLDEST: [(u64, u64); 2] = [(WINDOW - 1, WINDOW), (WINDOW - 1, RING)];

/// The thresholds of a rollout's guard. `None`: not watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// A smaller share of deliveries that were delivered is a breach.
    pub min_success: Option<f64>,
    /// A longer 95th percentile of the attempts is a breach.
    pub max_p95: Option<Duration>,
    /// More openings of the breaker in 24 hours are a breach, at once.
    pub max_breaker_opens: Option<u32>,
    /// A larger share of attempts answered 401 or 403 is a breach: the receiver rejects our signatures.
    pub max_unauthorized: Option<f64>,
    /// Any personal data found in an event is a breach, at once.
    pub personal_data: bool,
    /// How long a rate must be breached.
    pub window: Duration,
    /// Fewer deliveries, or attempts, are no verdict.
    pub min_events: u32,
    /// Breached, these let no phase end.
    pub hold: Hold,
    /// Are events that were selected kept until an operator resumes it? Else they are not taken.
    pub keeps: bool,
}

/// The thresholds that stop a promotion. `None`: not watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// See [`Guard::min_success`].
    pub min_success: Option<f64>,
    /// See [`Guard::max_p95`].
    pub max_p95: Option<Duration>,
    /// See [`Guard::max_breaker_opens`].
    pub max_breaker_opens: Option<u32>,
}

/// What rolls a rollout back; the label `reason` of `gatepost_rollbacks_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// Too few deliveries are delivered.
    Success,
    /// Attempts take too long.
    P95,
    /// The breaker opens too often.
    BreakerOpens,
    /// Too many attempts are answered 401 or 403.
    Unauthorized,
    /// Personal data was found.
    PersonalData,
    /// An operator said so.
    Operator,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::P95, Self::BreakerOpens, Self::Unauthorized, Self::PersonalData, Self::Operator];

    /// The label's value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::P95 => "p95",
            Self::BreakerOpens => "breaker_opens",
            Self::Unauthorized => "unauthorized",
            Self::PersonalData => "personal_data",
            Self::Operator => "operator",
        }
    }
}

/// What was counted in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Deliveries that were delivered.
    pub delivered: u32,
    /// Deliveries that became dead letters.
    pub failed: u32,
    /// Attempts.
    pub attempts: u32,
    /// Attempts answered 401 or 403.
    pub unauthorized: u32,
    /// How many attempts took how long: buckets and numbers, ascending.
    times: Vec<(u8, u32)>,
    /// The longest, in milliseconds.
    longest: u32,
}

impl Counts {
    /// Counts an attempt that ended after this time.
    pub fn add_attempt(&mut self, ending: Ending, took: Duration) {
        self.attempts += 1;
        self.unauthorized += u32::from(matches!(ending, Ending::Status(401 | 403)));
        self.add_time(bucket(took), 1);
        self.longest = self.longest.max(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.attempts += other.attempts;
        self.unauthorized += other.unauthorized;
        self.longest = self.longest.max(other.longest);
        for (bucket, count) in &other.times {
            self.add_time(*bucket, *count);
        }
    }

    fn add_time(&mut self, bucket: u8, count: u32) {
        match self.times.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.times.get_mut(at).into_iter().for_each(|(_, counted)| *counted += count),
            Err(at) => self.times.insert(at, (bucket, count)),
        }
    }

    /// The share of deliveries that were delivered; `None`: none has ended.
    pub fn success(&self) -> Option<f64> {
        share(self.delivered, self.delivered + self.failed)
    }

    /// The share of attempts answered 401 or 403; `None`: there were none.
    pub fn unauthorized_share(&self) -> Option<f64> {
        share(self.unauthorized, self.attempts)
    }

    /// The time that this share of the attempts stayed below; `None`: there were none.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let rank = (f64::from(self.attempts) * share).ceil() as u32;
        let mut below = 0;
        for (bucket, count) in &self.times {
            if below + count >= rank.max(1) {
                let (from, to) = (floor(*bucket), floor(bucket.saturating_add(1)));
                let within = f64::from(rank.max(1) - below) / f64::from(*count);
                let millis = from + ((to - from) as f64 * within) as u64;
                return Some(Duration::from_millis(millis.min(self.longest.into())));
            }
            below += count;
        }
        None
    }
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// The bucket of a time: below 8 ms each has one of its own, from there on eight share an octave.
fn bucket(time: Duration) -> u8 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let Some(octave) = millis.checked_ilog2().filter(|octave| *octave >= 3) else { return millis as u8 };
    ((octave - 2) * 8 + (millis >> (octave - 3)) as u32 % 8).min(u32::from(u8::MAX)) as u8
}

/// The shortest time of a bucket, in milliseconds.
fn floor(bucket: u8) -> u64 {
    let (octave, eighth) = (u64::from(bucket) / 8, u64::from(bucket) % 8);
    if octave == 0 { eighth } else { (8 + eighth) << (octave - 1) }
}

/// In place of an endpoint's name: what was counted of the process, those that are gone from the config included.
pub const PROCESS: &str = "";

/// How far back is looked: the guard's `for`, and five minutes for those who only look.
pub fn window(guard: Option<&Guard>) -> Duration {
    guard.map_or(Duration::from_secs(300), |guard| guard.window)
}

/// What the holders of all partitions counted of an endpoint, those that are gone too.
///
/// # Errors
/// The store's.
pub fn count_all(
    store: &mut dyn SharedStore,
    keys: &Keys,
    endpoint: &str,
    window: Duration,
) -> Result<Ring, StoreError> {
    let mut sum = Ring::new(window);
    for number in Partition::claimed(store, keys)? {
        if let Some(ring) = read::<Ring>(store, &keys.of_part(number, endpoint))? {
            sum.add(&ring);
        }
    }
    Ok(sum)
}

/// What one VM, or all of them together, counted: lately, and in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// In all.
    pub totals: Totals,
    /// The width of a cell, in nanoseconds.
    width: u64,
    /// Each with its number, counted from the base of the clock; ascending.
    cells: Vec<(u64, Counts)>,
}

impl Stored for Ring {
    const NAME: &'static str = "guard";
}

impl Record for Ring {
    const VERSION: u8 = 1;
}

impl Ring {
    /// An empty ring for a guard that looks back this long.
    pub fn new(window: Duration) -> Self {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Self { totals: Totals::default(), width: (nanos / WINDOW).max(1), cells: Vec::new() }
    }

    /// Was nothing counted lately?
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Counts an attempt that ended.
    pub fn attempt(&mut self, now: Instant, ending: Ending, took: Duration) {
        let mut counts = Counts::default();
        counts.add_attempt(ending, took);
        self.count(now, &counts);
    }

    /// Counts a delivery that ended.
    pub fn delivery(&mut self, now: Instant, delivered: bool) {
        let delivered = u32::from(delivered);
        self.count(now, &Counts { delivered, failed: 1 - delivered, ..Counts::default() });
    }

    /// Adds another's: its totals, and, if they are as wide, its cells: after a change of `for` they say nothing.
    pub fn add(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        if other.width == self.width {
            other.cells.iter().for_each(|(number, counts)| self.put(*number, counts));
        }
    }

    /// Forgets what is too old.
    pub fn prune(&mut self, now: Instant) {
        let number = self.number(now);
        self.cells.retain(|(cell, _)| number.saturating_sub(*cell) < RING);
    }

    /// All that was counted within `for`, and not before `from`.
    pub fn total(&self, now: Instant, from: Instant) -> Counts {
        self.between(now, from, 0, WINDOW)
    }

    /// The cells within `for`, oldest first, those with nothing in them too.
    pub fn series(&self, now: Instant) -> Vec<Counts> {
        (0..WINDOW).rev().map(|age| self.between(now, Instant::default(), age, age + 1)).collect()
    }

    /// What is breached for long enough to roll back, and what was seen; `from`: when the current share began.
    pub fn judge(&self, guard: &Guard, now: Instant, from: Instant) -> Option<(Trigger, String)> {
        let whole = self.total(now, from);
        let oldest = OLDEST.map(|(to, end)| self.between(now, from, to, end));
        let is_lasting = |trigger| {
            let oldest = oldest.iter().find(|counts| counted(trigger, counts) > 0);
            oldest.is_some_and(|counts| guard.breached(trigger, counts))
                && STRETCHES.windows(2).all(|ends| match *ends {
                    [to, end] => guard.breached(trigger, &self.between(now, from, to, end)),
                    _ => false,
                })
        };
        // What says most of the cause comes first: whoever rejects the signatures delivers nothing either.
        [Trigger::Unauthorized, Trigger::Success, Trigger::P95].into_iter().find_map(|trigger| {
            let is_breached =
                guard.is_enough(trigger, &whole) && guard.breached(trigger, &whole) && is_lasting(trigger);
            is_breached.then(|| (trigger, seen(trigger, &whole)))
        })
    }

    fn between(&self, now: Instant, from: Instant, newest: u64, oldest: u64) -> Counts {
        let (number, first) = (self.number(now), self.number(from));
        let mut sum = Counts::default();
        for (cell, counts) in self.cells.iter().filter(|(cell, _)| *cell >= first && *cell <= number) {
            if (newest..oldest).contains(&(number - cell)) {
                sum.add(counts);
            }
        }
        sum
    }

    fn number(&self, at: Instant) -> u64 {
        at.as_nanos() / self.width.max(1)
    }

    fn count(&mut self, now: Instant, counts: &Counts) {
        self.prune(now);
        self.put(self.number(now), counts);
    }

    fn put(&mut self, number: u64, counts: &Counts) {
        match self.cells.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => self.cells.get_mut(at).into_iter().for_each(|(_, cell)| cell.add(counts)),
            Err(at) => self.cells.insert(at, (number, counts.clone())),
        }
    }
}

impl Guard {
    /// What stops a promotion, given what was counted within `for`, how often the breaker has opened in 24 hours, and
    /// what stopped it so far: a threshold that was breached lets go by a good verdict, not by there being none.
    pub fn holds(&self, whole: &Counts, opens: u32, before: Option<Trigger>) -> Option<Trigger> {
        let Hold { min_success, max_p95, max_breaker_opens } = &self.hold;
        if max_breaker_opens.is_some_and(|max| opens > max) {
            return Some(Trigger::BreakerOpens);
        }
        let stops = |trigger, is_watched: bool, is_breached| {
            let is_bad = if self.is_enough(trigger, whole) { is_breached } else { before == Some(trigger) };
            (is_watched && is_bad).then_some(trigger)
        };
        stops(Trigger::Success, min_success.is_some(), below(whole.success(), *min_success))
            .or_else(|| stops(Trigger::P95, max_p95.is_some(), above(whole.percentile(0.95), *max_p95)))
    }

    /// Has the breaker opened too often?
    pub fn has_opened_too_often(&self, opens: u32) -> bool {
        self.max_breaker_opens.is_some_and(|max| opens > max)
    }

    fn is_enough(&self, trigger: Trigger, whole: &Counts) -> bool {
        counted(trigger, whole) >= self.min_events
    }

    fn breached(&self, trigger: Trigger, counts: &Counts) -> bool {
        match trigger {
            Trigger::Success => below(counts.success(), self.min_success),
            Trigger::P95 => above(counts.percentile(0.95), self.max_p95),
            Trigger::Unauthorized => above(counts.unauthorized_share(), self.max_unauthorized),
            Trigger::BreakerOpens | Trigger::PersonalData | Trigger::Operator => false,
        }
    }
}

/// How much there is to judge.
fn counted(trigger: Trigger, counts: &Counts) -> u32 {
    if trigger == Trigger::Success { counts.delivered + counts.failed } else { counts.attempts }
}

fn below(value: Option<f64>, least: Option<f64>) -> bool {
    matches!((value, least), (Some(value), Some(least)) if value < least)
}

fn above<T: PartialOrd>(value: Option<T>, most: Option<T>) -> bool {
    matches!((value, most), (Some(value), Some(most)) if value > most)
}

/// What was seen, in words.
fn seen(trigger: Trigger, whole: &Counts) -> String {
    let ended = whole.delivered + whole.failed;
    match trigger {
        Trigger::Success => format!("{} of {ended} deliveries were delivered", whole.delivered),
        Trigger::P95 => {
            let millis = u64::try_from(whole.percentile(0.95).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
            format!("the 95th percentile of {} attempts is {millis} ms", whole.attempts)
        }
        Trigger::Unauthorized => {
            format!("{} of {} attempts were answered 401 or 403", whole.unauthorized, whole.attempts)
        }
        Trigger::BreakerOpens | Trigger::PersonalData | Trigger::Operator => String::new(),
    }
}

mod totals;

pub use totals::Totals;

#[cfg(test)]
mod tests;
