//! How often a filter and its host called each other.
//!
//! Each crossing costs Envoy 0.1 to 1 µs, which is most of what a filter costs it; and unlike time they can be counted
//! exactly.

use std::collections::BTreeMap;
use std::fmt;

/// The calls between a process and all its VMs, counted since the process began.
///
/// [`since`](Self::since) gives what was added after an earlier count; `Display` lists it, a call a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crossings {
    host_calls: BTreeMap<&'static str, u64>,
    callbacks: BTreeMap<&'static str, u64>,
    allocations: u64,
}

impl Crossings {
    /// Calls of the filter to its host, WASI included.
    pub fn host_calls(&self) -> u64 {
        self.host_calls.values().sum()
    }

    /// Callbacks of the host into the filter.
    pub fn callbacks(&self) -> u64 {
        self.callbacks.values().sum()
    }

    /// Memory that the host asked the filter for, to put the result of a host call there.
    pub fn allocations(&self) -> u64 {
        self.allocations
    }

    /// How often a host call was made, or a callback, by its name in the ABI.
    pub fn of(&self, name: &str) -> u64 {
        [&self.host_calls, &self.callbacks].into_iter().filter_map(|counts| counts.get(name)).sum()
    }

    /// What has been added to `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            host_calls: added(&self.host_calls, &earlier.host_calls),
            callbacks: added(&self.callbacks, &earlier.callbacks),
            allocations: self.allocations - earlier.allocations,
        }
    }

    pub(crate) fn host_call(&mut self, name: &'static str) {
        *self.host_calls.entry(name).or_default() += 1;
    }

    pub(crate) fn callback(&mut self, name: &'static str) {
        *self.callbacks.entry(name).or_default() += 1;
    }

    pub(crate) fn allocation(&mut self) {
        self.allocations += 1;
    }
}

fn added(now: &BTreeMap<&'static str, u64>, before: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
    let added = now.iter().map(|(name, count)| (*name, count - before.get(name).copied().unwrap_or_default()));
    added.filter(|(_, count)| *count > 0).collect()
}

impl fmt::Display for Crossings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host_calls, callbacks) = (self.host_calls(), self.callbacks());
        writeln!(f, "{host_calls} host calls, {callbacks} callbacks, {} allocations", self.allocations)?;
        for (name, count) in self.callbacks.iter().chain(&self.host_calls) {
            writeln!(f, "{count:>6} {name}")?;
        }
        Ok(())
    }
}
