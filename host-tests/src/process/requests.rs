//! Requests: how a stream begins and how it ends.

use super::{Process, RELOAD_BACKOFF, wrong};
use crate::fault::{Fault, StartError};
use crate::half::{Direction, Half, Part};
use crate::headers::Headers;
use crate::scheduler::Event;
use crate::stream::{Answer, Protocol, Request, Stream, StreamId};
use crate::trace::What;
use crate::vm::Context;
use crate::world::{At, Thread, VmId};

/// A connection that was kept alive, and what served it.
#[derive(Clone, Copy)]
struct Kept {
    connection: u64,
    vm: VmId,
    root: u32,
}

/// How much of an HTTP/1 body Envoy holds for a filter that pauses: the listener's default buffer limit.
const BUFFER_LIMIT_BYTES: usize = 1 << 20;

impl Process {
    /// Makes a request on a worker and runs it as far as it goes without time passing.
    ///
    /// # Errors
    ///
    /// The filter went wrong, or there is no such worker.
    pub fn request(&mut self, worker: usize, request: Request) -> Result<StreamId, Fault> {
        self.request_on(Thread::Worker(worker), request, None)
    }

    /// Makes another request on the connection of an earlier one, which was kept alive: it goes to the root that served
    /// it, as long as that has not drained.
    ///
    /// # Errors
    ///
    /// The filter went wrong, or there is no such request.
    pub fn request_again(&mut self, earlier: StreamId, request: Request) -> Result<StreamId, Fault> {
        let Some(stream) = self.world.streams.get(&earlier) else {
            return Err(wrong(Thread::Main, "request", "the process has no such earlier request"));
        };
        let kept = Kept { connection: stream.connection, vm: stream.at.vm, root: stream.root };
        self.request_on(stream.at.thread, request, Some(kept))
    }

    fn request_on(&mut self, thread: Thread, request: Request, kept: Option<Kept>) -> Result<StreamId, Fault> {
        let id = self.open(thread, &request);
        if !self.revive(thread)? {
            self.answer_directly(id, failed())?;
            return Ok(id);
        }
        self.create_context(thread, id, kept)?;
        self.send(id, request)?;
        if self.is_open(id) && !self.idle_timeout.is_zero() {
            self.world.put_after(self.idle_timeout, Event::Idle { stream: id });
        }
        Ok(id)
    }

    /// Lets the parts of a request arrive, for as long as there is somebody to take them.
    fn send(&mut self, id: StreamId, request: Request) -> Result<(), Fault> {
        let Request { headers, mut chunks, trailers, protocol } = request;
        let end = chunks.is_empty() && trailers.is_empty();
        self.arrive(id, Direction::Request, Part::Headers { headers, end })?;
        if protocol == Protocol::Http1 && !end {
            // The end of the body is a piece of its own.
            chunks.push(Vec::new());
        }
        let last = chunks.len().saturating_sub(1);
        for (number, bytes) in chunks.into_iter().enumerate() {
            if !self.takes_more(id) {
                return Ok(());
            }
            if self.overflows(id, Direction::Request, bytes.len()) {
                return self.reply(id, Answer::text(413, "Payload Too Large"));
            }
            let end = number == last && trailers.is_empty();
            self.arrive(id, Direction::Request, Part::Body { bytes, end })?;
        }
        if !trailers.is_empty() && self.takes_more(id) {
            self.arrive(id, Direction::Request, Part::Trailers(trailers))?;
        }
        Ok(())
    }

    /// Is more of a request wanted? Not once it is being answered.
    fn takes_more(&self, id: StreamId) -> bool {
        self.world.streams.get(&id).is_some_and(|stream| stream.is_open && !stream.response.has_begun)
    }

    /// Would so much more be too much to hold for a filter that pauses? Over HTTP/2 nothing is.
    pub(super) fn overflows(&mut self, id: StreamId, direction: Direction, more: usize) -> bool {
        let Some(stream) = self.world.streams.get_mut(&id) else { return false };
        stream.protocol == Protocol::Http1 && stream.half(direction).overflows(more, BUFFER_LIMIT_BYTES)
    }

    /// The client of a request leaves.
    ///
    /// # Errors
    ///
    /// The filter went wrong.
    pub fn disconnect(&mut self, stream: StreamId) -> Result<(), Fault> {
        let Some(open) = self.world.streams.get_mut(&stream).filter(|stream| stream.is_open) else { return Ok(()) };
        // What it has of an answer is of no interest any more.
        open.received = None;
        let at = open.at;
        self.world.note(at.thread, What::Disconnected { stream });
        self.close(stream)?;
        self.settle(at)
    }

    fn open(&mut self, thread: Thread, request: &Request) -> StreamId {
        let connection = u64::try_from(self.world.streams.len()).unwrap_or(u64::MAX);
        let id = StreamId(connection);
        let text = |name| request.headers.get(name).unwrap_or_default().to_owned();
        let what = What::Request { stream: id, method: text(":method"), path: text(":path") };
        self.world.note(thread, what);
        let stream = Stream {
            at: At { thread, vm: VmId::default() },
            root: 0,
            context: 0,
            connection,
            protocol: request.protocol,
            request: Half::default(),
            response: Half::default(),
            forwarded: None,
            coming: None,
            received: None,
            is_logging: false,
            is_open: true,
            active_at: self.world.clock.elapsed(),
        };
        self.world.streams.insert(id, stream);
        id
    }

    /// Rebuilds the worker's VM if it is lost and the back-off is over; says whether there is one.
    fn revive(&mut self, thread: Thread) -> Result<bool, Fault> {
        let now = self.world.clock.elapsed();
        let slot = self.slots.get(&thread);
        let slot = slot.ok_or_else(|| wrong(thread, "request", "the process has no such worker"))?;
        if slot.vm.is_some() {
            return Ok(true);
        }
        if self.fail_closed || now < slot.loaded_at + RELOAD_BACKOFF {
            return Ok(false);
        }
        match self.boot(thread) {
            Ok(()) => Ok(true),
            Err(StartError::Fault(fault)) if fault.killed => Ok(false),
            Err(StartError::Fault(fault)) => Err(fault),
            // Envoy then serves with the filter failed.
            Err(StartError::Refused { .. }) => Ok(false),
        }
    }

    fn create_context(&mut self, thread: Thread, id: StreamId, kept: Option<Kept>) -> Result<(), Fault> {
        let Some(guest) = self.slot_guest(thread) else { return Ok(()) };
        let vm = guest.vm;
        // Where the root has drained, the connection is gone too: the client comes over a new one.
        let has_drained = |root| guest.roots.get(&root).is_none_or(|root| root.is_ending);
        let kept = kept.filter(|kept| kept.vm != vm || !has_drained(kept.root));
        let root = kept.as_ref().filter(|kept| kept.vm == vm).map_or(guest.serving, |kept| kept.root);
        let context = guest.add_context(Context::Stream(id));
        let at = At { thread, vm };
        if let Some(stream) = self.world.streams.get_mut(&id) {
            (stream.at, stream.root, stream.context) = (at, root, context);
            stream.connection = kept.map_or(stream.connection, |kept| kept.connection);
        }
        self.enter::<_, ()>(at, "proxy_on_context_create", context, (context, root))?;
        self.settle(at)
    }

    /// Ends a stream: its last callbacks run, its context is gone, and the client has what answer there is.
    pub(super) fn close(&mut self, id: StreamId) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.is_open) else { return Ok(()) };
        stream.is_open = false;
        stream.coming = None;
        let (at, context) = (stream.at, stream.context);
        let status = stream.received.as_ref().map(Answer::status);
        stream.is_logging = true;
        let logged = self.enter::<_, ()>(at, "proxy_on_log", context, context);
        if let Some(stream) = self.world.streams.get_mut(&id) {
            stream.is_logging = false;
        }
        logged?;
        self.enter::<_, u32>(at, "proxy_on_done", context, context)?;
        self.enter::<_, ()>(at, "proxy_on_delete", context, context)?;
        if let Some(guest) = self.guest(at) {
            guest.remove_context(context);
        }
        if let Some(status) = status {
            self.world.note(at.thread, What::Answered { stream: id, status });
        }
        Ok(())
    }

    /// Closes the streams of a root.
    pub(super) fn close_streams(&mut self, at: At, root: u32) -> Result<(), Fault> {
        let of_root = |stream: &Stream| stream.is_open && stream.at == at && stream.root == root;
        let ids: Vec<StreamId> =
            self.world.streams.iter().filter(|(_, stream)| of_root(stream)).map(|(id, _)| *id).collect();
        ids.into_iter().try_for_each(|id| self.close(id))
    }
}

/// What Envoy answers on a worker whose VM is lost.
pub(super) fn failed() -> Answer {
    Answer::local(503, &Headers::default(), Vec::new())
}
