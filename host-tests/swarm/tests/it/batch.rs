//! A fixed batch of seeds. `cargo swarm` plays more.

use std::sync::OnceLock;

use fastrand::Rng;
use gatepost_swarm::plan::Plan;
use gatepost_swarm::play::{Total, cores, play};
use gatepost_swarm::{Violation, run, traced};
use host_tests::Filter;

const SEEDS: u64 = 1000;

pub fn gatepost() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| {
        let wasm = gatepost_kit::artifact::wasm("gatepost").expect("the filter builds");
        Filter::load(&wasm).expect("the filter compiles")
    })
}

/// What was played without a violation; panics with the end of the trace if there was one.
pub fn held(played: Result<Total, Box<Violation>>) -> Total {
    played.unwrap_or_else(|violation| {
        let (seed, broken, trace) = (violation.seed, &violation.broken, &violation.trace);
        let lines: Vec<&str> = trace.lines().collect();
        let end = lines[lines.len().saturating_sub(40)..].join("\n");
        panic!("{end}\nseed {seed} broke \"{}\": {}", broken.invariant, broken.seen);
    })
}

#[test]
fn whatever_goes_wrong_every_invariant_holds() {
    let total = held(play(gatepost(), 0..SEEDS, cores(), |_| {}));
    assert_eq!(total.seeds, SEEDS);
}

/// A letter redelivered while the record of its death is written again is no loss.
#[test]
fn dead_letter_redelivered_during_rewrite_is_no_loss() {
    assert!(run(gatepost(), 15_329).is_ok());
}

#[test]
fn the_same_seed_gives_the_same_trace_to_the_last_byte() {
    for seed in 0..10 {
        let trace = || traced(gatepost(), seed).map(|(_, trace)| trace).unwrap_or_else(|violation| violation.trace);
        let first = trace();
        assert!(first.len() > 1000);
        assert_eq!(first, trace(), "seed {seed}");
    }
}

#[test]
fn most_seeds_deliver_much_and_many_break_things() {
    let summaries: Vec<_> = (0..40).filter_map(|seed| run(gatepost(), seed).ok()).collect();
    assert_eq!(summaries.len(), 40);
    assert!(summaries.iter().map(|summary| summary.delivered).sum::<usize>() > 2000);
    assert!(summaries.iter().filter(|summary| summary.disruptions > 0).count() > 20);
    assert!(summaries.iter().map(|summary| summary.dead).sum::<usize>() > 100);
}

/// A quarter of the plans is calm and operators act in half of them.
#[test]
fn quarter_of_plans_is_calm_and_half_of_those_operated() {
    let plans: Vec<Plan> = (0..1000).map(|seed| Plan::new(&mut Rng::with_seed(seed))).collect();
    let share = |of: &dyn Fn(&Plan) -> bool| plans.iter().filter(|plan| of(plan)).count();
    let calm = share(&|plan| plan.is_calm());
    let operated = share(&|plan| plan.is_calm() && plan.faults.operator > 0);
    assert!((220..300).contains(&calm), "{calm}");
    assert!((calm * 2 / 5..calm * 3 / 5).contains(&operated), "{operated} of {calm}");
    assert!((280..380).contains(&share(&|plan| plan.limits.are_small)));
}
