//! `off`, `on`, `pause`: the state of a gateway.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use ureq::http::Method;

use super::common::{Common, all_confirmed};
use super::report::{Standing, Switch};

/// The arguments of `gatepost off`, `on` and `pause`.
#[derive(clap::Args)]
pub struct Options {
    /// Why, for the log and for who looks at the status
    #[arg(long, value_name = "WORDS", default_value = "")]
    reason: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(options: &Options, state: &str) -> Result<ExitCode> {
    let body = json!({"state": state, "reason": options.reason});
    let switch = Switch {
        act: &|gateway| gateway.command(Method::PUT, "state", Some(&body)),
        view: &|status| vec![("state".to_owned(), Standing::Word(status.state.to_string()))],
        objection: &|_, now| (now.state != state).then(|| format!("it took the command and is {}", now.state)),
    };
    let question = (state == "disabled").then_some("New events are discarded, and what is pending is held.");
    options.common.carry_out(question, |gateway| switch.carry_out(gateway), all_confirmed)
}
