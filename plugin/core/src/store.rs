//! The key-value store that all VMs of the process share, as the engine sees it.
//!
//! It mirrors the proxy-wasm ABI: whole values, no delete, no listing, compare-and-swap by a number that comes with
//! each read. Envoy holds one mutex over it, so every call is atomic by itself.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::keys::{StoreKey, Stored};
use crate::time::Now;

pub mod keys;

/// The number of tries of a contended update: each try loses only to another VM's success, so a few VMs never reach
/// this number by contention alone.
const UPDATE_TRIES: u32 = 64;

/// The capacity with which a record's buffer begins, in bytes: most records fit, and need not be moved while they grow.
const ROOM: usize = 192;

/// The compare-and-swap (CAS) number of a value: it comes with each read, and guards the replacement of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cas(pub u32);

impl Cas {
    /// The number for a key that was just seen to be missing: Envoy lets any number create a missing key, and only one
    /// caller creates it.
    pub const CREATE: Self = Self(u32::MAX);
}

/// Why the store could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Somebody else wrote the key since it was read.
    CasMismatch,
    /// A contended key was lost to others too many times in a row.
    Contended,
    /// The value has a format this version does not know; it is left alone.
    UnknownFormat,
    /// The record cannot be serialised. That happens to no record of this crate: postcard fails only on a sequence of
    /// unknown length.
    Serialize,
    /// The host refused, with this status of the ABI.
    Host(u32),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CasMismatch => f.write_str("somebody else wrote the key first"),
            Self::Contended => write!(f, "the key was lost to others {UPDATE_TRIES} times in a row"),
            Self::UnknownFormat => f.write_str("the value was written by another version"),
            Self::Serialize => f.write_str("the value cannot be serialised"),
            Self::Host(status) => write!(f, "the host answered status {status}"),
        }
    }
}

/// Data shared by all VMs of one Envoy process.
pub trait SharedStore {
    /// The value of a key with its CAS number, or `None` if the key was never set.
    ///
    /// # Errors
    /// [`StoreError::Host`] when the host refuses.
    fn get(&mut self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError>;

    /// Sets a key: unconditionally, or only while its CAS number is still `cas`.
    ///
    /// # Errors
    /// [`StoreError::CasMismatch`] when somebody else wrote it; [`StoreError::Host`] when the host refuses.
    fn set(&mut self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<(), StoreError>;
}

/// The world of one callback: the clocks, the shared data and the randomness that the policy may use. The policy has
/// none of its own.
pub struct World<'a> {
    /// Both clocks, read when the callback began.
    pub now: Now,
    /// The data that all VMs share.
    pub store: &'a mut dyn SharedStore,
    /// Draws sixteen random bytes, unpredictable.
    pub random: &'a mut dyn FnMut() -> [u8; 16],
}

/// A value in the store: a format version, then its fields in
/// [postcard's format](https://postcard.jamesmunns.com/wire-format).
pub trait Record: Stored + Serialize + DeserializeOwned {
    /// The format version: raised whenever the fields change; a reader leaves other versions alone. Never [`FREED`].
    const VERSION: u8;

    /// The bytes to store.
    ///
    /// # Errors
    /// [`StoreError::Serialize`].
    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        encoded(Self::VERSION, self)
    }

    /// Reads a record that [`encode`](Self::encode) wrote; returns it with the bytes behind it.
    ///
    /// # Errors
    /// [`StoreError::UnknownFormat`] for another version or bytes that are no such record.
    fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), StoreError> {
        match bytes.split_first() {
            Some((version, fields)) if *version == Self::VERSION => {
                postcard::take_from_bytes(fields).map_err(|_| StoreError::UnknownFormat)
            }
            _ => Err(StoreError::UnknownFormat),
        }
    }
}

/// The bytes of a record: its version, and its fields.
///
/// # Errors
/// [`StoreError::Serialize`].
pub fn encoded(version: u8, fields: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(ROOM);
    bytes.push(version);
    postcard::to_extend(fields, bytes).map_err(|_| StoreError::Serialize)
}

/// The one byte that a freed slot holds, since a key cannot be deleted.
pub const FREED: u8 = 0;

/// Whether this is the value of a freed slot.
pub fn is_freed(value: &[u8]) -> bool {
    value == [FREED]
}

/// Reads a record; `None` when the key is missing or freed.
///
/// # Errors
/// The store's, and [`StoreError::UnknownFormat`].
pub fn read<R: Record>(store: &mut dyn SharedStore, key: &StoreKey<R>) -> Result<Option<R>, StoreError> {
    match store.get(key.as_str())? {
        Some((bytes, _)) if !is_freed(&bytes) => R::decode(&bytes).map(|(record, _)| Some(record)),
        _ => Ok(None),
    }
}

/// Changes a record under compare-and-swap, from its default when there is none yet. `change` sees the newest record,
/// and its [`Write`] says whether to write the record; `change` may run several times. Returns the other result of the
/// last run.
///
/// # Errors
/// The store's, [`StoreError::UnknownFormat`], and [`StoreError::Contended`].
pub fn update<R: Record + Default, T>(
    store: &mut dyn SharedStore,
    key: &StoreKey<R>,
    mut change: impl FnMut(&mut R) -> (Write, T),
) -> Result<T, StoreError> {
    swap(store, key, |_, bytes| {
        let mut record = match bytes {
            Some(bytes) => R::decode(&bytes)?.0,
            None => R::default(),
        };
        let (write, result) = change(&mut record);
        let changed = match write {
            Write::Yes => Some(record.encode()?),
            Write::No => None,
        };
        Ok((changed, result))
    })
}

/// Changes a value under compare-and-swap, from `None` when the value is missing or freed. `change` sees the newest
/// value and gives the one to write, or `None` to leave the value as it is; `change` may run several times. Returns the
/// other result of the last run. Other keys that `change` reads are read after this one: a writer that changes those
/// keys first and this one last makes the compare-and-swap fail, and `change` runs again.
///
/// # Errors
/// The store's, those of `change`, and [`StoreError::Contended`].
pub(crate) fn swap<R, T>(
    store: &mut dyn SharedStore,
    key: &StoreKey<R>,
    mut change: impl FnMut(&mut dyn SharedStore, Option<Vec<u8>>) -> Result<(Option<Vec<u8>>, T), StoreError>,
) -> Result<T, StoreError> {
    for _ in 0..UPDATE_TRIES {
        let (bytes, cas) = store.get(key.as_str())?.map_or((None, Cas::CREATE), |(bytes, cas)| (Some(bytes), cas));
        let (changed, result) = change(store, bytes.filter(|bytes| !is_freed(bytes)))?;
        let Some(changed) = changed else { return Ok(result) };
        match store.set(key.as_str(), &changed, Some(cas)) {
            Err(StoreError::CasMismatch) => {}
            written => return written.map(|()| result),
        }
    }
    Err(StoreError::Contended)
}

/// Whether an update writes the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Yes.
    Yes,
    /// The record is as it was.
    No,
}

#[cfg(test)]
pub mod recorded;

/// A store in memory, with Envoy's rules, for tests of this crate.
#[cfg(test)]
pub mod memory {
    use std::collections::BTreeMap;

    use super::{Cas, SharedStore, StoreError};

    /// A [`SharedStore`] in memory.
    #[derive(Default)]
    pub struct MemoryStore {
        /// The values by key, with their CAS numbers.
        pub values: BTreeMap<String, (Vec<u8>, Cas)>,
        last_cas: u32,
        /// Every set is refused from now on.
        pub refuse_sets: bool,
    }

    impl SharedStore for MemoryStore {
        fn get(&mut self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError> {
            Ok(self.values.get(key).cloned())
        }

        fn set(&mut self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<(), StoreError> {
            if self.refuse_sets {
                return Err(StoreError::Host(10));
            }
            if let (Some(cas), Some((_, current))) = (cas, self.values.get(key))
                && cas != *current
            {
                return Err(StoreError::CasMismatch);
            }
            self.last_cas += 1;
            self.values.insert(key.to_owned(), (value.to_vec(), Cas(self.last_cas)));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
