//! Entries that wait to be appended, and the rule by which they go together into segments.
//!
//! **Group commit.** A segment is appended at once if no other is under way, else at most one every [`EVERY`], with up
//! to [`UNDER_WAY_MAX`] under way. So an event that comes alone waits for nothing, and under load many share one round
//! trip. (One append at a time would be slow on a slow disk: etcd itself groups what is under way.)

use std::collections::VecDeque;
use std::time::Duration;

use crate::journal::operation::EntryKey;
use crate::journal::record::encode_segment;
use crate::time::Instant;

/// The shortest time between two appends while others are under way.
pub const EVERY: Duration = Duration::from_millis(2);

/// The most appends under way at once.
pub const UNDER_WAY_MAX: usize = 16;

/// The size at which a segment is full, in bytes. A larger entry has a segment of its own.
pub const SEGMENT: usize = 256 << 10;

/// How long an entry may wait until it is appended for the first time.
pub const WAIT_MAX: Duration = Duration::from_secs(3);

/// The most events that wait for their commit in one worker, and the most messages that wait for their claim: at 500 a
/// second as many come within the 4 seconds after which each is answered.
pub const WAITING_MAX: usize = 2048;

/// The most bytes of such events, and of such messages, in one worker.
pub const WAITING_BYTES_MAX: u64 = 16 << 20;

/// The number of an entry that waits, by which its fate is reported.
pub type EntryTicket = u64;

/// An entry that waits to be appended.
#[derive(Debug)]
pub struct QueuedEntry {
    /// The number of the entry.
    pub ticket: EntryTicket,
    /// The bytes of the entry.
    pub bytes: Vec<u8>,
    /// When the entry came.
    pub since: Instant,
    /// The idempotency key of the event, if it has one: such an event has a segment of its own, since a key that is taken
    /// refuses the whole segment.
    pub key: Option<EntryKey>,
}

/// The entries that wait to be appended, oldest first.
#[derive(Debug, Default)]
pub struct Batches {
    queue: VecDeque<QueuedEntry>,
    last: Instant,
}

impl Batches {
    /// Adds an entry.
    pub fn push(&mut self, entry: QueuedEntry) {
        self.queue.push_back(entry);
    }

    /// Puts entries back that were surely not appended: they go first, in their order.
    pub fn put_back(&mut self, entries: Vec<QueuedEntry>) {
        entries.into_iter().rev().for_each(|entry| self.queue.push_front(entry));
    }

    /// The time at which the next segment is to be appended, with so many under way; `None`: none is.
    pub fn due(&self, under_way: usize) -> Option<Instant> {
        self.queue.front()?;
        match under_way {
            0 => Some(Instant::default()),
            1..UNDER_WAY_MAX => Some(self.last.plus(EVERY)),
            _ => None,
        }
    }

    /// Takes the entries of the next segment, at most [`SEGMENT`] bytes of them and at least one.
    pub fn take(&mut self, now: Instant) -> Vec<QueuedEntry> {
        self.last = now;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let fits = |entry: &mut QueuedEntry, bytes: usize| {
            bytes == 0 || (entry.key.is_none() && bytes + entry.bytes.len() <= SEGMENT)
        };
        while let Some(entry) = self.queue.pop_front_if(|entry| fits(entry, bytes)) {
            bytes += entry.bytes.len();
            let is_alone = entry.key.is_some();
            taken.push(entry);
            if is_alone {
                break;
            }
        }
        taken
    }

    /// Whether the next segment is that of an event with an idempotency key.
    pub fn has_key_first(&self) -> bool {
        self.queue.front().is_some_and(|entry| entry.key.is_some())
    }

    /// Removes the entries that have waited too long.
    pub fn expired(&mut self, now: Instant) -> Vec<QueuedEntry> {
        let late = self.queue.iter().take_while(|entry| now.since(entry.since) >= WAIT_MAX).count();
        self.queue.drain(..late).collect()
    }

    /// When the oldest entry has waited too long.
    pub fn expires(&self) -> Option<Instant> {
        self.queue.front().map(|entry| entry.since.plus(WAIT_MAX))
    }

    /// Whether no entry waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The bytes of a segment with these entries.
pub fn segment_of(entries: &[QueuedEntry]) -> Vec<u8> {
    encode_segment(entries.iter().map(|entry| entry.bytes.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn queued(sizes: &[usize]) -> Batches {
        let mut batches = Batches::default();
        for (ticket, size) in (0..).zip(sizes) {
            batches.push(QueuedEntry { ticket, bytes: vec![0; *size], since: at(ticket), key: None });
        }
        batches
    }

    fn tickets(entries: &[QueuedEntry]) -> Vec<EntryTicket> {
        entries.iter().map(|entry| entry.ticket).collect()
    }

    /// An entry that comes while nothing is under way leaves at once; others at most every two milliseconds.
    #[test]
    fn entries_leave_at_once_or_every_two_milliseconds() {
        let mut batches = queued(&[1, SEGMENT, 1]);
        assert_eq!(batches.due(0), Some(Instant::default()));
        batches.take(at(10));
        assert_eq!(batches.due(1), Some(at(12)));
        assert_eq!(batches.due(UNDER_WAY_MAX - 1), Some(at(12)));
        assert_eq!(batches.due(UNDER_WAY_MAX), None);
        assert_eq!(Batches::default().due(0), None);
    }

    /// A segment holds what fits into it, and an entry that is larger than a segment alone.
    #[test]
    fn segment_holds_what_fits_and_at_least_one_entry() {
        let mut batches = queued(&[SEGMENT - 1, 1, 1, SEGMENT + 1, 1]);
        let taken: Vec<_> = (0..4).map(|_| tickets(&batches.take(at(0)))).collect();
        assert_eq!(taken, [vec![0, 1], vec![2], vec![3], vec![4]]);
        assert!(batches.is_empty());
    }

    #[test]
    fn entries_put_back_go_first_in_their_order() {
        let mut batches = queued(&[1, 1, SEGMENT]);
        let taken = batches.take(at(0));
        batches.put_back(taken);
        assert_eq!(tickets(&batches.take(at(0))), [0, 1]);
    }

    #[test]
    fn an_entry_expires_after_three_seconds() {
        let mut batches = queued(&[1, 1]);
        assert_eq!(batches.expires(), Some(at(3000)));
        assert_eq!(tickets(&batches.expired(at(3000))), [0]);
        assert_eq!(batches.expires(), Some(at(3001)));
    }

    /// An event with an idempotency key has a segment of its own.
    #[test]
    fn an_event_with_a_key_goes_alone() {
        let mut batches = Batches::default();
        for (ticket, has_key) in (0..).zip([false, true, true, false, false]) {
            let key = has_key.then(|| EntryKey { name: [0; 16], bytes: Vec::new(), from: 0 });
            batches.push(QueuedEntry { ticket, bytes: vec![0; 9], since: at(0), key });
        }
        let taken: Vec<_> = (0..4).map(|_| tickets(&batches.take(at(0)))).collect();
        assert_eq!(taken, [vec![0], vec![1], vec![2], vec![3, 4]]);
    }
}
