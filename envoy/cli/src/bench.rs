//! `gatepost bench`: what an event costs beside plain forwarding and beside the least that any filter does, how long it
//! is under way, and what a start takes. On one Envoy worker, in one run, the cases interleaved.
//!
//! - `case`: the cases, an Envoy each.
//! - `cost`: at full load, from [wrk].
//! - `latency`: at a given rate, from `client`s of our own.
//! - `start_up`: processes that start.
//! - [`soak`]: a million events, and what memory does meanwhile.
//! - `sink`, `messages`: the receiver, and what a sender signed.
//!
//! [wrk]: https://github.com/wg/wrk

mod case;
mod client;
mod cost;
mod figures;
mod latency;
mod messages;
mod process;
mod sink;
pub mod soak;
mod start_up;
mod wrk;

use anyhow::{Result, ensure};

use case::Beside;
use sink::Sink;

/// The arguments of `gatepost bench`.
#[derive(clap::Args)]
pub struct Options {
    /// What to measure [default: all of it]
    #[arg(value_enum)]
    what: Vec<What>,
    /// How long each run sends
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Runs of each case
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Connections that send, each with one request under way
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Another gatepost.wasm to measure in the same run, such as that of an earlier commit; may be repeated
    #[arg(long, value_name = "PATH[=LABEL]")]
    beside: Vec<Beside>,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// CPU time an event at full load
    Cost,
    /// How long an event is under way, at 500 events/s and at half load
    Latency,
    /// Time and memory of a start, and of a worker's VM
    StartUp,
}

/// Runs the bench and prints its tables in Markdown.
///
/// # Errors
/// When `wrk` is missing, a request is refused, or a delivery does not arrive.
pub fn run(options: &Options) -> Result<()> {
    wrk::check()?;
    let Options { seconds, repetitions, connections, .. } = *options;
    ensure!(repetitions > 0 && seconds > 0, "--repetitions and --seconds must be at least 1");
    ensure!(connections > 0, "--connections must be at least 1");
    let wants = |what| options.what.is_empty() || options.what.contains(&what);
    let sink = Sink::start(None)?;
    let cases = case::all(&options.beside);
    if wants(What::Cost) || wants(What::Latency) {
        // The latencies need what a worker can do at most.
        let loaded = cases.iter().filter(|case| wants(What::Cost) || case.is_basic());
        let loaded = cost::measure(loaded, options, &sink)?;
        if wants(What::Cost) {
            println!("## Cost\n");
            cost::print(&loaded, options)?;
        }
        if wants(What::Latency) {
            println!("\n## Latency\n");
            latency::run(&loaded, options, &sink)?;
        }
    }
    if wants(What::StartUp) {
        println!("\n## Start-up\n");
        start_up::run(&cases, options, &sink)?;
    }
    Ok(())
}
