//! Keys and values with their revisions (etcd's MVCC): the present state, and what changed since the last compaction.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use etcd_messages::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};

use crate::status::{self, Status};

/// Bytes of the database that each version of a key takes beside its key and value: its place in etcd's tree, and the
/// encoding. Events of a kibibyte took 1,206 bytes each in etcd 3.4.
const OVERHEAD: usize = 120;
/// Bytes of a database without keys.
const EMPTY: usize = 16 << 10;

/// How a key changed in one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: i64,
    /// The key.
    pub key: Vec<u8>,
    /// What stood there before; `None` where nothing did.
    pub before: Option<Rc<KeyValue>>,
    /// What stands there since; `None` when it was deleted.
    pub after: Option<Rc<KeyValue>>,
}

impl Change {
    /// The version that a compaction behind this change gives back.
    fn freed(&self) -> usize {
        let before = self.before.as_ref().map_or(0, |kv| size(kv));
        let tombstone = if self.after.is_none() { self.key.len() + OVERHEAD } else { 0 };
        before + tombstone
    }
}

fn size(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len() + OVERHEAD
}

/// All keys.
#[derive(Debug)]
pub(crate) struct Store {
    live: BTreeMap<Vec<u8>, Rc<KeyValue>>,
    /// The changes of each revision since the last compaction.
    changes: BTreeMap<i64, Vec<Change>>,
    revision: i64,
    /// -1: never compacted, as etcd has it.
    compacted: i64,
    in_use: usize,
    /// What the file has: pages that came free are used again, and only a defragmentation gives them back.
    file: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self { live: BTreeMap::new(), changes: BTreeMap::new(), revision: 1, compacted: -1, in_use: EMPTY, file: EMPTY }
    }
}

/// The first key of some, and where they end.
type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The keys that a request names: `end` empty for the one `key`, a zero byte for all from it on.
fn bounds<'a>(key: &'a [u8], end: &'a [u8]) -> Option<Bounds<'a>> {
    let start = Bound::Included(key);
    match end {
        [] => Some((start, start)),
        [0] => Some((start, Bound::Unbounded)),
        _ if end <= key => None,
        _ => Some((start, Bound::Excluded(end))),
    }
}

/// Is this key among those?
pub(crate) fn covers(key: &[u8], end: &[u8], other: &[u8]) -> bool {
    match end {
        [] => key == other,
        [0] => key <= other,
        _ => key <= other && other < end,
    }
}

impl Store {
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision that was compacted last; -1 for none.
    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Bytes of all keys and values, and of what a compaction would give back.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Bytes of the file.
    pub(crate) fn file(&self) -> usize {
        self.file
    }

    pub(crate) fn defragment(&mut self) {
        self.file = self.in_use;
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Rc<KeyValue>> {
        self.live.get(key)
    }

    /// The pairs that are there now.
    pub(crate) fn among<'a>(&'a self, key: &'a [u8], end: &'a [u8]) -> impl Iterator<Item = &'a Rc<KeyValue>> {
        bounds(key, end).into_iter().flat_map(|bounds| self.live.range::<[u8], _>(bounds)).map(|(_, kv)| kv)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<KeyValue>> {
        self.live.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// The changes from a revision on, that one included.
    pub(crate) fn changes_since(&self, revision: i64) -> impl Iterator<Item = (i64, &[Change])> {
        self.changes.range(revision..).map(|(revision, changes)| (*revision, changes.as_slice()))
    }

    /// May a reader ask for this revision? 0 is the present one.
    pub(crate) fn check_revision(&self, revision: i64) -> Result<(), Status> {
        match revision {
            _ if revision <= 0 => Ok(()),
            _ if revision > self.revision => Err(status::future_revision()),
            _ if revision < self.compacted => Err(status::compacted()),
            _ => Ok(()),
        }
    }

    /// What `request` reads.
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Status> {
        self.range_within(request, &[])
    }

    /// What `request` reads within a transaction that has changed this so far. The header has the revision alone.
    fn range_within(&self, request: &RangeRequest, changes: &[Change]) -> Result<RangeResponse, Status> {
        self.check_revision(request.revision)?;
        let (key, end) = (&request.key, &request.range_end);
        let revision = self.revision + i64::from(!changes.is_empty());
        let mut found: Vec<Rc<KeyValue>> = if request.revision > 0 && request.revision < revision {
            self.past(key, end, request.revision, changes)
        } else {
            self.among(key, end).cloned().collect()
        };
        let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        if request.count_only {
            return Ok(RangeResponse { header, count, ..RangeResponse::default() });
        }
        // Keys that are left out this way are counted all the same.
        found.retain(|kv| kv.mod_revision >= request.min_mod_revision);
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let more = found.len() > limit;
        let shown = |kv: Rc<KeyValue>| {
            let mut kv = KeyValue::clone(&kv);
            if request.keys_only {
                kv.value.clear();
            }
            kv
        };
        Ok(RangeResponse { header, kvs: found.into_iter().take(limit).map(shown).collect(), more, count })
    }

    /// What stood there at a revision: the present, with what changed since undone.
    fn past(&self, key: &[u8], end: &[u8], revision: i64, now: &[Change]) -> Vec<Rc<KeyValue>> {
        let mut found: BTreeMap<&[u8], Rc<KeyValue>> =
            self.among(key, end).map(|kv| (kv.key.as_slice(), Rc::clone(kv))).collect();
        let later =
            self.changes.range(revision.saturating_add(1)..).rev().flat_map(|(_, changes)| changes.iter().rev());
        for change in now.iter().rev().chain(later).filter(|change| covers(key, end, &change.key)) {
            match &change.before {
                Some(kv) => found.insert(&change.key, Rc::clone(kv)),
                None => found.remove(change.key.as_slice()),
            };
        }
        found.into_values().collect()
    }

    /// Begins a transaction.
    pub(crate) fn write(&mut self) -> Write<'_> {
        Write { revision: self.revision, store: self, changes: Vec::new() }
    }

    /// Forgets what was before `revision`.
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), Status> {
        if revision <= self.compacted {
            return Err(status::compacted());
        }
        if revision > self.revision {
            return Err(status::future_revision());
        }
        self.compacted = revision;
        let kept = self.changes.split_off(&revision.saturating_add(1));
        let forgotten = std::mem::replace(&mut self.changes, kept);
        let freed: usize = forgotten.values().flatten().map(Change::freed).sum();
        self.in_use = self.in_use.saturating_sub(freed);
        // What was put at that very revision is there for those who watch from it on.
        let last = kept_of(forgotten, revision);
        if !last.is_empty() {
            self.changes.insert(revision, last);
        }
        Ok(())
    }
}

/// What a compaction keeps of the changes of its own revision.
fn kept_of(mut forgotten: BTreeMap<i64, Vec<Change>>, revision: i64) -> Vec<Change> {
    let changes = forgotten.remove(&revision).into_iter().flatten();
    changes.filter(|change| change.after.is_some()).map(|change| Change { before: None, ..change }).collect()
}

/// A transaction under way: it sees its own writes, and all of them are one revision.
pub(crate) struct Write<'a> {
    store: &'a mut Store,
    /// The one it began at.
    revision: i64,
    changes: Vec<Change>,
}

impl Write<'_> {
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Status> {
        self.store.range_within(request, &self.changes)
    }

    /// The revision that a reader inside sees.
    pub(crate) fn revision(&self) -> i64 {
        self.revision + i64::from(!self.changes.is_empty())
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], lease: i64) {
        let before = self.store.live.get(key).cloned();
        let modified = self.revision + 1;
        let kv = Rc::new(KeyValue {
            key: key.to_vec(),
            create_revision: before.as_ref().map_or(modified, |before| before.create_revision),
            mod_revision: modified,
            version: before.as_ref().map_or(1, |before| before.version + 1),
            value: value.to_vec(),
            lease,
        });
        self.store.live.insert(key.to_vec(), Rc::clone(&kv));
        self.store.in_use += size(&kv);
        self.changes.push(Change { revision: modified, key: key.to_vec(), before, after: Some(kv) });
    }

    /// Deletes these keys; gives their number.
    pub(crate) fn delete(&mut self, key: &[u8], end: &[u8]) -> usize {
        let keys: Vec<Vec<u8>> = self.store.among(key, end).map(|kv| kv.key.clone()).collect();
        for key in &keys {
            let before = self.store.live.remove(key);
            self.store.in_use += key.len() + OVERHEAD;
            self.changes.push(Change { revision: self.revision + 1, key: key.clone(), before, after: None });
        }
        keys.len()
    }

    /// Ends it; gives what changed, which is a revision only where something did.
    pub(crate) fn end(self) -> Vec<Change> {
        let store = self.store;
        if !self.changes.is_empty() {
            store.revision = self.revision + 1;
            store.file = store.file.max(store.in_use);
            store.changes.insert(store.revision, self.changes.clone());
        }
        self.changes
    }
}
