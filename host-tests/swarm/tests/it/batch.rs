//! A fixed batch of seeds. `cargo swarm` plays more.

use std::sync::OnceLock;
use std::thread;

use gatepost_swarm::{run, traced};
use host_tests::Filter;

const SEEDS: u64 = 300;

fn gatepost() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| {
        let wasm = gatepost_cli::artifact::wasm("gatepost").expect("the filter builds");
        Filter::load(&wasm).expect("the filter compiles")
    })
}

#[test]
fn whatever_goes_wrong_every_invariant_holds() {
    let play = |first: u64| {
        for seed in (first..SEEDS).step_by(2) {
            if let Err(violation) = run(gatepost(), seed) {
                let (end, broken) = (violation.trace.lines().rev().take(40), &violation.broken);
                let end: Vec<&str> = end.collect();
                panic!(
                    "{}\nseed {seed} broke \"{}\": {}",
                    end.into_iter().rev().collect::<Vec<_>>().join("\n"),
                    broken.invariant,
                    broken.seen
                );
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        scope.spawn(|| play(1));
    });
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
