//! What the other gateways of a fleet have counted, so that every guard judges the counts of all.
//!
//! A gateway tells its counts with the cells counted from the Unix epoch, by its wall clock, and reads others' into cells
//! of its own clock. A count may change its cell by one on that way, besides what the clocks are apart.
//!
//! `<name>/elsewhere/<endpoint>` is what one worker of the gateway has read of the others, once a second. It says nothing
//! any more once that worker is [silent](STALE): so do others' counts when this gateway has no lease, and a dead
//! gateway's when it is known to be dead.

use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use super::{Ring, count_all};
use crate::journal::record::GuardReport;
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, read};
use crate::time::{Instant, Now};

/// After so long nothing that was read of the others counts any more.
const STALE: Duration = Duration::from_secs(3);

/// What the other gateways have counted of an endpoint, as this gateway has read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// When it was read.
    at: Instant,
    /// The gateways that have counted anything.
    gateways: u32,
    /// How often their breakers opened in the last 24 hours.
    opens: u32,
    /// Their recent counts.
    ring: Ring,
}

impl Stored for Elsewhere {
    const NAME: &'static str = "elsewhere";
}

impl Record for Elsewhere {
    const VERSION: u8 = 1;
}

/// What a fleet has counted of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// The recent counts of all gateways, and the totals of this one.
    pub ring: Ring,
    /// How often the breakers of the other gateways opened in the last 24 hours.
    pub opens_elsewhere: u32,
    /// The gateways whose counts these are; this one is always among them.
    pub gateways: u32,
}

/// The counts of an endpoint, added up over all workers, and over the other gateways of the fleet if there is one.
///
/// # Errors
/// The store's.
pub fn count_fleet(
    store: &mut dyn SharedStore,
    keys: &Keys,
    endpoint: &str,
    window: Duration,
    now: Instant,
) -> Result<FleetCounts, StoreError> {
    let mut ring = count_all(store, keys, endpoint, window)?;
    let elsewhere = Elsewhere::read(store, keys, endpoint, now)?;
    ring.add(&elsewhere.ring);
    Ok(FleetCounts { ring, opens_elsewhere: elsewhere.opens, gateways: elsewhere.gateways.saturating_add(1) })
}

impl Elsewhere {
    /// Nothing that was counted for a guard that looks back this long.
    pub fn new(window: Duration, at: Instant) -> Self {
        Self { at, gateways: 0, opens: 0, ring: Ring::new(window) }
    }

    /// Reads what the others have counted of an endpoint; what is too old is nothing.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &mut dyn SharedStore, keys: &Keys, endpoint: &str, now: Instant) -> Result<Self, StoreError> {
        let found = read::<Self>(store, &keys.of(endpoint))?;
        Ok(found.filter(|found| now.since(found.at) < STALE).unwrap_or_default())
    }

    /// How often the breakers of the others opened in the last 24 hours.
    pub fn opens(&self) -> u32 {
        self.opens
    }

    /// The gateways that have counted anything.
    pub fn gateways(&self) -> u32 {
        self.gateways
    }

    /// Adds what a gateway reports. Counts for a guard that looks back for another time, and those that are not
    /// understood here, are left out.
    pub fn add(&mut self, report: &GuardReport, now: Now) {
        self.gateways = self.gateways.saturating_add(1);
        self.opens = self.opens.saturating_add(report.opens);
        if let Some(ring) = Base64::decode_vec(&report.counts).ok().and_then(|bytes| Some(Ring::decode(&bytes).ok()?.0))
        {
            self.ring.add(&ring.on_own_clock(now));
        }
    }
}

impl Ring {
    /// What a gateway reports of these counts, and of the breaker's openings; `None`: nothing was counted.
    pub fn report(&self, opens: u32, now: Now) -> Option<GuardReport> {
        let mut ring = self.clone();
        ring.prune(now.mono);
        if ring.is_empty() && opens == 0 {
            return None;
        }
        let counts = ring.moved(ring.cells_to_wall(now)).encode().ok()?;
        Some(GuardReport { opens, counts: Base64::encode_string(&counts) })
    }

    fn on_own_clock(&self, now: Now) -> Self {
        self.moved(-self.cells_to_wall(now))
    }

    /// How many cells lie between the Unix epoch and the base of this process's clock.
    fn cells_to_wall(&self, now: Now) -> i128 {
        let (width, mono) = (i128::from(self.width.max(1)), i128::from(now.mono.as_nanos()));
        let wall = i128::from(now.wall.as_millis()) * 1_000_000;
        (wall - mono + width / 2).div_euclid(width)
    }

    /// The recent counts, each so many cells later, without the totals.
    fn moved(&self, by: i128) -> Self {
        let moved = |(number, counts): &(u64, super::Counts)| {
            Some((u64::try_from(i128::from(*number) + by).ok()?, counts.clone()))
        };
        Self { width: self.width, cells: self.cells.iter().filter_map(moved).collect(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Ending;
    use crate::rollout::guard::Counts;
    use crate::store::memory::MemoryStore;
    use crate::store::recorded::assert_recorded;
    use crate::time::WallTime;

    const FOR: Duration = Duration::from_secs(300);

    /// The clocks `millis` after a moment that all gateways share; the gateway's own clock began `base` before it.
    fn clocks(base: u64, millis: u64) -> Now {
        let wall = WallTime::from_millis(1_700_000_000_000 + millis);
        Now { mono: Instant::from_nanos((base + millis) * 1_000_000), wall }
    }

    fn counted(base: u64, at: &[u64]) -> Ring {
        let mut ring = Ring::new(FOR);
        for millis in at {
            ring.attempt(clocks(base, *millis).mono, Ending::Status(200), Duration::from_millis(20));
            ring.delivery(clocks(base, *millis).mono, true);
        }
        ring
    }

    proptest! {
        /// What was counted at one gateway is found at another one within a cell of its time, whatever their clocks.
        #[test]
        fn counts_keep_their_time_to_a_cell(base in 0..10_000_000u64, other in 0..10_000_000u64, at in 20_000..200_000u64) {
            let later = 200_000 + 20_000;
            let report = counted(base, &[at]).report(0, clocks(base, later)).unwrap();
            let mut elsewhere = Elsewhere::new(FOR, Instant::default());
            elsewhere.add(&report, clocks(other, later));
            let found = |now: u64, from: u64| {
                elsewhere.ring.total(clocks(other, now).mono, clocks(other, from).mono).delivered
            };
            prop_assert_eq!(found(later, at - 20_000), 1);
            prop_assert_eq!(found(later, at + 20_000), 0);
        }

        /// No report is the end of the gateway that reads it.
        #[test]
        fn any_report_is_read_or_left_out(counts in "[A-Za-z0-9+/]{0,80}", numbers: [u32; 4], cell: u64) {
            let mut elsewhere = Elsewhere::new(FOR, Instant::default());
            elsewhere.add(&GuardReport { opens: u32::MAX, counts }, clocks(0, 0));
            let [delivered, failed, attempts, unauthorized] = numbers;
            let counts = Counts { delivered, failed, attempts, unauthorized, times: vec![(9, u32::MAX)], longest: 1 };
            let mut ring = Ring::new(FOR);
            ring.cells = vec![(cell, counts.clone()), (cell, counts)];
            let report = GuardReport { opens: u32::MAX, counts: Base64::encode_string(&ring.encode().unwrap()) };
            elsewhere.add(&report, clocks(0, 0));
            elsewhere.add(&report, clocks(0, 0));
            let whole = elsewhere.ring.total(Instant::from_nanos(u64::MAX), Instant::default());
            let _ = (whole.success(), whole.percentile(0.95), elsewhere.opens());
        }
    }

    #[test]
    fn nothing_counted_is_nothing_reported() {
        let ring = counted(0, &[0]);
        assert!(ring.report(0, clocks(0, 1_000)).is_some());
        assert_eq!(ring.report(0, clocks(0, 400_000)), None);
        assert_eq!(ring.report(2, clocks(0, 400_000)).map(|report| report.opens), Some(2));
    }

    /// Another guard's `for` makes other cells: they are left out, and the openings are not.
    #[test]
    fn counts_for_another_window_are_left_out() {
        let report = counted(0, &[0]).report(3, clocks(0, 0)).unwrap();
        let mut elsewhere = Elsewhere::new(Duration::from_secs(60), Instant::default());
        elsewhere.add(&report, clocks(0, 0));
        assert!(elsewhere.ring.is_empty());
        assert_eq!((elsewhere.opens(), elsewhere.gateways()), (3, 1));
    }

    /// What was read of the others counts for three seconds, beside what is counted here.
    #[test]
    fn what_others_counted_is_added_until_it_is_stale() {
        let (mut store, keys) = (MemoryStore::default(), Keys::new("g"));
        let mut elsewhere = Elsewhere::new(FOR, clocks(50_000, 20_000).mono);
        for base in [7_000, 90_000] {
            elsewhere.add(&counted(base, &[0, 0]).report(1, clocks(base, 20_000)).unwrap(), clocks(50_000, 20_000));
        }
        store.set(keys.of::<Elsewhere>("billing").as_str(), &elsewhere.encode().unwrap(), None).unwrap();
        let mut fleet = |millis| {
            let now = clocks(50_000, millis).mono;
            let counts = count_fleet(&mut store, &keys, "billing", FOR, now).unwrap();
            (counts.ring.total(now, Instant::default()).delivered, counts.opens_elsewhere, counts.gateways)
        };
        assert_eq!(fleet(22_900), (4, 2, 3));
        assert_eq!(fleet(23_000), (0, 0, 1));
    }

    #[test]
    fn record_is_read_and_written_as_recorded() {
        let mut elsewhere = Elsewhere::new(FOR, clocks(50_000, 0).mono);
        elsewhere.add(&counted(7_000, &[0]).report(1, clocks(7_000, 0)).unwrap(), clocks(50_000, 0));
        assert_recorded("elsewhere", &elsewhere);
    }
}
