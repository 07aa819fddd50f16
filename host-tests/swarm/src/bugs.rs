//! Deliberate bugs: each is an edit of the filter's source that a build of it must not survive.
//!
//! [`hunt`] copies what the filter is built of to `target/bugs`, makes one edit after the other there, builds the filter
//! with it, and plays seeds: [`SURVEYED`] to see how often which invariant is the first to break, and up to [`SEEDS`] if
//! none did. A bug that none of them shows, one whose text is not in the source any more, and an invariant that is first
//! for no bug are failures: the swarm bites, and nothing it checks is decoration.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Instant;

use host_tests::Filter;

use crate::play::{cores, play, survey};
use crate::{Broken, Invariant};

mod ending;
mod keeping;
mod operating;
mod scratch;
mod sending;
mod verifying;

use scratch::Scratch;

/// Seeds that are played for a bug at most.
pub const SEEDS: u64 = 2000;

/// Seeds that are played for each bug, to see how often it is caught.
pub const SURVEYED: u64 = 200;

/// An edit of a file.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The file, from the root of the workspace.
    pub file: &'static str,
    /// A text that stands in it exactly once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
}

/// A deliberate bug.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// A few words.
    pub name: &'static str,
    /// What the filter does with it.
    pub what: &'static str,
    /// How it comes about.
    pub edits: &'static [Edit],
}

/// All of them.
pub fn all() -> Vec<Bug> {
    [sending::BUGS, ending::BUGS, keeping::BUGS, operating::BUGS, verifying::BUGS].concat()
}

/// How a bug was caught.
struct Caught {
    seed: u64,
    first: Broken,
    /// How many of the surveyed seeds each invariant was the first in.
    by: BTreeMap<Invariant, usize>,
}

impl Caught {
    /// The rest of its line in the table.
    fn columns(&self) -> String {
        let others = self.by.iter().filter(|(invariant, _)| **invariant != self.first.invariant);
        let others: Vec<String> = others.map(|(invariant, count)| format!("{invariant} ({count})")).collect();
        let own = self.by.get(&self.first.invariant).copied().unwrap_or_default();
        format!(
            "{} | {} ({own}) | {} | {}",
            self.seed,
            self.first.invariant,
            others.join("; "),
            shown(&self.first.seen)
        )
    }
}

/// Plays every bug whose name holds one of these texts, all if there are none; prints a line for each. Says whether all
/// were caught.
///
/// # Errors
/// The sources cannot be copied, or do not build as they are.
pub fn hunt(names: &[String]) -> Result<bool, Box<dyn Error>> {
    let is_wanted = |bug: &Bug| names.is_empty() || names.iter().any(|name| bug.name.contains(name.as_str()));
    let bugs: Vec<Bug> = all().into_iter().filter(is_wanted).collect();
    let (scratch, started) = (Scratch::new(&gatepost_cli::workspace())?, Instant::now());
    println!("(n): in so many of the first {SURVEYED} seeds that invariant was the first to break.\n");
    println!("| bug | seed | caught by | in other seeds by | what was seen |\n|---|--:|---|---|---|");
    // The copy, built as the bugs are, has nothing to be caught.
    if let Some(Caught { seed, first, .. }) = caught(&scratch)? {
        return Err(format!("without a bug, seed {seed} broke \"{}\": {}", first.invariant, first.seen).into());
    }
    println!("| none | | | | nothing, in {SEEDS} seeds |");
    let (mut missed, mut first, mut alone) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for bug in &bugs {
        let columns = match scratch.with(bug, || caught(&scratch)) {
            Ok(Some(caught)) => {
                first.insert(caught.first.invariant);
                alone.extend((caught.by.len() <= 1).then_some(caught.first.invariant));
                caught.columns()
            }
            not_caught => {
                missed.push(bug.name);
                let error = not_caught.err().map(|error| shown(&error.to_string()));
                format!("| **nothing** | | {}", error.unwrap_or_else(|| format!("in {SEEDS} seeds")))
            }
        };
        println!("| {}: {} | {columns} |", bug.name, bug.what);
    }
    let (caught, seconds) = (bugs.len() - missed.len(), started.elapsed().as_secs());
    println!(
        "\n{caught} of {} bugs caught, {} invariants were first, {} of them alone, {seconds} s",
        bugs.len(),
        first.len(),
        alone.len()
    );
    missed.iter().for_each(|name| println!("not caught: {name}"));
    let idle = Invariant::ALL.iter().filter(|invariant| !invariant.is_ours() && !first.contains(invariant));
    let idle: Vec<&Invariant> = idle.filter(|_| names.is_empty()).collect();
    idle.iter().for_each(|invariant| println!("first for no bug: {invariant}"));
    Ok(missed.is_empty() && idle.is_empty())
}

/// Builds the filter as it stands in the copy, and plays it.
fn caught(scratch: &Scratch) -> Result<Option<Caught>, Box<dyn Error>> {
    let filter = Filter::load(&scratch.build()?)?;
    let found = survey(&filter, 0..SURVEYED, cores());
    let mut by = BTreeMap::new();
    found.values().for_each(|broken| *by.entry(broken.invariant).or_default() += 1);
    if let Some((seed, first)) = found.into_iter().next() {
        return Ok(Some(Caught { seed, first, by }));
    }
    let played = play(&filter, SURVEYED..SEEDS, cores(), |_| {});
    Ok(played.err().map(|violation| Caught { seed: violation.seed, first: violation.broken, by }))
}

/// A line of a table.
fn shown(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() || c == '|' { ' ' } else { c }).take(120).collect();
    if text.chars().count() > 120 { line + " …" } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_still_has_its_place_in_the_sources() {
        for Bug { name, edits, .. } in all() {
            assert!(!edits.is_empty(), "{name}");
            for Edit { file, find, replace } in edits {
                let text = std::fs::read_to_string(gatepost_cli::workspace().join(file)).expect(file);
                assert_eq!(text.matches(find).count(), 1, "{name}: in {file}: {find}");
                assert_ne!(find, replace, "{name}");
            }
        }
    }

    #[test]
    fn no_two_bugs_have_one_name() {
        let bugs = all();
        let names: BTreeSet<&str> = bugs.iter().map(|bug| bug.name).collect();
        assert_eq!(names.len(), bugs.len());
    }
}
