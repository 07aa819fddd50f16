//! What a writer knows of the fleet, and the dead writers that it has claimed.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::operation::{Survey, WriterId};
use crate::journal::record::Member;
use crate::time::Instant;

/// What a writer knows of the fleet, and the dead writers that it has claimed.
#[derive(Debug)]
pub struct Takeover {
    /// What was found out last.
    pub fleet: Survey,
    /// What the living writers said of themselves then; `None`: nothing that is understood here.
    pub members: Vec<(WriterId, Option<Member>)>,
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
    /// The most segments that are read at once: half as many after an answer that did not come, for it may have been
    /// larger than the gateway holds of an answer. That is so for all claims, those of a later lease too: answers that are
    /// cut off can cost the lease.
    pub page: u32,
    /// No more is to be read: this worker has no room.
    pub is_held: bool,
    /// The dead writers that were claimed so far.
    pub count: u64,
}

/// The claim of a dead writer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim {
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

impl Default for Takeover {
    fn default() -> Self {
        Self {
            fleet: Survey::default(),
            members: Vec::new(),
            gateways: 0,
            bytes: 0,
            seen: None,
            surveyed: Instant::default(),
            claims: BTreeMap::new(),
            left: BTreeMap::new(),
            page: PAGE,
            is_held: false,
            count: 0,
        }
    }
}

impl Takeover {
    /// The dead writers that are claimed.
    pub fn claimed(&self) -> impl Iterator<Item = WriterId> {
        self.claims.keys().copied()
    }

    /// Remembers what was found out about the fleet.
    pub fn learn(&mut self, fleet: Survey, now: Instant) {
        self.members = fleet.alive.iter().map(|(id, member)| (*id, Member::decode(member))).collect();
        self.gateways = gateways(&self.members);
        self.bytes = self.members.iter().filter_map(|(_, member)| Some(member.as_ref()?.bytes)).sum();
        (self.fleet, self.seen) = (fleet, Some(now));
    }

    /// Has the store asked again about a dead writer at this time at the earliest.
    pub fn try_again(&mut self, dead: WriterId, at: Instant) {
        if let Some(claim) = self.claims.get_mut(&dead) {
            claim.again = at;
        }
    }

    /// Forgets all claims: they ended with the lease.
    pub fn lose(&mut self) {
        self.claims.clear();
    }
}

/// The number of gateways that have a living writer. A writer that has not said yet whose it is counts as one.
fn gateways(members: &[(WriterId, Option<Member>)]) -> u32 {
    let instance = |(writer, member): &(WriterId, Option<Member>)| {
        let instance = member.as_ref().map(|member| member.instance.clone()).filter(|instance| !instance.is_empty());
        instance.unwrap_or_else(|| writer.to_string())
    };
    let instances: BTreeSet<String> = members.iter().map(instance).collect();
    u32::try_from(instances.len()).unwrap_or(u32::MAX)
}
