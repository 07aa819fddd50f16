//! The calls that carry operations: most are transactions.

use etcd_messages::compare::{Operand, Result as Comparison, Target};
use etcd_messages::request_op::Request;
use etcd_messages::{
    COMPACT, CompactionRequest, Compare, DeleteRangeRequest, LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE,
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TXN, TxnRequest,
    prefix_end,
};

use super::grpc::call;
use super::{Etcd, KEYS_TTL, PART_GRANT, PART_MAIN_AGAIN, PART_MARK};
use crate::journal::messages::KeyLease;
use crate::journal::operation::{EntryKey, FleetClaim, KeyName, Operation, Revision, SegmentId, StoreCall, WriterId};

impl Etcd {
    fn is_alive(&self, writer: WriterId) -> Compare {
        compare(self.key('w', writer), Operand::Lease(self.lease(writer).id))
    }

    /// The call of the operation itself.
    pub(super) fn main(&self, operation: &Operation, part: u8) -> StoreCall {
        let token = self.token.as_deref();
        let transaction = match operation {
            Operation::Open { writer, .. } if !self.leases.contains_key(writer) => {
                let part = if part == PART_MAIN_AGAIN { part } else { PART_GRANT };
                return call(LEASE_GRANT, &LeaseGrantRequest { ttl: self.ttl, id: 0 }, token, part);
            }
            Operation::Renew { writer } => {
                let message = LeaseKeepAliveRequest { id: self.lease(*writer).id };
                return call(LEASE_KEEP_ALIVE, &message, token, part);
            }
            Operation::Close { writer } => {
                return call(LEASE_REVOKE, &LeaseRevokeRequest { id: self.lease(*writer).id }, token, part);
            }
            Operation::Tidy => {
                return call(COMPACT, &CompactionRequest { revision: self.tidied, physical: false }, token, part);
            }
            Operation::Open { writer, member } => self.open(*writer, member),
            Operation::Append { segment, bytes, finished, key } => self.append(*segment, bytes, finished, key.as_ref()),
            Operation::KeepKeys => {
                return call(LEASE_GRANT, &LeaseGrantRequest { ttl: KEYS_TTL, id: 0 }, token, part);
            }
            Operation::KeepMessages { lasts } => {
                let ttl = i64::try_from(KeyLease::ttl(*lasts)).unwrap_or(i64::MAX);
                return call(LEASE_GRANT, &LeaseGrantRequest { ttl, id: 0 }, token, part);
            }
            Operation::ClaimMessage { writer, claim, dead } => self.claim_message(*writer, claim, dead),
            Operation::SettleMessage { names, bytes, lasts } => self.settle_message(names, bytes, *lasts),
            Operation::ReleaseMessage { claim, .. } if part == PART_MARK => self.mark_message(claim),
            Operation::ReleaseMessage { claim, may_come_late } => self.release_message(claim, *may_come_late),
            Operation::Settle { name, bytes } => self.settle(*name, bytes.as_deref()),
            Operation::Void { segment, has_key } => self.void(*segment, *has_key),
            Operation::Note { writer, owner, member, progress, finished } => {
                self.note(*writer, *owner, member, progress, finished)
            }
            Operation::Delete { writer, owner, finished } => self.delete(*writer, *owner, finished),
            Operation::Survey => self.survey(),
            Operation::Claim { writer, dead } => self.claim(*writer, *dead),
            Operation::Release { writer, dead, is_done } => self.release(*writer, *dead, *is_done),
            Operation::Page { owner, after, most } => self.page(*owner, *after, *most),
            Operation::Documents { since } => self.documents(*since),
            Operation::Store { name, revision, bytes } => self.store(name, *revision, bytes),
            Operation::Letters { writer, letters } => self.letters(*writer, letters),
        };
        call(TXN, &transaction, token, part)
    }

    fn open(&self, writer: WriterId, member: &[u8]) -> TxnRequest {
        let key = self.key('w', writer);
        TxnRequest {
            compare: vec![is_missing(key.clone())],
            success: vec![
                put(key.clone(), member.to_vec(), self.lease(writer).id),
                put(self.key('r', writer), Vec::new(), 0),
            ],
            failure: vec![get(key)],
        }
    }

    fn append(&self, segment: SegmentId, bytes: &[u8], finished: &[u64], claimed: Option<&EntryKey>) -> TxnRequest {
        let (key, writer) = (self.segment_key('j', segment), segment.writer);
        let free =
            claimed.map(|claimed| compare(self.name_key(claimed.name), Operand::ModRevision(signed(claimed.from))));
        let claim = claimed
            .map(|claimed| put(self.name_key(claimed.name), claimed.bytes.clone(), self.keys.unwrap_or_default()));
        let found = claimed.map(|claimed| get(self.name_key(claimed.name)));
        let gone = finished.iter().map(|seq| delete(self.segment_key('j', SegmentId { writer, seq: *seq })));
        TxnRequest {
            compare: [is_missing(key.clone()), self.is_alive(writer)].into_iter().chain(free).collect(),
            success: std::iter::once(put(key.clone(), bytes.to_vec(), 0)).chain(claim).chain(gone).collect(),
            failure: [get(key), get(self.key('w', writer))].into_iter().chain(found).collect(),
        }
    }

    fn settle(&self, name: KeyName, bytes: Option<&[u8]>) -> TxnRequest {
        let key = self.name_key(name);
        let success = match bytes {
            Some(bytes) => vec![put(key, bytes.to_vec(), self.keys.unwrap_or_default())],
            None => vec![delete(key)],
        };
        TxnRequest { compare: Vec::new(), success, failure: Vec::new() }
    }

    fn claim_message(&self, writer: WriterId, claim: &FleetClaim, dead: &[WriterId]) -> TxnRequest {
        let dead = dead.iter().map(|dead| is_missing(self.key('w', *dead)));
        let names = || claim.keys.iter().map(|(name, _)| *name);
        TxnRequest {
            compare: std::iter::once(self.is_alive(writer))
                .chain(claim.keys.iter().map(|key| self.is_at(*key)))
                .chain(dead)
                .collect(),
            success: names().map(|name| self.put_message(name, &claim.bytes, claim.lasts)).collect(),
            failure: names().map(|name| get(self.message_key(name))).chain([get(self.key('w', writer))]).collect(),
        }
    }

    fn settle_message(&self, names: &[KeyName], bytes: &[u8], lasts: u64) -> TxnRequest {
        let success = names.iter().map(|name| self.put_message(*name, bytes, lasts)).collect();
        TxnRequest { compare: Vec::new(), success, failure: Vec::new() }
    }

    /// Forgets a claim; where a try of it may come late, something is left that is in its way.
    fn release_message(&self, claim: &FleetClaim, may_come_late: bool) -> TxnRequest {
        let is_made =
            |(name, _): &(KeyName, Revision)| compare(self.message_key(*name), Operand::Value(claim.bytes.clone()));
        let end = |(name, _): &(KeyName, Revision)| match may_come_late {
            true => self.put_message(*name, b"", claim.lasts),
            false => delete(self.message_key(*name)),
        };
        TxnRequest {
            compare: claim.keys.iter().map(is_made).collect(),
            success: claim.keys.iter().map(end).collect(),
            failure: Vec::new(),
        }
    }

    /// Puts something in the way of a claim that was not made yet.
    fn mark_message(&self, claim: &FleetClaim) -> TxnRequest {
        TxnRequest {
            compare: claim.keys.iter().map(|key| self.is_at(*key)).collect(),
            success: claim.keys.iter().map(|(name, _)| self.put_message(*name, b"", claim.lasts)).collect(),
            failure: Vec::new(),
        }
    }

    fn is_at(&self, (name, from): (KeyName, Revision)) -> Compare {
        compare(self.message_key(name), Operand::ModRevision(signed(from)))
    }

    fn put_message(&self, name: KeyName, bytes: &[u8], lasts: u64) -> RequestOp {
        // Without a lease the key would stand for ever: it is put under one that etcd never grants, which fails.
        put(self.message_key(name), bytes.to_vec(), self.messages.get(&lasts).copied().unwrap_or(-1))
    }

    fn message_key(&self, name: KeyName) -> Vec<u8> {
        format!("{}/i/{}", self.prefix, hex::encode(name)).into_bytes()
    }

    fn name_key(&self, name: KeyName) -> Vec<u8> {
        format!("{}/k/{}", self.prefix, hex::encode(name)).into_bytes()
    }

    fn void(&self, segment: SegmentId, has_key: bool) -> TxnRequest {
        let key = self.segment_key('j', segment);
        let is_free = has_key.then(|| is_missing(key.clone()));
        TxnRequest {
            compare: std::iter::once(self.is_alive(segment.writer)).chain(is_free).collect(),
            success: vec![put(key.clone(), Vec::new(), 0), delete(self.segment_key('p', segment))],
            failure: if has_key { vec![get(key), get(self.key('w', segment.writer))] } else { Vec::new() },
        }
    }

    fn note(
        &self,
        writer: WriterId,
        owner: WriterId,
        member: &[u8],
        progress: &[(u64, Vec<u8>)],
        finished: &[u64],
    ) -> TxnRequest {
        let lease = self.lease(writer);
        let (key, value, version) = if owner == writer {
            (self.key('w', writer), member.to_vec(), lease.version)
        } else {
            (self.key('t', owner), writer.to_string().into_bytes(), self.claims.get(&owner).copied().unwrap_or(-1))
        };
        let of = |table, seq: u64| self.segment_key(table, SegmentId { writer: owner, seq });
        let noted = progress.iter().map(|(seq, bytes)| put(of('p', *seq), bytes.clone(), 0));
        let gone = finished.iter().flat_map(|seq| [delete(of('j', *seq)), delete(of('p', *seq))]);
        TxnRequest {
            compare: vec![
                compare(key.clone(), Operand::Lease(lease.id)),
                compare(key.clone(), Operand::Version(version)),
            ],
            success: std::iter::once(put(key.clone(), value, lease.id)).chain(noted).chain(gone).collect(),
            failure: vec![get(key)],
        }
    }

    fn delete(&self, writer: WriterId, owner: WriterId, finished: &[u64]) -> TxnRequest {
        let key = self.key(if owner == writer { 'w' } else { 't' }, owner);
        let of = |table, seq: u64| self.segment_key(table, SegmentId { writer: owner, seq });
        TxnRequest {
            compare: vec![compare(key, Operand::Lease(self.lease(writer).id))],
            success: finished.iter().flat_map(|seq| [delete(of('j', *seq)), delete(of('p', *seq))]).collect(),
            failure: Vec::new(),
        }
    }

    fn survey(&self) -> TxnRequest {
        let all = |table: char, keys_only| {
            let prefix = format!("{}/{table}/", self.prefix).into_bytes();
            let range_end = prefix_end(&prefix);
            range(RangeRequest { key: prefix, range_end, keys_only, ..RangeRequest::default() })
        };
        let success = vec![all('w', false), all('r', true), all('t', false)];
        TxnRequest { compare: Vec::new(), success, failure: Vec::new() }
    }

    fn claim(&self, writer: WriterId, dead: WriterId) -> TxnRequest {
        let (key, id) = (self.key('t', dead), writer.to_string().into_bytes());
        TxnRequest {
            compare: vec![
                is_missing(self.key('w', dead)),
                is_missing(key.clone()),
                // It is written once, and deleted with all that the writer left: a late claim finds nothing to claim.
                compare(self.key('r', dead), Operand::Version(1)),
                self.is_alive(writer),
            ],
            success: vec![put(key.clone(), id, self.lease(writer).id)],
            failure: vec![get(key)],
        }
    }

    fn release(&self, writer: WriterId, dead: WriterId, is_done: bool) -> TxnRequest {
        let key = self.key('t', dead);
        let mut success = vec![delete(key.clone())];
        if is_done {
            success.push(delete(self.key('r', dead)));
            success.extend(['j', 'p'].map(|table| {
                let key = format!("{}/{table}/{dead}/", self.prefix).into_bytes();
                let range_end = prefix_end(&key);
                RequestOp { request: Some(Request::DeleteRange(DeleteRangeRequest { key, range_end })) }
            }));
        }
        TxnRequest {
            compare: vec![compare(key.clone(), Operand::Lease(self.lease(writer).id))],
            success,
            failure: vec![get(key)],
        }
    }

    fn documents(&self, since: Revision) -> TxnRequest {
        let key = self.document_key("");
        let (range_end, min_mod_revision) = (prefix_end(&key), signed(since.saturating_add(1)));
        let changed = range(RangeRequest { key, range_end, min_mod_revision, ..RangeRequest::default() });
        TxnRequest { compare: Vec::new(), success: vec![changed], failure: Vec::new() }
    }

    fn store(&self, name: &str, revision: Revision, bytes: &[u8]) -> TxnRequest {
        let key = self.document_key(name);
        TxnRequest {
            compare: vec![compare(key.clone(), Operand::ModRevision(signed(revision)))],
            success: vec![put(key.clone(), bytes.to_vec(), 0)],
            failure: vec![get(key)],
        }
    }

    pub(super) fn document_key(&self, name: &str) -> Vec<u8> {
        format!("{}/c/{name}", self.prefix).into_bytes()
    }

    fn page(&self, owner: WriterId, after: Option<u64>, most: u32) -> TxnRequest {
        let next = |table| {
            let prefix = format!("{}/{table}/{owner}/", self.prefix).into_bytes();
            let mut key = prefix.clone();
            if let Some(seq) = after {
                // The key behind that of the last segment.
                key = self.segment_key(table, SegmentId { writer: owner, seq });
                key.push(0);
            }
            let range_end = prefix_end(&prefix);
            range(RangeRequest { key, range_end, limit: most.into(), ..RangeRequest::default() })
        };
        TxnRequest { compare: Vec::new(), success: vec![next('j'), next('p')], failure: Vec::new() }
    }
}

pub(super) fn compare(key: Vec<u8>, operand: Operand) -> Compare {
    let target = match operand {
        Operand::Version(_) => Target::Version,
        Operand::CreateRevision(_) => Target::Create,
        Operand::ModRevision(_) => Target::Mod,
        Operand::Value(_) => Target::Value,
        Operand::Lease(_) => Target::Lease,
    };
    Compare { result: Comparison::Equal.into(), target: target.into(), key, operand: Some(operand) }
}

fn is_missing(key: Vec<u8>) -> Compare {
    compare(key, Operand::CreateRevision(0))
}

pub(super) fn put(key: Vec<u8>, value: Vec<u8>, lease: i64) -> RequestOp {
    RequestOp { request: Some(Request::Put(PutRequest { key, value, lease })) }
}

pub(super) fn delete(key: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(Request::DeleteRange(DeleteRangeRequest { key, range_end: Vec::new() })) }
}

pub(super) fn get(key: Vec<u8>) -> RequestOp {
    range(RangeRequest { key, ..RangeRequest::default() })
}

pub(super) fn range(range: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Request::Range(range)) }
}

/// A revision as etcd has it.
pub(super) fn signed(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
