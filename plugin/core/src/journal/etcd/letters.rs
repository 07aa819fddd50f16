//! The calls about dead letters, and what their answers mean.
//!
//! Beside the letters stands a key without content, `l`, which is written with each change of one. Whether anything has
//! changed is so told by one key: etcd would read every letter to find those that are newer than a revision. Where there
//! is no room nothing can be written, so the key is deleted there, and the letters are listed at every look.

use etcd_messages::compare::Operand;
use etcd_messages::{RangeRequest, RangeResponse, RequestOp, TxnRequest, prefix_end};

use super::Etcd;
use super::answers::unsigned;
use super::transactions::{compare, delete, get, put, range, signed};
use crate::journal::letters::{LetterChange, LetterList, LetterOperation, StoredLetter};
use crate::journal::operation::WriterId;

/// The most letters under redelivery that are listed: 400 KB. The rest is shown as if they were not.
const TAKEN_MAX: i64 = 2000;

impl Etcd {
    pub(super) fn letters(&self, writer: WriterId, operation: &LetterOperation) -> TxnRequest {
        match operation {
            LetterOperation::Change { member, changes } => self.change(writer, member, changes),
            LetterOperation::Forget { names } => {
                let gone = names.iter().flat_map(|name| ['l', 'a'].map(|table| delete(self.letter_key(table, name))));
                let success = gone.chain([delete(self.changed_key())]).collect();
                TxnRequest { success, ..self.in_turn(writer) }
            }
            LetterOperation::List { known, after, most } => self.list(*known, after.as_deref(), *most),
            LetterOperation::Read { names } => {
                let success = names.iter().map(|name| get(self.letter_key('l', name))).collect();
                TxnRequest { compare: Vec::new(), success, failure: Vec::new() }
            }
        }
    }

    /// A transaction that is carried out only if the writer is alive and has written nothing since.
    fn in_turn(&self, writer: WriterId) -> TxnRequest {
        let (lease, key) = (self.lease(writer), self.key('w', writer));
        TxnRequest {
            compare: vec![
                compare(key.clone(), Operand::Lease(lease.id)),
                compare(key.clone(), Operand::Version(lease.version)),
            ],
            success: Vec::new(),
            failure: vec![get(key)],
        }
    }

    fn change(&self, writer: WriterId, member: &[u8], changes: &[(String, LetterChange)]) -> TxnRequest {
        let lease = self.lease(writer).id;
        let changed = changes.iter().flat_map(|(name, change)| {
            let (letter, again) = (self.letter_key('l', name), self.letter_key('a', name));
            match change {
                LetterChange::Keep(bytes) => vec![put(letter, bytes.clone(), 0), delete(again)],
                LetterChange::Take(who) => vec![put(again, who.clone().into_bytes(), lease)],
                LetterChange::Forget => vec![delete(letter), delete(again)],
            }
        });
        let own = [put(self.key('w', writer), member.to_vec(), lease), put(self.changed_key(), Vec::new(), 0)];
        TxnRequest { success: own.into_iter().chain(changed).collect(), ..self.in_turn(writer) }
    }

    fn list(&self, known: Option<u64>, after: Option<&str>, most: u32) -> TxnRequest {
        // No key has the revision -1.
        let known = known.map_or(-1, signed);
        let taken = RangeRequest { limit: TAKEN_MAX, ..all(self.letter_key('a', "")) };
        let mut names = RangeRequest { keys_only: true, limit: most.into(), ..all(self.letter_key('l', "")) };
        if let Some(after) = after {
            names.key = [self.letter_key('l', after), vec![0]].concat();
        }
        let changed = range(RangeRequest { key: self.changed_key(), keys_only: true, ..RangeRequest::default() });
        let with_names: Vec<RequestOp> = vec![range(taken.clone()), changed, range(names)];
        TxnRequest {
            compare: vec![compare(self.changed_key(), Operand::ModRevision(known))],
            success: vec![range(taken)],
            failure: with_names,
        }
    }

    fn letter_key(&self, table: char, name: &str) -> Vec<u8> {
        format!("{}/{table}/{name}", self.prefix).into_bytes()
    }

    fn changed_key(&self) -> Vec<u8> {
        format!("{}/l", self.prefix).into_bytes()
    }

    /// Reads a list; `is_unchanged`: it is as it was.
    pub(super) fn letter_list(
        &self,
        is_unchanged: bool,
        taken: RangeResponse,
        changed: RangeResponse,
        names: RangeResponse,
    ) -> LetterList {
        let (letters, again) = (self.letter_key('l', ""), self.letter_key('a', ""));
        let taken = taken.kvs.into_iter().filter_map(|key| Some((name(&again, &key.key)?, text(&key.value)?)));
        let has_more = names.more;
        let names = names.kvs.into_iter();
        let names = names.filter_map(|key| Some((name(&letters, &key.key)?, unsigned(key.mod_revision))));
        LetterList {
            taken: taken.collect(),
            names: (!is_unchanged).then(|| names.collect()),
            has_more,
            changed: changed.kvs.first().map(|key| unsigned(key.mod_revision)),
        }
    }

    pub(super) fn stored_letters(&self, ranges: impl Iterator<Item = RangeResponse>) -> Vec<StoredLetter> {
        let prefix = self.letter_key('l', "");
        let found = ranges.flat_map(|range| range.kvs).filter_map(|key| {
            let revision = unsigned(key.mod_revision);
            Some(StoredLetter { name: name(&prefix, &key.key)?, revision, bytes: key.value })
        });
        found.collect()
    }
}

/// Everything that begins with `prefix`.
fn all(prefix: Vec<u8>) -> RangeRequest {
    RangeRequest { range_end: prefix_end(&prefix), key: prefix, ..RangeRequest::default() }
}

fn name(prefix: &[u8], key: &[u8]) -> Option<String> {
    text(key.strip_prefix(prefix)?)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
