//! The verbs of an operator: `off`, `on`, `pause`, `rollout`, `redeliver`, `drain`, `fleet`, for one gateway or many.
//!
//! Each gateway is asked how it stands, told what to do, and asked again: what counts is not that it said yes but how it
//! stands after it. One that does not confirm does not stop the others, and the exit code says so.

mod common;
mod consent;
mod drain;
mod fleet;
mod letters;
mod report;
mod rollout;
mod state;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// The verbs.
#[derive(Subcommand)]
pub enum Verb {
    /// Discard new events (producers still get 202) and hold what is pending
    #[command(after_help = OFF_EXAMPLES)]
    Off(state::Options),
    /// Take events and deliver them; also ends a drain
    #[command(after_help = ON_EXAMPLES)]
    On(state::Options),
    /// Take events and hold them: no attempt starts
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause(state::Options),
    /// Change the share of the events that is sent, or move a rollout
    #[command(after_help = ROLLOUT_EXAMPLES)]
    Rollout(rollout::Options),
    /// Deliver dead letters again, with their first ids and fresh signatures
    #[command(after_help = REDELIVER_EXAMPLES)]
    Redeliver(letters::Options),
    /// Refuse new events and wait until nothing is pending: before a shutdown
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(drain::Options),
    /// See the gateways that share a journal, and how the journal is
    #[command(after_help = FLEET_EXAMPLES)]
    Fleet(fleet::Options),
}

/// Runs a verb.
///
/// # Errors
/// When the terminal cannot be read or written.
pub fn run(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Off(options) => state::run(options, "disabled"),
        Verb::On(options) => state::run(options, "enabled"),
        Verb::Pause(options) => state::run(options, "paused"),
        Verb::Rollout(options) => rollout::run(options),
        Verb::Redeliver(options) => letters::run(options),
        Verb::Drain(options) => drain::run(options),
        Verb::Fleet(options) => fleet::run(options),
    }
}

const OFF_EXAMPLES: &str = "\
Examples:
  gatepost off --reason 'receiver is being migrated'
  gatepost off --yes --json --gateway http://10.0.0.1:10001/gatepost --gateway http://10.0.0.2:10001/gatepost

Exit code: 0 every gateway confirmed, 1 one did not, 2 wrong usage.";
const ON_EXAMPLES: &str = "\
Examples:
  gatepost on
  GATEPOST_GATEWAYS=http://10.0.0.1:10001/gatepost,http://10.0.0.2:10001/gatepost gatepost on

Exit code: 0 every gateway confirmed, 1 one did not, 2 wrong usage.";
const PAUSE_EXAMPLES: &str = "\
Examples:
  gatepost pause --reason 'database failover' && ./failover.sh && gatepost on

Exit code: 0 every gateway confirmed, 1 one did not, 2 wrong usage.";
const ROLLOUT_EXAMPLES: &str = "\
Examples:
  gatepost rollout 5 --endpoint billing      5 % of the events
  gatepost rollout promote                   the next phase, now
  gatepost rollout rollback --yes            to 0; what was selected is held
  gatepost rollout resume                    on again, in the same phase from its beginning

Exit code: 0 every gateway confirmed, 1 one did not, 2 wrong usage.";
const REDELIVER_EXAMPLES: &str = "\
Examples:
  gatepost redeliver                                      all
  gatepost redeliver --endpoint billing --since 2h        of one endpoint, that died within two hours
  gatepost redeliver --since 2026-11-25T09:00:00Z
  gatepost redeliver --delivery 7f0c9d7e-3b1f-4c58-9d3a-0d5c1f6f2b11.billing

Exit code: 0 every gateway confirmed (of one delivery: a gateway had it), 1 one did not, 2 wrong usage.";
const DRAIN_EXAMPLES: &str = "\
Examples:
  gatepost drain --yes --timeout 2m && systemctl stop envoy
  gatepost on                                             it is not shut down after all

Exit code: 0 nothing is pending any more, 1 something is, 2 wrong usage.";
const FLEET_EXAMPLES: &str = "\
Examples:
  gatepost fleet --gateway http://10.0.0.1:10001/gatepost
  gatepost fleet --json | jq '.[0].fleet.gateways[].instance'

Asked of one gateway it shows the whole fleet; of several, how each of them sees it.
Exit code: 0 each answers and its journal is ok, 1 one does not or is not, 2 wrong usage.";
