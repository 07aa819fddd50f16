//! `gatepost`: see `gatepost --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gatepost_cli::given::Unusable;
use gatepost_cli::{bench, check, demo, evidence, operate, preflight, receive, secret, send, smoke, terminal};
use gatepost_cli::{verify, watch};

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
    /// Kill gateways of a fleet in turn under load, and see that nothing accepted is missing; needs etcd
    SoakFleet(bench::fleet::Options),
    /// Say what is wrong with a config, the filter's or a whole Envoy config, before Envoy has it
    Check(check::Options),
    /// Make a secret or a pair of keys, or compare one with the other side without showing it
    Secret(secret::Options),
    /// Post events, or webhooks signed in any scheme, and show what is answered
    Send(send::Options),
    /// Check a captured request, and say exactly which part of it is wrong
    Verify(verify::Options),
    /// A receiver to try things out with: verifies what it gets, shows it, fails on demand
    Receiver(receive::Options),
    /// Play four scenarios through a gateway: delivered, retried, given up, left alone while it is down
    Smoke(smoke::Options),
    /// Go through the checklist before turning on, with the receiver itself
    Preflight(preflight::Options),
    /// Write a bundle for a change review: hours, objectives, headers, retries, breakers, personal data, versions
    Evidence(evidence::Options),
    /// See live how gateways stand, or once for a script
    Watch(watch::Options),
    #[command(flatten)]
    Operate(operate::Verb),
}

fn main() -> ExitCode {
    // `cargo demo -- --keep` arrives here as `gatepost demo -- --keep`.
    let arguments = std::env::args_os().enumerate().filter(|(place, word)| !(*place == 2 && word == "--"));
    let code = match Arguments::parse_from(arguments.map(|(_, word)| word)).command {
        Command::Demo(options) => demo::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Bench(options) => bench::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Soak(options) => bench::soak::run(&options).map(|()| ExitCode::SUCCESS),
        Command::SoakFleet(options) => bench::fleet::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Check(options) => check::run(&options),
        Command::Secret(options) => secret::run(&options),
        Command::Send(options) => send::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Receiver(options) => receive::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Smoke(options) => smoke::run(&options),
        Command::Preflight(options) => preflight::run(&options),
        Command::Evidence(options) => evidence::run(&options),
        Command::Watch(options) => watch::run(&options),
        Command::Operate(verb) => operate::run(&verb),
    };
    code.unwrap_or_else(|error| {
        terminal::tell_error(&error);
        if Unusable::is_in(&error) { ExitCode::from(Unusable::CODE) } else { ExitCode::FAILURE }
    })
}
