//! What became of accepted events: what arrived, what arrived again, and by whom.

use std::collections::{BTreeMap, BTreeSet};

use super::load::Accepted;
use crate::receiver::Record;

/// An event that a receiver took, and took again.
#[derive(Clone, Debug, PartialEq)]
pub struct Duplicate {
    /// Its id.
    pub id: String,
    /// When it arrived the time before, in seconds since the Unix epoch.
    pub first: f64,
    /// And when again.
    pub again: f64,
    /// The `User-Agent` it came with the time before, and again.
    pub agents: (String, String),
}

/// How long before a kill a delivery may not be noted in the journal yet, in seconds: it is within one, and half of another
/// is what a busy machine adds. What was delivered then may come twice.
pub const NOTED: f64 = 1.5;

impl Duplicate {
    /// Was it delivered in the last seconds before one of these moments, so that whoever took over could not know, or a
    /// second later? It is then under way when its gateway dies.
    pub fn is_explained(&self, kills: &[f64], seconds: f64) -> bool {
        kills.iter().any(|kill| (kill - seconds..=kill + 0.5).contains(&self.first) && self.again > *kill)
    }
}

/// What became of a load.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Events that were accepted.
    pub accepted: usize,
    /// Those of them that did not arrive.
    pub missing: Vec<String>,
    /// Arrivals that did not verify.
    pub unverified: Vec<String>,
    /// Arrivals of what had arrived.
    pub duplicates: Vec<Duplicate>,
    /// Events that arrived whose producer was not told that they were accepted.
    pub untold: usize,
    /// How many events each `User-Agent` delivered; a duplicate counts for both.
    pub delivered: BTreeMap<String, usize>,
}

impl Account {
    /// Makes it, for one endpoint: what was accepted, and what its receiver recorded.
    pub fn of(accepted: &[Accepted], records: &[Record]) -> Self {
        let mut arrivals: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        let mut account = Self { accepted: accepted.len(), ..Self::default() };
        for record in records {
            if let Some(problem) = &record.problem {
                account.unverified.push(format!("{}: {problem}", record.id));
            } else if record.taken {
                arrivals.entry(&record.id).or_default().push(record);
                *account.delivered.entry(record.agent.clone()).or_default() += 1;
            }
        }
        let told: BTreeSet<&str> = accepted.iter().map(|event| event.id.as_str()).collect();
        account.missing = told.iter().filter(|id| !arrivals.contains_key(**id)).map(|id| (*id).to_owned()).collect();
        account.untold = arrivals.keys().filter(|id| !told.contains(*id)).count();
        for (id, records) in &arrivals {
            for (first, again) in records.iter().zip(records.iter().skip(1)) {
                let agents = (first.agent.clone(), again.agent.clone());
                let id = (*id).to_owned();
                account.duplicates.push(Duplicate { id, first: first.wall, again: again.wall, agents });
            }
        }
        account
    }

    /// The duplicates that no kill explains, of which each may repeat what was delivered so many seconds before it.
    pub fn unexplained(&self, kills: &[f64], seconds: f64) -> Vec<&Duplicate> {
        self.duplicates.iter().filter(|duplicate| !duplicate.is_explained(kills, seconds)).collect()
    }
}

/// How long after a kill the deliveries went on that the killed gateway had accepted and not made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Takeover {
    /// How many there were.
    pub deliveries: usize,
    /// Seconds until the first of them was attempted.
    pub first: f64,
    /// Seconds until each had been.
    pub last: f64,
}

impl Takeover {
    /// Finds it, for one endpoint; `None` when the gateway had made all its deliveries. `killed` is in seconds since the
    /// Unix epoch.
    pub fn of(accepted: &[Accepted], records: &[Record], gateway: usize, killed: f64) -> Option<Self> {
        let of_killed = accepted.iter().filter(|event| event.gateway == gateway && event.answered <= killed);
        let mut next: BTreeMap<&str, Option<f64>> = of_killed.map(|event| (event.id.as_str(), None)).collect();
        for record in records {
            if record.wall <= killed + LAST_ATTEMPT {
                if record.taken {
                    next.remove(record.id.as_str());
                }
            } else if let Some(at @ None) = next.get_mut(record.id.as_str()) {
                *at = Some(record.wall - killed);
            }
        }
        let seconds = next.values().flatten().copied();
        let first = seconds.clone().reduce(f64::min)?;
        Some(Self { deliveries: next.len(), first, last: seconds.fold(first, f64::max) })
    }
}

/// An attempt that left just before a kill arrives this many seconds after it at most.
const LAST_ATTEMPT: f64 = 0.2;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(id: &str, wall: f64, agent: &str, taken: bool) -> Record {
        let record = json!({"wall": wall, "signed": wall, "id": id, "problem": null, "taken": taken, "attempt": 1, "agent": agent});
        serde_json::from_value(record).unwrap()
    }

    fn accepted(id: &str) -> Accepted {
        Accepted { id: id.to_owned(), gateway: 0, sent: 0.0, answered: 0.0, is_journalled: true }
    }

    /// A refused attempt is no arrival; what nobody was told of is counted apart.
    #[test]
    fn account_finds_the_missing_and_the_repeated() {
        let records = [
            record("a", 1.0, "one", true),
            record("a", 7.0, "two", true),
            record("b", 2.0, "one", false),
            record("c", 3.0, "two", true),
        ];
        let account = Account::of(&["a", "b"].map(accepted), &records);
        assert_eq!((account.accepted, account.missing, account.untold), (2, vec!["b".to_owned()], 1));
        assert_eq!(account.delivered, BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]));
        let agents = ("one".to_owned(), "two".to_owned());
        assert_eq!(account.duplicates, [Duplicate { id: "a".to_owned(), first: 1.0, again: 7.0, agents }]);
    }

    /// Of what a killed gateway had accepted, only what had not arrived is taken over; a refused attempt counts.
    #[test]
    fn takeover_is_of_what_had_not_arrived() {
        let records = [
            record("a", 0.5, "one", true),
            record("b", 0.5, "one", false),
            record("c", 1.1, "one", true),
            record("b", 6.0, "two", false),
            record("d", 6.5, "two", true),
            record("b", 7.0, "two", true),
        ];
        let accepted = ["a", "b", "c", "d"].map(accepted);
        let found = Takeover::of(&accepted, &records, 0, 1.0);
        assert_eq!(found, Some(Takeover { deliveries: 2, first: 5.0, last: 5.5 }));
        assert_eq!(Takeover::of(&accepted, &records, 1, 1.0), None);
        assert_eq!(Takeover::of(&accepted, &records, 0, 7.0), None);
    }

    /// Only a kill within the last second before it, and before it came again, explains a duplicate.
    #[test]
    fn duplicate_is_explained_by_a_kill_just_after_it() {
        let account = Account::of(&[], &[record("a", 1.0, "one", true), record("a", 7.0, "two", true)]);
        assert_eq!(account.unexplained(&[1.9], 1.0).len(), 0);
        for kills in [&[2.1][..], &[0.4], &[], &[8.0]] {
            assert_eq!(account.unexplained(kills, 1.0).len(), 1, "{kills:?}");
        }
    }
}
