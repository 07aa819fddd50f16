//! Leases: keys that are deleted when nobody renews them in time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::status::{self, Status};

/// The shortest lease that etcd gives, in seconds: one and a half of its election timeouts, rounded up.
const SHORTEST: i64 = 2;
/// The longest, in seconds.
const LONGEST: i64 = 9_000_000_000;
/// How often etcd looks for leases that have expired.
const LOOKS: Duration = Duration::from_millis(500);
/// What a new leader adds to every lease: its election timeout.
const EXTENSION: Duration = Duration::from_secs(1);

/// A lease that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub id: i64,
    /// How long it lives without renewal, in seconds.
    pub ttl: i64,
    /// When it expires, by etcd's clock. It is noticed at the next half second, and until then its keys are there.
    pub expires: Duration,
}

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    leases: BTreeMap<i64, Lease>,
}

impl Leases {
    pub(crate) fn knows(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// Gives a lease; `id` is not 0.
    pub(crate) fn grant(&mut self, id: i64, ttl: i64, now: Duration) -> Result<i64, Status> {
        if ttl > LONGEST {
            return Err(status::lease_too_long());
        }
        if self.knows(id) {
            return Err(status::lease_exists());
        }
        let ttl = ttl.max(SHORTEST);
        self.leases.insert(id, Lease { id, ttl, expires: now + seconds(ttl) });
        Ok(ttl)
    }

    /// Renews a lease; gives how long it lives now, in seconds, and 0 for one that is gone or has expired.
    pub(crate) fn renew(&mut self, id: i64, now: Duration) -> i64 {
        match self.leases.get_mut(&id) {
            Some(lease) if lease.expires > now => {
                lease.expires = now + seconds(lease.ttl);
                lease.ttl
            }
            _ => 0,
        }
    }

    pub(crate) fn revoke(&mut self, id: i64) -> Result<(), Status> {
        self.leases.remove(&id).map(|_| ()).ok_or_else(status::lease_not_found)
    }

    /// A new leader gives every lease its whole time again, and a little more.
    pub(crate) fn extend(&mut self, now: Duration) {
        for lease in self.leases.values_mut() {
            lease.expires = now + EXTENSION + seconds(lease.ttl);
        }
    }

    /// When etcd next finds one that has expired.
    pub(crate) fn next_look(&self, now: Duration) -> Option<Duration> {
        let first = self.leases.values().map(|lease| lease.expires).min()?.max(now);
        let looks = first.as_nanos().div_ceil(LOOKS.as_nanos());
        Some(LOOKS.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX)))
    }

    pub(crate) fn expired(&self, now: Duration) -> Vec<i64> {
        self.leases.values().filter(|lease| lease.expires <= now).map(|lease| lease.id).collect()
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
