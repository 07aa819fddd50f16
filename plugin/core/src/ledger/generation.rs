//! Generations: which configuration delivers, while old and new ones live side by side.
//!
//! After a config change Envoy makes new root contexts and drains the old ones: for minutes both run, and the old ones
//! still get requests on connections that were kept alive. Only the newest generation starts attempts; the others
//! accept, hand over what they accepted, and end the calls they have under way.
//!
//! All roots of one configuration and one version of the filter are one generation: they have one fingerprint. One
//! record in shared data, `<name>/generation`, says which generation is the newest. A root makes its own generation the
//! newest
//! - at its first tick, if it has served no request before: it was just configured. (A VM that was rebuilt after a trap
//!   serves a request first, and may belong to an old configuration.)
//! - when it serves a connection that was opened after every connection seen before: connection ids grow over the whole
//!   process, and new connections come to the newest listener. This is how a configuration comes back (A, B, then A
//!   again): Envoy revives its roots without telling them.
//! - when the newest generation has shown no sign of life for [`LEASE`], and shows none in the second after a root has
//!   seen that: after the whole process stood still, all generations look dead for a moment.
//!
//! Two filters of one name with different configurations, both in use, would take turns for ever: a name is for one
//! configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::{HEARTBEAT, LEASE};
use crate::store::keys::{Keys, StoreKey, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, update};
use crate::time::Instant;

/// The time that the newest generation has to show a sign of life, after a root has found its heartbeat lapsed.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The record of the newest generation, in shared data.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Newest {
    fingerprint: u64,
    /// One more than the highest id of a connection that any generation has served.
    connection: u64,
    heartbeat: Instant,
}

impl Stored for Newest {
    const NAME: &'static str = "generation";
}

impl Record for Newest {
    const VERSION: u8 = 1;
}

/// The fingerprint of the newest generation, from the record's bytes.
///
/// # Errors
/// [`StoreError::UnknownFormat`].
pub fn newest(record: &[u8]) -> Result<u64, StoreError> {
    Newest::decode(record).map(|(newest, _)| newest.fingerprint)
}

/// The generation state of a root: its own fingerprint, and whether its generation is the newest.
#[derive(Debug)]
pub struct Generation {
    key: StoreKey<Newest>,
    fingerprint: u64,
    /// The root has served no request and has not asked yet which generation is the newest.
    is_fresh: bool,
    is_newest: Option<bool>,
    /// One more than the highest id of a connection that this root served while its generation was the newest.
    connection: u64,
    /// A heartbeat of the newest generation that was found lapsed, and when that was found.
    lapsed: Option<(Instant, Instant)>,
}

impl Generation {
    /// The generation state of a root whose configuration has this fingerprint.
    pub fn new(keys: &Keys, fingerprint: u64) -> Self {
        Self { key: keys.single(), fingerprint, is_fresh: true, is_newest: None, connection: 0, lapsed: None }
    }

    /// Whether the root knows by now if its generation is the newest.
    pub fn is_known(&self) -> bool {
        self.is_newest.is_some()
    }

    /// Whether the root's generation is the newest; false until [`check`](Self::check) or [`serve`](Self::serve) has
    /// found out.
    pub fn is_newest(&self) -> bool {
        self.is_newest == Some(true)
    }

    /// Whether this connection is newer than all that this root served while its generation was the newest. An older
    /// connection changes nothing.
    pub fn is_new(&self, connection: u64) -> bool {
        self.is_fresh || connection >= self.connection
    }

    /// Notes a request on the connection of this id, which makes this generation the newest if the connection is newer
    /// than all that any generation has served.
    ///
    /// # Errors
    /// The store's; what was known stays.
    pub fn serve(&mut self, store: &mut dyn SharedStore, now: Instant, connection: u64) -> Result<(), StoreError> {
        self.is_fresh = false;
        if !self.is_new(connection) {
            return Ok(());
        }
        let connection = connection.saturating_add(1);
        self.claim(store, now, connection, &mut |newest| connection > newest.connection)
    }

    /// Finds out whether this generation is the newest; returns the answer when it has changed, else `None`.
    ///
    /// # Errors
    /// The store's; what was known stays.
    pub fn check(&mut self, store: &mut dyn SharedStore, now: Instant) -> Result<Option<bool>, StoreError> {
        let (was, is_fresh) = (self.is_newest, std::mem::take(&mut self.is_fresh));
        let connection = self.connection;
        let (before, mut lapsed) = (self.lapsed, None);
        let mut may = |newest: &Newest| {
            if now.since(newest.heartbeat) < LEASE {
                return is_fresh;
            }
            let seen = before.filter(|(heartbeat, _)| *heartbeat == newest.heartbeat).map_or(now, |(_, seen)| seen);
            lapsed = Some((newest.heartbeat, seen));
            is_fresh || now.since(seen) >= SECOND_LOOK
        };
        let claimed = self.claim(store, now, connection, &mut may);
        self.lapsed = lapsed;
        if claimed.is_err() {
            // A root that does not know does not deliver.
            self.is_newest.get_or_insert(false);
        }
        claimed?;
        Ok(self.is_newest.filter(|is_newest| was == Some(!is_newest)))
    }

    /// Makes this generation the newest if `may` allows it, given the record of the newest so far; writes a heartbeat
    /// if this generation is the newest.
    fn claim(
        &mut self,
        store: &mut dyn SharedStore,
        now: Instant,
        connection: u64,
        may: &mut dyn FnMut(&Newest) -> bool,
    ) -> Result<(), StoreError> {
        let own = self.fingerprint;
        let is_newest = update(store, &self.key, |newest: &mut Newest| {
            let is_own = newest.fingerprint == own;
            if is_own && now.since(newest.heartbeat) < HEARTBEAT && connection <= newest.connection {
                return (Write::No, true);
            }
            if !is_own && newest.heartbeat > Instant::default() && !may(newest) {
                return (Write::No, false);
            }
            newest.fingerprint = own;
            newest.heartbeat = now;
            newest.connection = newest.connection.max(connection);
            (Write::Yes, true)
        })?;
        if is_newest {
            self.connection = self.connection.max(connection);
        }
        self.is_newest = Some(is_newest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::recorded::assert_recorded;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos((1_000 + millis) * 1_000_000)
    }

    fn tick(root: &mut Generation, store: &mut MemoryStore, millis: u64) -> bool {
        root.check(store, at(millis)).unwrap();
        root.is_newest()
    }

    fn serve(root: &mut Generation, store: &mut MemoryStore, millis: u64, connection: u64) -> bool {
        root.serve(store, at(millis), connection).unwrap();
        tick(root, store, millis)
    }

    #[test]
    fn the_root_that_was_configured_last_is_the_newest() {
        let mut store = MemoryStore::default();
        let (mut old, mut new) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        assert!(tick(&mut old, &mut store, 0));
        assert!(tick(&mut new, &mut store, 10));
        assert!(!tick(&mut old, &mut store, 20));
        assert!(tick(&mut new, &mut store, 5_000));
        assert!(!tick(&mut old, &mut store, 14_000));
    }

    #[test]
    fn all_roots_of_one_configuration_are_the_newest_together() {
        let mut store = MemoryStore::default();
        let mut roots = [1, 1, 1].map(|fingerprint| Generation::new(&Keys::new("g"), fingerprint));
        assert!(roots.iter_mut().all(|root| tick(root, &mut store, 0)));
    }

    /// A request on a connection that was kept alive makes no old root the newest.
    #[test]
    fn old_root_on_a_kept_connection_is_not_the_newest() {
        let mut store = MemoryStore::default();
        let (mut old, mut new) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        assert!(serve(&mut old, &mut store, 0, 7));
        assert!(serve(&mut old, &mut store, 10, 9));
        assert!(tick(&mut new, &mut store, 20));
        assert!(!serve(&mut old, &mut store, 30, 7));
        assert!(!serve(&mut old, &mut store, 30, 9));
        assert!(tick(&mut new, &mut store, 40));
    }

    #[test]
    fn an_old_root_in_a_vm_that_was_rebuilt_is_not_the_newest() {
        let mut store = MemoryStore::default();
        let (mut old, mut new) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        assert!(serve(&mut old, &mut store, 0, 7));
        assert!(serve(&mut new, &mut store, 10, 8));
        let mut rebuilt = Generation::new(&Keys::new("g"), 1);
        assert!(!serve(&mut rebuilt, &mut store, 20, 7));
        assert!(!tick(&mut rebuilt, &mut store, 1_020));
    }

    /// A configuration that comes back is the newest with its first new connection.
    #[test]
    fn returning_config_is_newest_on_its_first_new_connection() {
        let mut store = MemoryStore::default();
        let (mut a, mut b) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        assert!(serve(&mut a, &mut store, 0, 7));
        assert!(serve(&mut b, &mut store, 10, 8));
        assert!(!tick(&mut a, &mut store, 20));
        assert!(serve(&mut a, &mut store, 30, 9));
        assert!(!tick(&mut b, &mut store, 40));
        assert!(!serve(&mut b, &mut store, 50, 8));
    }

    #[test]
    fn when_the_newest_shows_no_sign_of_life_another_takes_over() {
        let mut store = MemoryStore::default();
        let (mut old, mut new) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        assert!(tick(&mut old, &mut store, 0));
        assert!(tick(&mut new, &mut store, 10));
        assert!(!tick(&mut old, &mut store, 10_010));
        assert!(!tick(&mut old, &mut store, 11_009));
        assert!(tick(&mut old, &mut store, 11_010));
    }

    /// After the whole process stood still the newest is the newest.
    #[test]
    fn newest_is_the_same_after_the_process_stood_still() {
        let mut store = MemoryStore::default();
        let (mut old, mut new) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        assert!(tick(&mut old, &mut store, 0));
        assert!(tick(&mut new, &mut store, 10));
        assert!(!tick(&mut old, &mut store, 60_000));
        assert!(tick(&mut new, &mut store, 60_010));
        assert!(!tick(&mut old, &mut store, 61_500));
    }

    #[test]
    fn only_a_newer_connection_makes_its_generation_the_newest() {
        let mut store = MemoryStore::default();
        let (mut old, mut new) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        assert!(serve(&mut old, &mut store, 0, 5));
        assert!(!old.is_new(5) && old.is_new(6));
        assert!(!serve(&mut new, &mut store, 10, 5));
        assert!(serve(&mut new, &mut store, 20, 6));
    }

    #[test]
    fn each_lapse_of_the_newest_gets_a_second_look_of_its_own() {
        let mut store = MemoryStore::default();
        let (mut old, mut new) = (Generation::new(&Keys::new("g"), 1), Generation::new(&Keys::new("g"), 2));
        let (lease, look) = (LEASE.as_millis() as u64, SECOND_LOOK.as_millis() as u64);
        assert!(tick(&mut old, &mut store, 0));
        assert!(tick(&mut new, &mut store, 1));
        assert!(!tick(&mut old, &mut store, 1 + lease));
        assert!(tick(&mut new, &mut store, 2 + lease));
        assert!(!tick(&mut old, &mut store, 2 + 2 * lease));
        assert!(tick(&mut old, &mut store, 2 + 2 * lease + look));
    }

    #[test]
    fn the_newest_writes_a_heartbeat_when_it_is_due_and_not_before() {
        let (mut store, mut root) = (MemoryStore::default(), Generation::new(&Keys::new("g"), 1));
        let key = Keys::new("g").single::<Newest>();
        tick(&mut root, &mut store, 0);
        let written = store.values[key.as_str()].clone();
        let due = at(0).plus(HEARTBEAT);
        root.check(&mut store, due.minus(Duration::from_nanos(1))).unwrap();
        assert_eq!(store.values[key.as_str()], written);
        root.check(&mut store, due).unwrap();
        assert_ne!(store.values[key.as_str()], written);
    }

    #[test]
    fn where_none_is_the_newest_a_root_is_even_after_a_failure() {
        let mut store = MemoryStore::default();
        store.refuse_sets = true;
        let mut root = Generation::new(&Keys::new("g"), 1);
        assert!(root.check(&mut store, at(0)).is_err());
        store.refuse_sets = false;
        assert!(tick(&mut root, &mut store, 1));
    }

    #[test]
    fn the_newest_is_known_once_it_was_checked() {
        let (mut store, mut root) = (MemoryStore::default(), Generation::new(&Keys::new("g"), 7));
        assert!(!root.is_known());
        assert!(tick(&mut root, &mut store, 0));
        assert!(root.is_known());
        assert_eq!(newest(&store.values[Keys::new("g").single::<Newest>().as_str()].0), Ok(7));
    }

    /// The newest generation is read and written as the previous release wrote it.
    #[test]
    fn newest_format_matches_previous_release() {
        assert_recorded("newest", &Newest { fingerprint: u64::MAX, connection: 1 << 40, heartbeat: at(99) });
    }
}
