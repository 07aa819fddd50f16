//! What a journal asks of the store that holds it, and what the store may answer.
//!
//! A **writer** is one engine: it appends segments under an id that it drew at its start. Its id is registered in the
//! store and is **alive** as long as it renews it in time. Only a writer that is alive can append; once it is not, any
//! other may **claim** it, and then settles what the dead one had accepted. So each segment has one owner at any time:
//! its writer while that is alive, then whoever holds the claim.
//!
//! Nothing here says how a store does that. A store must be able to make several changes at once under a condition, to
//! list keys in their order, and to forget a key some time after it was renewed last.

pub use crate::journal::announcement::{Announcement, StoreStream};
pub use crate::journal::ids::{SegmentId, WriterId};
pub use crate::journal::keys::{EntryKey, FleetClaim, FoundKey, KeyName, Revision};
use crate::journal::letters::{LetterAnswer, LetterOperation};

/// What is asked of the store. An operation is carried out as a whole or not at all, and may be asked again with the
/// same content if its answer did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Registers a writer, alive from now on, with what others are to know of it.
    Open {
        /// The writer.
        writer: WriterId,
        /// What others are to know of it.
        member: Vec<u8>,
    },
    /// Keeps a writer alive. `Fenced`: it is dead.
    Renew {
        /// The writer.
        writer: WriterId,
    },
    /// Ends a writer: what it leaves may be claimed at once.
    Close {
        /// The writer.
        writer: WriterId,
    },
    /// Appends a segment, if its writer is alive and there is no such segment yet; `Already`: there is.
    Append {
        /// The segment.
        segment: SegmentId,
        /// The content of the segment.
        bytes: Vec<u8>,
        /// Segments of the same writer to delete, of which no progress was ever written.
        finished: Vec<u64>,
        /// The idempotency key of the only event in it: claimed with it, or `KeyTaken`.
        key: Option<EntryKey>,
    },
    /// Makes idempotency keys last from now on, at least for as long as they are remembered.
    KeepKeys,
    /// Writes what is remembered of an idempotency key, or forgets it.
    Settle {
        /// The name of the key.
        name: KeyName,
        /// What is remembered; `None`: nothing.
        bytes: Option<Vec<u8>>,
    },
    /// Puts nothing where a segment may have been appended, or may yet be: the segment is void, whenever it comes.
    Void {
        /// The segment.
        segment: SegmentId,
        /// An idempotency key is claimed with it. If it was appended it stays, and the answer is a page with it: by the
        /// key other gateways may have told their producers that the event is accepted.
        has_key: bool,
    },
    /// Writes how segments stand, and deletes those of which nothing is left, if `owner` is `writer` itself or claimed by
    /// it, and `writer` is alive. The notes of an owner take effect in the order in which they were asked for, or not at
    /// all: the next one is asked for when the outcome of this one is known.
    Note {
        /// The writer that asks.
        writer: WriterId,
        /// Whose segments these are.
        owner: WriterId,
        /// What others are to know of `writer` now; only beside its own segments.
        member: Vec<u8>,
        /// The progress of segments, by their numbers.
        progress: Vec<(u64, Vec<u8>)>,
        /// Segments to delete, with their progress.
        finished: Vec<u64>,
    },
    /// Deletes segments with their progress, under the conditions of a note, and writes nothing: this works where the
    /// store has no room. Not to be asked while the outcome of a note is not known.
    Delete {
        /// The writer that asks.
        writer: WriterId,
        /// Whose segments these are.
        owner: WriterId,
        /// The segments.
        finished: Vec<u64>,
    },
    /// Asks who is alive, who is registered, and who has claimed whom.
    Survey,
    /// Claims a dead writer, if it is registered and dead, nobody has claimed it, and `writer` is alive. The claim ends with
    /// `writer`.
    Claim {
        /// The writer that claims.
        writer: WriterId,
        /// The dead writer.
        dead: WriterId,
    },
    /// Gives a claim up.
    Release {
        /// The writer that holds the claim.
        writer: WriterId,
        /// The dead writer.
        dead: WriterId,
        /// Nothing of the dead writer is left: it is forgotten.
        is_done: bool,
    },
    /// Reads the next segments of a writer, in the order of their numbers, with their progress.
    Page {
        /// The writer.
        owner: WriterId,
        /// The number of the last segment that was read before.
        after: Option<u64>,
        /// The most segments to read.
        most: u32,
    },
    /// Reads the documents of the fleet that have changed since a revision.
    Documents {
        /// The revision up to which they are known; 0: none is.
        since: Revision,
    },
    /// Writes a document, if it is still at this revision.
    Store {
        /// The name of the document.
        name: String,
        /// The revision that it is changed from; 0: there is none yet.
        revision: Revision,
        /// The content.
        bytes: Vec<u8>,
    },
    /// Claims an inbound message, if each of its keys is at its revision, `writer` is alive, and all of `dead` are dead; or
    /// `MessageTaken`.
    ClaimMessage {
        /// The writer that asks.
        writer: WriterId,
        /// The claim.
        claim: FleetClaim,
        /// The writers whose claims it replaces.
        dead: Vec<WriterId>,
    },
    /// Writes under the keys of a message that it is done.
    SettleMessage {
        /// The names of the keys.
        names: Vec<KeyName>,
        /// What is remembered.
        bytes: Vec<u8>,
        /// How long the keys last at least, in seconds.
        lasts: u64,
    },
    /// Gives the claim of a message up, if it is made.
    ReleaseMessage {
        /// The claim.
        claim: FleetClaim,
        /// The claim may yet be made: it is void, whenever it comes.
        may_come_late: bool,
    },
    /// Makes the keys of messages last from now on, at least for so many seconds.
    KeepMessages {
        /// The seconds.
        lasts: u64,
    },
    /// Changes, lists or reads the fleet's dead letters.
    Letters {
        /// The writer that asks.
        writer: WriterId,
        /// What it asks.
        letters: LetterOperation,
    },
    /// Lets the store drop what was overwritten and deleted up to the last time it was asked so.
    Tidy,
}

impl Operation {
    /// Whether the operation writes what takes room, so that a store without room refuses it.
    pub fn needs_room(&self) -> bool {
        match self {
            Self::Open { .. }
            | Self::Append { .. }
            | Self::Void { .. }
            | Self::Note { .. }
            | Self::Claim { .. }
            | Self::ClaimMessage { .. } => true,
            Self::Letters { letters, .. } => letters.needs_room(),
            _ => false,
        }
    }
}

/// What the store answers to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Applied,
    /// It was done before: the answer to an earlier try was lost.
    Already,
    /// It is not done and cannot be: the writer is dead, or does not hold the claim.
    Fenced,
    /// It is not done: another event has the idempotency key.
    KeyTaken {
        /// The revision of what is remembered of the key.
        revision: Revision,
        /// What is remembered.
        bytes: Vec<u8>,
    },
    /// It is not done: this stands under keys of the message.
    MessageTaken(Vec<FoundKey>),
    /// It is not done, for this reason.
    Refused(StoreRefusal),
    /// Nobody can tell whether it is done, or will be.
    Unknown,
    /// The answer to [`Operation::Survey`].
    Survey(Survey),
    /// The answer to [`Operation::Page`].
    Page(Page),
    /// The answer to [`Operation::Documents`].
    Documents {
        /// The documents that have changed.
        changed: Vec<Document>,
        /// The revision up to which they are known now.
        until: Revision,
    },
    /// A document is written, and has this revision now.
    Stored(Revision),
    /// A document is not written: somebody else has changed it.
    Conflict,
    /// The answer to [`Operation::Letters`], where there is more than an outcome.
    Letters(LetterAnswer),
}

/// A document of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The name of the document.
    pub name: String,
    /// The revision of the document.
    pub revision: Revision,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Why the store refuses an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreRefusal {
    /// The call was not sent: there is no connection.
    NotSent,
    /// The store has no room left.
    Full,
    /// The operation is too large.
    TooLarge,
    /// The gateway may not do this: its credentials or rights do not suffice.
    Denied,
}

impl StoreRefusal {
    /// The word for the refusal, in logs and answers.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotSent => "not reachable",
            Self::Full => "full",
            Self::TooLarge => "too large",
            Self::Denied => "access denied",
        }
    }
}

/// Who is alive, who is registered, and who has claimed whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The writers that are alive, with what each says of itself.
    pub alive: Vec<(WriterId, Vec<u8>)>,
    /// All writers of which something may be left, alive or not.
    pub registered: Vec<WriterId>,
    /// The writers that are claimed, each with who has claimed it.
    pub claimed: Vec<(WriterId, WriterId)>,
}

impl Survey {
    /// The dead writers that nobody has claimed.
    pub fn abandoned(&self) -> impl Iterator<Item = WriterId> {
        let is_claimed = |writer: &WriterId| self.claimed.iter().any(|(dead, _)| dead == writer);
        let is_alive = |writer: &WriterId| self.alive.iter().any(|(alive, _)| alive == writer);
        self.registered.iter().copied().filter(move |writer| !is_claimed(writer) && !is_alive(writer))
    }

    /// The dead writers that this one has claimed.
    pub fn claimed_by(&self, writer: WriterId) -> impl Iterator<Item = WriterId> {
        self.claimed.iter().filter(move |(_, by)| *by == writer).map(|(dead, _)| *dead)
    }
}

/// Segments of a writer, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The segments.
    pub segments: Vec<StoredSegment>,
    /// There are more.
    pub has_more: bool,
}

/// A segment as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSegment {
    /// The number of the segment.
    pub seq: u64,
    /// The content of the segment; empty: the segment is void.
    pub bytes: Vec<u8>,
    /// The progress that was written of the segment.
    pub progress: Option<Vec<u8>>,
}

/// A call to the store: an HTTP request that carries an operation, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCall {
    /// The request's headers besides `:method`, `:scheme` and `:authority`, `:path` among them.
    pub headers: Vec<(&'static str, String)>,
    /// The request's body.
    pub body: Vec<u8>,
    /// Which part of the operation the call is, as the store numbers them.
    pub part: u8,
}

/// What came back of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreReply {
    /// The call was not sent.
    NotSent,
    /// The call was sent, and ended without an answer.
    #[default]
    Lost,
    /// An answer.
    Answer {
        /// The status of HTTP.
        status: u16,
        /// The header or trailer `grpc-status`.
        grpc_status: Option<u32>,
        /// The header or trailer `grpc-message`.
        grpc_message: String,
        /// The body.
        body: Vec<u8>,
    },
}

/// A store that can hold the journal. It has no I/O: it says which call an operation takes, and reads what came back.
pub trait Journal {
    /// The call that carries out an operation, or begins to.
    fn call(&mut self, operation: &Operation) -> StoreCall;

    /// Reads what came back of a call for this operation: the outcome, or the call that is to be made next.
    fn read(&mut self, operation: &Operation, part: u8, reply: &StoreReply) -> Result<Outcome, StoreCall>;

    /// Forgets a writer of its own, which makes no more calls.
    fn forget(&mut self, writer: WriterId);

    /// What an operation may hold at most.
    fn limits(&self) -> StoreLimits;

    /// The stream on which the store announces changes of documents; `None`: it has no such stream.
    fn announcements(&self) -> Option<StoreStream>;

    /// What a message on that stream means.
    fn announcement(&self, message: &[u8]) -> Announcement;
}

/// What an operation may hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// The number of segments and pieces of progress that are written or deleted.
    pub changes: usize,
    /// The size of one segment, in bytes.
    pub segment: usize,
}
