//! Inbound messages in the fleet: what the store remembers of a message, and what that means.
//!
//! A message stands in the store under one key or some, the hashes of what it is known by. A gateway claims all of them at
//! once before the application gets the message, and settles them when that has answered: the message is done, or its
//! claim is released. A claim is void when its writer is dead, or when it is as old as a claim of the process may be
//! ([`CLAIM_MAX`]).
//!
//! # How long keys last
//! Keys are forgotten by the store, some time after their message need not be remembered any more. The times for which
//! messages are remembered are rounded up to powers of two ([`lasting`]), and keys of one such time share a lease for a
//! while: a writer has at most seven leases of each time at once ([`KeyLease`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::operation::{FoundKey, KeyName, Revision, WriterId};
use crate::journal::record;
use crate::store::StoreError;
use crate::time::{Instant, WallTime};

/// How long a claim holds while its message is with the application; after that its holder is taken for dead. Envoy itself
/// gives up a stream that was silent for as long (`stream_idle_timeout`).
pub const CLAIM_MAX: Duration = Duration::from_secs(300);

/// The shortest time for which keys last, in seconds: longer than a claim.
const LASTING_MIN: u64 = 512;

/// A message that is to be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageKeys {
    /// The names of the message's keys, each with the revision of what stands there so far; 0: nothing does.
    pub keys: Vec<(KeyName, Revision)>,
    /// The writers of claims that are to be replaced, if they are dead.
    pub dead: Vec<WriterId>,
    /// When the message arrived.
    pub at: WallTime,
    /// How long the keys last at least, in seconds; one of [`lasting`]'s.
    pub lasts: u64,
}

/// What is remembered of a message under each of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The writer that has claimed the message.
    pub writer: [u8; 16],
    /// The number of the claim among those of its writer's engine.
    pub number: u64,
    /// When the message arrived.
    pub at: WallTime,
    /// The application has taken the message.
    pub is_done: bool,
}

impl MessageRecord {
    /// The bytes to store.
    ///
    /// # Errors
    /// [`StoreError::Serialize`].
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        record::encode(self)
    }

    /// Reads what is remembered.
    ///
    /// # Errors
    /// [`StoreError::UnknownFormat`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        record::decode(bytes)
    }
}

/// Whether somebody still has a message that is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Its gateway lives and has it.
    Alive,
    /// Nobody has it.
    Gone,
    /// Only the store can tell whether its writer lives.
    Unknown,
}

/// How a message stands in the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetStanding {
    /// The application of some gateway has taken the message, which arrived then.
    Done(WallTime),
    /// Another request has the message.
    InProgress,
    /// Nobody has it: it may be claimed from these revisions, if these writers are dead.
    Free {
        /// The keys that stand in the store.
        found: Vec<(KeyName, Revision)>,
        /// The writers.
        dead: Vec<WriterId>,
    },
}

/// Tells how a message stands of which this was found, and which is remembered for `ttl` from its arrival. `holder` says
/// whether somebody has a claim. What another version of Gatepost has written counts as in progress: the sender tries again.
pub fn standing(
    found: &[FoundKey],
    now: WallTime,
    ttl: Duration,
    holder: impl Fn(&MessageRecord, &FoundKey) -> Holder,
) -> FleetStanding {
    let (mut dead, mut is_in_progress) = (Vec::new(), false);
    for key in found.iter().filter(|key| !key.bytes.is_empty()) {
        let Ok(record) = MessageRecord::decode(&key.bytes) else {
            is_in_progress = true;
            continue;
        };
        let lasts = if record.is_done { ttl } else { CLAIM_MAX };
        if record.at.plus(lasts) <= now {
            continue;
        }
        if record.is_done {
            return FleetStanding::Done(record.at);
        }
        match holder(&record, key) {
            Holder::Alive => is_in_progress = true,
            Holder::Gone => {}
            Holder::Unknown => dead.push(WriterId(record.writer)),
        }
    }
    if is_in_progress {
        return FleetStanding::InProgress;
    }
    dead.sort_unstable();
    dead.dedup();
    FleetStanding::Free { found: found.iter().map(|key| (key.name, key.revision)).collect(), dead }
}

/// How long keys last at least whose messages are remembered for `ttl`, in seconds: a power of two.
pub fn lasting(ttl: Duration) -> u64 {
    let seconds = ttl.as_secs().saturating_add(1);
    seconds.checked_next_power_of_two().unwrap_or(seconds).max(LASTING_MIN)
}

/// The lease of keys that are to last for some time: a new one each quarter of the time, used for up to half of it. It is
/// granted for one and a half, so that each key lasts long enough, and six or seven live at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLease {
    /// When the present one was asked for; `None`: there is none yet.
    pub granted: Option<Instant>,
    /// When one was asked for last.
    pub asked: Option<Instant>,
}

impl KeyLease {
    /// For how long a lease is granted, in seconds, whose keys are to last for `lasts`.
    pub fn ttl(lasts: u64) -> u64 {
        lasts.saturating_add(lasts / 2)
    }

    /// Whether keys may be put under the present lease.
    pub fn is_usable(self, now: Instant, lasts: u64) -> bool {
        self.granted.is_some_and(|granted| now.since(granted) < Duration::from_secs(lasts / 2))
    }

    /// Whether another one is to be asked for.
    pub fn is_due(self, now: Instant, lasts: u64) -> bool {
        self.is_due_every(now, Duration::from_secs(lasts / 4))
    }

    /// Whether another one is to be asked for, if that is to be so often. A store that refuses is asked again after a second:
    /// it may refuse for as long as it is full.
    pub fn is_due_every(self, now: Instant, every: Duration) -> bool {
        let is_old = self.granted.is_none_or(|granted| now.since(granted) >= every);
        is_old && self.asked.is_none_or(|asked| now.since(asked) >= Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: WallTime = WallTime::from_millis(1_700_000_000_000);
    const TTL: Duration = Duration::from_secs(900);

    fn found(name: u8, record: MessageRecord) -> FoundKey {
        FoundKey { name: [name; 16], revision: name.into(), bytes: record.encode().unwrap() }
    }

    fn record(writer: u8, age: u64, is_done: bool) -> MessageRecord {
        MessageRecord { writer: [writer; 16], number: 7, at: NOW.minus(Duration::from_secs(age)), is_done }
    }

    fn stands(found: &[FoundKey], holder: Holder) -> FleetStanding {
        standing(found, NOW, TTL, |_, _| holder)
    }

    fn free(found: &[u8], dead: &[u8]) -> FleetStanding {
        FleetStanding::Free {
            found: found.iter().map(|name| ([*name; 16], u64::from(*name))).collect(),
            dead: dead.iter().map(|writer| WriterId([*writer; 16])).collect(),
        }
    }

    #[test]
    fn done_counts_for_its_ttl() {
        let done = |age| [found(1, record(3, age, true))];
        assert_eq!(stands(&done(899), Holder::Gone), FleetStanding::Done(NOW.minus(Duration::from_secs(899))));
        assert_eq!(stands(&done(900), Holder::Alive), free(&[1], &[]));
    }

    /// A claim counts while its writer has it, and five minutes at most.
    #[test]
    fn a_claim_counts_while_somebody_has_it() {
        let claimed = |age| [found(1, record(3, age, false))];
        assert_eq!(stands(&claimed(299), Holder::Alive), FleetStanding::InProgress);
        assert_eq!(stands(&claimed(300), Holder::Alive), free(&[1], &[]));
        assert_eq!(stands(&claimed(0), Holder::Gone), free(&[1], &[]));
        assert_eq!(stands(&claimed(0), Holder::Unknown), free(&[1], &[3]));
    }

    /// Of several keys the one that says most counts, in whatever order they are found.
    #[test]
    fn done_goes_before_in_progress_before_free() {
        let (done, claimed) = (found(1, record(3, 0, true)), found(2, record(4, 0, false)));
        let released = FoundKey { name: [5; 16], revision: 5, bytes: Vec::new() };
        assert!(matches!(stands(&[claimed.clone(), done], Holder::Alive), FleetStanding::Done(_)));
        assert_eq!(stands(&[released.clone(), claimed.clone()], Holder::Alive), FleetStanding::InProgress);
        assert_eq!(stands(&[released, claimed.clone(), claimed], Holder::Unknown), free(&[5, 2, 2], &[4]));
    }

    /// What a later version has written lets nothing through.
    #[test]
    fn another_version_counts_as_in_progress() {
        let later = FoundKey { bytes: vec![record::VERSION + 1, 0], ..found(1, record(3, 0, true)) };
        assert_eq!(stands(&[later], Holder::Gone), FleetStanding::InProgress);
    }

    /// The bytes of a record are a contract: gateways of several versions read them.
    #[test]
    fn record_format_matches_previous_release() {
        let record = MessageRecord { writer: [0xab; 16], number: 300, at: WallTime::from_millis(5), is_done: true };
        let bytes = record.encode().unwrap();
        assert_eq!(hex::encode(&bytes), format!("01{}ac02c096b10201", "ab".repeat(16)));
        assert_eq!(MessageRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn times_are_rounded_up_to_powers_of_two() {
        let table = [(1, 512), (511, 512), (512, 1024), (900, 1024), (3600, 4096), (172_800, 262_144)];
        for (ttl, lasts) in table {
            assert_eq!(lasting(Duration::from_secs(ttl)), lasts, "{ttl}");
        }
    }

    proptest! {
        /// Whenever a key is put, it lasts for as long as it should; and seven leases live at once at most.
        #[test]
        fn keys_last_and_leases_are_few(ttl in 1u64..172_800, after in 0u64..400_000) {
            let lasts = lasting(Duration::from_secs(ttl));
            let lease = KeyLease { granted: Some(Instant::default()), asked: None };
            let at = Instant::default().plus(Duration::from_secs(after));
            if lease.is_usable(at, lasts) {
                prop_assert!(after + ttl <= KeyLease::ttl(lasts));
            }
            prop_assert!(KeyLease::ttl(lasts).div_ceil(lasts / 4) < 7);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = MessageRecord::decode(&bytes);
        }
    }
}
