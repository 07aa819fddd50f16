//! Deliberate bugs: each is an edit of the filter's source that a build of it must not survive.
//!
//! [`hunt`] copies what the filter is built of to `target/bugs`, makes one edit after the other there, builds the filter
//! with it, and plays seeds until an invariant breaks. A bug that none of them shows, one whose text is not in the source
//! any more, and an invariant that no bug breaks are failures: the swarm bites, and nothing it checks is decoration.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Instant;

use host_tests::Filter;

use crate::Invariant;
use crate::play::{cores, play};

mod ending;
mod keeping;
mod operating;
mod scratch;
mod sending;

use scratch::Scratch;

/// Seeds that are played for a bug at most.
pub const SEEDS: u64 = 2000;

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
    [sending::BUGS, ending::BUGS, keeping::BUGS, operating::BUGS].concat()
}

/// Where a bug was caught.
struct Caught {
    seed: u64,
    invariant: Invariant,
    seen: String,
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
    println!("| bug | seed | caught by | what was seen |\n|---|--:|---|---|");
    // The copy, built as the bugs are, has nothing to be caught.
    if let Some(Caught { seed, invariant, seen }) = caught(&scratch)? {
        return Err(format!("without a bug, seed {seed} broke \"{invariant}\": {seen}").into());
    }
    println!("| none | | | nothing, in {SEEDS} seeds |");
    let (mut missed, mut breaking) = (Vec::new(), BTreeSet::new());
    for bug in &bugs {
        let found = scratch.with(bug, || caught(&scratch));
        let line = match found {
            Ok(Some(Caught { seed, invariant, seen })) => {
                breaking.insert(invariant);
                format!("{seed} | {invariant} | {}", shown(&seen))
            }
            Ok(None) => format!(" | **nothing**, in {SEEDS} seeds |"),
            Err(error) => format!(" | **error** | {}", shown(&error.to_string())),
        };
        if line.starts_with(' ') {
            missed.push(bug.name);
        }
        println!("| {}: {} | {line} |", bug.name, bug.what);
    }
    let idle = Invariant::ALL.iter().filter(|invariant| !invariant.is_ours() && !breaking.contains(invariant));
    let idle: Vec<String> = idle.filter(|_| names.is_empty()).map(ToString::to_string).collect();
    let seconds = started.elapsed().as_secs();
    println!(
        "\n{} of {} bugs caught by {} invariants in {seconds} s",
        bugs.len() - missed.len(),
        bugs.len(),
        breaking.len()
    );
    missed.iter().for_each(|name| println!("not caught: {name}"));
    idle.iter().for_each(|invariant| println!("caught no bug: {invariant}"));
    Ok(missed.is_empty() && idle.is_empty())
}

/// Builds the filter as it stands in the copy, and plays it.
fn caught(scratch: &Scratch) -> Result<Option<Caught>, Box<dyn Error>> {
    let filter = Filter::load(&scratch.build()?)?;
    let played = play(&filter, 0..SEEDS, cores(), |_| {});
    Ok(played.err().map(|violation| Caught {
        seed: violation.seed,
        invariant: violation.broken.invariant,
        seen: violation.broken.seen,
    }))
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
