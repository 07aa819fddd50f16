//! An etcd in memory, for tests: keys with leases, transactions, and the limits that etcd has.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_messages::compare::Operand;
use etcd_messages::request_op::Request;
use etcd_messages::response_op::Response;
use etcd_messages::{
    COMPACT, CompactionResponse, Compare, DeleteRangeResponse, KeyValue, LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE,
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TXN,
    TxnRequest, TxnResponse,
};
use prost::Message;

use crate::journal::operation::{StoreCall, StoreReply};
use crate::time::Instant;

/// What happens to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It is answered.
    #[default]
    None,
    /// It is not sent.
    NotSent,
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It is lost.
    Lost,
    /// Its answer is lost, and it is carried out later, by [`MemoryEtcd::apply_late`].
    Late,
    /// It is refused with this status.
    Refused(u32, &'static str),
}

/// The operations that a transaction may have.
const OPERATIONS_MAX: usize = 128;
/// The largest request, in bytes.
const REQUEST_MAX: usize = 1536 << 10;

/// An etcd in memory.
#[derive(Default)]
pub struct MemoryEtcd {
    keys: BTreeMap<Vec<u8>, KeyValue>,
    leases: BTreeMap<i64, (Duration, Instant)>,
    revision: i64,
    last_lease: i64,
    late: Vec<StoreCall>,
    /// There is no room: nothing can be written.
    pub is_full: bool,
    /// What happens to the calls whose path or body has this text.
    pub faults: Vec<(String, Fault)>,
    /// The calls that came, by their paths.
    pub calls: Vec<StoreCall>,
}

impl MemoryEtcd {
    /// Carries a call out, or does what its fault says.
    pub fn handle(&mut self, now: Instant, call: &StoreCall) -> StoreReply {
        self.calls.push(call.clone());
        match self.faults.iter().find(|(text, _)| has(call, text)).map(|(_, fault)| *fault).unwrap_or_default() {
            Fault::None => self.answer(now, call),
            Fault::NotSent => StoreReply::NotSent,
            Fault::AnswerLost => {
                self.answer(now, call);
                StoreReply::Lost
            }
            Fault::Lost => StoreReply::Lost,
            Fault::Late => {
                self.late.push(call.clone());
                StoreReply::Lost
            }
            Fault::Refused(status, text) => error(status, text),
        }
    }

    /// Carries out what was late.
    pub fn apply_late(&mut self, now: Instant) {
        for call in std::mem::take(&mut self.late) {
            self.answer(now, &call);
        }
    }

    /// The keys that hold this text, with their values.
    pub fn found(&self, text: &str) -> Vec<(String, Vec<u8>)> {
        let keys = self.keys.values().map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), kv.value.clone()));
        keys.filter(|(key, _)| key.contains(text)).collect()
    }

    fn answer(&mut self, now: Instant, call: &StoreCall) -> StoreReply {
        self.expire(now);
        if call.body.len() > REQUEST_MAX {
            return error(3, "etcdserver: request is too large");
        }
        let path = call.headers.iter().find(|(name, _)| *name == ":path").map(|(_, path)| path.as_str()).unwrap();
        let message = &call.body[5..];
        match path {
            LEASE_GRANT if self.is_full => error(8, "etcdserver: mvcc: database space exceeded"),
            LEASE_GRANT => {
                let ttl = LeaseGrantRequest::decode(message).unwrap().ttl;
                self.last_lease += 1;
                let lasts = Duration::from_secs(ttl as u64);
                self.leases.insert(self.last_lease, (lasts, now.plus(lasts)));
                ok(&LeaseGrantResponse { id: self.last_lease, ttl, ..LeaseGrantResponse::default() })
            }
            LEASE_KEEP_ALIVE => {
                let id = LeaseKeepAliveRequest::decode(message).unwrap().id;
                let ttl = self.leases.get_mut(&id).map_or(0, |(lasts, until)| {
                    *until = now.plus(*lasts);
                    lasts.as_secs() as i64
                });
                ok(&LeaseKeepAliveResponse { id, ttl, ..LeaseKeepAliveResponse::default() })
            }
            LEASE_REVOKE => {
                self.revoke(LeaseRevokeRequest::decode(message).unwrap().id);
                ok(&LeaseRevokeResponse::default())
            }
            COMPACT => ok(&CompactionResponse::default()),
            TXN => self.transaction(TxnRequest::decode(message).unwrap()),
            path => panic!("{path}"),
        }
    }

    fn expire(&mut self, now: Instant) {
        let over = self.leases.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| *id);
        over.collect::<Vec<_>>().into_iter().for_each(|id| self.revoke(id));
    }

    fn revoke(&mut self, lease: i64) {
        self.leases.remove(&lease);
        self.keys.retain(|_, kv| kv.lease != lease);
    }

    fn transaction(&mut self, TxnRequest { compare, success, failure }: TxnRequest) -> StoreReply {
        if compare.len().max(success.len()).max(failure.len()) > OPERATIONS_MAX {
            return error(3, "etcdserver: too many operations in txn request");
        }
        if self.is_full && success.iter().any(|op| matches!(op.request, Some(Request::Put(_)))) {
            return error(8, "etcdserver: mvcc: database space exceeded");
        }
        let succeeded = compare.iter().all(|compare| self.holds(compare));
        self.revision += 1;
        let responses = if succeeded { success } else { failure }.into_iter().map(|op| self.operate(op)).collect();
        let header = Some(ResponseHeader { revision: self.revision, ..ResponseHeader::default() });
        ok(&TxnResponse { header, succeeded, responses })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let kv = self.keys.get(&compare.key).cloned().unwrap_or_default();
        match compare.operand.as_ref().unwrap() {
            Operand::Version(version) => kv.version == *version,
            Operand::CreateRevision(revision) => kv.create_revision == *revision,
            Operand::ModRevision(revision) => kv.mod_revision == *revision,
            Operand::Value(value) => kv.value == *value,
            Operand::Lease(lease) => kv.lease == *lease,
        }
    }

    fn operate(&mut self, operation: RequestOp) -> ResponseOp {
        let response = match operation.request.unwrap() {
            Request::Put(put) => {
                let (key, revision) = (put.key.clone(), self.revision);
                let kv = self.keys.entry(key.clone()).or_insert_with(|| KeyValue {
                    key,
                    create_revision: revision,
                    ..KeyValue::default()
                });
                (kv.value, kv.lease, kv.mod_revision) = (put.value, put.lease, revision);
                kv.version += 1;
                Response::Put(PutResponse::default())
            }
            Request::DeleteRange(range) => {
                let gone = self.within(&range.key, &range.range_end);
                gone.iter().for_each(|kv| drop(self.keys.remove(&kv.key)));
                Response::DeleteRange(DeleteRangeResponse { deleted: gone.len() as i64, ..Default::default() })
            }
            Request::Range(range) => Response::Range(self.range(&range)),
        };
        ResponseOp { response: Some(response) }
    }

    fn range(&self, range: &RangeRequest) -> RangeResponse {
        let mut kvs = self.within(&range.key, &range.range_end);
        let more = range.limit > 0 && kvs.len() > range.limit as usize;
        if more {
            kvs.truncate(range.limit as usize);
        }
        if range.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        RangeResponse { kvs, more, ..RangeResponse::default() }
    }

    fn within(&self, key: &[u8], end: &[u8]) -> Vec<KeyValue> {
        if end.is_empty() {
            return self.keys.get(key).cloned().into_iter().collect();
        }
        self.keys.range(key.to_vec()..end.to_vec()).map(|(_, kv)| kv.clone()).collect()
    }
}

/// Whether the path or the body of a call has this text.
pub fn has(call: &StoreCall, text: &str) -> bool {
    let is_path = call.headers.iter().any(|(name, value)| *name == ":path" && value.contains(text));
    is_path || call.body.windows(text.len()).any(|part| part == text.as_bytes())
}

fn ok(message: &impl Message) -> StoreReply {
    let body = [&[0], (message.encoded_len() as u32).to_be_bytes().as_slice(), &message.encode_to_vec()].concat();
    StoreReply::Answer { status: 200, grpc_status: Some(0), grpc_message: String::new(), body }
}

fn error(status: u32, text: &str) -> StoreReply {
    StoreReply::Answer { status: 200, grpc_status: Some(status), grpc_message: text.to_owned(), body: Vec::new() }
}
