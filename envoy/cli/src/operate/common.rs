//! What every verb takes, and how it is carried out at every gateway.

use std::process::ExitCode;

use anyhow::Result;

use super::consent;
use super::report::{self, Report};
use crate::gateway::{Gateway, Gateways};
use crate::terminal::tell;

/// What every verb takes.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Common {
    #[command(flatten)]
    gateways: Gateways,
    /// Do not ask before something that stops deliveries
    #[arg(long, short)]
    yes: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl Common {
    /// Asks, where there is somebody to ask, and does it everywhere at the same time. Code 1: not every gateway
    /// confirmed it, or the answer was no.
    pub(super) fn carry_out(
        &self,
        question: Option<&str>,
        act: impl Fn(&Gateway) -> Report + Sync,
        verdict: impl Fn(&[Report]) -> bool,
    ) -> Result<ExitCode> {
        let gateways = self.gateways.resolve();
        if let Some(question) = question
            && !self.yes
            && !consent::given(question, &gateways)?
        {
            tell!("Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
        let reports = report::of_all(&gateways, act);
        report::print(&reports, self.json)?;
        Ok(if verdict(&reports) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Did all of them confirm?
pub(super) fn all_confirmed(reports: &[Report]) -> bool {
    reports.iter().all(|report| report.confirmed)
}
