//! Shared data: the keys and values all VMs of the process see.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use crate::abi::Status;
use crate::ids::Thread;

/// A write to shared data that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Virtual time since the start of the process.
    pub at: Duration,
    /// The thread of the VM that made it.
    pub thread: Thread,
    /// The key.
    pub key: String,
    /// What it holds from then on.
    pub value: Vec<u8>,
    /// A rule had let the VM wait in this callback, while others went on.
    pub has_waited: bool,
}

/// The keys of one process. There is no way to delete one, and none to list them from inside the filter.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    values: BTreeMap<String, Entry>,
    last_cas: u32,
    /// What threads take to be in keys that a rule keeps them from reading.
    memories: BTreeMap<(Thread, String), Found>,
}

/// A value and its CAS number, where there is one.
pub(crate) type Found = Option<(Vec<u8>, u32)>;

#[derive(Debug, Default)]
struct Entry {
    value: Vec<u8>,
    cas: u32,
    writers: BTreeSet<Thread>,
}

impl SharedData {
    /// Nothing yet; the first value written gets this CAS number, 0 standing for 1.
    pub(crate) fn starting_at(cas: u32) -> Self {
        Self { last_cas: cas.saturating_sub(1), ..Self::default() }
    }

    /// The value under a key, and its CAS number.
    pub(crate) fn get(&self, key: &str) -> Option<(&[u8], u32)> {
        self.values.get(key).map(|entry| (entry.value.as_slice(), entry.cas))
    }

    /// What a thread read or wrote in this key the last time; if it did neither, what is there.
    pub(crate) fn remembered(&mut self, thread: Thread, key: &str) -> Found {
        let now = self.get(key).map(|(value, cas)| (value.to_vec(), cas));
        self.memories.entry((thread, key.to_owned())).or_insert(now).clone()
    }

    /// Writes a key. A missing key takes any CAS number; 0 overwrites whatever is there.
    pub(crate) fn set(&mut self, writer: Thread, key: String, value: Vec<u8>, cas: u32) -> Status {
        if cas != 0 && self.values.get(&key).is_some_and(|entry| entry.cas != cas) {
            return Status::CasMismatch;
        }
        // One counter for all keys, and never 0.
        self.last_cas = self.last_cas.checked_add(1).unwrap_or(1);
        if !self.memories.is_empty()
            && let Some(memory) = self.memories.get_mut(&(writer, key.clone()))
        {
            *memory = Some((value.clone(), self.last_cas));
        }
        let entry = self.values.entry(key).or_default();
        (entry.value, entry.cas) = (value, self.last_cas);
        entry.writers.insert(writer);
        Status::Ok
    }

    /// The threads that have written a key.
    pub(crate) fn writers(&self, key: &str) -> impl Iterator<Item = Thread> {
        self.values.get(key).into_iter().flat_map(|entry| entry.writers.iter().copied())
    }

    /// All keys that begin so, sorted.
    pub(crate) fn starting_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let from = self
            .values
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix));
        from.map(|(key, entry)| (key.as_str(), entry.value.as_slice()))
    }

    /// All keys with their values, sorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.values.iter().map(|(key, entry)| (key.as_str(), entry.value.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(data: &mut SharedData, key: &str, cas: u32) -> Status {
        data.set(Thread::Main, key.to_owned(), b"value".to_vec(), cas)
    }

    #[test]
    fn a_missing_key_takes_any_cas_number() {
        assert_eq!(set(&mut SharedData::default(), "lease", u32::MAX), Status::Ok);
    }

    #[test]
    fn an_existing_key_takes_its_own_cas_number_or_none() {
        let mut data = SharedData::default();
        set(&mut data, "lease", 0);
        let (_, cas) = data.get("lease").unwrap();
        assert_eq!(set(&mut data, "lease", cas + 1), Status::CasMismatch);
        assert_eq!(set(&mut data, "lease", cas), Status::Ok);
        assert_eq!(set(&mut data, "lease", cas), Status::CasMismatch);
        assert_eq!(set(&mut data, "lease", 0), Status::Ok);
    }

    /// CAS numbers are shared by all keys and skip zero when they wrap.
    #[test]
    fn cas_numbers_skip_zero_when_they_wrap() {
        let mut data = SharedData::starting_at(u32::MAX);
        set(&mut data, "a", 0);
        set(&mut data, "b", 0);
        assert_eq!(data.get("a").unwrap().1, u32::MAX);
        assert_eq!(data.get("b").unwrap().1, 1);
    }
}
