//! What the workers of a gateway know of the journal and of the fleet, for the metrics and for operators.
//!
//! `<name>/fleet` is one record: once a second each worker that delivers adds how the journal serves it, and what it has
//! found out about the fleet if that is newer than what stands there. It is written only where the config has a journal,
//! and says nothing any more once no worker has written for as long as a lease lasts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::JournalState;
use crate::journal::operation::Survey;
use crate::journal::record::Member;
use crate::ledger::LEASE;
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, read, update};
use crate::time::{Instant, WallTime};

/// What the workers of a gateway know of the journal and of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetRecord {
    /// How the journal serves each worker.
    workers: Vec<JournalHealth>,
    /// How the journal serves the gateway, as it was told last.
    told: JournalState,
    /// The most bytes that the fleet may keep in the store.
    pub limit: u64,
    /// What was found out last about the fleet.
    pub fleet: FleetView,
}

/// How the journal serves one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHealth {
    /// The number that names the worker.
    pub worker: u64,
    /// When this was written.
    pub at: Instant,
    /// How the journal serves the worker.
    pub state: JournalState,
    /// What went wrong last, and when; without addresses.
    pub last_error: Option<(WallTime, String)>,
}

/// What a worker has found out about the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetView {
    /// When the store was asked; `None`: it has not answered yet.
    pub at: Option<Instant>,
    /// The gateways that are alive.
    pub gateways: Vec<FleetGateway>,
    /// Writers that are dead, and of which something may be left.
    pub dead: u32,
}

/// A gateway of the fleet: its workers added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetGateway {
    /// What its workers say of themselves, added up. The version and the digest are those of the youngest lease.
    pub sum: Member,
    /// The number of its workers that hold a lease.
    pub workers: u32,
}

impl Stored for FleetRecord {
    const NAME: &'static str = "fleet";
}

impl Record for FleetRecord {
    const VERSION: u8 = 1;
}

impl FleetView {
    /// What a survey says that was answered at `at`. A writer that has not said yet which gateway it is of is left out.
    pub fn of(survey: &Survey, at: Instant) -> Self {
        let mut gateways = Vec::<FleetGateway>::new();
        for mut member in survey.alive.iter().filter_map(|(_, member)| Member::decode(member)) {
            // What the guards judge stands elsewhere.
            member.guard.clear();
            match gateways.iter_mut().find(|gateway| gateway.sum.instance == member.instance) {
                _ if member.instance.is_empty() => {}
                Some(gateway) => gateway.add(member),
                None => gateways.push(FleetGateway { sum: member, workers: 1 }),
            }
        }
        gateways.sort_by(|one, other| {
            (one.sum.started_at, &one.sum.instance).cmp(&(other.sum.started_at, &other.sum.instance))
        });
        let is_alive = |writer| survey.alive.iter().any(|(alive, _)| alive == writer);
        let dead = survey.registered.iter().filter(|writer| !is_alive(*writer)).count();
        Self { at: Some(at), gateways, dead: u32::try_from(dead).unwrap_or(u32::MAX) }
    }

    /// Segments that the fleet keeps, as far as the living gateways say.
    pub fn segments(&self) -> u64 {
        self.gateways.iter().map(|gateway| gateway.sum.segments).sum()
    }

    /// The size of these segments, in bytes.
    pub fn bytes(&self) -> u64 {
        self.gateways.iter().map(|gateway| gateway.sum.bytes).sum()
    }

    /// When the oldest event in them was accepted.
    pub fn oldest(&self) -> Option<WallTime> {
        self.gateways.iter().filter_map(|gateway| gateway.sum.oldest()).min()
    }
}

impl FleetGateway {
    fn add(&mut self, other: Member) {
        let sum = &mut self.sum;
        self.workers += 1;
        sum.pending += other.pending;
        sum.segments += other.segments;
        sum.bytes += other.bytes;
        sum.takeovers += other.takeovers;
        sum.oldest = match (sum.oldest, other.oldest) {
            (0, oldest) | (oldest, 0) => oldest,
            (one, other) => one.min(other),
        };
        if other.lease_since > sum.lease_since {
            (sum.lease_since, sum.version, sum.config) = (other.lease_since, other.version, other.config);
        }
    }

    /// How long all of its workers have held their leases.
    pub fn lease_age(&self, now: WallTime) -> Duration {
        now.since(WallTime::from_millis(self.sum.lease_since))
    }
}

impl FleetRecord {
    /// Reads the record; `None`: no worker has written it for a while, as none has a journal.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &mut dyn SharedStore, keys: &Keys, now: Instant) -> Result<Option<Self>, StoreError> {
        let record = read::<Self>(store, &keys.single())?;
        Ok(record.map(|record| record.without_gone(now)).filter(|record| !record.workers.is_empty()))
    }

    /// Adds what a worker says. Returns the record, and whether the journal serves the gateway otherwise than before: of
    /// all workers one is told.
    ///
    /// # Errors
    /// The store's.
    pub fn say(
        store: &mut dyn SharedStore,
        keys: &Keys,
        health: &JournalHealth,
        limit: u64,
        fleet: &FleetView,
    ) -> Result<(Self, bool), StoreError> {
        update(store, &keys.single(), |record: &mut Self| {
            let mut new = std::mem::take(record).without_gone(health.at);
            new.workers.retain(|other| other.worker != health.worker);
            new.workers.push(health.clone());
            new.limit = limit;
            if fleet.at > new.fleet.at {
                new.fleet = fleet.clone();
            }
            let is_news = new.told != new.state();
            new.told = new.state();
            *record = new;
            (Write::Yes, (record.clone(), is_news))
        })
    }

    /// How the journal serves the gateway: as the worker that it serves worst.
    pub fn state(&self) -> JournalState {
        self.workers.iter().map(|worker| worker.state).max().unwrap_or_default()
    }

    /// What went wrong last, and when.
    pub fn last_error(&self) -> Option<&(WallTime, String)> {
        self.workers.iter().filter_map(|worker| worker.last_error.as_ref()).max()
    }

    fn without_gone(mut self, now: Instant) -> Self {
        self.workers.retain(|worker| now.since(worker.at) < LEASE);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::operation::WriterId;
    use crate::store::memory::MemoryStore;
    use crate::store::recorded::assert_recorded;

    fn at(seconds: u64) -> Instant {
        Instant::default().plus(Duration::from_secs(seconds))
    }

    fn member(instance: &str, pending: u64, oldest: u64, lease_since: u64) -> Member {
        Member {
            instance: instance.to_owned(),
            started_at: 1_700_000_000_000,
            version: format!("1.{lease_since}"),
            config: format!("digest {lease_since}"),
            pending,
            segments: 2,
            bytes: 100,
            oldest,
            takeovers: 1,
            lease_since,
            ..Member::default()
        }
    }

    fn survey(members: &[Member]) -> Survey {
        let alive: Vec<_> =
            (0..).zip(members).map(|(number, member)| (WriterId([number; 16]), member.encode())).collect();
        let registered = (0..=members.len()).map(|number| WriterId([number as u8; 16])).collect();
        Survey { alive, registered, claimed: Vec::new() }
    }

    fn health(worker: u64, seconds: u64, state: JournalState) -> JournalHealth {
        let last_error =
            (state != JournalState::Ok).then(|| (WallTime::from_millis(seconds * 1000), format!("error of {worker}")));
        JournalHealth { worker, at: at(seconds), state, last_error }
    }

    /// The workers of a gateway are one row, and one that has not said yet whose it is is none.
    #[test]
    fn members_of_one_gateway_are_added_up() {
        let members = [member("b", 1, 0, 7), member("a", 2, 900, 5), member("b", 3, 800, 9), member("", 100, 1, 1)];
        let fleet = FleetView::of(&survey(&members), at(3));
        assert_eq!((fleet.at, fleet.dead), (Some(at(3)), 1));
        let both = Member { segments: 4, bytes: 200, takeovers: 2, ..member("b", 4, 800, 9) };
        let rows = [FleetGateway { sum: member("a", 2, 900, 5), workers: 1 }, FleetGateway { sum: both, workers: 2 }];
        assert_eq!(fleet.gateways, rows);
        assert_eq!((fleet.segments(), fleet.bytes()), (6, 300));
        assert_eq!(fleet.oldest(), Some(WallTime::from_millis(800)));
        assert_eq!(fleet.gateways[1].lease_age(WallTime::from_millis(1009)), Duration::from_secs(1));
    }

    /// The journal is as well as for the worker that it serves worst, and one worker is told of each transition.
    #[test]
    fn state_is_the_worst_and_told_to_one_worker() {
        let (mut store, keys) = (MemoryStore::default(), Keys::new("g"));
        let mut say = |worker, seconds, state| {
            let health = health(worker, seconds, state);
            let (record, is_news) = FleetRecord::say(&mut store, &keys, &health, 1000, &FleetView::default()).unwrap();
            (record.state(), is_news)
        };
        assert_eq!(say(1, 0, JournalState::Ok), (JournalState::Ok, false));
        assert_eq!(say(2, 0, JournalState::Unavailable), (JournalState::Unavailable, true));
        assert_eq!(say(1, 1, JournalState::Unavailable), (JournalState::Unavailable, false));
        assert_eq!(say(2, 1, JournalState::Ok), (JournalState::Unavailable, false));
        assert_eq!(say(1, 2, JournalState::Full), (JournalState::Full, true));
        // The worker that had trouble is gone.
        assert_eq!(say(2, 11, JournalState::Ok), (JournalState::Full, false));
        assert_eq!(say(2, 12, JournalState::Ok), (JournalState::Ok, true));
    }

    /// What was found out later stands, whichever worker writes last; an error stays until another one comes.
    #[test]
    fn record_keeps_newest_view_and_last_error() {
        let (mut store, keys) = (MemoryStore::default(), Keys::new("g"));
        let [newer, older] = [4, 3].map(|seconds| FleetView::of(&survey(&[member("a", seconds, 0, 1)]), at(seconds)));
        FleetRecord::say(&mut store, &keys, &health(1, 5, JournalState::Unavailable), 1000, &newer).unwrap();
        FleetRecord::say(&mut store, &keys, &health(2, 6, JournalState::Full), 1000, &older).unwrap();
        let record = FleetRecord::read(&mut store, &keys, at(7)).unwrap().unwrap();
        assert_eq!((&record.fleet, record.limit), (&newer, 1000));
        assert_eq!(record.last_error(), Some(&(WallTime::from_millis(6000), "error of 2".to_owned())));
    }

    #[test]
    fn a_record_that_nobody_writes_any_more_is_none() {
        let (mut store, keys) = (MemoryStore::default(), Keys::new("g"));
        FleetRecord::say(&mut store, &keys, &health(1, 5, JournalState::Ok), 1000, &FleetView::default()).unwrap();
        assert!(FleetRecord::read(&mut store, &keys, at(14)).unwrap().is_some());
        assert_eq!(FleetRecord::read(&mut store, &keys, at(15)), Ok(None));
    }

    #[test]
    fn record_is_read_and_written_as_recorded() {
        assert_recorded("fleet none", &FleetRecord::default());
        let record = FleetRecord {
            workers: vec![health(1 << 63, 5, JournalState::Full), health(2, 1, JournalState::Ok)],
            told: JournalState::Unavailable,
            limit: 1 << 30,
            fleet: FleetView::of(&survey(&[member("d69c57c0", 300, 1_700_000_000_000, 1_700_000_000_123)]), at(7)),
        };
        assert_recorded("fleet", &record);
    }
}
