//! Plays every scenario on both gateways and prints how they compare.

use std::process::ExitCode;

use anyhow::Result;
use gatepost_scenarios::{Gateway, Real, Scenario, Simulated, all, play};

fn main() -> ExitCode {
    let version = std::env::var("ENVOY_VERSION").unwrap_or_else(|_| gatepost_cli::envoy::VERSION.to_owned());
    println!("| scenario | simulated | Envoy {version} |\n|---|---|---|");
    let mut same = true;
    for scenario in all() {
        let simulated = verdict(&scenario, Simulated::start(&(scenario.config)()));
        let real = verdict(&scenario, Real::start(&(scenario.config)()));
        same &= simulated == AS_EXPECTED && real == AS_EXPECTED;
        println!("| {} | {simulated} | {real} |", scenario.name);
    }
    if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const AS_EXPECTED: &str = "as expected";

fn verdict<G: Gateway>(scenario: &Scenario, gateway: Result<G>) -> String {
    match gateway.and_then(|mut gateway| play(scenario, &mut gateway)) {
        Ok(observed) if observed == scenario.expected => AS_EXPECTED.to_owned(),
        Ok(observed) => format!("{observed:?}"),
        Err(error) => format!("{error:#}").replace('\n', " "),
    }
}
