//! `cargo swarm`: many seeds, on all cores.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use gatepost_swarm::fleet;
use gatepost_swarm::hunt::{hunt, hunt_in_fleets};
use gatepost_swarm::play::{Total, cores, play_all, survey_all};
use gatepost_swarm::{Summary, Violation, run as run_one};
use host_tests::Filter;

/// Plays Gatepost in a simulated Envoy under random load and faults, and checks what must hold after every step
#[derive(Parser)]
struct Options {
    /// How many seeds to play
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed to play
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Play all seeds, and print a line for each that breaks an invariant, instead of the first one's trace
    #[arg(long, conflicts_with_all = ["trace", "bugs"])]
    keep_going: bool,
    /// Print the whole trace, not only its end
    #[arg(long)]
    trace: bool,
    /// Play several gateways with a journal on etcd, instead of one without
    #[arg(long)]
    fleet: bool,
    /// Play this build of the filter instead of the workspace's, to see that a defect is caught
    #[arg(long, value_name = "FILE")]
    filter: Option<PathBuf>,
    /// Play with one deliberate bug after the other instead, to see that all are caught. With texts, only the bugs
    /// whose names hold one of them
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with = "filter")]
    bugs: Option<Vec<String>>,
    /// The number of threads; by default one for each core
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.bugs {
        Some(names) if options.fleet => hunt_in_fleets(names),
        Some(names) => hunt(names),
        None => run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays all seeds; returns whether all invariants held.
fn run(options: &Options) -> Result<bool, Box<dyn std::error::Error>> {
    let wasm = options.filter.clone().map_or_else(|| gatepost_kit::artifact::wasm("gatepost"), Ok)?;
    let filter = Filter::load(&wasm)?;
    let (seeds, started) = (options.first_seed..options.first_seed.saturating_add(options.seeds), Instant::now());
    let seconds = || started.elapsed().as_secs_f64();
    let progress = |total: &Total| {
        if total.seeds.is_multiple_of(500) {
            let delivered = total.sum.delivered;
            eprintln!("{} of {} seeds, {delivered} deliveries, {:.0} s", total.seeds, options.seeds, seconds());
        }
    };
    let run = |seed| if options.fleet { fleet::run(&filter, seed) } else { run_one(&filter, seed) };
    if options.keep_going {
        let found = survey_all(seeds, options.threads.unwrap_or_else(cores), run);
        found.iter().for_each(|(seed, broken)| println!("seed {seed} broke \"{}\": {}", broken.invariant, broken.seen));
        println!("{} of {} seeds broke something, {:.0} s", found.len(), options.seeds, seconds());
        return Ok(found.is_empty());
    }
    match play_all(seeds, options.threads.unwrap_or_else(cores), run, progress) {
        Ok(Total { seeds, sum: Summary { accepted, delivered, dead, disruptions } }) => {
            println!(
                "{seeds} seeds in {:.0} s: {accepted} events accepted, {delivered} deliveries delivered, {dead} dead \
                 letters, {disruptions} faults, no violation",
                seconds()
            );
            Ok(true)
        }
        Err(violation) => {
            print(&violation, options);
            Ok(false)
        }
    }
}

fn print(violation: &Violation, options: &Options) {
    let lines: Vec<&str> = violation.trace.lines().collect();
    let from = if options.trace { 0 } else { lines.len().saturating_sub(60) };
    lines.iter().skip(from).for_each(|line| println!("{line}"));
    println!("\nseed {} broke \"{}\": {}", violation.seed, violation.broken.invariant, violation.broken.seen);
    let fleet = if options.fleet { " --fleet" } else { "" };
    println!("again, with all of the trace: cargo swarm --{fleet} --first-seed {} --seeds 1 --trace", violation.seed);
}
