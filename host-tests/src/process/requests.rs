//! Requests: how a stream begins and how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Process;
use crate::abi::Direction;
use crate::fault::{Fault, StartError};
use crate::guest::Context;
use crate::half::{Half, Part};
use crate::ids::{At, PluginId, StreamId, Thread, VmId};
use crate::stream::{Answer, Protocol, Request, Stream};
use crate::world::schedule::Event;
use crate::world::trace::What;

/// From a VM's end to the moment a new stream may rebuild it: Envoy's `reload_config.backoff.base_interval`.
const RELOAD_BACKOFF: Duration = Duration::from_secs(1);
/// How much of an HTTP/1 body Envoy holds for a filter that pauses: the listener's default buffer limit.
const BUFFER_LIMIT_BYTES: usize = 1 << 20;

impl Process {
    /// Makes a request on a worker and runs it as far as it goes without time passing.
    ///
    /// # Errors
    ///
    /// The filter went wrong, or there is no such worker.
    pub fn request(&mut self, worker: usize, request: Request) -> Result<StreamId, Fault> {
        let thread = Thread::Worker(worker);
        if !self.slots.contains_key(&thread) {
            return Err(Fault::new(thread, "request", "the process has no such worker"));
        }
        let listener = request.listener.as_deref().map_or(Ok(0), |name| self.listener(name, "request"))?;
        let plugin = self.deployment.current(listener).unwrap_or_default();
        let connection = self.next_connection();
        self.request_on(thread, plugin, connection, request)
    }

    /// Makes another request on the connection of an earlier one, which was kept alive: it goes to the version of the
    /// plugin that served it, as long as that has not drained. Then the client comes over a new connection.
    ///
    /// # Errors
    ///
    /// The filter went wrong, or there is no such request.
    pub fn request_again(&mut self, earlier: StreamId, request: Request) -> Result<StreamId, Fault> {
        let Some(stream) = self.world.streams.get(&earlier) else {
            return Err(Fault::new(Thread::Main, "request", "the process has no such earlier request"));
        };
        let (thread, earlier, connection) = (stream.at.thread, stream.plugin, stream.connection);
        let plugin = self.deployment.serving(earlier).unwrap_or_default();
        let connection = if plugin == earlier { connection } else { self.next_connection() };
        self.request_on(thread, plugin, connection, request)
    }

    /// A number no connection has had.
    fn next_connection(&self) -> u64 {
        u64::try_from(self.world.streams.len()).unwrap_or(u64::MAX)
    }

    fn request_on(
        &mut self,
        thread: Thread,
        plugin: PluginId,
        connection: u64,
        request: Request,
    ) -> Result<StreamId, Fault> {
        let id = self.open(thread, plugin, connection, &request);
        let Some((at, root)) = self.revive(thread, plugin)? else {
            self.fail(id)?;
            return Ok(id);
        };
        self.create_context(id, at, root)?;
        self.send(id, request)?;
        if self.is_open(id) && !self.idle_timeout.is_zero() {
            self.world.put_after(self.idle_timeout, Event::Idle { stream: id });
        }
        Ok(id)
    }

    /// Lets the parts of a request arrive, for as long as there is somebody to take them.
    fn send(&mut self, id: StreamId, request: Request) -> Result<(), Fault> {
        let Request { headers, mut chunks, trailers, protocol, .. } = request;
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

    fn open(&mut self, thread: Thread, plugin: PluginId, connection: u64, request: &Request) -> StreamId {
        let id = StreamId(u64::try_from(self.world.streams.len()).unwrap_or(u64::MAX));
        let text = |name| request.headers.get(name).unwrap_or_default().to_owned();
        let what = What::Request { stream: id, method: text(":method"), path: text(":path") };
        self.world.note(thread, what);
        let stream = Stream {
            at: At { thread, vm: VmId::default() },
            plugin,
            root: 0,
            context: 0,
            connection,
            client: request.client,
            listener: self.deployment.plugin(plugin).map_or(0, |plugin| plugin.listener),
            protocol: request.protocol,
            request: Half::default(),
            response: Half::default(),
            state: BTreeMap::new(),
            began_at: self.world.clock.elapsed(),
            forwarded: None,
            coming: None,
            details: None,
            received: None,
            is_logging: false,
            is_open: true,
            active_at: self.world.clock.elapsed(),
        };
        self.world.streams.insert(id, stream);
        id
    }

    /// The VM and root of a plugin for a new stream. Where the VM was lost they are rebuilt, if the back-off is over;
    /// `None` if there are none then. A VM that another plugin's stream rebuilt has no root of this one yet.
    fn revive(&mut self, thread: Thread, plugin: PluginId) -> Result<Option<(At, u32)>, Fault> {
        if let Some(found) = self.root_of(thread, plugin) {
            return Ok(Some(found));
        }
        let now = self.world.clock.elapsed();
        let loaded = self.slots.get(&thread).and_then(|slot| slot.loaded.get(&plugin)).copied();
        if self.fail_closed || loaded.is_some_and(|loaded| now < loaded + RELOAD_BACKOFF) {
            return Ok(None);
        }
        match self.load(thread, plugin) {
            Ok(()) => Ok(self.root_of(thread, plugin)),
            Err(StartError::Fault(fault)) => Err(fault),
            // Envoy then serves with the filter failed.
            Err(StartError::Refused { .. }) => Ok(None),
        }
    }

    fn create_context(&mut self, id: StreamId, at: At, root: u32) -> Result<(), Fault> {
        let Some(guest) = self.guest(at) else { return Ok(()) };
        let context = guest.add_context(Context::Stream(id));
        if let Some(stream) = self.world.streams.get_mut(&id) {
            (stream.at, stream.root, stream.context) = (at, root, context);
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
        let status = stream.received.as_ref().filter(|answer| answer.is_complete).map(Answer::status);
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
}
