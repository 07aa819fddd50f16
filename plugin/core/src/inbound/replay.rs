//! The replay table: the messages that were seen, so that no message reaches the application again. A bounded table in
//! shared data.
//!
//! A message is known by its [`Marks`]. It is claimed when it arrives, by one worker alone; committed when the
//! application has answered 2xx; and released when the application has not, so that the sender's next try gets through.
//! A message that is claimed is [`InProgress`](Seen::InProgress); one that is committed is [`Done`](Seen::Done) for the
//! `ttl`.
//!
//! # Layout
//! Each mark has an entry in the bucket that its hash names, `<name>/replay/<rule>/<b>`: the mark, the kind of the
//! entry, and the id of the message's claim. The entry of the first mark says where the message stands; those of
//! further marks only lead to it, so that a commit is one write. Entries are written by compare-and-swap of their
//! bucket, the first mark's before the others': of two workers with the same message, or with two messages of one id,
//! one finds the other's entry.
//!
//! # Size
//! An entry takes 16 bytes, and a message has one entry or two, and one more for each further secret while secrets
//! rotate. A bucket has room for [`SLOTS`] entries, twice as many as it gets on average when the table holds `capacity`
//! messages of two marks each. Chance fills some buckets before others: with room for twice the mean of 32, one of ten
//! million is full at `capacity`. So up to `capacity` messages nothing is refused, and at twice as many everything is.
//! A table for 32 messages or fewer is one bucket, and exact. Memory at the worst: `capacity` x 4 x 16 bytes, and 200
//! for the key of each 16 messages: 77 bytes a message, 7.7 MB for 100,000.
//!
//! The number of buckets follows from `capacity`: after a change of `capacity` in the config the table is empty.

use std::time::Duration;

use crate::journal::messages::CLAIM_MAX;
use crate::signature::Marks;
use crate::store::keys::{KeyRow, Keys};
use crate::store::{SharedStore, StoreError, swap};
use crate::time::Instant;

mod bucket;

use bucket::{EntryKind, Id, MARK, ReplayBucket, ReplayEntry};

/// The number of entries that a bucket has room for.
pub const SLOTS: usize = 64;

/// The largest `capacity`, in messages, which takes 77 MB: the number of a bucket has 16 bits.
pub const CAPACITY_MAX: u32 = 1_000_000;

/// The largest `capacity` of a table that is one bucket.
const SMALL: u32 = SLOTS as u32 / 2;

/// The replay policy of a rule: how many messages are remembered, for how long, and what happens to one that comes
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a message is remembered, from its arrival; at least as long as its signature is good.
    pub ttl: Duration,
    /// The number of messages that are remembered.
    pub capacity: u32,
    /// The answer to a message that was seen before.
    pub duplicate: Duplicate,
    /// What happens to a new message when there is no room.
    pub when_full: WhenFull,
    /// Among whom a message is known.
    pub scope: Scope,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Three times the age that a signature may have by default.
            ttl: Duration::from_secs(900),
            // A hundred messages a second for a quarter of an hour, and a tenth more.
            capacity: 100_000,
            // A sender that tries again has not learned that its message had arrived, and would go on.
            duplicate: Duplicate::Acknowledge,
            when_full: WhenFull::Refuse,
            scope: Scope::Process,
        }
    }
}

/// The answer to a message that was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// 200, so that the sender stops.
    Acknowledge,
    /// 409.
    Reject,
}

/// What happens to a new message when there is no room to remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The message is refused, for now.
    Refuse,
    /// The message goes to the application, and may do so again.
    Allow,
}

/// Among whom a message is known that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The workers of one process.
    Process,
    /// All gateways that have the journal: this table is asked first, then the journal.
    Fleet,
}

/// How a message stands in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The message is new, and claimed now.
    Never(MessageClaim),
    /// The message is claimed by a request that the application has not answered.
    InProgress,
    /// The application has taken the message.
    Done,
    /// The message is new, and there is no room.
    Full,
}

/// The claim of a message, to be committed or released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageClaim {
    marks: Marks,
    /// The id of the claim; the default until the first mark has its entry.
    id: Id,
}

impl MessageClaim {
    /// The marks of the message, each once.
    pub fn marks(&self) -> &[u64] {
        &self.marks
    }

    /// The kind of the entry for one of the claim's marks.
    fn kind(&self, mark: u64) -> EntryKind {
        if self.marks.first() == Some(&mark) { EntryKind::Claimed } else { EntryKind::See }
    }
}

/// Nanoseconds in a second.
const NANOS: u64 = 1_000_000_000;

/// The number of full seconds on the monotonic clock.
fn second(now: Instant) -> u64 {
    now.as_nanos() / NANOS
}

/// The replay table of one rule.
#[derive(Debug)]
pub struct ReplayTable {
    /// The keys of the buckets, `<name>/replay/<rule>/<b>`.
    keys: KeyRow<ReplayBucket>,
    /// How long a message that the application has taken is remembered, in seconds.
    ttl: u64,
    buckets: u32,
    slots: usize,
}

impl ReplayTable {
    /// The table of the inbound rule `rule`, whose messages have at most `marks` marks each.
    pub fn new(keys: &Keys, rule: &str, policy: Policy, marks: usize) -> Self {
        // The number of buckets follows from the capacity alone: marks must be found where they were left, whatever the
        // signatures of the config become.
        let (buckets, slots) = match policy.capacity {
            ..=SMALL => (1, usize::try_from(policy.capacity).unwrap_or_default() * marks),
            _ => (policy.capacity.div_ceil(SMALL / 2), SLOTS),
        };
        // The time is rounded up to a second: it is never too short.
        let ttl = policy.ttl.as_secs() + u64::from(policy.ttl.subsec_nanos() > 0);
        Self { keys: keys.row_of(rule), ttl, buckets, slots }
    }

    /// Claims a message that is new, or says where it stands.
    ///
    /// # Errors
    /// The store's; the entries of the claim that were made end with its time.
    pub fn claim(&self, store: &mut dyn SharedStore, now: Instant, marks: &Marks) -> Result<Seen, StoreError> {
        let mut claim = MessageClaim { marks: Marks::new(), id: Id::default() };
        for mark in marks.iter().map(|mark| mark & MARK) {
            if claim.marks.contains(&mark) {
                continue;
            }
            claim.marks.push(mark);
            let Some((seen, other)) = self.enter(store, now, mark, &mut claim)? else { continue };
            claim.marks.pop();
            // The message is an earlier one that comes again with further marks, as when it was signed afresh. The
            // marks that were entered just now lead to the earlier one from now on, or are removed if there is no room.
            // The first goes last: the entries that lead to it must not find it gone.
            for mark in claim.marks.iter().rev() {
                self.end(store, &claim, *mark, other.map(|id| (EntryKind::See, id)))?;
            }
            return Ok(seen);
        }
        Ok(if claim.marks.is_empty() { Seen::Full } else { Seen::Never(claim) })
    }

    /// Commits a claim: the application has taken the message, and is not to get it again.
    ///
    /// # Errors
    /// The store's; the message then counts as one in progress until its claim ends.
    pub fn commit(&self, store: &mut dyn SharedStore, claim: &MessageClaim) -> Result<(), StoreError> {
        let Some(first) = claim.marks.first() else { return Ok(()) };
        self.end(store, claim, *first, Some((EntryKind::Done, claim.id)))
    }

    /// Releases a claim: the application has not taken the message, which may come again.
    ///
    /// # Errors
    /// The store's; the message may then come again when its claim ends.
    pub fn release(&self, store: &mut dyn SharedStore, claim: &MessageClaim) -> Result<(), StoreError> {
        claim.marks.iter().try_for_each(|mark| self.end(store, claim, *mark, None))
    }

    /// Replaces the entry that a claim made for a mark by another one, or removes it.
    fn end(
        &self,
        store: &mut dyn SharedStore,
        claim: &MessageClaim,
        mark: u64,
        left: Option<(EntryKind, Id)>,
    ) -> Result<(), StoreError> {
        // A worker that took over an old claim has made another entry: that one is left alone.
        let own = ReplayEntry { mark, kind: claim.kind(mark), id: claim.id };
        self.change(store, mark, &mut |_, bucket| {
            let Some((place, _)) = bucket.find(|entry| entry == own) else { return Ok(false) };
            bucket.remove(place);
            left.into_iter().for_each(|(kind, id)| bucket.add(ReplayEntry { mark, kind, id }));
            Ok(true)
        })
    }

    /// Writes the entry of a mark for a claim; with the first entry the claim gets its id. Nothing is written if the
    /// mark has an entry of another message that counts: then returns where that message stands, and the id of its
    /// claim. Nor if there is no room: then returns [`Seen::Full`].
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
                    // The claim counts from the next full second: a bit longer does no harm.
                    let second = now.as_nanos().div_ceil(NANOS);
                    id = Id::new(second, self.bucket(mark), bucket.next_number());
                }
                bucket.add(ReplayEntry { mark, kind, id });
            }
            Ok(seen.is_none())
        })?;
        // Not before the write: another worker that was first after all may have taken the same number.
        claim.id = id;
        Ok(seen)
    }

    /// How the message of an entry stands; `None`: the entry does not count any more, or is this claim's own.
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
            Some(EntryKind::Claimed) if entry.id.second() + CLAIM_MAX.as_secs() > second(now) => Some(Seen::InProgress),
            _ => None,
        })
    }

    /// Whether an entry is to be forgotten. An entry that is not done lasts at least as long as its claim may.
    fn is_over(&self, entry: ReplayEntry, now: Instant) -> bool {
        let lasts = if entry.kind == EntryKind::Done { self.ttl } else { self.ttl.max(CLAIM_MAX.as_secs()) };
        entry.id.second() + lasts <= second(now)
    }

    /// Changes the bucket of a mark; nothing is written if `change` returns false.
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
