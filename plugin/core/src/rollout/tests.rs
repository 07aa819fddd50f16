use proptest::prelude::*;

use super::*;
use crate::store::recorded::assert_recorded;

const HOUR: Duration = Duration::from_secs(3600);
const START: u64 = 1_700_000_000_000;

fn now(hours: f64) -> Now {
    let millis = (hours * 3_600_000.0) as u64;
    Now { mono: Instant::from_nanos((1_000_000 + millis) * 1_000_000), wall: WallTime::from_millis(START + millis) }
}

fn phase(percent: u32, hours: u32, is_manual: bool) -> Phase {
    Phase { percent: Percent(percent * 100), length: (hours > 0).then(|| HOUR * hours), is_manual }
}

/// 5 % for 24 hours, 25 % for 48, 50 % for 48 and until somebody agrees, then all.
fn ramp(start: Option<u64>) -> Plan {
    Plan {
        percent: Percent::ALL,
        start: start.map(WallTime::from_millis),
        phases: vec![phase(5, 24, false), phase(25, 48, false), phase(50, 48, true), phase(100, 0, false)],
        digest: 1,
    }
}

fn percent(progress: &Progress, plan: &Plan, hours: f64) -> u32 {
    progress.percent(plan, now(hours).wall).0 / 100
}

/// Phases promote themselves on time until one waits for an operator.
#[test]
fn phases_promote_on_time_until_one_waits_for_an_operator() {
    let plan = ramp(None);
    let mut progress = Progress::under(None, &plan, now(0.0));
    let mut steps = Vec::new();
    for tenth in 0..2000 {
        let hours = f64::from(tenth) / 10.0;
        if progress.is_due(&plan, now(hours).wall) {
            progress.promote_by_itself(&plan, now(hours));
            steps.push((tenth / 10, percent(&progress, &plan, hours)));
        }
    }
    assert_eq!(steps, [(24, 25), (72, 50)]);
    assert_eq!(progress.stage(&plan, now(119.0).wall), RolloutStage::Running);
    assert_eq!(progress.stage(&plan, now(121.0).wall), RolloutStage::Waiting);
    assert!(progress.promote(&plan, now(130.0)));
    assert_eq!(
        (percent(&progress, &plan, 130.0), progress.stage(&plan, now(999.0).wall)),
        (100, RolloutStage::Complete)
    );
    assert!(!progress.promote(&plan, now(131.0)));
}

/// With a `start` a new process begins in the phase of the date, but not behind a phase that needs an approval.
#[test]
fn dated_start_enters_its_phase_but_skips_no_approval() {
    let plan = ramp(Some(START));
    let phases = [(-1.0, 0), (0.0, 5), (23.9, 5), (24.1, 25), (71.9, 25), (72.1, 50), (119.0, 50), (999.0, 50)];
    for (hours, expected) in phases {
        let wall = WallTime::from_millis((START as f64 + hours * 3_600_000.0) as u64);
        let begun = Now { wall, ..now(0.0) };
        let progress = Progress::under(None, &plan, begun);
        assert_eq!(progress.percent(&plan, wall).0 / 100, expected, "after {hours} hours");
    }
}

#[test]
fn a_late_promotion_is_counted_from_where_it_happened() {
    let plan = ramp(None);
    let mut progress = Progress::under(None, &plan, now(0.0));
    progress.promote_by_itself(&plan, now(30.0));
    assert_eq!(progress.end(&plan), Some(now(78.0).wall));
}

/// After a rollback nothing is sent until the rollout is resumed, in the same phase.
#[test]
fn rolled_back_sends_nothing_until_resumed_in_its_phase() {
    let plan = ramp(None);
    let mut progress = Progress::under(None, &plan, now(0.0));
    progress.promote_by_itself(&plan, now(24.0));
    assert!(progress.roll_back(Trigger::Success, "3 of 20", now(30.0).wall));
    assert!(!progress.roll_back(Trigger::P95, "later", now(30.0).wall));
    assert_eq!((percent(&progress, &plan, 40.0), progress.selected(&plan, now(40.0).wall).0), (0, 2500));
    assert!(!progress.is_due(&plan, now(400.0).wall) && !progress.promote(&plan, now(400.0)));
    progress.resume(now(400.0));
    assert_eq!((percent(&progress, &plan, 400.0), progress.end(&plan)), (25, Some(now(448.0).wall)));
}

/// A rollback outlives a change of the plan, and an override does not.
#[test]
fn rollback_but_no_override_outlives_a_plan_change() {
    let plan = ramp(None);
    let mut progress = Progress::under(None, &plan, now(0.0));
    progress.set_percent(Percent(3000), now(1.0));
    assert_eq!(percent(&progress, &plan, 1.0), 30);
    let changed = Plan { digest: 2, ..plan.clone() };
    let after = Progress::under(Some(progress.clone()), &changed, now(2.0));
    assert_eq!((percent(&after, &changed, 2.0), after.stage(&changed, now(2.0).wall)), (5, RolloutStage::Running));
    progress.roll_back(Trigger::Operator, "", now(2.0).wall);
    let after = Progress::under(Some(progress), &changed, now(3.0));
    assert_eq!(after.stage(&changed, now(3.0).wall), RolloutStage::RolledBack);
}

#[test]
fn an_operators_share_stops_the_phases_until_it_is_deleted() {
    let plan = ramp(None);
    let mut progress = Progress::under(None, &plan, now(0.0));
    progress.set_percent(Percent(0), now(1.0));
    assert!(!progress.is_due(&plan, now(100.0).wall));
    progress.delete_overrides(now(101.0));
    assert_eq!(percent(&progress, &plan, 101.0), 5);
}

#[test]
fn openings_are_counted_for_a_day() {
    let mut progress = Progress::default();
    (0..5).for_each(|hour| progress.opened(now(f64::from(hour)).mono));
    assert_eq!(progress.opens(now(23.9).mono), 5);
    assert_eq!(progress.opens(now(25.5).mono), 3);
    (0..2 * OPENS_MAX).for_each(|_| progress.opened(now(26.0).mono));
    assert_eq!(progress.opens.len(), OPENS_MAX);
}

/// Shares are met within half a point over a hundred thousand ids.
#[test]
fn shares_are_met_within_half_a_point() {
    for percent in [1, 5, 25, 50, 99] {
        let share = Percent(percent * 100);
        let admitted = (0..100_000u32).filter(|id| share.admits(&uuid(*id))).count();
        assert!((admitted as f64 / 1000.0 - f64::from(percent)).abs() < 0.5, "{percent}: {admitted}");
    }
}

fn uuid(id: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&id.to_le_bytes());
    bytes
}

#[test]
fn a_share_reads_as_a_config_writes_it() {
    for (hundredths, text) in [(0, "0"), (500, "5"), (1250, "12.5"), (1, "0.01"), (10_000, "100")] {
        assert_eq!(Percent(hundredths).to_string(), text);
    }
}

proptest! {
    #[test]
    fn whoever_is_in_is_in_at_every_larger_share(key: Vec<u8>, small in 0u32..=10_000, more in 0u32..=10_000) {
        let large = Percent((small + more).min(10_000));
        prop_assert!(!Percent(small).admits(&key) || large.admits(&key));
        prop_assert_eq!(Percent(small).admits(&key), Percent(small).admits(&key));
        prop_assert!(Percent::ALL.admits(&key) && !Percent::NONE.admits(&key));
    }
}

/// Progress is read and written as the previous release wrote it.
#[test]
fn progress_format_matches_previous_release() {
    assert_recorded("progress new", &Progress::default());
    for trigger in Trigger::ALL {
        let progress = Progress {
            digest: u64::MAX,
            phase: 2,
            since: now(1.0).wall,
            counted_from: now(2.0).mono,
            by_operator: Some(Percent(1250)),
            is_held: true,
            breached: Some(trigger),
            rolled_back: Some(RolledBack { trigger, detail: "12.5 % of 40".to_owned(), at: now(3.0).wall }),
            opens: vec![now(0.0).mono, now(0.5).mono],
            off_since: Some(now(4.0).wall),
            is_told: true,
        };
        assert_recorded(&format!("progress {}", trigger.label()), &progress);
    }
}
