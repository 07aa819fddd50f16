use proptest::prelude::*;

use super::counts::{bucket, floor};
use super::*;
use crate::store::recorded::assert_recorded;
use crate::time::WallTime;

/// The guard's `for`: 30 s, so that a cell is a second.
const FOR: Duration = Duration::from_secs(30);

fn guard() -> Guard {
    Guard {
        min_success: Some(0.9),
        max_p95: Some(Duration::from_secs(5)),
        max_breaker_opens: Some(20),
        max_unauthorized: Some(0.1),
        personal_data: true,
        window: FOR,
        min_events: 20,
        hold: Hold { min_success: Some(0.95), max_p95: Some(Duration::from_secs(2)), max_breaker_opens: Some(5) },
        keeps: true,
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos((1_000_000 + millis) * 1_000_000)
}

/// Counts ten deliveries a second in a range of seconds; of each ten, `failing` fail.
fn deliver(ring: &mut Ring, seconds: std::ops::Range<u64>, failing: u64) {
    for tenth in seconds.start * 10..seconds.end * 10 {
        ring.delivery(at(tenth * 100), tenth % 10 >= failing);
    }
}

fn verdict(ring: &Ring, second: u64) -> Option<Trigger> {
    ring.judge(&guard(), at(second * 1000), at(0)).map(|(trigger, _)| trigger)
}

/// Half of the deliveries failing is a breach once it has lasted for the whole `for`, and not before.
#[test]
fn half_failing_is_a_breach_after_the_whole_time() {
    let mut ring = Ring::new(FOR);
    let first = (0..60).find(|second| {
        deliver(&mut ring, *second..second + 1, 5);
        verdict(&ring, *second).is_some()
    });
    assert!(matches!(first, Some(29..=30)), "{first:?}");
}

#[test]
fn a_receiver_that_fails_after_a_good_time_is_found_as_soon() {
    let mut ring = Ring::new(FOR);
    deliver(&mut ring, 0..120, 0);
    let first = (120..240).find(|second| {
        deliver(&mut ring, *second..second + 1, 5);
        verdict(&ring, *second).is_some()
    });
    assert!(matches!(first, Some(149..=151)), "{first:?}");
}

/// With the default of five minutes a cell is ten seconds.
#[test]
fn late_failures_are_found_within_window_and_two_seconds() {
    const LONG: Duration = Duration::from_secs(300);
    for failing in [15, 20, 50, 100] {
        // Wherever in a cell the failure begins.
        for begins in 1000..1010 {
            let mut ring = Ring::new(LONG);
            let guard = Guard { window: LONG, ..guard() };
            let found = (0..2000u64).find(|second| {
                for twentieth in 0..20 {
                    let is_bad = *second >= begins && twentieth * 5 < failing;
                    ring.delivery(at(second * 1000 + twentieth * 50), !is_bad);
                }
                ring.judge(&guard, at(second * 1000 + 999), at(0)).is_some()
            });
            let after = found.unwrap() + 1 - begins;
            assert!((281..=301).contains(&after), "{failing} %, from second {begins}: after {after} s");
        }
    }
}

#[test]
fn a_percentile_is_never_longer_than_the_longest() {
    let mut ring = Ring::new(FOR);
    (0..100).for_each(|_| ring.attempt(at(0), Ending::Status(200), Duration::from_millis(4650)));
    assert_eq!(ring.total(at(0), at(0)).percentile(0.95), Some(Duration::from_millis(4650)));
}

/// A bad start that has recovered and a bad moment are no breach.
#[test]
fn recovered_start_and_bad_moment_are_no_breach() {
    let mut ring = Ring::new(FOR);
    for (from, failing) in [(0, 10), (20, 0), (60, 0), (70, 10), (90, 0)] {
        for second in from..from + 10 {
            deliver(&mut ring, second..second + 1, failing);
            assert_eq!(verdict(&ring, second), None, "second {second}");
        }
    }
}

#[test]
fn fewer_than_the_least_number_are_no_verdict() {
    let mut ring = Ring::new(FOR);
    (0..60).step_by(2).for_each(|second| ring.delivery(at(second * 1000), false));
    assert_eq!(verdict(&ring, 60), None);
    (0..60).for_each(|second| ring.delivery(at(second * 1000), false));
    assert_eq!(verdict(&ring, 60), Some(Trigger::Success));
}

/// Counts from before the current share began are ignored.
#[test]
fn counts_before_the_current_share_are_ignored() {
    let mut ring = Ring::new(FOR);
    deliver(&mut ring, 0..60, 10);
    assert!(ring.judge(&guard(), at(60_000), at(0)).is_some());
    assert_eq!(ring.judge(&guard(), at(60_000), at(40_000)), None);
}

/// Rejected signatures and slow answers are breaches of their own.
#[test]
fn rejected_signatures_and_slow_answers_are_breaches() {
    let (mut rejected, mut slow) = (Ring::new(FOR), Ring::new(FOR));
    for tenth in 0..600 {
        let status = if tenth % 5 == 0 { 401 } else { 200 };
        rejected.attempt(at(tenth * 100), Ending::Status(status), Duration::from_millis(20));
        let took = if tenth % 10 == 0 { 8_000 } else { 20 };
        slow.attempt(at(tenth * 100), Ending::Status(200), Duration::from_millis(took));
    }
    let (trigger, seen) = rejected.judge(&guard(), at(60_000), at(0)).unwrap();
    assert_eq!((trigger, seen.as_str()), (Trigger::Unauthorized, "58 of 290 attempts were answered 401 or 403"));
    assert_eq!(verdict(&slow, 60), Some(Trigger::P95));
}

#[test]
fn a_threshold_that_is_left_out_is_not_watched() {
    let mut ring = Ring::new(FOR);
    deliver(&mut ring, 0..60, 10);
    let blind = Guard { min_success: None, ..guard() };
    assert_eq!(ring.judge(&blind, at(60_000), at(0)), None);
}

#[test]
fn what_several_vms_counted_is_judged_as_one() {
    let mut rings = [Ring::new(FOR), Ring::new(FOR)];
    for second in 0..60 {
        rings[second as usize % 2].delivery(at(second * 1000), false);
    }
    assert!(rings.iter().all(|ring| verdict(ring, 60).is_none()));
    let [mut sum, other] = rings;
    sum.add(&other);
    assert_eq!(verdict(&sum, 60), Some(Trigger::Success));
}

#[test]
fn a_promotion_is_held_by_less_than_a_rollback_takes() {
    let mut ring = Ring::new(FOR);
    deliver(&mut ring, 0..60, 0);
    let holds = |ring: &Ring, opens| guard().holds(&ring.total(at(60_000), at(0)), opens, None);
    assert_eq!(holds(&ring, 5), None);
    assert_eq!(holds(&ring, 6), Some(Trigger::BreakerOpens));
    (0..100).for_each(|_| ring.attempt(at(59_000), Ending::Status(200), Duration::from_secs(3)));
    assert_eq!(holds(&ring, 0), Some(Trigger::P95));
    (0..30).for_each(|_| ring.delivery(at(59_000), false));
    assert_eq!(holds(&ring, 0), Some(Trigger::Success));
    assert_eq!(verdict(&ring, 60), None);
}

/// A threshold that held a promotion lets go by a good verdict, not for lack of a verdict.
#[test]
fn held_promotion_is_released_only_by_a_good_verdict() {
    let holds = |ring: &Ring, before| guard().holds(&ring.total(at(60_000), at(0)), 0, before);
    let mut ring = Ring::new(FOR);
    assert_eq!(holds(&ring, None), None);
    assert_eq!(holds(&ring, Some(Trigger::P95)), Some(Trigger::P95));
    assert_eq!(holds(&ring, Some(Trigger::Success)), Some(Trigger::Success));
    assert_eq!(holds(&ring, Some(Trigger::BreakerOpens)), None);
    deliver(&mut ring, 0..60, 0);
    (0..100).for_each(|_| ring.attempt(at(59_000), Ending::Status(200), Duration::from_millis(10)));
    assert_eq!(holds(&ring, Some(Trigger::P95)), None);
    assert_eq!(holds(&ring, Some(Trigger::Success)), None);
    // A threshold that is watched no more stops no promotion.
    let blind = Guard { hold: Hold { min_success: None, max_p95: None, max_breaker_opens: None }, ..guard() };
    assert_eq!(blind.holds(&Counts::default(), 0, Some(Trigger::P95)), None);
}

#[test]
fn a_ring_of_another_width_adds_nothing() {
    let mut other = Ring::new(Duration::from_secs(60));
    other.delivery(at(0), false);
    let mut ring = Ring::new(FOR);
    ring.add(&other);
    assert!(ring.is_empty());
}

proptest! {
    #[test]
    fn a_percentile_is_off_by_an_eighth_at_most(
        mut times in proptest::collection::vec(1u64..600_000, 1..300), share in 0.01f64..1.0,
    ) {
        let mut ring = Ring::new(FOR);
        times.iter().for_each(|time| ring.attempt(at(0), Ending::Status(200), Duration::from_millis(*time)));
        times.sort_unstable();
        let exact = times[((times.len() as f64 * share).ceil() as usize).max(1) - 1] as f64;
        let told = ring.total(at(0), at(0)).percentile(share).unwrap().as_millis() as f64;
        prop_assert!((told - exact).abs() <= exact * 0.125 + 1.0, "{told} for {exact}");
    }

    #[test]
    fn buckets_ascend_with_the_time_and_begin_at_their_floor(millis in 0u64..10_000_000) {
        let found = bucket(Duration::from_millis(millis));
        prop_assert!(floor(found) <= millis);
        prop_assert!(found == u8::MAX || millis < floor(found + 1));
    }

    /// However long a ring counts, it holds no more cells than its size.
    #[test]
    fn ring_never_exceeds_its_cells(
        steps in proptest::collection::vec(0u64..20_000, 0..200),
    ) {
        let (mut ring, mut now) = (Ring::new(FOR), 0);
        for step in steps {
            now += step;
            ring.delivery(at(now), true);
            prop_assert!(ring.cells.len() as u64 <= RING);
        }
    }
}

#[test]
fn a_ring_is_read_and_written_as_the_previous_release_wrote_it() {
    let counts = Counts {
        delivered: 1,
        failed: 200,
        attempts: 70_000,
        unauthorized: 3,
        times: vec![(0, 1), (200, 300), (255, u32::MAX)],
        longest: 10_000,
    };
    let totals = Totals {
        accepted: u64::MAX,
        attempts: 1,
        delivered: 2,
        failed: 300,
        expired: 4,
        last_attempt: Some(WallTime::from_millis(1_700_000_000_000)),
    };
    let cells = vec![(0, Counts::default()), (u64::MAX, counts)];
    assert_recorded("ring", &Ring { totals, width: 1_000_000_000, cells });
    assert_recorded("ring empty", &Ring::new(FOR));
}
