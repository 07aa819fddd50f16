//! The contract of a store that can hold the journal, as tests that every one must pass: what
//! [`operation`](super::operation) says of each operation, seen from outside.
//!
//! A store is a [`Journal`](super::operation::Journal), which says what to call, and somebody who answers the calls: an
//! engine of such a store implements [`TestedStore`], and its tests assert that no rule is [`broken`].

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use bench::TestedStore;

mod appending;
mod bench;
mod letters;
mod messages;
mod sharing;
mod taking;

/// A rule: it panics where the store breaks it.
type Rule = fn(&mut dyn TestedStore);

/// The rules that a store breaks, by their names. `empty` makes an empty store, on which one rule is played. What was
/// found instead is written to stderr.
pub fn broken(empty: &mut dyn FnMut() -> Box<dyn TestedStore>) -> Vec<&'static str> {
    let rules =
        [appending::RULES, taking::RULES, sharing::RULES, messages::RULES, letters::RULES].into_iter().flatten();
    let is_broken = |(name, rule): &(&'static str, Rule)| {
        let mut store = empty();
        let is_broken = catch_unwind(AssertUnwindSafe(|| rule(store.as_mut()))).is_err();
        is_broken.then_some(*name)
    };
    rules.filter_map(is_broken).collect()
}
