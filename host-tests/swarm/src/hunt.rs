//! Plays the deliberate bugs, to see which check catches each.

use std::collections::BTreeMap;
use std::error::Error;

use host_tests::Filter;

use crate::bugs::{ALL, Bug};
use crate::checks::{Broken, Invariant};
use crate::fleet::{self, bugs::FleetBug};
use crate::play::{cores, survey, survey_all};

/// Seeds that are played for a bug.
const SEEDS: u64 = 200;

/// A deliberate bug that was caught.
pub struct Caught {
    /// The lowest seed in which something broke.
    pub seed: u64,
    /// The invariant that broke there.
    pub first: Broken,
    /// In how many of the seeds each invariant was the first to break.
    pub by: BTreeMap<Invariant, usize>,
}

/// Plays these seeds with a bug; `None`: no check catches it.
pub fn caught(filter: &Filter, bug: &Bug, seeds: u64) -> Option<Caught> {
    let found = survey(filter, 0..seeds, cores(), Some(bug));
    let mut by = BTreeMap::new();
    found.values().for_each(|broken| *by.entry(broken.invariant).or_default() += 1);
    found.into_iter().next().map(|(seed, first)| Caught { seed, first, by })
}

/// Plays every bug whose name holds one of these texts, or all bugs if there are no texts; prints a line for each.
/// Returns whether each was caught by the check of the promise that it breaks.
///
/// # Errors
/// The filter cannot be built or loaded.
pub fn hunt(names: &[String]) -> Result<bool, Box<dyn Error>> {
    let filter = Filter::load(&gatepost_kit::artifact::wasm("gatepost")?)?;
    let is_wanted = |bug: &&Bug| names.is_empty() || names.iter().any(|name| bug.name.contains(name.as_str()));
    println!("(n): in so many of {SEEDS} seeds that invariant was the first to break.\n");
    println!("| bug | first seed | caught by | in other seeds by |\n|---|--:|---|---|");
    let mut are_caught = true;
    for bug in ALL.iter().filter(is_wanted) {
        let Some(Caught { seed, by, .. }) = caught(&filter, bug, SEEDS) else {
            println!("| {}: {} | | **nothing** | |", bug.name, bug.what);
            are_caught = false;
            continue;
        };
        let own = by.get(&bug.breaks).copied().unwrap_or_default();
        are_caught &= own > 0;
        let others = by.iter().filter(|(invariant, _)| **invariant != bug.breaks);
        let others: Vec<String> = others.map(|(invariant, count)| format!("{invariant} ({count})")).collect();
        println!("| {}: {} | {seed} | {} ({own}) | {} |", bug.name, bug.what, bug.breaks, others.join("; "));
    }
    Ok(are_caught)
}

/// Seeds that are played for a bug of a fleet, whose runs take several times as long.
const SEEDS_OF_FLEETS: u64 = 40;

/// The same for the bugs of a fleet.
///
/// # Errors
/// As [`hunt`].
pub fn hunt_in_fleets(names: &[String]) -> Result<bool, Box<dyn Error>> {
    let filter = Filter::load(&gatepost_kit::artifact::wasm("gatepost")?)?;
    let is_wanted = |bug: &&FleetBug| names.is_empty() || names.iter().any(|name| bug.name.contains(name.as_str()));
    println!("(n): in so many of {SEEDS_OF_FLEETS} seeds that invariant was the first to break.\n");
    println!("| bug | first seed | caught by |\n|---|--:|---|");
    let mut are_caught = true;
    for bug in fleet::bugs::ALL.iter().filter(is_wanted) {
        let found = found_in_fleets(&filter, bug, SEEDS_OF_FLEETS);
        let mut by = BTreeMap::<Invariant, usize>::new();
        found.values().for_each(|broken| *by.entry(broken.invariant).or_default() += 1);
        are_caught &= bug.breaks.iter().any(|invariant| by.contains_key(invariant));
        let first = found.keys().next().map_or_else(|| "**none**".to_owned(), u64::to_string);
        let by: Vec<String> = by.iter().map(|(invariant, count)| format!("{invariant} ({count})")).collect();
        println!("| {}: {} | {first} | {} |", bug.name, bug.what, by.join("; "));
    }
    Ok(are_caught)
}

/// Plays these seeds of fleets with a bug; returns what broke in each seed in which something did.
pub fn found_in_fleets(filter: &Filter, bug: &FleetBug, seeds: u64) -> BTreeMap<u64, Broken> {
    survey_all(0..seeds, cores(), |seed| fleet::played(filter, seed, Some(bug)).map(|(summary, _)| summary))
}
