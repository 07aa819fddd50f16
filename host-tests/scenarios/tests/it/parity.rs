use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use gatepost_scenarios::{Gateway, SIMULATED_AT_ONCE, Simulated, Start, Verdict, all, run};

/// Held while one of the two plays: the simulated Envoy never waits, and would take the real one's time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn the_simulated_envoy_shows_what_is_expected() {
    each(SIMULATED_AT_ONCE, Simulated::start);
}

#[test]
#[cfg(feature = "real")]
fn the_real_envoy_shows_the_same() {
    use gatepost_scenarios::{REAL_AT_ONCE, Real};

    each(REAL_AT_ONCE, Real::start);
}

fn each<G: Gateway>(at_once: usize, start: fn(&Start) -> Result<G>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scenarios = all();
    let verdicts = run(&scenarios, at_once, start);
    let differing = scenarios.iter().zip(verdicts).filter(|(_, verdict)| *verdict != Verdict::AsExpected);
    let differing: Vec<String> = differing
        .map(|(scenario, verdict)| format!("{}: {verdict}, expected {:?}", scenario.name, scenario.expected))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
