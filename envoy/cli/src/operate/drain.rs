//! `drain`: nothing new is taken, and what is pending is waited for.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use ureq::http::Method;

use super::common::{Common, all_confirmed};
use super::report::{Change, Report, Standing};
use crate::gateway::{self, Failure, Gateway};
use crate::terminal::tell;

/// The arguments of `gatepost drain`.
#[derive(clap::Args)]
pub struct Options {
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s",
          value_parser = clap::builder::ValueParser::new(crate::gateway::duration))]
    timeout: Duration,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let question = "New events get 503 until the process ends, or until `gatepost on`.";
    options.common.carry_out(Some(question), |gateway| drain(gateway, options.timeout), all_confirmed)
}

fn drain(gateway: &Gateway, timeout: Duration) -> Report {
    let before = match gateway.status() {
        Ok(before) => before,
        Err(failure) => return Report::failed(gateway, None, &failure),
    };
    tell!("{}: {} pending; waiting up to {}s", gateway.url(), before.pending, timeout.as_secs());
    let outcome = thread::scope(|scope| {
        // Dropped when the wait is over, which ends the reports.
        let (_waiting, is_over) = mpsc::channel::<Infallible>();
        scope.spawn(move || report_progress(gateway, before.pending, &is_over));
        wait(gateway, timeout)
    });
    let after = gateway.status();
    let (note, confirmed) = match (&after, outcome) {
        (Ok(after), _) if after.process.instance != before.process.instance => {
            (Some("it was restarted meanwhile: what was pending is lost".to_owned()), false)
        }
        (Ok(after), Ok(())) if after.draining && after.pending == 0 => (None, true),
        (Ok(after), Ok(())) if !after.draining => (Some("it does not drain (any more)".to_owned()), false),
        (Ok(after), Ok(())) => {
            (Some(format!("it is drained, and then says that {} are pending", after.pending)), false)
        }
        (Err(failure), Ok(())) => (Some(format!("it is drained, and then {failure}")), false),
        // It goes on refusing events, so what was not answered in time may be asked again.
        (Ok(after), Err(failure)) if failure.status.is_none() && after.draining => {
            (Some(format!("not in time: {} still pending; new events stay refused", after.pending)), false)
        }
        (_, Err(failure)) => (Some(failure.sentence), false),
    };
    let now = after.as_ref().ok();
    let changes = vec![
        Change {
            of: "state".to_owned(),
            was: Standing::Word(word(before.draining).to_owned()),
            now: now.map(|now| Standing::Word(word(now.draining).to_owned())),
        },
        Change {
            of: "pending".to_owned(),
            was: Standing::Count(before.pending),
            now: now.map(|now| Standing::Count(now.pending)),
        },
    ];
    Report { gateway: gateway.url().to_owned(), instance: Some(before.process.instance), confirmed, note, changes }
}

/// Asks until nothing is pending, for as long as the operator wants to wait.
fn wait(gateway: &Gateway, timeout: Duration) -> gateway::Result<()> {
    let began = Instant::now();
    loop {
        let left = timeout.saturating_sub(began.elapsed());
        match gateway.command_within(left.min(ANSWER) + MARGIN, Method::POST, "drain") {
            Err(failure) if is_worth_waiting(&failure) && began.elapsed() + MARGIN < timeout => {}
            outcome => return outcome,
        }
    }
}

/// Says how much is pending whenever that has changed, until the wait is over.
fn report_progress(gateway: &Gateway, mut told: u64, is_over: &Receiver<Infallible>) {
    while is_over.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
        // One that does not answer now is told of at the end.
        if let Ok(status) = gateway.status()
            && status.pending != told
        {
            told = status.pending;
            tell!("{}: {told} pending", gateway.url());
        }
    }
}

/// What is held would never end by itself; what is pending will.
fn is_worth_waiting(failure: &Failure) -> bool {
    failure.status == Some(503) && failure.problem.pending.is_some_and(|pending| pending > 0)
}

fn word(draining: bool) -> &'static str {
    if draining { "draining" } else { "taking events" }
}

/// How long a gateway waits at the most before it answers that something is still pending.
const ANSWER: Duration = Duration::from_secs(60);
const PROGRESS: Duration = Duration::from_secs(2);
/// What an answer takes besides.
const MARGIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use gatepost_core::answer::Problem;

    /// What is only held is not waited for and a refusal is not either.
    #[test]
    fn drain_waits_for_neither_held_deliveries_nor_a_refusal() {
        let failure = |status, pending| {
            let problem = Box::new(Problem { pending, held: Some(1), ..Problem::default() });
            Failure { status, sentence: String::new(), problem }
        };
        assert!(is_worth_waiting(&failure(Some(503), Some(3))));
        assert!(!is_worth_waiting(&failure(Some(503), Some(0))));
        assert!(!is_worth_waiting(&failure(Some(403), None)));
        assert!(!is_worth_waiting(&failure(None, None)));
    }
}
