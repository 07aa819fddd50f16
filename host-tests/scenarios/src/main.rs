//! Plays the scenarios on both gateways and prints how the results compare. Words as arguments choose the scenarios
//! whose names contain one of the words.

use std::process::ExitCode;

use gatepost_scenarios::{REAL_AT_ONCE, Real, SIMULATED_AT_ONCE, Simulated, Verdict, all, run};

fn main() -> ExitCode {
    let version = std::env::var("ENVOY_VERSION").unwrap_or_else(|_| gatepost_kit::envoy::VERSION.to_owned());
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut scenarios = all();
    scenarios.retain(|scenario| words.is_empty() || words.iter().any(|word| scenario.name.contains(word)));
    let simulated = run(&scenarios, SIMULATED_AT_ONCE, Simulated::start);
    let real = run(&scenarios, REAL_AT_ONCE, Real::start);
    println!("| scenario | simulated | Envoy {version} |\n|---|---|---|");
    let (mut same, mut differing) = (0, 0);
    for (scenario, (simulated, real)) in scenarios.iter().zip(simulated.iter().zip(&real)) {
        println!("| {} | {simulated} | {real} |", scenario.name);
        if [simulated, real].into_iter().all(|verdict| *verdict == Verdict::AsExpected) {
            same += 1;
        } else {
            differing += 1;
        }
    }
    for (scenario, (simulated, real)) in scenarios.iter().zip(simulated.iter().zip(&real)) {
        for (gateway, verdict) in [("simulated", simulated), ("real", real)] {
            if let Verdict::Differs(observed) = verdict {
                println!("\n{}, {gateway}: {observed:#?}\nexpected: {:#?}", scenario.name, scenario.expected);
            }
        }
    }
    println!("\n{same} of {} scenarios are as expected on both", scenarios.len());
    if differing == 0 && same > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
