use proptest::prelude::*;

use super::*;
use crate::outcome::StatusSet;
use crate::store::Record;
use crate::store::keys::Stored;
use crate::store::recorded::assert_recorded;

const OWNER: u64 = 7;
const TIMEOUT: Duration = Duration::from_secs(10);

fn policy() -> BreakerPolicy {
    BreakerPolicy {
        failures: 5,
        window: Duration::from_secs(120),
        open: Duration::from_secs(60),
        count: Count::Attempts,
        statuses: StatusSet::default().with_class(5),
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn permit(breaker: &Breaker, now: Instant) -> Permit {
    match breaker.admission(now) {
        Admission::Admit(permit) => permit,
        other => panic!("not admitted: {other:?}"),
    }
}

fn fail(breaker: &mut Breaker, now: Instant) -> Effect {
    breaker.report(now, permit(breaker, now), Signal::Failure, false, &policy())
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..4 {
        assert_eq!(fail(&mut breaker, now), Effect::Counted);
    }
    assert_eq!(fail(&mut breaker, now), Effect::Moved(Position::Open));
    breaker
}

#[test]
fn the_fifth_failure_within_the_window_opens_it() {
    let breaker = opened(at(100));
    assert_eq!(breaker.admission(at(159)), Admission::Wait { until: at(160) });
    assert_eq!(breaker.admission(at(160)), Admission::Probe);
}

#[test]
fn failures_older_than_the_window_are_forgotten() {
    let mut breaker = Breaker::default();
    for second in [0, 1, 2, 3, 121, 122, 123] {
        assert_eq!(fail(&mut breaker, at(second)), Effect::Counted, "{second}");
    }
}

#[test]
fn a_success_takes_one_failure_off() {
    let mut breaker = Breaker::default();
    for second in 0..4 {
        fail(&mut breaker, at(second));
    }
    let admitted = permit(&breaker, at(4));
    assert_eq!(breaker.report(at(4), admitted, Signal::Success, false, &policy()), Effect::Counted);
    assert_eq!(fail(&mut breaker, at(5)), Effect::Counted);
    assert_eq!(fail(&mut breaker, at(6)), Effect::Moved(Position::Open));
}

#[test]
fn a_success_of_a_healthy_endpoint_needs_no_write() {
    let mut breaker = Breaker::default();
    let admitted = permit(&breaker, at(1));
    assert_eq!(breaker.report(at(1), admitted, Signal::Success, false, &policy()), Effect::Unchanged);
}

#[test]
fn a_refusal_neither_counts_nor_takes_off() {
    let mut breaker = Breaker::default();
    fail(&mut breaker, at(1));
    let before = breaker.clone();
    let admitted = permit(&breaker, at(2));
    assert_eq!(breaker.report(at(2), admitted, Signal::Neutral, true, &policy()), Effect::Unchanged);
    assert_eq!(breaker, before);
}

#[test]
fn half_open_lets_exactly_one_probe_through() {
    let mut breaker = opened(at(0));
    let (probe, effect) = breaker.claim_probe(at(60), OWNER, TIMEOUT).unwrap();
    assert_eq!(effect, Effect::Moved(Position::HalfOpen));
    assert_eq!(breaker.claim_probe(at(60), OWNER + 1, TIMEOUT), None);
    assert_eq!(breaker.admission(at(61)), Admission::Wait { until: probe.deadline });
}

#[test]
fn a_probe_that_succeeds_closes_it_and_forgets_the_failures() {
    let mut breaker = opened(at(0));
    let (probe, _) = breaker.claim_probe(at(60), OWNER, TIMEOUT).unwrap();
    let effect = breaker.report(at(61), Permit::Probe(probe), Signal::Success, false, &policy());
    assert_eq!(effect, Effect::Moved(Position::Closed));
    assert_eq!(fail(&mut breaker, at(62)), Effect::Counted);
}

/// A probe that fails opens it for the whole time again even after the window.
#[test]
fn failed_probe_opens_for_the_whole_time_again() {
    let mut breaker = opened(at(0));
    let (probe, _) = breaker.claim_probe(at(1000), OWNER, TIMEOUT).unwrap();
    let effect = breaker.report(at(1001), Permit::Probe(probe), Signal::Failure, false, &policy());
    assert_eq!(effect, Effect::Moved(Position::Open));
    assert_eq!(breaker.admission(at(1060)), Admission::Wait { until: at(1061) });
}

/// A probe whose VM died lapses and its late result counts for nothing.
#[test]
fn dead_vms_probe_lapses_and_its_late_result_is_ignored() {
    let mut breaker = opened(at(0));
    let (lost, _) = breaker.claim_probe(at(60), OWNER, TIMEOUT).unwrap();
    assert_eq!(breaker.admission(at(74)), Admission::Wait { until: at(75) });
    let (second, effect) = breaker.claim_probe(at(75), OWNER + 1, TIMEOUT).unwrap();
    assert_eq!(effect, Effect::Counted);
    assert_eq!(breaker.report(at(76), Permit::Probe(lost), Signal::Success, false, &policy()), Effect::Unchanged);
    let effect = breaker.report(at(77), Permit::Probe(second), Signal::Success, false, &policy());
    assert_eq!(effect, Effect::Moved(Position::Closed));
}

#[test]
fn a_probe_that_was_never_sent_is_free_again_at_once() {
    let mut breaker = opened(at(0));
    let (probe, _) = breaker.claim_probe(at(60), OWNER, TIMEOUT).unwrap();
    assert_eq!(breaker.release_probe(probe), Effect::Counted);
    assert_eq!(breaker.admission(at(60)), Admission::Probe);
    assert_eq!(breaker.release_probe(probe), Effect::Unchanged);
}

#[test]
fn an_answer_from_before_it_opened_counts_for_nothing() {
    let mut breaker = Breaker::default();
    let early = permit(&breaker, at(0));
    for _ in 0..5 {
        fail(&mut breaker, at(1));
    }
    assert_eq!(breaker.report(at(2), early, Signal::Success, false, &policy()), Effect::Unchanged);
    let (probe, _) = breaker.claim_probe(at(61), OWNER, TIMEOUT).unwrap();
    assert_eq!(breaker.report(at(61), early, Signal::Success, false, &policy()), Effect::Unchanged);
    breaker.report(at(62), Permit::Probe(probe), Signal::Success, false, &policy());
    assert_eq!(breaker.report(at(63), early, Signal::Failure, false, &policy()), Effect::Unchanged);
}

/// Counting deliveries passes over attempts that will be made again.
#[test]
fn counting_deliveries_ignores_attempts_to_be_retried() {
    let policy = BreakerPolicy { count: Count::Deliveries, failures: 1, ..policy() };
    let mut breaker = Breaker::default();
    let admitted = permit(&breaker, at(0));
    assert_eq!(breaker.report(at(0), admitted, Signal::Failure, false, &policy), Effect::Unchanged);
    assert_eq!(breaker.report(at(1), admitted, Signal::Failure, true, &policy), Effect::Moved(Position::Open));
    let (probe, _) = breaker.claim_probe(at(61), OWNER, TIMEOUT).unwrap();
    let effect = breaker.report(at(62), Permit::Probe(probe), Signal::Failure, false, &policy);
    assert_eq!(effect, Effect::Moved(Position::Open));
}

/// One step of a random run: some time passes, then an attempt may ask to leave, and one of those under way may end.
#[derive(Clone, Debug)]
struct Step {
    pause: u64,
    start: bool,
    finish: Option<(usize, u8)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let finish = proptest::option::of((0usize..8, 0u8..3));
    let step = (0u64..40, any::<bool>(), finish).prop_map(|(pause, start, finish)| Step { pause, start, finish });
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// No life lets two live probes out or an attempt out while open.
    #[test]
    fn breaker_never_has_two_live_probes_or_leaks_when_open(steps in steps()) {
        let mut breaker = Breaker::default();
        let mut out: Vec<Permit> = Vec::new();
        let mut now = 0;
        for (owner, step) in (0u64..).zip(steps) {
            now += step.pause;
            if step.start {
                match breaker.admission(at(now)) {
                    Admission::Admit(permit) => {
                        prop_assert_eq!(breaker.position(), Position::Closed);
                        out.push(permit);
                    }
                    Admission::Probe => {
                        let live = out.iter().any(|p| matches!(p, Permit::Probe(p) if p.deadline > at(now)));
                        let (probe, _) = breaker.claim_probe(at(now), owner, TIMEOUT).unwrap();
                        prop_assert!(!live || breaker.position() == Position::HalfOpen);
                        out.push(Permit::Probe(probe));
                    }
                    Admission::Wait { until } => prop_assert!(until > at(now)),
                }
            }
            if let Some((which, signal)) = step.finish && which < out.len() {
                let signal = [Signal::Success, Signal::Failure, Signal::Neutral][usize::from(signal)];
                let permit = out.remove(which);
                let before = breaker.position();
                let effect = breaker.report(at(now), permit, signal, false, &policy());
                match (before, effect) {
                    (Position::Closed, Effect::Moved(Position::Open))
                    | (Position::HalfOpen, Effect::Moved(Position::Open | Position::Closed))
                    | (_, Effect::Unchanged)
                    | (Position::Closed, Effect::Counted) => {}
                    illegal => prop_assert!(false, "{:?}", illegal),
                }
            }
        }
    }
}

/// A breaker is a part of the endpoint's record; here it is a record by itself.
impl Stored for Breaker {
    const NAME: &'static str = "breaker alone";
}

impl Record for Breaker {
    const VERSION: u8 = 1;
}

/// Every position is read and written as the previous release wrote it.
#[test]
fn breaker_format_matches_previous_release() {
    let probe = Probe { owner: u64::MAX, deadline: at(15) };
    let states = [
        ("closed", BreakerState::Closed { failures: vec![at(1), at(2)] }),
        ("open", BreakerState::Open { until: at(60) }),
        ("half open", BreakerState::HalfOpen { probe: Some(probe) }),
        ("half open without probe", BreakerState::HalfOpen { probe: None }),
    ];
    for (name, state) in states {
        assert_recorded(&format!("breaker {name}"), &Breaker { state, epoch: 300 });
    }
}
