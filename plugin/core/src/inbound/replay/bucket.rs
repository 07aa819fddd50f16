//! A bucket of the table, as it stands in shared data: a head, and entries of 16 bytes, packed by hand. Unlike the
//! [records](crate::store::Record) it is not taken apart for every request: an entry is found and changed in place, and its
//! fixed size bounds the memory of the table.

use crate::store::StoreError;
use crate::store::keys::Stored;

/// Bytes of an entry.
pub const ENTRY: usize = 16;

/// Bytes before the entries: [`VERSION`], and the number of the last claim that began in the bucket.
const HEAD: usize = 3;

/// The format of a bucket, its first byte.
pub const VERSION: u8 = 1;

/// Tells a claim from all others, in 64 bits: the second from which it counts, the bucket of its first mark, and its number
/// there, which comes again after 65,536 claims in that bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Id(u64);

impl Id {
    /// An id of these three.
    pub fn new(second: u64, bucket: u32, number: u16) -> Self {
        Self(second << 32 | u64::from(bucket) << 16 | u64::from(number))
    }

    /// The second from which it counts.
    pub fn second(self) -> u64 {
        self.0 >> 32
    }

    /// The bucket of its first mark.
    pub fn bucket(self) -> u32 {
        self.0 as u32 >> 16
    }
}

/// What an entry is to the message of its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The application has taken it.
    Done = 0,
    /// It is with the application.
    Claimed = 1,
    /// It leads to the one entry with the same id, in the bucket that this names, that is `Done` or `Claimed`.
    See = 2,
}

/// An entry has its kind in the two highest bits of the number that holds its mark.
const KIND: u32 = 62;
/// The bits of a mark that are kept.
pub const MARK: u64 = u64::MAX >> (u64::BITS - KIND);

/// What a bucket holds of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    /// The mark.
    pub mark: u64,
    /// What it is to the message.
    pub kind: EntryKind,
    /// The claim that the message was given.
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

/// A bucket as it is stored: its head, and its entries, in no order. They are looked through and changed in place: to take
/// them apart would cost more than all else.
pub struct ReplayBucket(Vec<u8>);

impl Stored for ReplayBucket {
    const NAME: &'static str = "replay";
}

impl ReplayBucket {
    /// The bucket in these bytes; one that was never written is empty.
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

    /// The number of its entries.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    fn entries(&self) -> &[[u8; ENTRY]] {
        self.0.get(HEAD..).unwrap_or_default().as_chunks().0
    }

    /// The number of the next claim that begins in it.
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

    /// Puts the last entry in the place of this one.
    pub fn remove(&mut self, place: usize) {
        let entries = self.0.get_mut(HEAD..).unwrap_or_default().as_chunks_mut::<ENTRY>().0;
        if place < entries.len() {
            let last = entries.len() - 1;
            entries.swap(place, last);
            self.0.truncate(HEAD + last * ENTRY);
        }
    }

    /// Removes those that this is true of.
    pub fn forget(&mut self, is_over: impl Fn(ReplayEntry) -> bool) {
        // From the end: what takes the place of a removed one was looked at.
        for place in (0..self.len()).rev() {
            if self.entries().get(place).is_some_and(|entry| is_over(ReplayEntry::read(entry))) {
                self.remove(place);
            }
        }
    }

    /// The entry that this is true of, and its place.
    pub fn find(&self, mut is_it: impl FnMut(ReplayEntry) -> bool) -> Option<(usize, ReplayEntry)> {
        self.entries().iter().map(ReplayEntry::read).enumerate().find(|(_, entry)| is_it(*entry))
    }
}
