//! The life of a stream, with `allow_on_headers_stop_iteration: true`: a pause in the headers holds the request back
//! but lets its body arrive.

use wasmtime::{WasmParams, WasmResults};

use super::{Process, RELOAD_BACKOFF};
use crate::abi::Action;
use crate::fault::{Fault, StartError};
use crate::headers::Headers;
use crate::stream::{Answer, Protocol, Request, Rest, Stream, StreamId};
use crate::trace::What;
use crate::vm::{Context, Deferred};
use crate::world::{Thread, VmId};

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
        let kept = Kept { connection: stream.connection, vm: stream.vm, root: stream.root };
        self.request_on(stream.thread, request, Some(kept))
    }

    fn request_on(&mut self, thread: Thread, request: Request, kept: Option<Kept>) -> Result<StreamId, Fault> {
        let Request { headers, chunks, trailers, protocol } = request;
        let id = self.open(thread, headers);
        if !self.revive(thread)? {
            self.finish(id, Some(failed()));
            return Ok(id);
        }
        self.create_context(thread, id, kept)?;
        let bodiless = chunks.is_empty() && trailers.is_empty();
        if self.headers(id, bodiless)? && !bodiless {
            let rest = Rest { chunks, trailers, protocol };
            match self.world.streams.get_mut(&id).filter(|stream| stream.forwarded.is_none()) {
                Some(paused) if !self.body_while_paused => paused.held = Some(rest),
                _ => self.body(id, rest)?,
            }
        }
        Ok(id)
    }

    /// The client of a request leaves.
    ///
    /// # Errors
    ///
    /// The filter went wrong.
    pub fn disconnect(&mut self, stream: StreamId) -> Result<(), Fault> {
        let Some(open) = self.world.streams.get(&stream).filter(|stream| stream.open) else { return Ok(()) };
        let thread = open.thread;
        self.world.note(thread, What::Disconnected { stream });
        self.close(stream)?;
        self.settle(thread)
    }

    /// Does what host calls asked for while a callback ran.
    pub(super) fn settle(&mut self, thread: Thread) -> Result<(), Fault> {
        loop {
            let Some(guest) = self.guest(thread).filter(|guest| !guest.deferred.is_empty()) else { return Ok(()) };
            match guest.deferred.remove(0) {
                Deferred::Reply(stream, answer) => self.respond(stream, answer)?,
                Deferred::Continue(stream) => self.resume(stream)?,
                Deferred::Close(stream) => self.close(stream)?,
                Deferred::Delete(root) => self.delete_root(thread, root)?,
            }
        }
    }

    fn open(&mut self, thread: Thread, request_headers: Headers) -> StreamId {
        let connection = u64::try_from(self.world.streams.len()).unwrap_or(u64::MAX);
        let id = StreamId(connection);
        let text = |name| request_headers.get(name).unwrap_or_default().to_owned();
        let what = What::Request { stream: id, method: text(":method"), path: text(":path") };
        self.world.note(thread, what);
        let stream = Stream {
            thread,
            vm: VmId::default(),
            root: 0,
            context: 0,
            connection,
            request_headers,
            request_trailers: Headers::default(),
            buffered: Vec::new(),
            arrived: false,
            forwarded: None,
            held: None,
            response: None,
            open: true,
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
        let Some(guest) = self.guest(thread) else { return Ok(()) };
        let vm = guest.vm;
        // Where the root has drained, the connection is gone too: the client comes over a new one.
        let has_drained = |root| guest.roots.get(&root).is_none_or(|root| root.is_ending);
        let kept = kept.filter(|kept| kept.vm != vm || !has_drained(kept.root));
        let root = kept.as_ref().filter(|kept| kept.vm == vm).map_or(guest.serving, |kept| kept.root);
        let context = guest.add_context(Context::Stream(id));
        if let Some(stream) = self.world.streams.get_mut(&id) {
            (stream.vm, stream.root, stream.context) = (vm, root, context);
            stream.connection = kept.map_or(stream.connection, |kept| kept.connection);
        }
        self.enter::<_, ()>(thread, "proxy_on_context_create", context, (context, root))?;
        self.settle(thread)
    }

    fn headers(&mut self, id: StreamId, end: bool) -> Result<bool, Fault> {
        let count = self.world.streams.get(&id).map_or(0, |stream| stream.request_headers.len());
        self.receive(id, "proxy_on_request_headers", |context| (context, size(count), u32::from(end)), end)
    }

    fn body(&mut self, id: StreamId, rest: Rest) -> Result<(), Fault> {
        let Rest { chunks, trailers, protocol } = rest;
        let last = chunks.len().saturating_sub(1);
        for (number, chunk) in chunks.into_iter().enumerate() {
            let end = number == last && protocol == Protocol::Http2 && trailers.is_empty();
            if !self.piece(id, &chunk, protocol, end)? {
                return Ok(());
            }
        }
        if !trailers.is_empty() {
            if let Some(stream) = self.world.streams.get_mut(&id) {
                stream.request_trailers = trailers.clone();
            }
            let count = size(trailers.len());
            self.receive(id, "proxy_on_request_trailers", |context| (context, count), true)?;
        } else if protocol == Protocol::Http1 {
            self.piece(id, &[], protocol, true)?;
        }
        Ok(())
    }

    fn piece(&mut self, id: StreamId, bytes: &[u8], protocol: Protocol, end: bool) -> Result<bool, Fault> {
        let Some(stream) = self.world.streams.get_mut(&id) else { return Ok(false) };
        let thread = stream.thread;
        stream.buffered.extend_from_slice(bytes);
        let buffered = stream.buffered.len();
        if protocol == Protocol::Http1 && buffered > BUFFER_LIMIT_BYTES {
            self.respond(id, Answer::local(413, &Headers::default(), b"Payload Too Large".to_vec()))?;
            self.settle(thread)?;
            return Ok(false);
        }
        self.receive(id, "proxy_on_request_body", |context| (context, size(buffered), u32::from(end)), end)
    }

    /// Hands a part of the request to the filter and follows its answer; says whether the stream goes on.
    fn receive<P: WasmParams>(
        &mut self,
        id: StreamId,
        callback: &'static str,
        params: impl FnOnce(u32) -> P,
        end: bool,
    ) -> Result<bool, Fault> {
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.open) else { return Ok(false) };
        let (thread, context) = (stream.thread, stream.context);
        stream.arrived = end;
        let action = self.action(thread, callback, context, params(context))?;
        self.settle(thread)?;
        if action == Action::Continue {
            self.resume(id)?;
            self.settle(thread)?;
        }
        Ok(self.is_open(id))
    }

    /// Lets what has arrived go on; once that is everything, the application answers.
    fn resume(&mut self, id: StreamId) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get_mut(&id).filter(|stream| stream.open) else { return Ok(()) };
        stream.forward();
        if let Some(rest) = stream.held.take() {
            return self.body(id, rest);
        }
        if stream.arrived {
            self.respond(id, Answer::local(200, &Headers::default(), Vec::new()))?;
        }
        Ok(())
    }

    /// Sends an answer through the filter's response callbacks to the client. The first answer is the only one.
    fn respond(&mut self, id: StreamId, answer: Answer) -> Result<(), Fault> {
        let (headers, body) = (size(answer.headers.len()), size(answer.body.len()));
        let Some(stream) = self.world.streams.get_mut(&id) else { return Ok(()) };
        if !stream.open || stream.response.is_some() {
            return Ok(());
        }
        stream.response = Some(answer);
        let (thread, context) = (stream.thread, stream.context);
        self.pass(thread, "proxy_on_response_headers", context, (context, headers, u32::from(body == 0)))?;
        if body > 0 {
            self.pass(thread, "proxy_on_response_body", context, (context, body, 1))?;
        }
        self.close(id)
    }

    /// Runs a response callback. None may pause: no filter here does so yet, and it would wait for ever.
    fn pass<P: WasmParams>(
        &mut self,
        thread: Thread,
        callback: &'static str,
        context: u32,
        params: P,
    ) -> Result<(), Fault> {
        match self.action(thread, callback, context, params)? {
            Action::Continue => Ok(()),
            Action::Pause => {
                self.kill_vm(thread);
                Err(wrong(thread, callback, "pausing an answer is not simulated"))
            }
        }
    }

    fn action<P: WasmParams>(
        &mut self,
        thread: Thread,
        callback: &'static str,
        context: u32,
        params: P,
    ) -> Result<Action, Fault>
    where
        u32: WasmResults,
    {
        let Some(code) = self.enter::<_, u32>(thread, callback, context, params)? else { return Ok(Action::Continue) };
        Action::from_code(code).ok_or_else(|| wrong(thread, callback, "it answered with no action the ABI knows"))
    }

    /// Ends a stream: its last callbacks run, its context is gone, and the client has what answer there is.
    fn close(&mut self, id: StreamId) -> Result<(), Fault> {
        let Some(stream) = self.world.streams.get(&id).filter(|stream| stream.open) else { return Ok(()) };
        let (thread, vm, context) = (stream.thread, stream.vm, stream.context);
        if self.guest(thread).is_none_or(|guest| guest.vm != vm) {
            // Its VM is lost, and who came in its place knows nothing of it.
            self.finish(id, None);
            return Ok(());
        }
        self.enter::<_, ()>(thread, "proxy_on_log", context, context)?;
        self.enter::<_, u32>(thread, "proxy_on_done", context, context)?;
        self.enter::<_, ()>(thread, "proxy_on_delete", context, context)?;
        if let Some(guest) = self.guest(thread) {
            guest.remove_context(context);
        }
        self.finish(id, None);
        Ok(())
    }

    /// Closes the streams of a root.
    pub(super) fn close_streams(&mut self, thread: Thread, vm: VmId, root: u32) -> Result<(), Fault> {
        let of_root = |stream: &Stream| stream.open && (stream.thread, stream.vm, stream.root) == (thread, vm, root);
        let ids: Vec<StreamId> =
            self.world.streams.iter().filter(|(_, stream)| of_root(stream)).map(|(id, _)| *id).collect();
        ids.into_iter().try_for_each(|id| self.close(id))
    }

    /// The VM was lost in a callback of this stream: unless its client has the answer already, that is 503.
    pub(super) fn fail(&mut self, id: StreamId, callback: &'static str) {
        let is_over = ["proxy_on_log", "proxy_on_done", "proxy_on_delete"].contains(&callback);
        if self.is_open(id) && !is_over {
            self.finish(id, Some(failed()));
        }
    }

    /// Ends a stream that has idled for too long.
    pub(super) fn give_up(&mut self, id: StreamId) {
        if self.is_open(id) {
            self.finish(id, Some(failed()));
        }
    }

    fn finish(&mut self, id: StreamId, answer: Option<Answer>) {
        let Some(stream) = self.world.streams.get_mut(&id) else { return };
        stream.response = answer.or(stream.response.take());
        stream.open = false;
        let thread = stream.thread;
        if let Some(status) = stream.response.as_ref().map(Answer::status) {
            self.world.note(thread, What::Answered { stream: id, status });
        }
    }
}

/// What Envoy answers on a worker whose VM is lost.
fn failed() -> Answer {
    Answer::local(503, &Headers::default(), Vec::new())
}

fn wrong(thread: Thread, callback: &'static str, reason: &str) -> Fault {
    Fault { thread, callback, host_call: None, reason: reason.to_owned(), killed: false }
}

/// A count as the ABI passes it.
fn size(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
