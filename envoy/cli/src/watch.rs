//! `gatepost watch`: how gateways stand, live on a terminal, or once for a script.
//!
//! - `view`: what is known of each gateway, with rates from two readings and what is wrong in words. Pure.
//! - `table`: that as lines of a width. Pure.
//! - `screen`: the terminal, which is left as it was found.

mod screen;
mod table;
mod trouble;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;

use crate::gateway::{self, Gateway, Gateways, Status, ask_all};
use crate::terminal;
use screen::{Input, Screen};
pub(crate) use trouble::age_of;
use view::View;

/// The arguments of `gatepost watch`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    gateways: Gateways,
    /// The time between two readings [default: 1s, with --once 5s]
    #[arg(long, value_name = "TIME", value_parser = clap::builder::ValueParser::new(interval))]
    interval: Option<Duration>,
    /// Two readings, one interval apart, and the end; also where the output is no terminal
    #[arg(long)]
    once: bool,
    /// Print JSON: with --once one value, else a line for each reading
    #[arg(long)]
    json: bool,
}

/// Runs the command. Code 1: not every gateway could be reached.
///
/// # Errors
/// When the terminal cannot be read or written.
pub fn run(options: &Options) -> Result<ExitCode> {
    let gateways = options.gateways.resolve();
    let mut view = View::new(gateways.iter().map(Gateway::url));
    if options.json && !options.once {
        return stream(&gateways, &mut view, options.interval.unwrap_or(LIVE));
    }
    if !options.once && terminal::is_shown() && io::stdin().is_terminal() {
        live(gateways, view, options.interval.unwrap_or(LIVE))?;
        return Ok(ExitCode::SUCCESS);
    }
    // One reading has no rates.
    read(&gateways, &mut view);
    thread::sleep(options.interval.unwrap_or(ONCE));
    read(&gateways, &mut view);
    if options.json {
        terminal::say_pretty_json(&view.report(Timestamp::now()))?;
    } else {
        let width = crossterm::terminal::size().map_or(PLAIN_WIDTH, |(columns, _)| usize::from(columns).max(1));
        let width = if terminal::is_shown() { width } else { PLAIN_WIDTH };
        for line in table::lines(&view, Instant::now(), Timestamp::now(), width) {
            terminal::say_line(&line)?;
        }
    }
    Ok(if view.all_reached() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line of JSON for each reading, until the reader or the operator has enough.
fn stream(gateways: &[Gateway], view: &mut View, interval: Duration) -> Result<ExitCode> {
    loop {
        read(gateways, view);
        terminal::say_json(&view.report(Timestamp::now()))?;
        if !terminal::is_read() {
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(interval);
    }
}

/// One reading of all gateways.
fn read(gateways: &[Gateway], view: &mut View) {
    for (number, reading) in ask_all(gateways, Gateway::status).into_iter().enumerate() {
        view.take(number, Instant::now(), reading);
    }
}

/// What a gateway answered, and when.
type StatusReading = (usize, Instant, gateway::Result<Status>);

/// Redraws with every reading until the operator ends it. Each gateway is read by a thread of its own, so that one that
/// hangs holds up neither the others nor the keys.
fn live(gateways: Vec<Gateway>, mut view: View, interval: Duration) -> Result<()> {
    let (sender, readings) = mpsc::channel::<StatusReading>();
    for (number, gateway) in gateways.into_iter().enumerate() {
        let sender = sender.clone();
        thread::spawn(move || {
            // Nobody listens any more: the view has ended.
            while sender.send((number, Instant::now(), gateway.status())).is_ok() {
                thread::sleep(interval);
            }
        });
    }
    let mut screen = Screen::open()?;
    let mut drawn = None::<Instant>;
    loop {
        let mut is_new = false;
        for (number, at, reading) in readings.try_iter() {
            view.take(number, at, reading);
            is_new = true;
        }
        // Ages grow also while nothing is read.
        if is_new || drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            let lines = table::lines(&view, Instant::now(), Timestamp::now(), screen.columns());
            screen.draw(&lines)?;
            drawn = Some(Instant::now());
        }
        match screen.input(KEY_WAIT)? {
            Some(Input::End) => return Ok(()),
            Some(Input::Redraw) => drawn = None,
            None => {}
        }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = gateway::duration(text)?;
    if interval < INTERVAL_MIN { Err("expected 100ms or more".to_owned()) } else { Ok(interval) }
}

const LIVE: Duration = Duration::from_secs(1);
/// Gateways write their counters once a second: over a shorter time a rate says little.
const ONCE: Duration = Duration::from_secs(5);
/// Reading more often costs a gateway more than it tells.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The width where there is no terminal.
const PLAIN_WIDTH: usize = 120;
const REDRAW: Duration = Duration::from_secs(1);
/// How long a key may wait for its effect, and a signal too.
const KEY_WAIT: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "\
Examples:
  gatepost watch                                            q or Ctrl-C ends it
  gatepost watch --gateway http://10.0.0.1:10001/gatepost --gateway http://10.0.0.2:10001/gatepost
  gatepost watch --once --json | jq '.gateways[].troubles'
  gatepost watch --json --interval 10s >> gateways.jsonl

Rates are of the last 10 seconds, or of the time between two readings; success, P50 and P95 are of the time the guard judges (its `for`).
Exit code: 0 every gateway was reached, 1 one was not, 2 wrong usage.";
