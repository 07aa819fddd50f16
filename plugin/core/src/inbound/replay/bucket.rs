//! A bucket of the replay table, as it stands in shared data: a head, and entries of 16 bytes, packed by hand. Unlike
//! the [records](crate::store::Record) a bucket is not taken apart for every request: an entry is found and changed in
//! place, and its fixed size bounds the memory of the table.

use crate::store::StoreError;
use crate::store::keys::Stored;

/// The size of an entry, in bytes.
pub const ENTRY: usize = 16;

/// The size of the head, in bytes: [`VERSION`], and the number of the last claim that began in the bucket.
const HEAD: usize = 3;

/// The version of the format, the first byte of a bucket.
pub const VERSION: u8 = 1;

/// The id of a claim, which tells it from all others, in 64 bits: the second from which the claim counts, the bucket of
/// its first mark, and its number in that bucket, which comes again after 65,536 claims there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Id(u64);

impl Id {
    /// The id of these three parts.
    pub fn new(second: u64, bucket: u32, number: u16) -> Self {
        Self(second << 32 | u64::from(bucket) << 16 | u64::from(number))
    }

    /// The second from which the claim counts.
    pub fn second(self) -> u64 {
        self.0 >> 32
    }

    /// The number of the bucket of the claim's first mark.
    pub fn bucket(self) -> u32 {
        self.0 as u32 >> 16
    }
}

/// The kind of an entry: what it says of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The application has taken the message.
    Done = 0,
    /// The message is with the application.
    Claimed = 1,
    /// The entry leads to the one with the same id that is `Done` or `Claimed`, in the bucket that the id names.
    See = 2,
}

/// The place of an entry's kind: the two highest bits of the number that holds its mark.
const KIND: u32 = 62;
/// The bits of a mark that are kept.
pub const MARK: u64 = u64::MAX >> (u64::BITS - KIND);

/// An entry: what a bucket holds of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    /// The mark.
    pub mark: u64,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The id of the message's claim.
    pub id: Id,
}

impl ReplayEntry {
    #[inline]
    fn read(bytes: &[u8; ENTRY]) -> Self {
        let number = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes);
        let kind = match number(0) >> KIND {
            0 => EntryKind::Done,
            1 => EntryKind::Claimed,
            _ => EntryKind::See,
        };
        Self { mark: number(0) & MARK, kind, id: Id(number(8)) }
    }

    fn written(self) -> [u8; ENTRY] {
        let numbers = [self.mark | (self.kind as u64) << KIND, self.id.0];
        let mut bytes = [0; ENTRY];
        for (field, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
            *field = u64::to_le_bytes(number);
        }
        bytes
    }
}

/// A bucket as it is stored: a head, and entries in no order. The entries are looked through and changed in place: to
/// take them apart would cost more than all else.
pub struct ReplayBucket(Vec<u8>);

impl Stored for ReplayBucket {
    const NAME: &'static str = "replay";
}

impl ReplayBucket {
    /// The bucket in these bytes; a bucket that was never written is empty.
    ///
    /// # Errors
    /// [`StoreError::UnknownFormat`] for what another version wrote.
    pub fn read(bytes: Option<Vec<u8>>) -> Result<Self, StoreError> {
        let bytes = bytes.unwrap_or_else(|| vec![VERSION, 0, 0]);
        match bytes.split_first_chunk::<HEAD>() {
            Some(([VERSION, ..], entries)) if entries.len().is_multiple_of(ENTRY) => Ok(Self(bytes)),
            _ => Err(StoreError::UnknownFormat),
        }
    }

    /// The bytes to store.
    pub fn written(self) -> Vec<u8> {
        self.0
    }

    /// The number of the bucket's entries.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    fn entries(&self) -> &[[u8; ENTRY]] {
        self.0.get(HEAD..).unwrap_or_default().as_chunks().0
    }

    /// Counts a claim that begins in the bucket, and returns its number.
    pub fn next_number(&mut self) -> u16 {
        let Some([_, number @ ..]) = self.0.first_chunk_mut::<HEAD>() else { return 0 };
        let next = u16::from_le_bytes(*number).wrapping_add(1);
        *number = next.to_le_bytes();
        next
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: ReplayEntry) {
        self.0.extend(entry.written());
    }

    /// Removes the entry at this place, which the last entry takes.
    pub fn remove(&mut self, place: usize) {
        let entries = self.0.get_mut(HEAD..).unwrap_or_default().as_chunks_mut::<ENTRY>().0;
        if place < entries.len() {
            let last = entries.len() - 1;
            entries.swap(place, last);
            self.0.truncate(HEAD + last * ENTRY);
        }
    }

    /// Removes the entries that `is_over` holds for.
    pub fn forget(&mut self, is_over: impl Fn(ReplayEntry) -> bool) {
        // From the end: the entry that takes the place of a removed one was looked at already.
        for place in (0..self.len()).rev() {
            if self.entries().get(place).is_some_and(|entry| is_over(ReplayEntry::read(entry))) {
                self.remove(place);
            }
        }
    }

    /// The first entry that `is_it` holds for, and its place.
    pub fn find(&self, mut is_it: impl FnMut(ReplayEntry) -> bool) -> Option<(usize, ReplayEntry)> {
        self.entries().iter().map(ReplayEntry::read).enumerate().find(|(_, entry)| is_it(*entry))
    }
}
