//! Plays scenarios, several at once: each has a gateway of its own, and mostly waits.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};

use crate::{Gateway, Scenario, Start};

/// What was observed of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What its list says.
    AsExpected,
    /// Something else.
    Differs(Vec<String>),
    /// It could not be played to its end: why.
    Broken(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsExpected => f.write_str("as expected"),
            Self::Differs(observed) => write!(f, "differs: {observed:?}"),
            Self::Broken(why) => write!(f, "broken: {}", why.replace('\n', " ")),
        }
    }
}

/// Plays these scenarios on gateways that `start` starts, so many at once; their verdicts, in the same order.
pub fn run<G: Gateway>(
    scenarios: &[Scenario],
    at_once: usize,
    start: impl Fn(&Start) -> Result<G> + Sync,
) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(vec![Verdict::Broken("it was not played".to_owned()); scenarios.len()]);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((number, scenario)) = take(scenarios, &next) {
                    let verdict = play(scenario, &start);
                    // A thread that panics while it holds the lock would be a defect of this loop.
                    if let Ok(mut verdicts) = verdicts.lock()
                        && let Some(place) = verdicts.get_mut(number)
                    {
                        *place = verdict;
                    }
                }
            });
        }
    });
    verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take<'a>(scenarios: &'a [Scenario], next: &AtomicUsize) -> Option<(usize, &'a Scenario)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    scenarios.get(number).map(|scenario| (number, scenario))
}

fn play<G: Gateway>(scenario: &Scenario, start: &impl Fn(&Start) -> Result<G>) -> Verdict {
    let played = start(&(scenario.start)()).context("it does not start");
    match played.and_then(|mut gateway| (scenario.play)(&mut gateway)) {
        Ok(observed) if observed == scenario.expected => Verdict::AsExpected,
        Ok(observed) => Verdict::Differs(observed),
        Err(error) => Verdict::Broken(format!("{error:#}")),
    }
}
