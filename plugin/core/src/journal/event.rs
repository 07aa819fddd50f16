//! What happens in the journal, as its writer tells the engine.

use std::time::Duration;

use crate::journal::batches::EntryTicket;
use crate::journal::letters::LetterNews;
use crate::journal::operation::{
    Document, FleetClaim, FoundKey, Outcome, Revision, SegmentId, StoreRefusal, StoredSegment, WriterId,
};

/// Why entries were not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitRefusal {
    /// The store refuses them.
    Store(StoreRefusal),
    /// Too many entries wait.
    Busy,
    /// Nobody can tell whether they were appended; they are void now, or will be.
    Unknown,
}

impl CommitRefusal {
    /// The words for the refusal, in logs and answers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Store(why) => why.label(),
            Self::Busy => "too many events wait",
            Self::Unknown => "no answer",
        }
    }
}

/// What has happened in the journal.
#[derive(Debug, PartialEq, Eq)]
pub enum JournalEvent {
    /// Entries were appended in a segment, in this order.
    Committed {
        /// The segment.
        segment: SegmentId,
        /// The numbers of the entries.
        tickets: Vec<EntryTicket>,
        /// The size of the segment, in bytes.
        bytes: u64,
        /// A try of the append may come late.
        may_come_late: bool,
        /// The segment is this writer's still; else whoever takes its writer over delivers it.
        is_ours: bool,
    },
    /// An entry was not appended: another event has its idempotency key.
    KeyTaken {
        /// The number of the entry.
        ticket: EntryTicket,
        /// The revision of what is remembered of the key.
        revision: Revision,
        /// What is remembered.
        bytes: Vec<u8>,
    },
    /// Entries were not appended.
    Refused {
        /// The numbers of the entries.
        tickets: Vec<EntryTicket>,
        /// Why.
        why: CommitRefusal,
    },
    /// A message is claimed.
    MessageClaimed {
        /// The number of the claim.
        ticket: EntryTicket,
        /// The claim, to be settled or released.
        claim: FleetClaim,
        /// A try of it may come late.
        may_come_late: bool,
    },
    /// A message is not claimed: this stands under its keys.
    MessageTaken {
        /// The number of the claim.
        ticket: EntryTicket,
        /// What stands there.
        found: Vec<FoundKey>,
    },
    /// A message is not claimed.
    MessageRefused {
        /// The number of the claim.
        ticket: EntryTicket,
        /// Why.
        why: CommitRefusal,
    },
    /// Nothing in the journal is this worker's any more: neither its own segments nor those that it had claimed.
    Lost,
    /// A dead writer was claimed.
    Claimed(WriterId),
    /// Segments of a dead writer were read, or one of its own that it had given up, and are this worker's to deliver.
    Taken {
        /// The writer that has appended them.
        dead: WriterId,
        /// The segments.
        segments: Vec<StoredSegment>,
    },
    /// It was noted how segments of this owner stand.
    Noted(Vec<SegmentId>),
    /// Documents of the fleet have changed.
    Documents {
        /// The documents.
        changed: Vec<Document>,
        /// The revision up to which all are known.
        until: Revision,
    },
    /// A document was written.
    Stored(Document),
    /// A document was not written, since another gateway has changed it.
    Conflict,
    /// Something is known of the fleet's dead letters.
    Letters(LetterNews),
    /// An append has ended so, this long after it was asked for first.
    Appended {
        /// The outcome.
        outcome: Outcome,
        /// The time it took.
        took: Duration,
        /// The number of entries.
        entries: usize,
    },
}
