//! The fleet's dead letters in the store: what is asked of them, and what the store answers.
//!
//! A letter stands under the name of its delivery, as its gateway's ring has it. Beside it may stand which gateway delivers
//! it again, for as long as the writer lives that wrote so.
//!
//! Whoever changes letters says how often its own entry in the store was written, as with notes: a change that comes late
//! finds it written once more, and is none. So no late call brings a letter back that was discarded.

/// What is asked of the fleet's dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterOperation {
    /// Changes letters by their names, if the writer is alive. It has its turn among the writer's notes: one of them is
    /// asked for when the outcome of the one before is known.
    Change {
        /// What others are to know of the writer now.
        member: Vec<u8>,
        /// The changes.
        changes: Vec<(String, LetterChange)>,
    },
    /// Forgets letters under the conditions of a change, and writes nothing: this works where the store has no room.
    Forget {
        /// The names of the letters.
        names: Vec<String>,
    },
    /// Lists the letters, if any has changed.
    List {
        /// The revision at which they had changed last when they were listed before; `None`: they were not.
        known: Option<u64>,
        /// The last name that was listed before, of a list that goes on.
        after: Option<String>,
        /// The most names to list.
        most: u32,
    },
    /// Reads letters.
    Read {
        /// The names of the letters.
        names: Vec<String>,
    },
}

impl LetterOperation {
    /// Whether the operation writes what takes room.
    pub fn needs_room(&self) -> bool {
        matches!(self, Self::Change { .. })
    }
}

/// A change of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterChange {
    /// The letter is kept so, and nobody delivers it again.
    Keep(Vec<u8>),
    /// This gateway delivers the letter again.
    Take(String),
    /// The letter is kept no more.
    Forget,
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterAnswer {
    /// The answer to [`LetterOperation::List`].
    List(LetterList),
    /// The answer to [`LetterOperation::Read`]: the letters that there are.
    Read(Vec<StoredLetter>),
}

/// The names of letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterList {
    /// The names, in their order, each with the revision of its letter; `None`: nothing has changed.
    pub names: Option<Vec<(String, u64)>>,
    /// There are more.
    pub has_more: bool,
    /// The revision at which letters changed last; `None`: that is not known.
    pub changed: Option<u64>,
    /// The letters that are being delivered again, each with the name of the gateway.
    pub taken: Vec<(String, String)>,
}

/// A letter as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// The name of the delivery.
    pub name: String,
    /// The revision of the letter.
    pub revision: u64,
    /// The letter, with its payload.
    pub bytes: Vec<u8>,
}

/// What a writer tells of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterNews {
    /// Letters were changed.
    Changed(Vec<(String, LetterChange)>),
    /// The store has answered.
    Answer(LetterAnswer),
    /// The store has not told the letters that were to be read: there may be too many of them for one answer.
    ReadFailed,
}
