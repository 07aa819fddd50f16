//! Messages that were seen, so that the same one again does not reach the application: a bounded table in shared data.
//!
//! A message is known by its [`Marks`]. It is claimed when it arrives, under all workers by one alone; committed when the
//! application has answered 2xx; and released when it has not, so that its sender's next try gets through. Until then it is
//! [`InProgress`](Seen::InProgress), afterwards [`Done`](Seen::Done) for the `ttl`.
//!
//! # Layout
//! Each mark has an entry in the bucket its hash names, `<name>/replay/<rule>/<b>`: the mark, what it is to the message, and
//! the id of the claim that the message was given. The first mark's entry says where the message stands, those of further
//! marks only lead to it, so that a commit is one write. A bucket is claimed in by compare-and-swap, the first mark's before
//! the others': of two workers with the same message, or with two messages of one id, one finds the other's entry.
//!
//! # Size
//! An entry takes 16 bytes, and a message one or two of them, and one more for each further secret while secrets
//! rotate. A bucket has room for [`SLOTS`], twice of what it gets when the table holds `capacity` messages of two marks
//! each. Chance fills some buckets before others: with room for twice the mean of 32, one of ten million is full at
//! `capacity`. So up to `capacity` nothing is refused, and at twice of that everything is. A table for 32 messages or fewer
//! is one bucket, and exact. Memory at the worst: `capacity` x 4 x 16 bytes, and 200 for the key of each 16 messages: 77
//! bytes a message, 7.7 MB for 100,000.
//!
//! The number of buckets follows from `capacity`: changing it in a config forgets what was seen.

use std::time::Duration;

use crate::signature::Marks;
use crate::store::keys::{KeyRow, Keys};
use crate::store::{SharedStore, StoreError, swap};
use crate::time::Instant;

mod bucket;

use bucket::{EntryKind, Id, MARK, ReplayBucket, ReplayEntry};

/// How long a message may be under way to the application before its claim is taken for abandoned, its worker for dead:
/// Envoy itself gives a stream up that was silent for as long (`stream_idle_timeout`).
pub const CLAIM: Duration = Duration::from_secs(300);

/// Entries of a bucket.
pub const SLOTS: usize = 64;

/// So many messages are remembered at most, in 77 MB: the number of a bucket has 16 bits.
pub const CAPACITY_MAX: u32 = 1_000_000;

/// A table for so many messages or fewer is one bucket.
const SMALL: u32 = SLOTS as u32 / 2;

/// What happens to a message that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a message is remembered, from when it came; at least as long as its signature is good.
    pub ttl: Duration,
    /// How many are.
    pub capacity: u32,
    /// What the sender of one that was seen is answered.
    pub duplicate: Duplicate,
    /// What happens to a new one when there is no room.
    pub when_full: WhenFull,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Three times what a signature is good for by default.
            ttl: Duration::from_secs(900),
            // A hundred a second for a quarter of an hour, and a tenth more.
            capacity: 100_000,
            // A sender that tries again has not heard that it had arrived, and would go on.
            duplicate: Duplicate::Acknowledge,
            when_full: WhenFull::Refuse,
        }
    }
}

/// What the sender of a message that was seen is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// 200, so that it stops.
    Acknowledge,
    /// 409.
    Reject,
}

/// What happens to a new message when there is no room to remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused, for now.
    Refuse,
    /// It goes to the application, and may do so again.
    Allow,
}

/// What a message is to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// New: it is claimed now.
    Never(MessageClaim),
    /// Claimed by a request that the application has not answered.
    InProgress,
    /// The application has taken it.
    Done,
    /// New, and there is no room.
    Full,
}

/// A claim, to be committed or released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageClaim {
    marks: Marks,
    /// Nobody's, until the first mark has its entry.
    id: Id,
}

impl MessageClaim {
    /// What the entry of one of its marks is.
    fn kind(&self, mark: u64) -> EntryKind {
        if self.marks.first() == Some(&mark) { EntryKind::Claimed } else { EntryKind::See }
    }
}

/// In a second.
const NANOS: u64 = 1_000_000_000;

/// The last full second.
fn second(now: Instant) -> u64 {
    now.as_nanos() / NANOS
}

/// The table of one rule.
#[derive(Debug)]
pub struct ReplayTable {
    /// `<name>/replay/<rule>/`.
    keys: KeyRow<ReplayBucket>,
    /// For so many seconds a message is remembered that the application has taken.
    ttl: u64,
    buckets: u32,
    slots: usize,
}

impl ReplayTable {
    /// The table of the inbound rule `rule` whose messages have at most so many marks each.
    pub fn new(keys: &Keys, rule: &str, policy: Policy, marks: usize) -> Self {
        // How many buckets there are follows from the capacity alone: marks must be found where they were left, whatever
        // the signatures of the config become.
        let (buckets, slots) = match policy.capacity {
            ..=SMALL => (1, usize::try_from(policy.capacity).unwrap_or_default() * marks),
            _ => (policy.capacity.div_ceil(SMALL / 2), SLOTS),
        };
        // Never too short.
        let ttl = policy.ttl.as_secs() + u64::from(policy.ttl.subsec_nanos() > 0);
        Self { keys: keys.row_of(rule), ttl, buckets, slots }
    }

    /// Claims a message that is new, or says where it stands.
    ///
    /// # Errors
    /// The store's; the claim, as far as it was made, ends at its time.
    pub fn claim(&self, store: &mut dyn SharedStore, now: Instant, marks: &Marks) -> Result<Seen, StoreError> {
        let mut claim = MessageClaim { marks: Marks::new(), id: Id::default() };
        for mark in marks.iter().map(|mark| mark & MARK) {
            if claim.marks.contains(&mark) {
                continue;
            }
            claim.marks.push(mark);
            let Some((seen, other)) = self.enter(store, now, mark, &mut claim)? else { continue };
            claim.marks.pop();
            // It comes again under a mark of its own, as when it was signed afresh: by that it is the other one from now on.
            // The first one last: what leads to it must not find it gone.
            for mark in claim.marks.iter().rev() {
                self.end(store, &claim, *mark, other.map(|id| (EntryKind::See, id)))?;
            }
            return Ok(seen);
        }
        Ok(if claim.marks.is_empty() { Seen::Full } else { Seen::Never(claim) })
    }

    /// The application has taken the message: it is not to see it again.
    ///
    /// # Errors
    /// The store's; the message then counts as one in progress until its claim ends.
    pub fn commit(&self, store: &mut dyn SharedStore, claim: &MessageClaim) -> Result<(), StoreError> {
        let Some(first) = claim.marks.first() else { return Ok(()) };
        self.end(store, claim, *first, Some((EntryKind::Done, claim.id)))
    }

    /// The application has not taken the message: it may come again.
    ///
    /// # Errors
    /// The store's; the message may then come again when its claim ends.
    pub fn release(&self, store: &mut dyn SharedStore, claim: &MessageClaim) -> Result<(), StoreError> {
        claim.marks.iter().try_for_each(|mark| self.end(store, claim, *mark, None))
    }

    /// Makes of the entry that a claim made for a mark another one, or none.
    fn end(
        &self,
        store: &mut dyn SharedStore,
        claim: &MessageClaim,
        mark: u64,
        left: Option<(EntryKind, Id)>,
    ) -> Result<(), StoreError> {
        // Whoever took over an old claim has made another one.
        let own = ReplayEntry { mark, kind: claim.kind(mark), id: claim.id };
        self.change(store, mark, &mut |_, bucket| {
            let Some((place, _)) = bucket.find(|entry| entry == own) else { return Ok(false) };
            bucket.remove(place);
            left.into_iter().for_each(|(kind, id)| bucket.add(ReplayEntry { mark, kind, id }));
            Ok(true)
        })
    }

    /// Writes the entry of a claim's mark; with its first one the claim gets its id. Unless there is an entry that counts, of
    /// another message: then says where that stands, and the id of its claim. Or there is no room.
    fn enter(
        &self,
        store: &mut dyn SharedStore,
        now: Instant,
        mark: u64,
        claim: &mut MessageClaim,
    ) -> Result<Option<(Seen, Option<Id>)>, StoreError> {
        let (mut seen, mut id) = (None, claim.id);
        self.change(store, mark, &mut |store, bucket| {
            bucket.forget(|entry| self.is_over(entry, now));
            seen = match bucket.find(|entry| entry.mark == mark) {
                Some((place, entry)) => {
                    let standing = self.standing(store, now, entry, claim)?;
                    if standing.is_none() {
                        bucket.remove(place);
                    }
                    standing.map(|seen| (seen, Some(entry.id)))
                }
                None => (bucket.len() >= self.slots).then_some((Seen::Full, None)),
            };
            if seen.is_none() {
                let kind = claim.kind(mark);
                if kind == EntryKind::Claimed {
                    // It counts from the next full second: a bit longer does no harm.
                    let second = now.as_nanos().div_ceil(NANOS);
                    id = Id::new(second, self.bucket(mark), bucket.next_number());
                }
                bucket.add(ReplayEntry { mark, kind, id });
            }
            Ok(seen.is_none())
        })?;
        // Not before: whoever was first after all may have taken the same number.
        claim.id = id;
        Ok(seen)
    }

    /// Where the message of an entry stands; `None`: nowhere, or it is this claim's own.
    fn standing(
        &self,
        store: &mut dyn SharedStore,
        now: Instant,
        entry: ReplayEntry,
        claim: &MessageClaim,
    ) -> Result<Option<Seen>, StoreError> {
        let kind = match entry.kind {
            EntryKind::See if claim.id == entry.id => return Ok(None),
            EntryKind::See => {
                let bucket =
                    ReplayBucket::read(store.get(self.keys.at(entry.id.bucket()).as_str())?.map(|(bytes, _)| bytes))?;
                let first = bucket.find(|first| first.id == entry.id && first.kind != EntryKind::See);
                first.filter(|(_, first)| !self.is_over(*first, now)).map(|(_, first)| first.kind)
            }
            kind => Some(kind),
        };
        Ok(match kind {
            Some(EntryKind::Done) => Some(Seen::Done),
            Some(EntryKind::Claimed) if entry.id.second() + CLAIM.as_secs() > second(now) => Some(Seen::InProgress),
            _ => None,
        })
    }

    /// Is this entry to be forgotten? One that is not done lasts as long as its claim may.
    fn is_over(&self, entry: ReplayEntry, now: Instant) -> bool {
        let lasts = if entry.kind == EntryKind::Done { self.ttl } else { self.ttl.max(CLAIM.as_secs()) };
        entry.id.second() + lasts <= second(now)
    }

    /// Changes the bucket of a mark, if `change` says that it has.
    fn change(
        &self,
        store: &mut dyn SharedStore,
        mark: u64,
        change: &mut dyn FnMut(&mut dyn SharedStore, &mut ReplayBucket) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        swap(store, &self.keys.at(self.bucket(mark)), |store, bytes| {
            let mut bucket = ReplayBucket::read(bytes)?;
            let is_changed = change(store, &mut bucket)?;
            Ok((is_changed.then(|| bucket.written()), ()))
        })
    }

    /// The number of a mark's bucket.
    fn bucket(&self, mark: u64) -> u32 {
        // Less than the number of buckets.
        (mark % u64::from(self.buckets)) as u32
    }
}

#[cfg(test)]
mod tests;
