//! Keys of the store that are claimed: those of idempotency keys, and those of inbound messages.

/// The name of an idempotency key or of a message's key: a hash.
pub type KeyName = [u8; 16];

/// The revision of a document or a key: a number that grows with each change.
pub type Revision = u64;

/// An idempotency key that is claimed with the event that it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryKey {
    /// The name of the key.
    pub name: KeyName,
    /// What is to be remembered of it.
    pub bytes: Vec<u8>,
    /// The revision of what is remembered so far, which this replaces; 0: nothing is.
    pub from: Revision,
}

/// The claim of a message, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetClaim {
    /// The names of the message's keys, each with the revision of what stood there before; 0: nothing did.
    pub keys: Vec<(KeyName, Revision)>,
    /// What stands under each of them, if the claim is made: no other claim has the same bytes.
    pub bytes: Vec<u8>,
    /// How long the keys last at least, in seconds.
    pub lasts: u64,
}

/// What stands under one key of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// The name of the key.
    pub name: KeyName,
    /// The revision of what stands there.
    pub revision: Revision,
    /// What stands there; empty: nothing that counts.
    pub bytes: Vec<u8>,
}
