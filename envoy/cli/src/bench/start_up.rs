//! What the filter adds to the start of Envoy, and what a worker's VM takes: processes with one worker and with several.
//!
//! Envoy has a VM for each worker, one on its main thread, and one that the others are made from. What several workers
//! take more than one, less what they take more without a filter, is that of so many VMs. It is counted in CPU time,
//! which is how long a VM takes where a core is free for it; on the wall clock workers share the cores.

use crate::terminal::{say, tell};

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatepost_kit::envoy::Envoy;
use gatepost_kit::http;
use gatepost_kit::process::Memory;
use gatepost_kit::wait;

use super::case::{self, Case, Intermediary};
use super::figures::median;
use super::options::Options;
use super::process::cpu_seconds;
use super::sink::{Sink, numbered};

/// A case with so many workers, and what was measured of it.
struct Started<'a> {
    case: &'a Case,
    workers: u32,
    /// From the start of the process to the first answered request, in milliseconds.
    answered: Vec<f64>,
    /// CPU milliseconds until all VMs are there and rest.
    cpu: Vec<f64>,
    /// Resident MiB then.
    resident: Vec<f64>,
}

/// Starts each process over and over, in turn, and prints a table in Markdown.
///
/// # Errors
/// When an Envoy does not start, or does not answer.
pub fn run(cases: &[Case], options: &Options, sink: &Sink) -> Result<()> {
    let compared = cases.iter().filter(|case| case.is_basic());
    let mut all: Vec<Started<'_>> =
        compared.flat_map(|case| [1, WORKERS].map(|workers| Started::new(case, workers))).collect();
    // To download it, where it is missing, is no part of a start.
    gatepost_kit::envoy::find()?;
    let repetitions = options.repetitions.min(REPETITIONS_MAX);
    for repetition in 1..=repetitions {
        for started in &mut all {
            started.run(sink)?;
        }
        tell!("{repetition}/{repetitions} of the starts");
    }
    print(&all, repetitions)
}

impl<'a> Started<'a> {
    fn new(case: &'a Case, workers: u32) -> Self {
        Self { case, workers, answered: Vec::new(), cpu: Vec::new(), resident: Vec::new() }
    }

    fn run(&mut self, sink: &Sink) -> Result<()> {
        let launch = self.case.launch(self.workers, sink)?;
        let start = Instant::now();
        let envoy = Envoy::start(&launch)?;
        let body = numbered(0);
        let response = http::client().post(case::url(&envoy)?).content_type("application/json").send(&body)?;
        self.answered.push(start.elapsed().as_secs_f64() * 1e3);
        ensure!(response.status().is_success(), "the first request is answered {}", response.status());
        let vms = if self.case.filter == Intermediary::None { 0 } else { u64::from(self.workers) + 2 };
        wait::until("all VMs are there", Duration::from_secs(60), || Ok((envoy.stat(VMS)? >= vms).then_some(())))?;
        // What V8 compiles in the background belongs to the start.
        thread::sleep(SETTLE);
        self.cpu.push(cpu_seconds(envoy.pid())? * 1e3);
        self.resident.push(Memory::of(envoy.pid())?.resident as f64 / 1024.0);
        Ok(())
    }
}

fn print(all: &[Started<'_>], repetitions: usize) -> Result<()> {
    say!("Medians of {repetitions} starts, interleaved.")?;
    say!("")?;
    say!("| | workers | first answer after | CPU | resident memory |")?;
    say!("|---|--:|--:|--:|--:|")?;
    for Started { case, workers, answered, cpu, resident } in all {
        let (answered, cpu, resident) = (median(answered)?, median(cpu)?, median(resident)?);
        say!("| {} | {workers} | {answered:.0} ms | {cpu:.0} ms | {resident:.1} MiB |", case.title())?;
    }
    say!("")?;
    let mut further = Vec::new();
    for pair in all.chunks_exact(2) {
        let [one, several] = pair else { continue };
        let vms = f64::from(several.workers - one.workers);
        let cpu = (median(&several.cpu)? - median(&one.cpu)?) / vms;
        let resident = (median(&several.resident)? - median(&one.resident)?) / vms;
        further.push((one.case, cpu, resident));
    }
    let (without, with) = further.split_first().context("no cases")?;
    for (case, cpu, resident) in with {
        let (cpu, resident) = (cpu - without.1, resident - without.2);
        let cpu = if cpu < CPU_TICK_MS { format!("less than {CPU_TICK_MS} ms") } else { format!("{cpu:.0} ms") };
        say!("- a worker's VM of {case} is ready after {cpu} of CPU and takes {resident:.1} MiB")?;
    }
    Ok(())
}

/// The kernel counts a process's CPU time in these: what is less cannot be told from nothing.
const CPU_TICK_MS: f64 = 10.0;
/// VMs that live, as Envoy counts them.
const VMS: &str = "wasm.envoy.wasm.runtime.v8.active";
const WORKERS: u32 = 4;
/// A start takes seconds, and starts differ less than loads.
const REPETITIONS_MAX: usize = 10;
const SETTLE: Duration = Duration::from_secs(1);
