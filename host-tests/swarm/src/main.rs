//! `cargo swarm`: many seeds, on all cores.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use gatepost_swarm::{Summary, Violation};
use host_tests::Filter;

/// Plays Gatepost in a simulated Envoy under random load and faults, and checks what must hold after every step
#[derive(Parser)]
struct Options {
    /// How many seeds to play
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Print the whole trace, not only its end
    #[arg(long)]
    trace: bool,
    /// Play this build of the filter instead of the workspace's, to see that a defect is caught
    #[arg(long, value_name = "FILE")]
    filter: Option<PathBuf>,
    /// Threads; one for each core unless it is said
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    match play(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays all seeds; says whether all held.
fn play(options: &Options) -> Result<bool, Box<dyn std::error::Error>> {
    let wasm = options.filter.clone().map_or_else(|| gatepost_cli::artifact::wasm("gatepost"), Ok)?;
    let filter = Filter::load(&wasm)?;
    let threads = options.threads.or(thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let (next, started) = (AtomicU64::new(0), Instant::now());
    let (total, violation) = (Mutex::new((0, Summary::default())), Mutex::new(None::<Box<Violation>>));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= options.seeds {
                return;
            }
            match gatepost_swarm::run(&filter, options.first_seed + number) {
                Ok(summary) => progress(&total, summary, options.seeds, started),
                Err(found) => {
                    // The others end with the seeds they have.
                    next.store(options.seeds, Ordering::Relaxed);
                    let mut violation = lock(&violation);
                    if violation.as_ref().is_none_or(|first| found.seed < first.seed) {
                        *violation = Some(found);
                    }
                }
            }
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    if let Some(violation) = lock(&violation).take() {
        print(&violation, options.trace);
        return Ok(false);
    }
    let (seeds, Summary { accepted, delivered, dead, disruptions }) = *lock(&total);
    println!(
        "{seeds} seeds in {:.0} s: {accepted} events accepted, {delivered} deliveries delivered, {dead} dead letters, \
         {disruptions} faults, no violation",
        started.elapsed().as_secs_f64()
    );
    Ok(true)
}

fn progress(total: &Mutex<(u64, Summary)>, summary: Summary, seeds: u64, started: Instant) {
    let mut total = lock(total);
    let (count, sum) = &mut *total;
    *count += 1;
    sum.accepted += summary.accepted;
    sum.delivered += summary.delivered;
    sum.dead += summary.dead;
    sum.disruptions += summary.disruptions;
    if *count % 500 == 0 {
        eprintln!("{count} of {seeds} seeds, {} deliveries, {:.0} s", sum.delivered, started.elapsed().as_secs_f64());
    }
}

fn print(violation: &Violation, whole: bool) {
    let lines: Vec<&str> = violation.trace.lines().collect();
    let from = if whole { 0 } else { lines.len().saturating_sub(60) };
    lines.iter().skip(from).for_each(|line| println!("{line}"));
    println!("\nseed {} broke \"{}\": {}", violation.seed, violation.broken.invariant, violation.broken.seen);
    println!("again, with all of the trace: cargo swarm -- --first-seed {} --seeds 1 --trace", violation.seed);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
