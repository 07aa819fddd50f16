//! The handle of a model: what a test does to etcd, sees of it, and puts behind a simulated process.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use etcd_messages::{
    self as messages, AlarmRequest, CompactionRequest, CompactionResponse, KeyValue, RangeRequest, WatchRequest,
    WatchResponse,
};
use host_tests::{Promise, Reply, RuleId, Upstream};
use prost::Message;

use crate::cluster::{Applied, Call, Cluster, Heard};
use crate::disruption::{Disruption, Outage};
use crate::leases::Lease;
use crate::space::NO_SPACE;
use crate::status::Status;
use crate::streams::Streams;
use crate::users::Who;
use crate::watch::Watches;
use crate::wire::{reply, unframed};

/// A model of etcd. Copies are handles of the same one.
///
/// Its clock starts at zero, and goes on with each call that arrives and by [`advance`](Self::advance).
#[derive(Clone)]
pub struct Etcd {
    cluster: Rc<RefCell<Cluster>>,
}

/// The size of the database, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The file, which only a defragmentation makes smaller. The quota is about this.
    pub file: usize,
    /// Keys and values, and what was before them since the last compaction.
    pub in_use: usize,
}

impl Etcd {
    /// An etcd of one member. `seed` decides what chance decides.
    pub fn new(seed: u64) -> Self {
        Self::of_members(seed, 1)
    }

    /// An etcd of so many members; chance decides which of them a call meets.
    pub fn of_members(seed: u64, members: usize) -> Self {
        Self { cluster: Rc::new(RefCell::new(Cluster::new(seed, members))) }
    }

    /// The largest database, in bytes; 2 GiB unless this says otherwise.
    pub fn set_quota(&self, bytes: usize) {
        self.cluster.borrow_mut().server.space.quota = bytes;
    }

    /// How long a call takes on the way and back; a millisecond unless this says otherwise.
    pub fn set_latency(&self, latency: Duration) {
        self.cluster.borrow_mut().latency = latency;
    }

    /// Calls are applied up to this much after they arrive, so that they overtake each other; zero unless this says
    /// otherwise.
    pub fn set_jitter(&self, most: Duration) {
        self.cluster.borrow_mut().jitter = most;
    }

    /// Adds a user, who may read and write the keys that begin so, or all of them. With the first one, calls need a token.
    pub fn add_user(&self, name: &str, password: &str, prefix: Option<&str>) {
        self.cluster.borrow_mut().server.users.add(name, password, prefix);
    }

    /// Makes every token invalid, as a restart of etcd does.
    pub fn forget_tokens(&self) {
        self.cluster.borrow_mut().server.users.forget_tokens();
    }

    /// Changes the message of each call of a process before it arrives: `change` is given its path and its message. What
    /// must hold breaks then, and a test can see that its checks notice.
    pub fn tamper(&self, change: impl FnMut(&str, Vec<u8>) -> Vec<u8> + 'static) {
        self.cluster.borrow_mut().tamper = Some(Box::new(change));
    }

    /// Adds a fault of single calls. See [`Disruption`].
    pub fn disrupt(&self, disruption: Disruption) -> RuleId {
        self.cluster.borrow_mut().disruptions.add(disruption)
    }

    /// Takes a fault away.
    pub fn remove_disruption(&self, id: RuleId) {
        self.cluster.borrow_mut().disruptions.remove(id);
    }

    /// Takes all faults of single calls away.
    pub fn clear_disruptions(&self) {
        self.cluster.borrow_mut().disruptions.clear();
    }

    /// Lets something be wrong with etcd as a whole from now on, for so long. It takes the place of what was wrong before.
    pub fn fail(&self, outage: Outage, duration: Duration) {
        self.cluster.borrow_mut().begin_outage(outage, duration);
    }

    /// Raises the alarm `NOSPACE`, as a member whose disk is full.
    pub fn raise_no_space(&self) {
        let mut cluster = self.cluster.borrow_mut();
        if let Some(member) = cluster.server.members.first().copied() {
            cluster.server.space.raise(member);
        }
    }

    /// Does what an operator does about a database that is full: compacts it, defragments it, and takes the alarms back.
    pub fn make_room(&self) {
        let request = CompactionRequest { revision: self.revision(), physical: true };
        // It is refused where nothing has changed since the last time.
        let _: Result<CompactionResponse, Status> = self.ask(messages::COMPACT, &request);
        let mut cluster = self.cluster.borrow_mut();
        let server = &mut cluster.server;
        server.store.defragment();
        for member_id in server.members.clone() {
            server.space.alarm(&AlarmRequest { action: 2, member_id, alarm: NO_SPACE });
        }
    }

    /// Makes a call in the test's own name: it is carried out at once, whatever is wrong with etcd, and may do all.
    ///
    /// # Errors
    ///
    /// etcd refuses it; or its answer is no `A`.
    pub fn ask<A: Message + Default>(&self, path: &str, request: &impl Message) -> Result<A, Status> {
        let answer = self.cluster.borrow_mut().carry_out("test", path, &request.encode_to_vec(), Who::Anyone)?;
        A::decode(answer.as_slice()).map_err(|error| Status::new(13, error.to_string()))
    }

    /// The same by bytes, and with the rights of who holds this token.
    ///
    /// # Errors
    ///
    /// etcd refuses it.
    pub fn ask_as(&self, token: Option<&str>, path: &str, message: &[u8]) -> Result<Vec<u8>, Status> {
        self.cluster.borrow_mut().carry_out("test", path, message, Who::Holder(token))
    }

    /// Opens a stream of watches in the test's own name, or with the rights of who holds this token.
    pub fn watch(&self, token: Option<&str>) -> Watching {
        let token = token.map(str::to_owned);
        Watching { etcd: self.clone(), token, messages: Vec::new(), watches: Watches::default() }
    }

    /// A cluster of a simulated process: the one called `process`, whose clock started when etcd's stood at `start`.
    ///
    /// Calls are those that a filter frames by hand; a stream that it opens is one of watches.
    pub fn upstream(&self, process: &str, start: Duration) -> Upstream {
        let mut streams = Streams::new(Rc::clone(&self.cluster), process, start);
        let (etcd, process) = (self.clone(), process.to_owned());
        let calls = Upstream::promising(move |call| etcd.answer(&process, start, call));
        calls.and_grpc(move |call| streams.answer(call))
    }

    fn answer(&self, process: &str, start: Duration, call: &host_tests::Call) -> Promise {
        let is_grpc = call.header(":method") == "POST" && call.header("content-type").starts_with("application/grpc");
        if !is_grpc {
            return Reply::status(415).into();
        }
        let arrival = start + call.at;
        let message = match unframed(&call.body) {
            Ok(message) => message.to_vec(),
            Err(status) => return reply(Err(status)).into(),
        };
        let path = call.header(":path").to_owned();
        let call = Call {
            process: process.to_owned(),
            is_local: is_local(&path, &message),
            path,
            message,
            token: call.headers.get("token").map(str::to_owned),
            timeout: Some(call.timeout).filter(|timeout| !timeout.is_zero()),
        };
        // Not held while the answer is waited for: other calls arrive meanwhile.
        let heard = self.cluster.borrow_mut().arrive(call, arrival);
        match heard {
            Heard::Nothing => Reply::hang().into(),
            Heard::NotSent => Reply::refused().into(),
            Heard::Unreachable => Reply::connect_failure().into(),
            Heard::Disconnected => Reply::disconnect().into(),
            Heard::Reset => Reply::reset().into(),
            Heard::Answer(wait, answer) => {
                let cluster = Rc::clone(&self.cluster);
                Promise::after(wait, move || {
                    cluster.borrow_mut().advance(arrival + wait);
                    // Where an outage began since, the call is still to be applied.
                    answer.take().map_or_else(Reply::disconnect, reply)
                })
            }
        }
    }
}

/// Does it read one member's state?
fn is_local(path: &str, message: &[u8]) -> bool {
    match path {
        messages::RANGE => RangeRequest::decode(message).is_ok_and(|request| request.serializable),
        messages::STATUS => true,
        _ => false,
    }
}

/// A stream of watches.
#[derive(Debug)]
pub struct Watching {
    etcd: Etcd,
    token: Option<String>,
    messages: Vec<Vec<u8>>,
    watches: Watches,
}

impl Watching {
    /// Begins a watch, or says whatever else.
    pub fn send(&mut self, request: &WatchRequest) {
        self.messages.push(request.encode_to_vec());
    }

    /// What there was to say since the last time, whatever is wrong with etcd.
    pub fn read(&mut self) -> Vec<WatchResponse> {
        let mut cluster = self.etcd.cluster.borrow_mut();
        let now = cluster.now;
        self.watches.ask(&mut cluster.server, &self.messages, self.token.as_deref(), now)
    }
}

/// What can be seen of it.
impl Etcd {
    /// etcd's clock: the time since it started.
    pub fn now(&self) -> Duration {
        self.cluster.borrow().now
    }

    /// Lets etcd's clock come to this time: leases expire, and what is late is applied. To be called before a look, since
    /// without a call nothing moves the clock.
    pub fn advance(&self, to: Duration) {
        self.cluster.borrow_mut().advance(to);
    }

    /// The present revision.
    pub fn revision(&self) -> i64 {
        self.cluster.borrow().server.store.revision()
    }

    /// The revision that was compacted last; -1 for none.
    pub fn compacted(&self) -> i64 {
        self.cluster.borrow().server.store.compacted()
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.cluster.borrow().server.store.len()
    }

    /// Is there no key?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of the database.
    pub fn size(&self) -> Size {
        let cluster = self.cluster.borrow();
        Size { file: cluster.server.store.file(), in_use: cluster.server.store.in_use() }
    }

    /// What stands at a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<KeyValue> {
        self.cluster.borrow().server.store.get(key.as_ref()).map(|kv| KeyValue::clone(kv))
    }

    /// All pairs whose keys begin so, sorted by key.
    pub fn pairs(&self, prefix: impl AsRef<[u8]>) -> Vec<KeyValue> {
        let prefix = prefix.as_ref();
        let cluster = self.cluster.borrow();
        let from = cluster.server.store.among(if prefix.is_empty() { &[0] } else { prefix }, &[0]);
        from.take_while(|kv| kv.key.starts_with(prefix)).map(|kv| KeyValue::clone(kv)).collect()
    }

    /// The leases that are alive, by number.
    pub fn leases(&self) -> Vec<Lease> {
        self.cluster.borrow().server.leases.iter().copied().collect()
    }

    /// Does the alarm `NOSPACE` stand?
    pub fn is_full(&self) -> bool {
        self.cluster.borrow().server.space.is_full()
    }

    /// What has changed keys so far, in order, but for the first `seen`.
    pub fn applied_since(&self, seen: usize) -> Vec<Applied> {
        self.cluster.borrow().applied.iter().skip(seen).cloned().collect()
    }

    /// The number of calls that have arrived and are applied later.
    pub fn waiting(&self) -> usize {
        self.cluster.borrow().waiting()
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("now", &self.now()).field("revision", &self.revision()).finish_non_exhaustive()
    }
}
