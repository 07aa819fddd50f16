//! The plans of fleets, and that a seed tells a whole run. `cargo swarm -- --fleet` plays them.

use fastrand::Rng;
use gatepost_swarm::fleet;
use gatepost_swarm::fleet::plan::FleetPlan;

use crate::batch::gatepost;

/// The same seed gives the same trace to the last byte of every gateway and of etcd.
#[test]
fn a_fleets_seed_gives_the_same_trace_again() {
    for seed in 0..6 {
        let trace = || match fleet::played(gatepost(), seed, None) {
            Ok((_, trace)) => trace,
            Err(violation) => violation.trace,
        };
        let first = trace();
        assert!(first.len() > 1000);
        assert_eq!(first, trace(), "seed {seed}");
    }
}

#[test]
fn a_quarter_of_the_plans_of_fleets_is_calm() {
    let plans: Vec<FleetPlan> = (0..1000).map(|seed| FleetPlan::new(&mut Rng::with_seed(seed))).collect();
    let calm = plans.iter().filter(|plan| plan.is_calm()).count();
    let killed = plans.iter().filter(|plan| plan.faults.kill > 0 && plan.gateways > 1).count();
    assert!((220..300).contains(&calm), "{calm}");
    assert!((180..320).contains(&killed), "{killed}");
}
