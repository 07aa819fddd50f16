//! The streams of one process: watches, which are told of changes soon after them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use etcd_messages::WATCH;
use host_tests::{GrpcCall, GrpcReply};
use prost::Message;

use crate::cluster::Cluster;
use crate::disruption::{Mishap, Outage};
use crate::status::{self, Status};
use crate::watch::Watches;

/// How long after a change a watch is told, at most.
const NEWS: Duration = Duration::from_millis(5);
/// How a stream ends whose connection breaks, or cannot be made.
const UNAVAILABLE: u32 = 14;

/// The streams of a process.
pub(crate) struct Streams {
    cluster: Rc<RefCell<Cluster>>,
    process: String,
    /// When its clock started, by etcd's.
    start: Duration,
    streams: BTreeMap<usize, Stream>,
}

struct Stream {
    watches: Watches,
    /// Nothing of it arrives.
    is_lost: bool,
    /// How much later everything arrives than it should.
    delay: Duration,
}

impl Streams {
    pub(crate) fn new(cluster: Rc<RefCell<Cluster>>, process: &str, start: Duration) -> Self {
        Self { cluster, process: process.to_owned(), start, streams: BTreeMap::new() }
    }

    /// What the server says: to a stream that begins, to what the filter says, or because something has changed.
    pub(crate) fn answer(&mut self, call: &GrpcCall) -> GrpcReply {
        let path = format!("/{}/{}", call.service, call.method);
        if path != WATCH || !call.is_stream {
            return ended(&status::unknown_method(&call.service, &call.method));
        }
        let mut cluster = self.cluster.borrow_mut();
        cluster.advance(self.start + call.asked_at);
        if !self.streams.contains_key(&call.number) {
            match begun(cluster.mishap(&self.process, WATCH, &[])) {
                Ok(stream) => self.streams.insert(call.number, stream),
                Err(status) => return ended(&status),
            };
        }
        let outage = cluster.outage();
        if outage == Some(Outage::Down) {
            self.streams.remove(&call.number);
            return ended(&broken());
        }
        let Some(stream) = self.streams.get_mut(&call.number).filter(|stream| !stream.is_lost) else {
            return GrpcReply::open();
        };
        if outage == Some(Outage::Stopped) {
            return GrpcReply::open().again(NEWS);
        }
        let (now, token) = (cluster.now, call.metadata.get("token"));
        let said = stream.watches.ask(&mut cluster.server, &call.messages, token, now);
        let reply = if call.has_ended { GrpcReply::ok() } else { GrpcReply::open() };
        let reply = said.iter().fold(reply, |reply, said| reply.message(said.encode_to_vec()));
        let reply = if stream.watches.is_empty() { reply } else { reply.again(NEWS) };
        reply.after(cluster.latency + stream.delay)
    }
}

/// The stream that a mishap leaves.
fn begun(mishap: Mishap) -> Result<Stream, Status> {
    let stream = |is_lost, delay| Ok(Stream { watches: Watches::default(), is_lost, delay });
    match mishap {
        Mishap::Pass => stream(false, Duration::ZERO),
        Mishap::Slow(delay) | Mishap::Late(delay) => stream(false, delay),
        Mishap::Unanswered { .. } => stream(true, Duration::ZERO),
        Mishap::Refused(status) => Err(status),
        Mishap::NotSent | Mishap::Unreachable | Mishap::Disconnected { .. } | Mishap::Reset => Err(broken()),
    }
}

fn broken() -> Status {
    Status::new(UNAVAILABLE, "upstream connect error or disconnect/reset before headers")
}

fn ended(status: &Status) -> GrpcReply {
    GrpcReply::status(status.code, &status.message)
}
