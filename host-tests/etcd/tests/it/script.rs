//! Scripts of calls, which the model and a real etcd play, and what each answers.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use etcd_messages::compare::{Operand, Result as Is, Target};
use etcd_messages::request_op::Request;
use etcd_messages::*;
use etcd_model::{Etcd, Status, Watching};
use prost::Message;

/// Who plays a script.
pub trait Server {
    fn call(&mut self, path: &str, message: &[u8], token: Option<&str>) -> Result<Vec<u8>, Status>;
    fn wait(&mut self, time: Duration);
    /// Opens a stream with a first message; gives its number.
    fn open(&mut self, path: &str, message: &[u8], token: Option<&str>) -> usize;
    /// Reads so many messages of a stream.
    fn read(&mut self, stream: usize, messages: usize) -> Vec<Vec<u8>>;
}

/// The model, with the streams that are open.
pub struct Model {
    pub etcd: Etcd,
    pub streams: Vec<(Watching, VecDeque<WatchResponse>)>,
}

impl Server for Model {
    fn call(&mut self, path: &str, message: &[u8], token: Option<&str>) -> Result<Vec<u8>, Status> {
        self.etcd.ask_as(token, path, message)
    }

    fn wait(&mut self, time: Duration) {
        self.etcd.advance(self.etcd.now() + time);
    }

    fn open(&mut self, _: &str, message: &[u8], token: Option<&str>) -> usize {
        let mut watching = self.etcd.watch(token);
        watching.send(&WatchRequest::decode(message).expect("it is this message"));
        let said = watching.read().into();
        self.streams.push((watching, said));
        self.streams.len() - 1
    }

    fn read(&mut self, stream: usize, messages: usize) -> Vec<Vec<u8>> {
        let (watching, said) = &mut self.streams[stream];
        said.extend(watching.read());
        assert!(said.len() >= messages, "{said:?}");
        said.drain(..messages).map(|message| message.encode_to_vec()).collect()
    }
}

/// Plays a script, and writes down what was answered.
pub struct Player<'a> {
    server: &'a mut dyn Server,
    pub token: Option<String>,
    pub said: Vec<String>,
}

impl<'a> Player<'a> {
    pub fn new(server: &'a mut dyn Server) -> Self {
        Self { server, token: None, said: Vec::new() }
    }

    pub fn wait(&mut self, seconds: f64) {
        self.server.wait(Duration::from_secs_f64(seconds));
    }

    /// Calls, and gives the answer.
    pub fn get<A: Message + Default>(&mut self, path: &str, request: &impl Message) -> Result<A, Status> {
        let answer = self.server.call(path, &request.encode_to_vec(), self.token.as_deref())?;
        Ok(A::decode(answer.as_slice()).expect("it is this message"))
    }

    /// Calls, and writes the answer down.
    pub fn ask<A: Message + Default + Comparable>(&mut self, path: &str, request: &(impl Message + Debug)) {
        let answer = self.get::<A>(path, request).map(Comparable::comparable);
        let mut asked = format!("{path} {request:?}");
        asked.truncate(300);
        self.said.push(format!("{asked}\n  -> {answer:?}"));
    }

    /// Calls with these bytes, which are no message.
    pub fn bytes(&mut self, path: &str, message: &[u8]) {
        let answer = self.server.call(path, message, self.token.as_deref());
        self.said.push(format!("{path} {message:?} -> {answer:?}"));
    }

    /// Begins a watch on a stream of its own; gives the number of the stream.
    pub fn watch(&mut self, request: WatchCreateRequest) -> usize {
        let request = WatchRequest { create_request: Some(request) };
        self.server.open(WATCH, &request.encode_to_vec(), self.token.as_deref())
    }

    /// Reads so many messages of a watch.
    pub fn read(&mut self, stream: usize, messages: usize) {
        for message in self.server.read(stream, messages) {
            let message = WatchResponse::decode(message.as_slice()).expect("it is this message").comparable();
            self.said.push(format!("watch {stream}: {message:?}"));
        }
    }

    pub fn range(&mut self, request: RangeRequest) {
        self.ask::<RangeResponse>(RANGE, &request);
    }

    pub fn put(&mut self, key: &str, value: &str, lease: i64) {
        self.ask::<PutResponse>(PUT, &put(key, value, lease));
    }

    pub fn delete(&mut self, key: &str, range_end: &str) {
        self.ask::<DeleteRangeResponse>(DELETE_RANGE, &delete(key, range_end));
    }

    pub fn txn(&mut self, compare: Vec<Compare>, success: Vec<RequestOp>, failure: Vec<RequestOp>) {
        self.ask::<TxnResponse>(TXN, &TxnRequest { compare, success, failure });
    }

    pub fn compact(&mut self, revision: i64) {
        self.ask::<CompactionResponse>(COMPACT, &CompactionRequest { revision, physical: true });
    }

    pub fn grant(&mut self, id: i64, ttl: i64) {
        self.ask::<LeaseGrantResponse>(LEASE_GRANT, &LeaseGrantRequest { id, ttl });
    }

    pub fn keep_alive(&mut self, id: i64) {
        self.ask::<LeaseKeepAliveResponse>(LEASE_KEEP_ALIVE, &LeaseKeepAliveRequest { id });
    }

    pub fn revoke(&mut self, id: i64) {
        self.ask::<LeaseRevokeResponse>(LEASE_REVOKE, &LeaseRevokeRequest { id });
    }
}

pub fn range(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest { key: key.into(), range_end: range_end.into(), ..RangeRequest::default() }
}

pub fn put(key: &str, value: &str, lease: i64) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), lease }
}

pub fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: range_end.into() }
}

pub fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

pub fn do_put(key: &str, value: &str) -> RequestOp {
    operation(Request::Put(put(key, value, 0)))
}

pub fn do_delete(key: &str, range_end: &str) -> RequestOp {
    operation(Request::DeleteRange(delete(key, range_end)))
}

pub fn do_range(key: &str, range_end: &str) -> RequestOp {
    operation(Request::Range(range(key, range_end)))
}

pub fn compare(key: &str, target: Target, result: Is, operand: Option<Operand>) -> Compare {
    Compare { result: result.into(), target: target.into(), key: key.into(), operand }
}

/// An answer without what differs from one etcd to the other.
pub trait Comparable: Debug {
    #[must_use]
    fn comparable(self) -> Self;
}

macro_rules! comparable {
    ($($message:ident)*) => {
        $(impl Comparable for $message {
            fn comparable(mut self) -> Self {
                if let Some(header) = &mut self.header {
                    (header.cluster_id, header.member_id, header.raft_term) =
                        (header.cluster_id.min(1), header.member_id.min(1), header.raft_term.min(1));
                }
                self
            }
        })*
    };
}

comparable! {
    RangeResponse PutResponse DeleteRangeResponse TxnResponse CompactionResponse LeaseGrantResponse
    LeaseKeepAliveResponse LeaseRevokeResponse WatchResponse
}

impl Comparable for AlarmResponse {
    fn comparable(mut self) -> Self {
        self.alarms.iter_mut().for_each(|alarm| alarm.member_id = alarm.member_id.min(1));
        self
    }
}

impl Comparable for StatusResponse {
    fn comparable(self) -> Self {
        let leads = self.header.as_ref().is_some_and(|header| header.member_id == self.leader);
        let header =
            self.header.map(|header| ResponseHeader { revision: header.revision, ..ResponseHeader::default() });
        assert!(self.db_size >= self.db_size_in_use && self.db_size_in_use > 0);
        Self { header, leader: leads.into(), db_size: 0, db_size_in_use: 0, ..self }
    }
}

impl Comparable for AuthenticateResponse {
    fn comparable(self) -> Self {
        Self { header: None, token: String::new() }
    }
}
