use std::thread;

use anyhow::Result;
use gatepost_scenarios::{Gateway, Real, Scenario, Simulated, all, play};
use serde_json::Value;

#[test]
fn the_simulated_envoy_shows_what_is_expected() {
    each(Simulated::start);
}

#[test]
fn the_real_envoy_shows_the_same() {
    each(Real::start);
}

/// All at once: each has a gateway of its own, and mostly waits.
fn each<G: Gateway>(start: fn(&Value) -> Result<G>) {
    let differing: Vec<String> = thread::scope(|scope| {
        let scenarios = all();
        let running: Vec<_> =
            scenarios.into_iter().map(|scenario| scope.spawn(move || differs(&scenario, start))).collect();
        running.into_iter().filter_map(|scenario| scenario.join().expect("it does not panic")).collect()
    });
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

fn differs<G: Gateway>(scenario: &Scenario, start: fn(&Value) -> Result<G>) -> Option<String> {
    let observed = start(&(scenario.config)()).and_then(|mut gateway| play(scenario, &mut gateway));
    match observed {
        Ok(observed) if observed == scenario.expected => None,
        Ok(observed) => Some(format!("{}: {observed:#?}, expected {:#?}", scenario.name, scenario.expected)),
        Err(error) => Some(format!("{error:#}")),
    }
}
