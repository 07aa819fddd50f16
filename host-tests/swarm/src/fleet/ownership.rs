//! Who owns which writer's segments, at any time, as etcd's keys say it: a gateway owns those of its own writers while
//! their leases last, and those of the dead writers that they have claimed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::plan::PREFIX;

/// A key of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalKey {
    /// `w/`: a writer is alive.
    Alive(String),
    /// `r/`: a writer is registered.
    Registered(String),
    /// `t/`: a dead writer is claimed.
    Claimed(String),
    /// `j/`: a segment.
    Segment(SegmentName),
    /// `p/`: the progress of a segment.
    Progress(SegmentName),
    /// `c/`, `l`, `l/`, `a/`, `k/`: documents of the fleet, dead letters and who redelivers them, idempotency keys.
    Shared,
}

/// The name of a segment: its writer, and its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    /// The writer.
    pub writer: String,
    /// The number, as it stands in the key.
    pub number: String,
}

impl JournalKey {
    /// Reads a key; `None`: the journal has no such keys.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?.strip_prefix('/')?;
        if rest == "l" {
            return Some(Self::Shared);
        }
        let (table, name) = rest.split_once('/')?;
        let segment = || {
            let (writer, number) = name.split_once('/')?;
            Some(SegmentName { writer: writer.to_owned(), number: number.to_owned() })
        };
        Some(match table {
            "w" => Self::Alive(name.to_owned()),
            "r" => Self::Registered(name.to_owned()),
            "t" => Self::Claimed(name.to_owned()),
            "j" => Self::Segment(segment()?),
            "p" => Self::Progress(segment()?),
            "a" | "c" | "l" | "k" => Self::Shared,
            _ => return None,
        })
    }
}

/// A time in which a gateway owned something.
#[derive(Clone, Debug)]
struct Tenure {
    process: String,
    from: Duration,
    until: Option<Duration>,
}

/// Who owns which writer's segments.
#[derive(Debug, Default)]
pub struct Ownership {
    tenures: BTreeMap<String, Vec<Tenure>>,
    /// The process of each writer.
    processes: BTreeMap<String, String>,
}

impl Ownership {
    /// A writer's key appears, by a call of this process.
    pub fn opened(&mut self, writer: &str, process: &str, at: Duration) {
        self.processes.insert(writer.to_owned(), process.to_owned());
        self.begin(writer, process, at);
    }

    /// A claim appears, whose value names the writer that claims.
    pub fn claimed(&mut self, dead: &str, claimer: &str, at: Duration) {
        let process = self.processes.get(claimer).cloned().unwrap_or_default();
        self.begin(dead, &process, at);
    }

    /// The key of a writer, or of a claim, is gone.
    pub fn ended(&mut self, writer: &str, at: Duration) {
        for tenure in self.tenures.get_mut(writer).into_iter().flatten() {
            tenure.until.get_or_insert(at);
        }
    }

    fn begin(&mut self, writer: &str, process: &str, from: Duration) {
        let tenure = Tenure { process: process.to_owned(), from, until: None };
        self.tenures.entry(writer.to_owned()).or_default().push(tenure);
    }

    /// Does this process own the writer's segments now?
    pub fn owns(&self, process: &str, writer: &str) -> bool {
        self.tenures.get(writer).into_iter().flatten().any(|one| one.process == process && one.until.is_none())
    }

    /// Did this process own the writer's segments at this time, or until at most `slack` before?
    pub fn owned(&self, process: &str, writer: &str, at: Duration, slack: Duration) -> bool {
        let mut tenures = self.tenures.get(writer).into_iter().flatten().filter(|one| one.process == process);
        tenures.any(|one| one.from <= at + slack && one.until.is_none_or(|until| at <= until + slack))
    }

    /// What is known of a writer's owners, for a message.
    pub fn told(&self, writer: &str) -> String {
        format!("{:?}", self.tenures.get(writer).map(Vec::as_slice).unwrap_or_default())
    }
}
