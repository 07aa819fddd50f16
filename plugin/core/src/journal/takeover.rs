//! What a writer knows of the fleet, and the dead writers that it has claimed.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::operation::{Survey, WriterId};
use crate::journal::record::{GuardReport, Member};
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
    /// The size of what each of them keeps in the store, in bytes, as it said last: a dead one's, too, until it is claimed.
    kept: BTreeMap<WriterId, u64>,
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
            kept: BTreeMap::new(),
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
        let abandoned: BTreeSet<_> = fleet.abandoned().collect();
        self.kept.retain(|writer, _| abandoned.contains(writer));
        self.kept.extend(self.members.iter().filter_map(|(writer, member)| Some((*writer, member.as_ref()?.bytes))));
        (self.fleet, self.seen) = (fleet, Some(now));
    }

    /// The size of what the fleet keeps in the store, in bytes. What a dead writer kept counts until it is claimed, and then
    /// as its claimer's; that of one that died before this gateway began is not known.
    pub fn bytes(&self) -> u64 {
        self.kept.values().sum()
    }

    /// What the other gateways have counted. Where two writers of one gateway say it, for the one that says it changes
    /// when a writer begins or ends, only the one with the lower id counts, which is the one to say it.
    pub fn reports_of_others(&self, instance: &str) -> Vec<&BTreeMap<String, GuardReport>> {
        let mut writers: Vec<_> = self.members.iter().collect();
        writers.sort_unstable_by_key(|(writer, _)| *writer);
        let mut reports = BTreeMap::new();
        for member in writers.into_iter().filter_map(|(_, member)| member.as_ref()) {
            let is_others = member.instance != instance && !member.instance.is_empty();
            if is_others && !member.guard.is_empty() {
                reports.entry(&member.instance).or_insert(&member.guard);
            }
        }
        reports.into_values().collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a writer keeps counts from its death until it is claimed, once and no longer.
    #[test]
    fn dead_writers_bytes_count_until_they_are_claimed() {
        let ids = [1, 2].map(|id| WriterId([id; 16]));
        let alive = |said: &[(usize, u64)]| {
            let member = |bytes: u64| Member { bytes, ..Member::default() }.encode();
            said.iter().map(|(id, bytes)| (ids[*id], member(*bytes))).collect()
        };
        let survey = |said, claimed| Survey { alive: alive(said), registered: ids.to_vec(), claimed };
        let mut takeover = Takeover::default();
        let mut learn = |survey| {
            takeover.learn(survey, Instant::default());
            takeover.bytes()
        };
        assert_eq!(learn(survey(&[(0, 70), (1, 5)], Vec::new())), 75);
        assert_eq!(learn(survey(&[(1, 6)], Vec::new())), 76);
        assert_eq!(learn(survey(&[(1, 60)], vec![(ids[0], ids[1])])), 60);
        // What its claimer left to others is not known any more.
        assert_eq!(learn(survey(&[(1, 6)], Vec::new())), 6);
        assert_eq!(learn(Survey { alive: alive(&[(1, 6)]), registered: vec![ids[1]], claimed: Vec::new() }), 6);
    }

    /// Of each other gateway one writer counts: the first that says anything. This gateway counts for itself.
    #[test]
    fn counts_of_each_other_gateway_are_taken_once() {
        let member = |writer: u8, instance: &str, opens: &[u32]| {
            let report = |opens: &u32| ("billing".to_owned(), GuardReport { opens: *opens, counts: String::new() });
            let guard = opens.iter().map(report).collect();
            (WriterId([writer; 16]), Some(Member { instance: instance.to_owned(), guard, ..Member::default() }))
        };
        let members = vec![
            member(5, "a", &[50]),
            member(1, "a", &[]),
            member(3, "a", &[30]),
            member(2, "b", &[20]),
            member(0, "own", &[10]),
            member(6, "", &[60]),
            (WriterId([7; 16]), None),
        ];
        let takeover = Takeover { members, ..Takeover::default() };
        let opens = |reports: Vec<&BTreeMap<String, GuardReport>>| {
            reports.iter().map(|reports| reports["billing"].opens).collect::<Vec<_>>()
        };
        assert_eq!(opens(takeover.reports_of_others("own")), [30, 20]);
    }
}
