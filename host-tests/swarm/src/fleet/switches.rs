//! The switches of operators, as etcd's documents say them, and the orders that are to come to stand there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};

/// The time after which what stands in etcd is in force at every worker of every gateway: a gateway reads it, and its
/// workers read their copy again.
pub const IN_FORCE: Duration = Duration::from_millis(1_250);

/// The time after which an order stands in etcd.
const STORED: Duration = Duration::from_secs(1);

/// What all is where no operator has ordered anything.
pub const ON: &str = "enabled";

/// A switch: the state of the filter, or whether an endpoint is disabled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// The word is `enabled`, `paused` or `disabled`.
    State,
    /// The word is `enabled` or `disabled`.
    Endpoint(String),
}

/// An order that does not stand in etcd yet.
#[derive(Debug)]
struct Order {
    process: String,
    at: Duration,
    switch: Switch,
    word: String,
}

/// The switches of a run.
#[derive(Debug, Default)]
pub struct Switches {
    /// The words that have stood in etcd, each with its time.
    words: BTreeMap<Switch, Vec<(Duration, String)>>,
    orders: Vec<Order>,
    /// When a process was ordered last to switch something on: it does so before etcd knows.
    on: BTreeMap<(String, Switch), Duration>,
}

impl Switches {
    /// A document is written.
    pub fn written(&mut self, name: &str, bytes: &[u8], at: Duration) -> Result<(), Broken> {
        let Some((switch, word)) = read(name, bytes) else {
            let text = String::from_utf8_lossy(bytes);
            return if name.starts_with("rollout/") {
                Ok(())
            } else {
                broken(Invariant::Harness, format!("{name}: {text}"))
            };
        };
        self.orders.retain(|order| order.switch != switch || order.word != word);
        self.words.entry(switch).or_default().push((at, word));
        Ok(())
    }

    /// A gateway has answered an order; `is_stored`: it is to stand in etcd in time. One that meets another order, or a
    /// change that this gateway may not know of, may come to nothing.
    pub fn ordered(&mut self, process: &str, switch: Switch, word: &str, at: Duration, is_stored: bool) {
        if word == ON {
            self.on.insert((process.to_owned(), switch.clone()), at);
        }
        let meets = self.orders.iter().any(|order| order.switch == switch && order.process != process);
        self.orders.retain(|order| order.switch != switch);
        if is_stored && !meets && !self.has_changed(&switch, at.saturating_sub(IN_FORCE)) && self.word(&switch) != word
        {
            self.orders.push(Order { process: process.to_owned(), at, switch, word: word.to_owned() });
        }
    }

    /// A process has ended, or one of its VMs: what it was to write it does not.
    pub fn lost(&mut self, process: &str) {
        self.orders.retain(|order| order.process != process);
    }

    /// Checks that each order stands in etcd in time.
    pub fn are_stored(&self, now: Duration) -> Result<(), Broken> {
        match self.orders.iter().find(|order| now > order.at + STORED) {
            Some(order) => broken(Invariant::OrderStands, format!("{order:?} at {now:?}")),
            None => Ok(()),
        }
    }

    /// The word that stands in etcd.
    pub fn word(&self, switch: &Switch) -> &str {
        self.words.get(switch).and_then(|words| words.last()).map_or(ON, |(_, word)| word)
    }

    /// Whether this word, or another one than it, has stood in etcd all the time since then.
    pub fn was_always(&self, switch: &Switch, since: Duration, is: impl Fn(&str) -> bool) -> bool {
        let words = self.words.get(switch).map(Vec::as_slice).unwrap_or_default();
        let first = words.iter().rposition(|(at, _)| *at <= since);
        let before = first.is_none().then_some(ON);
        let stood = words.iter().skip(first.unwrap_or_default()).map(|(_, word)| word.as_str());
        before.into_iter().chain(stood).all(is)
    }

    /// Whether this process has just been ordered to switch something on.
    pub fn is_switching_on(&self, process: &str, switch: &Switch, at: Duration) -> bool {
        self.on.get(&(process.to_owned(), switch.clone())).is_some_and(|on| at <= *on + STORED)
    }

    fn has_changed(&self, switch: &Switch, since: Duration) -> bool {
        self.words.get(switch).and_then(|words| words.last()).is_some_and(|(at, _)| *at >= since)
    }
}

/// Reads a document.
fn read(name: &str, bytes: &[u8]) -> Option<(Switch, String)> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    match name.split_once('/') {
        None if name == "state" => {
            let state = document.get("state").map_or(Some(ON), |over| over.get("state")?.as_str())?;
            Some((Switch::State, state.to_lowercase()))
        }
        Some(("endpoint", name)) => {
            let is_disabled = document.get("disabled").is_some_and(|over| over.get(0) == Some(&Value::Bool(true)));
            Some((Switch::Endpoint(name.to_owned()), if is_disabled { "disabled" } else { ON }.to_owned()))
        }
        _ => None,
    }
}
