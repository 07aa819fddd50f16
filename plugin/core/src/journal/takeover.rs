//! What a writer knows of the fleet, and the dead writers that it has claimed.

use std::collections::BTreeMap;

use crate::journal::operation::{Survey, WriterId};
use crate::time::Instant;

/// What a writer knows of the fleet, and the dead writers that it has claimed.
#[derive(Debug, Default)]
pub struct Takeover {
    /// What was found out last.
    pub fleet: Survey,
    /// The gateways that were alive then.
    pub gateways: u32,
    /// The size of what all of them kept in the store then, in bytes.
    pub bytes: u64,
    /// When that was.
    pub seen: Option<Instant>,
    /// When it was asked for last.
    pub surveyed: Instant,
    /// The claims.
    pub claims: BTreeMap<WriterId, Claim>,
    /// Dead writers that are left to others, until then.
    pub left: BTreeMap<WriterId, Instant>,
    /// No more is to be read: this worker has no room.
    pub is_held: bool,
    /// The dead writers that were claimed so far.
    pub count: u64,
}

/// The claim of a dead writer.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The most segments that are read at once: half as many after an answer that did not come, for it may have been
    /// larger than the gateway holds of an answer.
    pub page: u32,
    /// The number of the last segment that was read.
    pub after: Option<u64>,
    /// All segments were read.
    pub is_read: bool,
    /// The segments that were read last are not among those that are open yet: nothing can be told of them.
    pub is_handing: bool,
    /// The store is asked again at this time at the earliest, since its last answer was none.
    pub again: Instant,
}

/// The most segments that are read at once: 8 full ones are 2 MiB, half of what the examples let Envoy hold of an answer.
const PAGE: u32 = 8;

impl Default for Claim {
    fn default() -> Self {
        Self { page: PAGE, after: None, is_read: false, is_handing: false, again: Instant::default() }
    }
}

impl Takeover {
    /// The dead writers that are claimed.
    pub fn claimed(&self) -> impl Iterator<Item = WriterId> {
        self.claims.keys().copied()
    }

    /// Forgets all claims: they ended with the lease.
    pub fn lose(&mut self) {
        self.claims.clear();
    }
}
