//! `gatepost bench`: what an event costs beside plain forwarding and beside the least that any filter does, how long it
//! is under way, and what a start takes. On one Envoy worker, in one run, the cases interleaved.
//!
//! - `case`: the cases, an Envoy each.
//! - `cost`: at full load, from [wrk].
//! - `latency`: at a given rate, from `client`s of our own.
//! - `start_up`: processes that start.
//! - `journal`: the same gateway without a journal, and with one.
//! - [`soak`]: a million events, and what memory does meanwhile.
//! - [`fleet`]: gateways that share a journal, killed again and again.
//! - `sink`, `messages`: the receiver, and what a sender signed.
//!
//! [wrk]: https://github.com/wg/wrk

mod case;
mod client;
mod cost;
mod figures;
pub mod fleet;
mod journal;
mod latency;
mod messages;
mod options;
mod process;
mod sink;
pub mod soak;
mod start_up;
mod wrk;

use crate::terminal::say;

use anyhow::{Result, ensure};

pub use options::Options;
use options::What;
use sink::Sink;

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
            say!("## Cost")?;
            say!("")?;
            cost::print(&loaded, options)?;
        }
        if wants(What::Latency) {
            say!("")?;
            say!("## Latency")?;
            say!("")?;
            latency::run(&loaded, options, &sink)?;
        }
    }
    if wants(What::StartUp) {
        say!("")?;
        say!("## Start-up")?;
        say!("")?;
        start_up::run(&cases, options, &sink)?;
    }
    if options.what.contains(&What::Journal) {
        say!("")?;
        say!("## Journal")?;
        say!("")?;
        journal::run(&cases, options, &sink)?;
    }
    Ok(())
}
