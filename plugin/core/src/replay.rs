//! Messages that were seen, so that the same one again does not reach the application: a bounded table in shared data.
//!
//! A message is known by its [`Marks`]. It is claimed when it arrives, under all workers by one alone; committed when the
//! application has answered 2xx; and released when it has not, so that its sender's next try gets through. Until then it is
//! [`InProgress`](Seen::InProgress), afterwards [`Done`](Seen::Done) for the `ttl`.
//!
//! # Layout
//! Each mark has an entry in the bucket its hash names, `<name>/replay/<rule>/<b>`. The first mark's entry holds where the
//! message stands; those of further marks only point to it, so that a commit is one write. A bucket is claimed in by
//! compare-and-swap, the first mark's before the others': of two workers with the same message, or with two messages of
//! one id, one finds the other's entry.
//!
//! # Size
//! An entry takes [`ENTRY`] bytes, and a message one or two of them, and one more for each further secret while secrets
//! rotate. A bucket has room for [`SLOTS`], twice of what it gets when the table holds `capacity` messages of two marks
//! each. Chance fills some buckets before others: with room for twice the mean of 32, one of ten million is full at
//! `capacity`. So up to `capacity` nothing is refused, and at twice of that everything is. A table for 32 messages or fewer
//! is one bucket, and exact. Memory at the worst: `capacity` x 4 x 24 bytes, and 200 for the key of each 16 messages: 110
//! bytes a message, 11 MB for 100,000.
//!
//! The number of buckets follows from `capacity`: changing it in a config forgets what was seen.

use std::time::Duration;

use crate::signature::Marks;
use crate::store::{SharedStore, StoreError, swap};
use crate::time::Instant;

/// How long a message may be under way to the application before its claim is taken for abandoned, its worker for dead:
/// Envoy itself gives a stream up that was silent for as long (`stream_idle_timeout`).
pub const CLAIM: Duration = Duration::from_secs(300);

/// Entries of a bucket.
pub const SLOTS: usize = 64;

/// A table for so many messages or fewer is one bucket.
const SMALL: u32 = SLOTS as u32 / 2;

/// Bytes of an entry.
pub const ENTRY: usize = 24;

/// The format of a bucket, its first byte.
const VERSION: u8 = 1;

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
    Never(Claim),
    /// Claimed by a request that the application has not answered.
    InProgress,
    /// The application has taken it.
    Done,
    /// New, and there is no room.
    Full,
}

/// A claim, to be committed or released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    marks: Marks,
    /// Its own, even after another has taken over.
    until: Instant,
}

impl Claim {
    /// What the entry of one of its marks says: the first one's where the message stands, the others' to look there.
    fn state(&self, mark: u64) -> State {
        match self.marks.first() {
            Some(first) if *first != mark => State::See { mark: *first, stamp: stamp(self.until) },
            _ => State::Claimed { until: self.until },
        }
    }
}

/// The entries of a bucket as they are stored. They are looked through and changed in place: to take them apart would
/// cost more than all else.
#[derive(Default)]
struct Bucket(Vec<[u8; ENTRY]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Claimed {
        until: Instant,
    },
    /// What was claimed until then.
    Done {
        until: Instant,
    },
    /// Ask the entry of this mark, as long as it is of the claim with this [`stamp`].
    See {
        mark: u64,
        stamp: u64,
    },
}

impl Bucket {
    /// The bucket in these bytes: a version, and the entries.
    fn read(bytes: Option<&[u8]>) -> Result<Self, StoreError> {
        match bytes.map(<[u8]>::split_first) {
            None => Ok(Self::default()),
            Some(Some((&VERSION, entries))) => match entries.as_chunks() {
                (entries, []) => Ok(Self(entries.to_vec())),
                _ => Err(StoreError::UnknownFormat),
            },
            Some(_) => Err(StoreError::UnknownFormat),
        }
    }

    fn written(&self) -> Vec<u8> {
        [&[VERSION], self.0.as_flattened()].concat()
    }

    /// The place of the entry of a mark that is not forgotten yet.
    fn find(&self, mark: u64, now: Instant) -> Option<usize> {
        self.0.iter().position(|entry| number(entry, MARK) == mark && expiry(entry) > now)
    }

    fn state(&self, place: usize) -> Option<State> {
        let entry = self.0.get(place)?;
        let value = number(entry, VALUE);
        let kind = number(entry, KIND) >> 32;
        match kind & KINDS {
            0 => Some(State::Done { until: Instant::from_nanos(value) }),
            1 => Some(State::Claimed { until: Instant::from_nanos(value) }),
            2 => Some(State::See { mark: value, stamp: kind & !KINDS }),
            _ => None,
        }
    }

    /// Forgets what is to be forgotten.
    fn purge(&mut self, now: Instant) {
        self.0.retain(|entry| expiry(entry) > now);
    }
}

/// Where an entry has its mark, its state's value, and its expiry in whole seconds with the state's kind behind.
const MARK: usize = 0;
const VALUE: usize = 8;
const KIND: usize = 16;
/// The bits that tell the kinds apart; above them is a stamp.
const KINDS: u64 = 3;

/// Tells a claim from others of the same mark: 30 bits of its time, down to four microseconds.
fn stamp(until: Instant) -> u64 {
    until.as_nanos() >> 10 & u64::from(u32::MAX) & !KINDS
}

fn entry(mark: u64, expires: Instant, state: State) -> [u8; ENTRY] {
    let (kind, value): (u64, u64) = match state {
        State::Done { until } => (0, until.as_nanos()),
        State::Claimed { until } => (1, until.as_nanos()),
        State::See { mark, stamp } => (2 | stamp, mark),
    };
    // Rounded up: a bit longer does no harm.
    let seconds = expires.as_nanos().div_ceil(NANOS).min(u64::from(u32::MAX));
    let mut entry = [0; ENTRY];
    for (field, number) in entry.as_chunks_mut().0.iter_mut().zip([mark, value, kind << 32 | seconds]) {
        *field = u64::to_le_bytes(number);
    }
    entry
}

fn number(entry: &[u8; ENTRY], at: usize) -> u64 {
    entry.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
}

fn expiry(entry: &[u8; ENTRY]) -> Instant {
    Instant::from_nanos((number(entry, KIND) & u64::from(u32::MAX)) * NANOS)
}

/// In a second.
const NANOS: u64 = 1_000_000_000;

/// The table of one rule.
#[derive(Clone, Debug)]
pub struct Table {
    /// `<name>/replay/<rule>/`.
    prefix: String,
    policy: Policy,
    buckets: u32,
    slots: usize,
}

impl Table {
    /// The table of the inbound rule `rule` of the plugin `plugin`, whose messages have at most so many marks each.
    pub fn new(plugin: &str, rule: &str, policy: Policy, marks: usize) -> Self {
        // How many buckets there are follows from the capacity alone: marks must be found where they were left, whatever
        // the signatures of the config become.
        let (buckets, slots) = match policy.capacity {
            ..=SMALL => (1, usize::try_from(policy.capacity).unwrap_or_default() * marks),
            _ => (policy.capacity.div_ceil(SMALL / 2), SLOTS),
        };
        Self { prefix: [plugin, "/replay/", rule, "/"].concat(), policy, buckets, slots }
    }

    /// Claims a message that is new, or says where it stands.
    ///
    /// # Errors
    /// The store's; the claim, as far as it was made, ends at its time.
    pub fn claim(&self, store: &mut dyn SharedStore, now: Instant, marks: &Marks) -> Result<Seen, StoreError> {
        let mut claim = Claim { marks: Marks::new(), until: now.plus(CLAIM) };
        for mark in marks {
            if claim.marks.contains(mark) {
                continue;
            }
            claim.marks.push(*mark);
            let Some((seen, other)) = self.enter(store, now, *mark, &claim)? else { continue };
            claim.marks.pop();
            // It comes again under a mark of its own, as when it was signed afresh: by that it is the other one from now on.
            let expires = now.plus(self.policy.ttl.max(CLAIM));
            // The first one last: what points to it must not find it gone.
            for mark in claim.marks.iter().rev() {
                self.end(store, &claim, *mark, other.map(|other| entry(*mark, expires, other)))?;
            }
            return Ok(seen);
        }
        Ok(if claim.marks.is_empty() { Seen::Full } else { Seen::Never(claim) })
    }

    /// The application has taken the message: it is not to see it again.
    ///
    /// # Errors
    /// The store's; the message then counts as one in progress until its claim ends.
    pub fn commit(&self, store: &mut dyn SharedStore, claim: &Claim) -> Result<(), StoreError> {
        let Some(first) = claim.marks.first() else { return Ok(()) };
        let expires = claim.until.minus(CLAIM).plus(self.policy.ttl);
        self.end(store, claim, *first, Some(entry(*first, expires, State::Done { until: claim.until })))
    }

    /// The application has not taken the message: it may come again.
    ///
    /// # Errors
    /// The store's; the message may then come again when its claim ends.
    pub fn release(&self, store: &mut dyn SharedStore, claim: &Claim) -> Result<(), StoreError> {
        claim.marks.iter().try_for_each(|mark| self.end(store, claim, *mark, None))
    }

    /// Puts another entry, or none, in the place of the one that a claim made for a mark.
    fn end(
        &self,
        store: &mut dyn SharedStore,
        claim: &Claim,
        mark: u64,
        left: Option<[u8; ENTRY]>,
    ) -> Result<(), StoreError> {
        self.change(store, mark, &mut |_, bucket| {
            // Whoever took over an old claim has made another one.
            let own = Some(claim.state(mark));
            let place = bucket.find(mark, Instant::default()).filter(|place| bucket.state(*place) == own);
            let Some(place) = place else { return Ok(false) };
            bucket.0.swap_remove(place);
            bucket.0.extend(left);
            Ok(true)
        })
    }

    /// Writes the entry of a claim's mark, unless there is one that counts: of another message, whose standing it gives and,
    /// where there is room, what an entry says that points to it.
    fn enter(
        &self,
        store: &mut dyn SharedStore,
        now: Instant,
        mark: u64,
        claim: &Claim,
    ) -> Result<Option<(Seen, Option<State>)>, StoreError> {
        let mut seen = None;
        self.change(store, mark, &mut |store, bucket| {
            bucket.purge(now);
            seen = match bucket.find(mark, now) {
                Some(place) => {
                    let standing = self.standing(store, now, (mark, bucket.state(place)), claim)?;
                    if standing.is_none() {
                        bucket.0.swap_remove(place);
                    }
                    standing.map(|(seen, other)| (seen, Some(other)))
                }
                None => (bucket.0.len() >= self.slots).then_some((Seen::Full, None)),
            };
            if seen.is_none() {
                bucket.0.push(entry(mark, now.plus(self.policy.ttl.max(CLAIM)), claim.state(mark)));
            }
            Ok(seen.is_none())
        })?;
        Ok(seen)
    }

    /// Where the message of an entry stands, and what points to it; `None`: nowhere, or it is this claim's own.
    fn standing(
        &self,
        store: &mut dyn SharedStore,
        now: Instant,
        (mark, state): (u64, Option<State>),
        claim: &Claim,
    ) -> Result<Option<(Seen, State)>, StoreError> {
        let (mark, state, wanted) = match state.ok_or(StoreError::UnknownFormat)? {
            State::See { mark, .. } if claim.marks.first() == Some(&mark) => return Ok(None),
            State::See { mark, stamp } => {
                let value = store.get(&self.key(mark))?;
                let bucket = Bucket::read(value.as_ref().map(|(bytes, _)| bytes.as_slice()))?;
                let Some(place) = bucket.find(mark, now) else { return Ok(None) };
                (mark, bucket.state(place).ok_or(StoreError::UnknownFormat)?, Some(stamp))
            }
            state => (mark, state, None),
        };
        let (until, seen) = match state {
            State::Done { until } => (until, Seen::Done),
            State::Claimed { until } if until > now => (until, Seen::InProgress),
            // What was pointed to points on itself: it is another message's now.
            State::Claimed { .. } | State::See { .. } => return Ok(None),
        };
        // And so it is where another claim was made for it.
        let stamp = stamp(until);
        Ok(wanted.is_none_or(|wanted| wanted == stamp).then_some((seen, State::See { mark, stamp })))
    }

    /// Changes the bucket of a mark, if `change` says that it has.
    fn change(
        &self,
        store: &mut dyn SharedStore,
        mark: u64,
        change: &mut dyn FnMut(&mut dyn SharedStore, &mut Bucket) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        swap(store, &self.key(mark), &mut |store, bytes| {
            let mut bucket = Bucket::read(bytes)?;
            Ok(change(store, &mut bucket)?.then(|| bucket.written()))
        })
    }

    fn key(&self, mark: u64) -> String {
        [&self.prefix, itoa::Buffer::new().format(mark % u64::from(self.buckets))].concat()
    }
}

#[cfg(test)]
mod tests;
