//! What each operation sends to etcd, and what each answer means.

use etcd_messages::compare::{Operand, Target};
use etcd_messages::request_op::Request;
use etcd_messages::response_op::Response;
use etcd_messages::{
    CompactionRequest, CompactionResponse, Compare, KeyValue, LeaseGrantRequest, RangeResponse, RequestOp,
    ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::journal::letters::{LetterAnswer, LetterChange, LetterList, LetterOperation, StoredLetter};
use crate::journal::operation::{FleetClaim, FoundKey, KeyName, Page, StoredSegment};

mod answers;
mod messages;
mod sending;

const ME: WriterId = WriterId([1; 16]);
const DEAD: WriterId = WriterId([2; 16]);
const LEASE: i64 = 77;

fn id(writer: WriterId, seq: u64) -> SegmentId {
    SegmentId { writer, seq }
}

/// An answer of gRPC with this message.
fn ok(message: &impl Message) -> StoreReply {
    let body = [&[0], (message.encoded_len() as u32).to_be_bytes().as_slice(), &message.encode_to_vec()].concat();
    StoreReply::Answer { status: 200, grpc_status: Some(0), grpc_message: String::new(), body }
}

fn error(grpc_status: u32, text: &str) -> StoreReply {
    StoreReply::Answer { status: 200, grpc_status: Some(grpc_status), grpc_message: text.to_owned(), body: Vec::new() }
}

/// An answer to a transaction, with what its ranges found.
fn txn(succeeded: bool, ranges: Vec<Vec<KeyValue>>) -> StoreReply {
    let range = |kvs| Response::Range(RangeResponse { kvs, ..RangeResponse::default() });
    let responses = ranges.into_iter().map(|kvs| ResponseOp { response: Some(range(kvs)) }).collect();
    let header = Some(ResponseHeader { revision: 40, ..ResponseHeader::default() });
    ok(&TxnResponse { header, succeeded, responses })
}

fn kv(key: &str, value: &[u8], lease: i64, version: i64) -> KeyValue {
    KeyValue { key: key.into(), value: value.to_vec(), lease, version, ..KeyValue::default() }
}

fn path(call: &StoreCall) -> &str {
    call.headers.iter().find(|(name, _)| *name == ":path").map(|(_, path)| path.as_str()).unwrap()
}

fn decoded<M: Message + Default>(call: &StoreCall) -> M {
    M::decode(&call.body[5..]).unwrap()
}

fn open() -> Operation {
    Operation::Open { writer: ME, member: b"me".to_vec() }
}

fn append() -> Operation {
    Operation::Append { segment: id(ME, 16), bytes: b"segment".to_vec(), finished: vec![3, 4], key: None }
}

fn note(owner: WriterId) -> Operation {
    let progress = vec![(5, b"progress".to_vec())];
    Operation::Note { writer: ME, owner, member: b"me".to_vec(), progress, finished: vec![6] }
}

fn letters(letters: LetterOperation) -> Operation {
    Operation::Letters { writer: ME, letters }
}

/// A change of each kind.
fn change() -> Operation {
    let changes = vec![
        ("a.x".to_owned(), LetterChange::Keep(b"letter".to_vec())),
        ("b.x".to_owned(), LetterChange::Take("here".to_owned())),
        ("c.x".to_owned(), LetterChange::Forget),
    ];
    letters(LetterOperation::Change { member: b"me".to_vec(), changes })
}

fn claim() -> Operation {
    Operation::Claim { writer: ME, dead: DEAD }
}

/// Makes the call of an operation, and reads an answer to it.
fn told(etcd: &mut Etcd, operation: &Operation, reply: &StoreReply) -> Outcome {
    let part = etcd.call(operation).part;
    etcd.read(operation, part, reply).unwrap()
}

/// An etcd that knows of no lease.
fn closed() -> Etcd {
    Etcd::new("/p", 5, None)
}

/// An etcd whose writer is open.
fn opened() -> Etcd {
    let mut etcd = closed();
    let grant = etcd.call(&open());
    let registering = etcd.read(&open(), grant.part, &granted()).unwrap_err();
    assert_eq!(etcd.read(&open(), registering.part, &txn(true, vec![])), Ok(Outcome::Applied));
    etcd
}

/// The same, with a claim.
fn claiming() -> Etcd {
    let mut etcd = opened();
    assert_eq!(told(&mut etcd, &claim(), &txn(true, vec![])), Outcome::Applied);
    etcd
}

fn granted() -> StoreReply {
    ok(&LeaseGrantResponse { id: LEASE, ttl: 5, ..LeaseGrantResponse::default() })
}
