//! Plays scenarios, several at once: each has a gateway of its own, and mostly waits.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};

use crate::{Gateway, Scenario, Start};

/// The verdict on a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The observed lines are those expected.
    AsExpected,
    /// Other lines were observed: these.
    Differs(Vec<String>),
    /// The scenario could not be played to its end, for this reason.
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

/// Plays these scenarios on gateways that `start` starts, `at_once` at a time. Returns their verdicts, in the same
/// order.
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
    match played.and_then(|mut gateway| Ok(((scenario.play)(&mut gateway)?, gateway.is_exact()))) {
        Ok((observed, is_exact)) if is_as_expected(&observed, scenario.expected, is_exact) => Verdict::AsExpected,
        Ok((observed, _)) => Verdict::Differs(observed),
        Err(error) => Verdict::Broken(format!("{error:#}")),
    }
}

/// Compares line by line. Where time is not exact, an observed line may have `+3 s` in place of `+2 s`, but never `+1
/// s`.
fn is_as_expected(observed: &[String], expected: &[&str], is_exact: bool) -> bool {
    let same = |(line, due): (&String, &&str)| line == due || !is_exact && is_late(line, due);
    observed.len() == expected.len() && observed.iter().zip(expected).all(same)
}

fn is_late(line: &str, due: &str) -> bool {
    let parts = |line| {
        let (seconds, what) = str::strip_prefix(line, "+")?.split_once(" s")?;
        Some((seconds.parse::<u64>().ok()?, what))
    };
    match (parts(line), parts(due)) {
        (Some((seconds, what)), Some((due, same))) => seconds > due && what == same,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_as_expected;

    /// On a real gateway an attempt may be late, but neither early nor another attempt.
    #[test]
    fn attempt_on_a_real_gateway_may_be_late_but_not_early() {
        let expected = ["answered 202", "+2 s: attempt 2"];
        let is =
            |line: &str, is_exact| is_as_expected(&["answered 202".to_owned(), line.to_owned()], &expected, is_exact);
        assert!(is("+2 s: attempt 2", true) && is("+2 s: attempt 2", false));
        assert!(is("+13 s: attempt 2", false) && !is("+13 s: attempt 2", true));
        for wrong in ["+1 s: attempt 2", "+3 s: attempt 3", "+x s: attempt 2", "3 s: attempt 2"] {
            assert!(!is(wrong, false), "{wrong}");
        }
        assert!(!is_as_expected(&["answered 202".to_owned()], &expected, false));
    }
}
