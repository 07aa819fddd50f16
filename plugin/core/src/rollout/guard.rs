//! The guard of a rollout: what is counted, and when the counts are too bad to go on.
//!
//! Every VM counts for itself, in a ring of cells, each a thirtieth of the guard's `for`, and writes its ring to
//! `<name>/guard/<partition>/<endpoint>` once a second; whoever judges adds up the rings of all VMs. So there is one
//! truth for all workers, and one writer for each key.
//!
//! A threshold is breached for as long as `for` when it is breached over `for` as a whole, and in each of five
//! stretches of `for`, the oldest of which begins where `for` begins: a bad minute is no bad five minutes, and neither
//! is a bad start that has recovered. There is no verdict if nothing was counted in a stretch, or fewer than
//! `min_events` in all.
//!
//! In a fleet whoever judges adds what the [other gateways](Elsewhere) have counted, too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::Partition;
use crate::outcome::Ending;
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, read};
use crate::time::Instant;

/// The number of cells in `for`.
const WINDOW: u64 = 30;
/// The number of cells in a ring: those of `for`, and five more that the oldest stretch reaches back to if the first
/// cell of `for` is empty.
const RING: u64 = WINDOW + 5;
/// The bounds of the four newer stretches, in cells before now: each stretch reaches from one bound to the next.
const STRETCHES: [u64; 5] = [0, 7, 14, 21, WINDOW - 1];
/// The oldest stretch, in cells before now: the first cell of `for` or, if that is empty, all cells from there to the
/// end of the ring. If the stretch were longer, it would hold counts from before a failure that has lasted for `for`.
/// So a breach is found a fifteenth of `for` early at the most.
const OLDEST: [(u64, u64); 2] = [(WINDOW - 1, WINDOW), (WINDOW - 1, RING)];

/// The thresholds of a rollout's guard. `None`: not watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// The smallest share of deliveries that must succeed; a smaller share is a breach.
    pub min_success: Option<f64>,
    /// The longest 95th percentile of the attempts' durations; a longer one is a breach.
    pub max_p95: Option<Duration>,
    /// The most openings of the breaker in 24 hours; more are a breach, at once.
    pub max_breaker_opens: Option<u32>,
    /// The largest share of attempts answered 401 or 403; a larger share is a breach: the receiver rejects our
    /// signatures.
    pub max_unauthorized: Option<f64>,
    /// Any personal data found in an event is a breach, at once.
    pub personal_data: bool,
    /// How long a threshold must be breached: the guard's `for`.
    pub window: Duration,
    /// The fewest deliveries, or attempts, that give a verdict.
    pub min_events: u32,
    /// The thresholds that let no phase end while they are breached.
    pub hold: Hold,
    /// While an endpoint is rolled back, the events that it selects are kept until an operator resumes it; else they
    /// are not taken.
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
    /// All triggers.
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

/// The name of the process's counts, in place of an endpoint's name. They include endpoints that are gone from the
/// config.
pub const PROCESS: &str = "";

/// How far back the counts reach: the guard's `for`; without a guard five minutes, for operators to see.
pub fn window(guard: Option<&Guard>) -> Duration {
    guard.map_or(Duration::from_secs(300), |guard| guard.window)
}

/// The counts of an endpoint, added up over the holders of all partitions, past ones too.
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

/// The counts of one VM, or of all VMs together: a ring of recent counts, and totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// The totals since the process began.
    pub totals: Totals,
    /// The width of a cell, in nanoseconds.
    width: u64,
    /// The cells with counts, in ascending order, each with its number, counted from the base of the clock.
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

    /// Says whether the ring holds no recent counts.
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

    /// Adds another ring: its totals and, if they are as wide as here, its cells. After a change of `for` the old cells
    /// are of no use.
    pub fn add(&mut self, other: &Self) {
        self.totals.add(&other.totals);
        if other.width == self.width {
            other.cells.iter().for_each(|(number, counts)| self.put(*number, counts));
        }
    }

    /// Drops the cells that are too old.
    pub fn prune(&mut self, now: Instant) {
        let number = self.number(now);
        self.cells.retain(|(cell, _)| number.saturating_sub(*cell) < RING);
    }

    /// The counts within `for`, and not before `from`.
    pub fn total(&self, now: Instant, from: Instant) -> Counts {
        self.between(now, from, 0, WINDOW)
    }

    /// The counts of each cell within `for`, oldest first, empty cells too.
    pub fn series(&self, now: Instant) -> Vec<Counts> {
        (0..WINDOW).rev().map(|age| self.between(now, Instant::default(), age, age + 1)).collect()
    }

    /// The threshold that is breached for long enough to roll back, and what was observed, in words. `from` is when the
    /// current share began.
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
        // The threshold that says most about the cause comes first: a receiver that rejects the signatures breaches
        // that of success, too.
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
    /// The threshold that stops a promotion, given the counts within `for`, the openings of the breaker in 24 hours,
    /// and the threshold that stopped the promotion so far: such a threshold lets go by a good verdict, not for lack of
    /// a verdict.
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

    /// Says whether the deliveries that have ended are enough and good enough, even if all that wait were to fail.
    pub fn bears(&self, ended: &Counts, waiting: u32) -> bool {
        let whole = Counts { failed: ended.failed.saturating_add(waiting), ..ended.clone() };
        !below(whole.success(), self.min_success)
    }

    /// Says whether the breaker has opened too often.
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

/// The number of deliveries, or attempts, that a trigger is judged by.
fn counted(trigger: Trigger, counts: &Counts) -> u32 {
    if trigger == Trigger::Success { counts.ended() } else { counts.attempts }
}

fn below(value: Option<f64>, least: Option<f64>) -> bool {
    matches!((value, least), (Some(value), Some(least)) if value < least)
}

fn above<T: PartialOrd>(value: Option<T>, most: Option<T>) -> bool {
    matches!((value, most), (Some(value), Some(most)) if value > most)
}

/// What was observed, in words.
fn seen(trigger: Trigger, whole: &Counts) -> String {
    let ended = whole.ended();
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

mod counts;
mod elsewhere;
mod totals;

pub use counts::Counts;
pub use elsewhere::{Elsewhere, FleetCounts, count_fleet};
pub use totals::Totals;

#[cfg(test)]
mod tests;
