//! etcd as the store of the journal: its keys, its transactions, and what its errors mean.
//!
//! | key, under the prefix | holds | lives |
//! |---|---|---|
//! | `w/<writer>` | what a writer says of itself | as long as the writer's lease |
//! | `r/<writer>` | that the writer is registered | until nothing of it is left |
//! | `j/<writer>/<seq>` | a segment; empty: void | until its deliveries have ended |
//! | `p/<writer>/<seq>` | the progress of a segment | as long as the segment |
//! | `t/<writer>` | who has claimed the dead writer | as long as the claimer's lease |
//!
//! Every change is a transaction that compares the lease of `w/<writer>` or `t/<writer>` first: a key that is gone has
//! lease 0, so whoever lost its lease changes nothing. Notes also compare how often that key was written: a note that
//! etcd carries out late finds the number raised by a later one, and changes nothing.
//!
//! A segment's number stands in its key with 16 hexadecimal digits, so that keys are in the order of the numbers.

use std::collections::BTreeMap;

use etcd_messages::compare::{Operand, Result as Comparison, Target};
use etcd_messages::request_op::Request;
use etcd_messages::response_op::Response;
use etcd_messages::{
    AUTHENTICATE, AuthenticateRequest, AuthenticateResponse, COMPACT, CompactionRequest, CompactionResponse, Compare,
    DeleteRangeRequest, KeyValue, LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE, LeaseGrantRequest, LeaseGrantResponse,
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, RangeRequest,
    RangeResponse, RequestOp, TXN, TxnRequest, TxnResponse, prefix_end,
};
use grpc::{GrpcError, call, message, status};
use zeroize::Zeroizing;

use crate::journal::EtcdUser;
use crate::journal::operation::{
    Journal, Operation, Outcome, Page, SegmentId, StoreCall, StoreLimits, StoreRefusal, StoreReply, StoredSegment,
    Survey, WriterId,
};

mod grpc;

/// The number of segments in a page: at most 16 x 256 KiB, half of what etcd's authors advise for an answer.
const PAGE: i64 = 16;

/// The operations that a transaction may have, less those that it always has: etcd takes 128.
const CHANGES_MAX: usize = 120;

/// The largest segment, in bytes: etcd takes requests of 1.5 MiB.
const SEGMENT_MAX: usize = 1_400_000;

/// The part of an operation that gets a token.
const PART_AUTHENTICATE: u8 = 1;
/// The same, after a token was refused: if the next one is refused too, the operation is.
const PART_AUTHENTICATE_AGAIN: u8 = 2;
/// The part of an operation that grants a lease.
const PART_GRANT: u8 = 3;
/// The operation itself.
const PART_MAIN: u8 = 4;
/// The operation itself, with a token that is new because the one before was refused.
const PART_MAIN_AGAIN: u8 = 5;

/// The state of a journal on etcd. See the module.
pub struct Etcd {
    prefix: String,
    /// How long a lease lasts, in seconds.
    ttl: i64,
    user: Option<(String, Zeroizing<String>)>,
    token: Option<String>,
    /// The leases of this gateway's writers.
    leases: BTreeMap<WriterId, Lease>,
    /// How often the keys of this gateway's claims were written.
    claims: BTreeMap<WriterId, i64>,
    /// The last revision that was seen, and the one at the last time the store was to be tidied.
    revision: i64,
    tidied: i64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: i64,
    /// How often the writer's key was written.
    version: i64,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd").field("prefix", &self.prefix).field("leases", &self.leases).finish_non_exhaustive()
    }
}

impl Etcd {
    /// A journal under `prefix`, whose leases last `ttl` seconds.
    pub fn new(prefix: &str, ttl: u64, user: Option<&EtcdUser>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ttl: i64::try_from(ttl).unwrap_or(i64::MAX),
            user: user.map(|user| (user.name.clone(), user.password.clone())),
            token: None,
            leases: BTreeMap::new(),
            claims: BTreeMap::new(),
            revision: 0,
            tidied: 0,
        }
    }

    /// The key of a writer in one of the tables `w`, `r`, `t`.
    fn key(&self, table: char, writer: WriterId) -> Vec<u8> {
        format!("{}/{table}/{writer}", self.prefix).into_bytes()
    }

    fn segment_key(&self, table: char, SegmentId { writer, seq }: SegmentId) -> Vec<u8> {
        format!("{}/{table}/{writer}/{seq:016x}", self.prefix).into_bytes()
    }

    fn lease(&self, writer: WriterId) -> Lease {
        // Without a lease of its own a writer compares with one that etcd never grants.
        self.leases.get(&writer).copied().unwrap_or(Lease { id: -1, version: 0 })
    }

    fn is_alive(&self, writer: WriterId) -> Compare {
        compare(self.key('w', writer), Operand::Lease(self.lease(writer).id))
    }

    /// The call of the operation itself.
    fn main(&self, operation: &Operation, part: u8) -> StoreCall {
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
            Operation::Append { segment, bytes, finished } => self.append(*segment, bytes, finished),
            Operation::Void { segment } => self.void(*segment),
            Operation::Note { writer, owner, member, progress, finished } => {
                self.note(*writer, *owner, member, progress, finished)
            }
            Operation::Delete { writer, owner, finished } => self.delete(*writer, *owner, finished),
            Operation::Survey => self.survey(),
            Operation::Claim { writer, dead } => self.claim(*writer, *dead),
            Operation::Release { writer, dead, is_done } => self.release(*writer, *dead, *is_done),
            Operation::Page { owner, after } => self.page(*owner, *after),
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

    fn append(&self, segment: SegmentId, bytes: &[u8], finished: &[u64]) -> TxnRequest {
        let (key, writer) = (self.segment_key('j', segment), segment.writer);
        let gone = finished.iter().map(|seq| delete(self.segment_key('j', SegmentId { writer, seq: *seq })));
        TxnRequest {
            compare: vec![is_missing(key.clone()), self.is_alive(writer)],
            success: std::iter::once(put(key.clone(), bytes.to_vec(), 0)).chain(gone).collect(),
            failure: vec![get(key), get(self.key('w', writer))],
        }
    }

    fn void(&self, segment: SegmentId) -> TxnRequest {
        TxnRequest {
            compare: vec![self.is_alive(segment.writer)],
            success: vec![put(self.segment_key('j', segment), Vec::new(), 0)],
            failure: Vec::new(),
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
        let success = vec![all('w', false), all('r', true), all('t', true)];
        TxnRequest { compare: Vec::new(), success, failure: Vec::new() }
    }

    fn claim(&self, writer: WriterId, dead: WriterId) -> TxnRequest {
        let (key, id) = (self.key('t', dead), writer.to_string().into_bytes());
        TxnRequest {
            compare: vec![is_missing(self.key('w', dead)), is_missing(key.clone()), self.is_alive(writer)],
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

    fn page(&self, owner: WriterId, after: Option<u64>) -> TxnRequest {
        let next = |table| {
            let prefix = format!("{}/{table}/{owner}/", self.prefix).into_bytes();
            let mut key = prefix.clone();
            if let Some(seq) = after {
                // The key behind that of the last segment.
                key = self.segment_key(table, SegmentId { writer: owner, seq });
                key.push(0);
            }
            let range_end = prefix_end(&prefix);
            range(RangeRequest { key, range_end, limit: PAGE, ..RangeRequest::default() })
        };
        TxnRequest { compare: Vec::new(), success: vec![next('j'), next('p')], failure: Vec::new() }
    }

    /// Reads the answer of the operation's own call.
    fn outcome(&mut self, operation: &Operation, reply: &StoreReply) -> Outcome {
        match operation {
            Operation::Renew { .. } => match message::<LeaseKeepAliveResponse>(reply) {
                Ok(LeaseKeepAliveResponse { ttl: 1.., .. }) => Outcome::Applied,
                Ok(_) => Outcome::Fenced,
                Err(error) => meaning(error),
            },
            Operation::Close { .. } => match message::<LeaseRevokeResponse>(reply) {
                Ok(_) => Outcome::Applied,
                Err(GrpcError { status: Some(status::NOT_FOUND), .. }) => Outcome::Already,
                Err(error) => meaning(error),
            },
            Operation::Tidy => match message::<CompactionResponse>(reply) {
                Ok(_) => self.tidied(),
                // Another gateway has compacted further.
                Err(GrpcError { status: Some(status::OUT_OF_RANGE), .. }) => self.tidied(),
                Err(error) => meaning(error),
            },
            _ => match message::<TxnResponse>(reply) {
                Ok(answer) => {
                    self.revision = answer.header.as_ref().map_or(0, |header| header.revision).max(self.revision);
                    self.committed(operation, answer)
                }
                Err(error) => meaning(error),
            },
        }
    }

    fn tidied(&mut self) -> Outcome {
        self.tidied = self.revision;
        Outcome::Applied
    }

    /// Reads the answer to a transaction.
    fn committed(&mut self, operation: &Operation, answer: TxnResponse) -> Outcome {
        let is_made = answer.succeeded;
        let mut ranges = answer.responses.into_iter().filter_map(|response| match response.response {
            Some(Response::Range(range)) => Some(range),
            _ => None,
        });
        let mut keys = || ranges.next().unwrap_or_default();
        match operation {
            Operation::Survey => Outcome::Survey(survey(keys(), keys(), keys())),
            Operation::Page { .. } => Outcome::Page(page(keys(), keys())),
            _ if is_made => {
                self.made(operation);
                Outcome::Applied
            }
            Operation::Open { writer, .. } => self.repeated(operation, keys().kvs.first(), *writer),
            Operation::Append { segment, .. } => match keys().kvs.first() {
                Some(KeyValue { value, .. }) if !value.is_empty() => Outcome::Already,
                Some(_) => Outcome::Fenced,
                None if keys().kvs.first().is_none_or(|key| key.lease != self.lease(segment.writer).id) => {
                    Outcome::Fenced
                }
                None => Outcome::Unknown,
            },
            Operation::Note { writer, .. } | Operation::Claim { writer, .. } => {
                self.repeated(operation, keys().kvs.first(), *writer)
            }
            Operation::Release { dead, .. } => match keys().kvs.first() {
                None => {
                    self.claims.remove(dead);
                    Outcome::Already
                }
                Some(_) => Outcome::Fenced,
            },
            Operation::Void { .. }
            | Operation::Delete { .. }
            | Operation::Renew { .. }
            | Operation::Close { .. }
            | Operation::Tidy => Outcome::Fenced,
        }
    }

    /// Tells whether a change that was refused had been made by an earlier try: then the key stands as it left it.
    fn repeated(&mut self, operation: &Operation, found: Option<&KeyValue>, writer: WriterId) -> Outcome {
        let expected = match operation {
            Operation::Note { owner, .. } if *owner != writer => self.claims.get(owner).copied().unwrap_or(-1) + 1,
            Operation::Note { .. } => self.lease(writer).version + 1,
            _ => 1,
        };
        if found.is_some_and(|key| key.lease == self.lease(writer).id && key.version == expected) {
            self.made(operation);
            return Outcome::Already;
        }
        Outcome::Fenced
    }

    /// Remembers how often the key was written that an operation, which was carried out, writes.
    fn made(&mut self, operation: &Operation) {
        match operation {
            Operation::Open { writer, .. } => {
                if let Some(lease) = self.leases.get_mut(writer) {
                    lease.version = 1;
                }
            }
            Operation::Note { writer, owner, .. } if writer == owner => {
                if let Some(lease) = self.leases.get_mut(writer) {
                    lease.version += 1;
                }
            }
            Operation::Note { owner, .. } => {
                if let Some(version) = self.claims.get_mut(owner) {
                    *version += 1;
                }
            }
            Operation::Claim { dead, .. } => drop(self.claims.insert(*dead, 1)),
            Operation::Release { dead, .. } => drop(self.claims.remove(dead)),
            _ => {}
        }
    }
}

impl Journal for Etcd {
    fn call(&mut self, operation: &Operation) -> StoreCall {
        if self.token.is_none() && self.user.is_some() {
            return self.authenticate(PART_AUTHENTICATE);
        }
        self.main(operation, PART_MAIN)
    }

    fn read(&mut self, operation: &Operation, part: u8, reply: &StoreReply) -> Result<Outcome, StoreCall> {
        if *reply == StoreReply::NotSent {
            return Ok(Outcome::Refused(StoreRefusal::NotSent));
        }
        if is_unauthenticated(reply) && part != PART_MAIN_AGAIN && self.user.is_some() {
            self.token = None;
            if part != PART_AUTHENTICATE && part != PART_AUTHENTICATE_AGAIN {
                return Err(self.authenticate(PART_AUTHENTICATE_AGAIN));
            }
        }
        match part {
            PART_AUTHENTICATE | PART_AUTHENTICATE_AGAIN => match message::<AuthenticateResponse>(reply) {
                Ok(answer) => {
                    self.token = Some(answer.token);
                    let next = if part == PART_AUTHENTICATE { PART_MAIN } else { PART_MAIN_AGAIN };
                    Err(self.main(operation, next))
                }
                Err(error) => Ok(not_made(meaning(error))),
            },
            PART_GRANT => Self::granted(self, operation, reply, PART_MAIN),
            PART_MAIN_AGAIN if matches!(operation, Operation::Open { writer, .. } if !self.leases.contains_key(writer)) => {
                Self::granted(self, operation, reply, PART_MAIN_AGAIN)
            }
            _ => Ok(self.outcome(operation, reply)),
        }
    }

    fn forget(&mut self, writer: WriterId) {
        self.leases.remove(&writer);
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits { changes: CHANGES_MAX, segment: SEGMENT_MAX }
    }
}

impl Etcd {
    fn authenticate(&self, part: u8) -> StoreCall {
        let (name, password) = self.user.clone().unwrap_or_default();
        call(AUTHENTICATE, &AuthenticateRequest { name, password: password.to_string() }, None, part)
    }

    /// Reads the answer to a grant: with a lease the writer can be registered. A lease whose grant is not known lapses.
    fn granted(&mut self, operation: &Operation, reply: &StoreReply, next: u8) -> Result<Outcome, StoreCall> {
        match (message::<LeaseGrantResponse>(reply), operation) {
            (Ok(answer), Operation::Open { writer, .. }) if answer.error.is_empty() => {
                self.leases.insert(*writer, Lease { id: answer.id, version: 0 });
                Err(self.main(operation, next))
            }
            (Ok(_), _) => Ok(Outcome::Refused(StoreRefusal::Denied)),
            (Err(error), _) => Ok(not_made(meaning(error))),
        }
    }
}

fn is_unauthenticated(reply: &StoreReply) -> bool {
    matches!(reply, StoreReply::Answer { grpc_status: Some(status::UNAUTHENTICATED), .. })
}

/// What an error means for the operation.
fn meaning(error: GrpcError<'_>) -> Outcome {
    let text = |part| error.message.contains(part);
    Outcome::Refused(match error.status {
        Some(status::RESOURCE_EXHAUSTED) if text("space exceeded") => StoreRefusal::Full,
        Some(status::RESOURCE_EXHAUSTED) => StoreRefusal::TooLarge,
        Some(status::INVALID_ARGUMENT) if text("too large") || text("too many operations") => StoreRefusal::TooLarge,
        Some(
            status::INVALID_ARGUMENT
            | status::NOT_FOUND
            | status::PERMISSION_DENIED
            | status::UNIMPLEMENTED
            | status::UNAUTHENTICATED,
        ) => StoreRefusal::Denied,
        _ => return Outcome::Unknown,
    })
}

/// The outcome of an operation whose own call was not made yet: it surely changed nothing.
fn not_made(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unknown => Outcome::Refused(StoreRefusal::NotSent),
        outcome => outcome,
    }
}

fn compare(key: Vec<u8>, operand: Operand) -> Compare {
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

fn put(key: Vec<u8>, value: Vec<u8>, lease: i64) -> RequestOp {
    RequestOp { request: Some(Request::Put(PutRequest { key, value, lease })) }
}

fn delete(key: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(Request::DeleteRange(DeleteRangeRequest { key, range_end: Vec::new() })) }
}

fn get(key: Vec<u8>) -> RequestOp {
    range(RangeRequest { key, ..RangeRequest::default() })
}

fn range(range: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Request::Range(range)) }
}

/// What stands behind the last slash of a key.
fn last(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.rsplit(|byte| *byte == b'/').next()?).ok()
}

fn writer_of(key: &KeyValue) -> Option<WriterId> {
    WriterId::parse(last(&key.key)?)
}

fn survey(alive: RangeResponse, registered: RangeResponse, claimed: RangeResponse) -> Survey {
    let writers = |keys: RangeResponse| keys.kvs.iter().filter_map(writer_of).collect();
    let member = |key: KeyValue| Some((writer_of(&key)?, key.value));
    Survey {
        alive: alive.kvs.into_iter().filter_map(member).collect(),
        registered: writers(registered),
        claimed: writers(claimed),
    }
}

fn page(segments: RangeResponse, progress: RangeResponse) -> Page {
    let number = |key: &KeyValue| u64::from_str_radix(last(&key.key)?, 16).ok();
    let progress = progress.kvs.into_iter().filter_map(|key| Some((number(&key)?, key.value)));
    let mut progress: BTreeMap<u64, Vec<u8>> = progress.collect();
    let segments_of = segments.kvs.into_iter().filter_map(|key| {
        let seq = number(&key)?;
        Some(StoredSegment { seq, bytes: key.value, progress: progress.remove(&seq) })
    });
    Page { segments: segments_of.collect(), has_more: segments.more }
}

#[cfg(test)]
mod tests;
