//! Who owns which writer's segments, at any time, as etcd's keys say it: a gateway owns those of its own writers while
//! their leases last, and those of the dead writers that they have claimed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::plan::PREFIX;
use super::tenures::Tenures;

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
    /// `l/`: a dead letter.
    Letter(String),
    /// `c/`: a document of the fleet.
    Document(String),
    /// `i/`: an inbound message.
    Message(String),
    /// `k/`: an idempotency key.
    Key(String),
    /// `l`, `a/`: when a letter changed last, and who redelivers which.
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
            "l" => Self::Letter(name.to_owned()),
            "c" => Self::Document(name.to_owned()),
            "i" => Self::Message(name.to_owned()),
            "k" => Self::Key(name.to_owned()),
            "a" => Self::Shared,
            _ => return None,
        })
    }
}

/// Who owns which writer's segments.
#[derive(Debug, Default)]
pub struct Ownership {
    tenures: Tenures,
    /// The writers that are alive.
    alive: BTreeSet<String>,
    /// The process of each writer.
    processes: BTreeMap<String, String>,
}

impl Ownership {
    /// A writer's key appears, by a call of this process.
    pub fn opened(&mut self, writer: &str, process: &str, at: Duration) {
        self.processes.insert(writer.to_owned(), process.to_owned());
        self.alive.insert(writer.to_owned());
        self.tenures.begin(writer, process, at);
    }

    /// A writer's key is gone.
    pub fn died(&mut self, writer: &str, at: Duration) {
        self.alive.remove(writer);
        self.ended(writer, at);
    }

    /// A claim appears, whose value names the writer that claims.
    pub fn claimed(&mut self, dead: &str, claimer: &str, at: Duration) {
        let process = self.process(claimer).to_owned();
        self.tenures.begin(dead, &process, at);
    }

    /// A claim is gone.
    pub fn ended(&mut self, writer: &str, at: Duration) {
        self.tenures.end(writer, at);
    }

    /// The process of a writer; empty where none is known.
    pub fn process(&self, writer: &str) -> &str {
        self.processes.get(writer).map_or("", String::as_str)
    }

    /// Is this writer alive now?
    pub fn is_alive(&self, writer: &str) -> bool {
        self.alive.contains(writer)
    }

    /// Does this process own the writer's segments now?
    pub fn owns(&self, process: &str, writer: &str) -> bool {
        self.tenures.has(process, writer)
    }

    /// Did this process own the writer's segments at this time, or until at most `slack` before?
    pub fn owned(&self, process: &str, writer: &str, at: Duration, slack: Duration) -> bool {
        self.tenures.had(process, writer, at, slack)
    }

    /// What is known of a writer's owners, for a message.
    pub fn told(&self, writer: &str) -> String {
        self.tenures.told(writer)
    }
}
