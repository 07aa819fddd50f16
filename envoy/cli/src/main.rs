//! `gatepost`: see `gatepost --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gatepost_cli::{bench, demo, secret, send, verify};

/// Webhooks delivered by Envoy itself.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start Envoy with the example config and a verifying receiver, send ten events, show what was verified
    Demo(demo::Options),
    /// Compare what an event costs with plain forwarding through Envoy; needs wrk
    Bench(bench::Options),
    /// Send events for as long as it takes, and see that Envoy's memory stays flat; needs wrk
    Soak(bench::soak::Options),
    /// Check a captured request, and say exactly which part of it is wrong
    Verify(verify::Options),
    /// Make a secret, or compare one with the other side without showing it
    Secret(secret::Options),
    /// Post events, and show what the gateway answers
    Send(send::Options),
}

fn main() -> ExitCode {
    // `cargo demo -- --keep` arrives here as `gatepost demo -- --keep`.
    let arguments = std::env::args_os().enumerate().filter(|(place, word)| !(*place == 2 && word == "--"));
    let code = match Arguments::parse_from(arguments.map(|(_, word)| word)).command {
        Command::Demo(options) => demo::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Bench(options) => bench::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Soak(options) => bench::soak::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Verify(options) => verify::run(&options),
        Command::Secret(options) => secret::run(&options),
        Command::Send(options) => send::run(&options),
    };
    code.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
