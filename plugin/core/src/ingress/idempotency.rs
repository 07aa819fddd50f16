//! `Idempotency-Key`: the same key gives the same answer, and one event.
//!
//! The keys are in a fixed table of buckets in shared data, `<name>/idempotency/<b>`. A key is claimed by a
//! compare-and-swap of its bucket, so that no two workers both take it, and is remembered for [`REMEMBERED`]. The entry
//! of a key holds hashes of the key and of the body, and the first 2xx answer as it was given.
//!
//! A bucket holds [`BUCKET`] entries, and the table one bucket for every [`BUCKET`] keys of `limits.idempotency_keys`.
//! When a bucket is full its oldest finished entry goes: chance fills some buckets before others, so the limit should
//! be about twice the keys expected in [`REMEMBERED`]. Memory at the worst: keys x (about 80 bytes + the answer, about
//! 120 bytes + 45 for each delivery).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::EventId;
use crate::store::keys::{KeyRow, Keys, StoreKey, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, update};
use crate::time::Instant;

/// How long a key is remembered after its first use.
pub const REMEMBERED: Duration = Duration::from_secs(600);

/// How long a worker may take to answer before its claim is taken for abandoned, beyond any `ack_timeout`.
pub const CLAIM: Duration = Duration::from_secs(10);

/// The number of entries that a bucket has room for.
pub const BUCKET: usize = 16;

/// The longest key that is taken, in bytes.
pub const KEY_LEN_MAX: usize = 256;

/// The key of a request, in its route and scope, with the event that the key was used for; both hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    name: [u8; 16],
    event: [u8; 16],
}

impl IdempotencyKey {
    /// The key `key` of `route` and, where the route has one, `scope`, used for an event that these parts shape. A scope
    /// that is absent is another one than an empty scope.
    pub fn new(route: &str, scope: Option<&[u8]>, key: &[u8], event: &[&[u8]]) -> Self {
        let has_scope = [u8::from(scope.is_some())];
        let name = [route.as_bytes(), &has_scope, scope.unwrap_or_default(), key];
        Self { name: fingerprint(&name), event: fingerprint(event) }
    }

    /// The name of the key: a hash of the key in its route and scope.
    pub fn name(&self) -> [u8; 16] {
        self.name
    }

    /// The hash of the event that the key was used for.
    pub fn event(&self) -> [u8; 16] {
        self.event
    }

    /// The bucket of the key in a table for `keys` keys.
    fn bucket(&self, keys: u32) -> u32 {
        let [a, b, c, d, ..] = self.name;
        u32::from_le_bytes([a, b, c, d]) % keys.div_ceil(BUCKET as u32).max(1)
    }
}

/// Half of a SHA-256 over parts and their lengths, 128 bits: chance collisions are out of reach below 2^64 keys.
fn fingerprint(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().first_chunk().copied().unwrap_or_default()
}

/// The result of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyClaim {
    /// This request is the first, or the first after a failure: it goes on, with this event id, and ends the claim by
    /// [`KeyTable::finish`].
    Granted(EventId),
    /// An earlier request was answered: the same answer is given again.
    Replay(Finished),
    /// Another request with the key is in progress.
    InProgress,
    /// The key was used for another event.
    OtherEvent,
    /// There is no room: every entry of the key's bucket is in progress.
    Full,
}

/// The first 2xx answer to a request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The event's id.
    pub id: EventId,
    /// The status: 200 or 202.
    pub status: u16,
    /// The body: JSON.
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeyEntry {
    name: [u8; 16],
    event: [u8; 16],
    id: EventId,
    expires: Instant,
    progress: KeyProgress,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum KeyProgress {
    /// A request is in progress, and its claim holds until then.
    Claimed { until: Instant },
    /// The request failed: the next one tries again with the same event id.
    Failed,
    /// The request was answered.
    Answered { status: u16, body: Vec<u8> },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KeyBucket {
    entries: Vec<KeyEntry>,
}

impl Stored for KeyBucket {
    const NAME: &'static str = "idempotency";
}

impl Record for KeyBucket {
    const VERSION: u8 = 1;
}

impl KeyBucket {
    fn claim(&mut self, now: Instant, key: &IdempotencyKey, fresh: EventId, until: Instant) -> KeyClaim {
        self.entries.retain(|entry| entry.expires > now);
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == key.name) {
            return entry.claim(now, key, until);
        }
        if self.entries.len() >= BUCKET {
            // Oldest first: entries are pushed at the end and none is ever moved.
            let finished = |entry: &KeyEntry| !matches!(entry.progress, KeyProgress::Claimed { until } if until > now);
            let Some(oldest) = self.entries.iter().position(finished) else { return KeyClaim::Full };
            self.entries.remove(oldest);
        }
        self.entries.push(KeyEntry {
            name: key.name,
            event: key.event,
            id: fresh,
            expires: now.plus(REMEMBERED).max(until),
            progress: KeyProgress::Claimed { until },
        });
        KeyClaim::Granted(fresh)
    }
}

impl KeyEntry {
    fn claim(&mut self, now: Instant, key: &IdempotencyKey, until: Instant) -> KeyClaim {
        if self.event != key.event {
            return KeyClaim::OtherEvent;
        }
        match &self.progress {
            KeyProgress::Claimed { until } if *until > now => KeyClaim::InProgress,
            KeyProgress::Answered { status, body } => {
                KeyClaim::Replay(Finished { id: self.id, status: *status, body: body.clone() })
            }
            KeyProgress::Claimed { .. } | KeyProgress::Failed => {
                self.progress = KeyProgress::Claimed { until };
                // The entry must not be forgotten while its request is in progress.
                self.expires = self.expires.max(until);
                KeyClaim::Granted(self.id)
            }
        }
    }
}

/// The table of idempotency keys, as large as the config says.
#[derive(Debug)]
pub struct KeyTable {
    buckets: KeyRow<KeyBucket>,
    capacity: u32,
}

impl KeyTable {
    /// The table for about `capacity` keys.
    pub fn new(keys: &Keys, capacity: u32) -> Self {
        Self { buckets: keys.row(), capacity }
    }

    /// Claims a key for the event `fresh`, or says what the key already stands for. The claim holds for `hold`, and for
    /// [`CLAIM`] beyond.
    ///
    /// # Errors
    /// The store's.
    pub fn claim(
        &self,
        store: &mut dyn SharedStore,
        now: Instant,
        key: &IdempotencyKey,
        fresh: EventId,
        hold: Duration,
    ) -> Result<KeyClaim, StoreError> {
        let until = now.plus(hold).plus(CLAIM);
        update(store, &self.key(key), |bucket: &mut KeyBucket| {
            let claim = bucket.claim(now, key, fresh, until);
            let write = if matches!(claim, KeyClaim::Granted(_)) { Write::Yes } else { Write::No };
            (write, claim)
        })
    }

    /// Ends a claim: with the answer to give from now on, or without one, so that the next request tries again.
    ///
    /// # Errors
    /// The store's; the claim then ends when its time is over.
    pub fn finish(
        &self,
        store: &mut dyn SharedStore,
        key: &IdempotencyKey,
        answer: Option<(u16, &[u8])>,
    ) -> Result<(), StoreError> {
        update(store, &self.key(key), |bucket: &mut KeyBucket| {
            let Some(entry) = bucket.entries.iter_mut().find(|entry| entry.name == key.name) else {
                return (Write::No, ());
            };
            entry.progress = match answer {
                Some((status, body)) => KeyProgress::Answered { status, body: body.to_vec() },
                None => KeyProgress::Failed,
            };
            (Write::Yes, ())
        })
    }

    fn key(&self, key: &IdempotencyKey) -> StoreKey<KeyBucket> {
        self.buckets.at(key.bucket(self.capacity))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::recorded::assert_recorded;

    const HOLD: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn id(byte: u8) -> EventId {
        EventId::from_random([byte; 16])
    }

    fn key(name: &str) -> IdempotencyKey {
        IdempotencyKey::new("ingest", None, name.as_bytes(), &[b"paid", b"{}"])
    }

    struct Case {
        store: MemoryStore,
        table: KeyTable,
    }

    impl Case {
        fn new(keys: u32) -> Self {
            Self { store: MemoryStore::default(), table: KeyTable::new(&Keys::new("g"), keys) }
        }

        fn claim(&mut self, seconds: u64, key: &IdempotencyKey, fresh: u8) -> KeyClaim {
            self.table.claim(&mut self.store, at(seconds), key, id(fresh), HOLD).unwrap()
        }

        fn finish(&mut self, key: &IdempotencyKey, answer: Option<(u16, &[u8])>) {
            self.table.finish(&mut self.store, key, answer).unwrap();
        }
    }

    /// The first request goes on, and later ones get its answer for ten minutes.
    #[test]
    fn repeated_request_gets_its_answer_for_ten_minutes() {
        let mut case = Case::new(100);
        assert_eq!(case.claim(0, &key("a"), 1), KeyClaim::Granted(id(1)));
        assert_eq!(case.claim(1, &key("a"), 2), KeyClaim::InProgress);
        case.finish(&key("a"), Some((202, b"answer")));
        let replay = KeyClaim::Replay(Finished { id: id(1), status: 202, body: b"answer".to_vec() });
        assert_eq!(case.claim(599, &key("a"), 3), replay);
        assert_eq!(case.claim(600, &key("a"), 4), KeyClaim::Granted(id(4)));
    }

    /// After a failure the next request tries again with the same id.
    #[test]
    fn request_after_a_failure_retries_with_the_same_id() {
        let mut case = Case::new(100);
        case.claim(0, &key("a"), 1);
        case.finish(&key("a"), None);
        assert_eq!(case.claim(1, &key("a"), 2), KeyClaim::Granted(id(1)));
    }

    /// A key that is tried again late is not forgotten while it is in progress.
    #[test]
    fn key_retried_late_is_kept_while_in_progress() {
        let mut case = Case::new(100);
        case.claim(0, &key("a"), 1);
        case.finish(&key("a"), None);
        assert_eq!(case.claim(595, &key("a"), 2), KeyClaim::Granted(id(1)));
        assert_eq!(case.claim(601, &key("a"), 3), KeyClaim::InProgress);
    }

    #[test]
    fn a_claim_whose_worker_died_lapses_and_keeps_its_id() {
        let mut case = Case::new(100);
        case.claim(0, &key("a"), 1);
        assert_eq!(case.claim(39, &key("a"), 2), KeyClaim::InProgress);
        assert_eq!(case.claim(40, &key("a"), 2), KeyClaim::Granted(id(1)));
    }

    /// Another event under the same key is refused; in another scope or route the key is another key.
    #[test]
    fn key_is_bound_to_its_event_scope_and_route() {
        let mut case = Case::new(100);
        case.claim(0, &key("a"), 1);
        case.finish(&key("a"), Some((202, b"")));
        let named = |route, scope, event: [&[u8]; 2]| IdempotencyKey::new(route, scope, b"a", &event);
        let same: [&[u8]; 2] = [b"paid", b"{}"];
        assert_eq!(case.claim(1, &named("ingest", None, [b"paid", b"[]"]), 2), KeyClaim::OtherEvent);
        assert_eq!(case.claim(1, &named("ingest", None, [b"refunded", b"{}"]), 2), KeyClaim::OtherEvent);
        assert_eq!(case.claim(1, &named("ingest", Some(b"acme"), same), 3), KeyClaim::Granted(id(3)));
        assert_eq!(case.claim(1, &named("ingest", Some(b""), same), 5), KeyClaim::Granted(id(5)));
        assert_eq!(case.claim(1, &named("other", None, same), 4), KeyClaim::Granted(id(4)));
    }

    /// A full bucket gives up its oldest finished key, and never one in progress.
    #[test]
    fn full_bucket_evicts_its_oldest_finished_key() {
        let mut case = Case::new(1);
        for n in 0..BUCKET as u8 {
            assert_eq!(case.claim(0, &key(&n.to_string()), n), KeyClaim::Granted(id(n)));
        }
        assert_eq!(case.claim(0, &key("more"), 99), KeyClaim::Full);
        case.finish(&key("3"), Some((202, b"")));
        assert_eq!(case.claim(1, &key("more"), 99), KeyClaim::Granted(id(99)));
        assert_eq!(case.claim(1, &key("2"), 98), KeyClaim::InProgress);
    }

    proptest! {
        #[test]
        fn parts_that_join_alike_are_different_keys(route in "[a-c]{0,3}", scope in "[a-c]{0,3}", name in "[a-c]{0,3}",
            other in ("[a-c]{0,3}", "[a-c]{0,3}", "[a-c]{0,3}")) {
            let one = IdempotencyKey::new(&route, Some(scope.as_bytes()), name.as_bytes(), &[]);
            let two = IdempotencyKey::new(&other.0, Some(other.1.as_bytes()), other.2.as_bytes(), &[]);
            prop_assert_eq!(one == two, (route, scope, name) == other);
        }

        #[test]
        fn the_number_of_keys_in_the_store_is_bounded(names in proptest::collection::vec("[a-z]{8}", 0..200)) {
            let mut case = Case::new(64);
            for name in names {
                case.claim(0, &key(&name), 1);
                case.finish(&key(&name), Some((202, b"")));
            }
            prop_assert!(case.store.values.len() <= 64 / BUCKET);
        }
    }

    /// A bucket is read and written as the previous release wrote it.
    #[test]
    fn bucket_format_matches_previous_release() {
        let answered = |body: &[u8]| KeyProgress::Answered { status: 202, body: body.to_vec() };
        let all = [KeyProgress::Claimed { until: at(30) }, KeyProgress::Failed, answered(b"{\"id\":1}"), answered(b"")];
        let entry = |progress| KeyEntry { name: [1; 16], event: [0xfe; 16], id: id(3), expires: at(600), progress };
        assert_recorded("idempotency", &KeyBucket { entries: all.map(entry).into() });
        assert_recorded("idempotency empty", &KeyBucket::default());
    }
}
