//! Tenures: which process had what, at any time.

use std::collections::BTreeMap;
use std::time::Duration;

/// A time in which a process had something.
#[derive(Clone, Debug)]
struct Tenure {
    process: String,
    from: Duration,
    until: Option<Duration>,
}

/// The tenures of things, by their names.
#[derive(Debug, Default)]
pub struct Tenures(BTreeMap<String, Vec<Tenure>>);

impl Tenures {
    /// A process has it from now on.
    pub fn begin(&mut self, name: &str, process: &str, from: Duration) {
        let tenure = Tenure { process: process.to_owned(), from, until: None };
        self.0.entry(name.to_owned()).or_default().push(tenure);
    }

    /// Nobody has it any more.
    pub fn end(&mut self, name: &str, at: Duration) {
        for tenure in self.0.get_mut(name).into_iter().flatten() {
            tenure.until.get_or_insert(at);
        }
    }

    /// Does this process have it now?
    pub fn has(&self, process: &str, name: &str) -> bool {
        self.of(process, name).any(|one| one.until.is_none())
    }

    /// Does anybody have it now?
    pub fn is_held(&self, name: &str) -> bool {
        self.0.get(name).into_iter().flatten().any(|one| one.until.is_none())
    }

    /// Did this process have it at this time, or until at most `slack` before?
    pub fn had(&self, process: &str, name: &str, at: Duration, slack: Duration) -> bool {
        let mut tenures = self.of(process, name);
        tenures.any(|one| one.from <= at + slack && one.until.is_none_or(|until| at <= until + slack))
    }

    /// What is known of who had it, for a message.
    pub fn told(&self, name: &str) -> String {
        format!("{:?}", self.0.get(name).map(Vec::as_slice).unwrap_or_default())
    }

    fn of(&self, process: &str, name: &str) -> impl Iterator<Item = &Tenure> {
        self.0.get(name).into_iter().flatten().filter(move |one| one.process == process)
    }
}
