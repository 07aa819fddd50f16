//! What the host remembers about one VM: the state in its wasmtime store.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Memory, TypedFunc, format_err};

use crate::abi::Direction;
use crate::fault::Fault;
use crate::grpc::{GrpcComing, GrpcPart, GrpcReply};
use crate::headers::Headers;
use crate::ids::{BuildId, PluginKey, StreamId, Thread, VmId};
use crate::phase::Phase;
use crate::stream::Answer;
use crate::upstream::{CallEnd, Ends};
use crate::world::World;

/// What the VMs of a process have in common: `vm_id`, configuration of the VM, environment.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) vm_id: String,
    pub(crate) vm_config: Vec<u8>,
    pub(crate) environment: Vec<(String, String)>,
    /// A trap of the filter's own is what a test wants.
    pub(crate) may_trap: bool,
}

/// What a context id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Root,
    Stream(StreamId),
}

/// A root context: one configuration of the filter in this VM.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) key: PluginKey,
    pub(crate) tick_period: Duration,
    /// Counts how often the timer was set: only the last setting fires.
    pub(crate) armed: u64,
    /// It answered false to `on_done`, and Envoy waits for `proxy_done`.
    pub(crate) is_ending: bool,
    /// How the last call that failed did so; the message is there only while its callback runs.
    pub(crate) status: (u32, String),
}

/// An HTTP call under way. It is the root's, whichever of its contexts made it.
#[derive(Debug)]
pub(crate) struct PendingCall {
    pub(crate) root: u32,
    pub(crate) end: Ends,
}

/// Whether a token is that of a gRPC call or of a stream; its two lowest bits say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrpcKind {
    Call = 1,
    Stream = 2,
}

impl GrpcKind {
    pub(crate) fn of(token: u32) -> Option<Self> {
        match token & 3 {
            1 => Some(Self::Call),
            2 => Some(Self::Stream),
            _ => None,
        }
    }
}

/// A gRPC call or stream under way. It is the root's, whichever of its contexts began it.
#[derive(Debug)]
pub(crate) struct PendingGrpc {
    pub(crate) kind: GrpcKind,
    pub(crate) root: u32,
    /// Its number among those the servers received.
    pub(crate) number: usize,
    /// What the filter has yet to be told.
    pub(crate) parts: VecDeque<GrpcPart>,
    /// When the last of it is due.
    pub(crate) last_due: Duration,
    /// It had its initial metadata.
    pub(crate) has_begun: bool,
    /// This side has sent its last message.
    pub(crate) has_sent_all: bool,
    /// This side wants to hear of it no longer than it must.
    pub(crate) is_let_go: bool,
    /// The server has said its last; the filter may not know yet.
    pub(crate) server_ended: bool,
    /// The server is to be asked again.
    pub(crate) is_asked_again: bool,
    /// The server has closed it.
    pub(crate) has_closed: bool,
    /// The callback that tells so runs.
    pub(crate) is_closing: bool,
}

impl PendingGrpc {
    pub(crate) fn new(kind: GrpcKind, root: u32, number: usize) -> Self {
        Self {
            kind,
            root,
            number,
            parts: VecDeque::new(),
            last_due: Duration::ZERO,
            has_begun: false,
            has_sent_all: false,
            is_let_go: false,
            server_ended: false,
            is_asked_again: false,
            has_closed: false,
            is_closing: false,
        }
    }

    /// Takes in what the server replies: all of it in its order, and never before what came earlier.
    pub(crate) fn take_in(&mut self, reply: GrpcReply, now: Duration, timeout: Duration) -> GrpcComing {
        let mut due = (now + reply.latency).max(self.last_due);
        let again = reply.again.filter(|_| self.kind == GrpcKind::Stream).map(|wait| now + wait);
        let parts: Vec<GrpcPart> = match self.kind {
            GrpcKind::Stream => {
                let parts = reply.stream_parts(self.has_begun);
                self.has_begun |= !parts.is_empty();
                parts
            }
            GrpcKind::Call => {
                let part = reply.call_part();
                let is_late = !timeout.is_zero() && (part.is_none() || due >= now + timeout);
                if is_late {
                    due = now + timeout;
                }
                if is_late { GrpcReply::timed_out().call_part() } else { part }.into_iter().collect()
            }
        };
        self.last_due = due;
        let count = parts.len();
        self.server_ended |= parts.iter().any(|part| matches!(part, GrpcPart::Close { .. }));
        self.parts.extend(parts);
        let again = again.filter(|_| !self.server_ended && !self.is_asked_again);
        self.is_asked_again |= again.is_some();
        GrpcComing { due, count, again }
    }

    /// Was it closed by its server, in an earlier callback? Envoy keeps what it must not touch any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.has_closed && !self.is_closing
    }
}

/// The metadata and message of a gRPC call or stream that the running callback may read.
#[derive(Debug, Default)]
pub(crate) struct ShownGrpc {
    pub(crate) initial: Option<Headers>,
    pub(crate) message: Option<Vec<u8>>,
    pub(crate) trailing: Option<Headers>,
}

/// What a host call asks for that Envoy does only after the callback has returned.
#[derive(Debug)]
pub(crate) enum Deferred {
    Reply(StreamId, Answer),
    Continue(StreamId, Direction),
    Close(StreamId),
    /// A root is done.
    Delete(u32),
}

/// The rest of a process: all of it but one VM, which waits in a host call.
pub(crate) trait Rest: Any {
    /// Lets this much time pass for all threads but the one that waits. It has nobody's world: it works on this one.
    fn pass(&mut self, world: &mut Box<World>, waiting: Thread, wait: Duration) -> Result<(), Fault>;
}

/// The state in a VM's store.
pub(crate) struct Guest {
    /// Lent by the process while a callback runs.
    pub(crate) world: Box<World>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) thread: Thread,
    pub(crate) vm: VmId,
    pub(crate) build: BuildId,
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(crate) roots: BTreeMap<u32, Root>,
    pub(crate) calls: BTreeMap<u32, PendingCall>,
    pub(crate) grpc: BTreeMap<u32, PendingGrpc>,
    pub(crate) shown_grpc: ShownGrpc,
    pub(crate) deferred: Vec<Deferred>,
    /// The context of the callback, and the one `proxy_set_effective_context` put in its place.
    pub(crate) current: u32,
    pub(crate) effective: Option<u32>,
    /// Of the call whose callback runs.
    pub(crate) call_end: Option<CallEnd>,
    pub(crate) host_call: Option<&'static str>,
    pub(crate) phase: Phase,
    /// A rule ended the VM.
    pub(crate) killed: bool,
    /// A rule let the VM wait in the callback that runs.
    pub(crate) has_waited: bool,
    /// Lent where a rule may let the VM wait.
    pub(crate) rest: Option<Box<dyn Rest>>,
    /// What the filter wrote to standard output and error, where a panic without a hook goes.
    pub(crate) stderr: String,
    /// The configuration, while the callbacks that may read it run.
    pub(crate) shown_config: Option<Arc<[u8]>>,
    next_context: u32,
    /// Counts by four, as in Envoy, which tells the kinds of calls by the two bits that are left.
    next_token: u32,
    next_grpc: [u32; 2],
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
}

impl Guest {
    pub(crate) fn new(identity: Arc<Identity>, thread: Thread, vm: VmId, build: BuildId) -> Self {
        Self {
            world: Box::default(),
            identity,
            thread,
            vm,
            build,
            contexts: BTreeMap::new(),
            roots: BTreeMap::new(),
            calls: BTreeMap::new(),
            grpc: BTreeMap::new(),
            shown_grpc: ShownGrpc::default(),
            deferred: Vec::new(),
            current: 0,
            effective: None,
            call_end: None,
            host_call: None,
            phase: Phase::default(),
            killed: false,
            has_waited: false,
            rest: None,
            stderr: String::new(),
            shown_config: None,
            next_context: 0,
            next_token: 0,
            next_grpc: [GrpcKind::Call as u32, GrpcKind::Stream as u32],
            memory: None,
            allocate: None,
        }
    }

    pub(crate) fn add_root(&mut self, key: PluginKey) -> u32 {
        let id = self.add_context(Context::Root);
        self.roots.insert(
            id,
            Root { key, tick_period: Duration::ZERO, armed: 0, is_ending: false, status: (0, String::new()) },
        );
        id
    }

    pub(crate) fn add_context(&mut self, context: Context) -> u32 {
        self.next_context += 1;
        self.contexts.insert(self.next_context, context);
        self.next_context
    }

    /// Forgets a context; with a root, as Envoy does, the calls it made.
    pub(crate) fn remove_context(&mut self, id: u32) {
        self.contexts.remove(&id);
        self.calls.retain(|_, call| call.root != id);
        self.grpc.retain(|_, call| call.root != id);
    }

    pub(crate) fn next_grpc_token(&mut self, kind: GrpcKind) -> u32 {
        let [call, stream] = &mut self.next_grpc;
        let next = if kind == GrpcKind::Call { call } else { stream };
        *next += 4;
        *next
    }

    pub(crate) fn add_call(&mut self, call: PendingCall) -> u32 {
        self.next_token += 4;
        self.calls.insert(self.next_token, call);
        self.next_token
    }

    pub(crate) fn set_status(&mut self, root: u32, code: u32, message: &str) {
        if let Some(root) = self.roots.get_mut(&root) {
            root.status = (code, message.to_owned());
        }
    }

    /// The message goes once the callback is over; the code stays.
    pub(crate) fn clear_status(&mut self, root: u32) {
        if let Some(root) = self.roots.get_mut(&root) {
            root.status.1.clear();
        }
    }

    pub(crate) fn memory(&self) -> wasmtime::Result<Memory> {
        self.memory.ok_or_else(|| format_err!("the filter exports no memory"))
    }

    pub(crate) fn allocate(&self) -> wasmtime::Result<TypedFunc<u32, u32>> {
        self.allocate.clone().ok_or_else(|| format_err!("the filter exports no memory allocator"))
    }
}
