//! The root context: configuration, time, and the ends of calls.

use std::rc::Rc;
use std::time::Duration;

use gatepost_core::config;
use gatepost_core::engine::{Action, Engine};
use gatepost_core::journal::operation::StoreReply;
use gatepost_core::outcome::CallEnd;
use gatepost_core::time::Now;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::host;
use crate::stream::Stream;
use crate::worker::Worker;

/// The longest tick period, that of an idle worker. A tick renews leases, adopts partitions that nobody holds, and ends
/// deliveries that have grown too old.
const TICK_MAX: Duration = Duration::from_secs(1);

/// The shortest tick period: Envoy rounds a shorter one to zero, which ends the ticks for good.
const TICK_MIN: Duration = Duration::from_millis(1);

/// The root context of one configuration in one VM.
pub struct Root {
    id: u32,
    worker: Option<Rc<Worker>>,
    /// The tokens of calls under way, with what they are: a few dozen at most for each endpoint, and for the journal.
    calls: Vec<(u32, CallKind)>,
    /// The token of the stream on which the store of the journal announces changes, if it is open.
    stream: Option<u32>,
    tick: Duration,
    /// `on_done` answered false: Envoy waits until the last call has ended.
    is_ending: bool,
}

/// What a call under way is, with the number by which its end is reported.
#[derive(Clone, Copy)]
enum CallKind {
    Attempt(u64),
    Store(u64),
}

impl Root {
    /// A root that is not configured yet.
    pub fn new(id: u32) -> Self {
        Self { id, worker: None, calls: Vec::new(), stream: None, tick: Duration::ZERO, is_ending: false }
    }
}

impl Context for Root {
    /// Tells the engine the end of a call. A token that this root does not know is ignored.
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, trailers: usize) {
        let Some(place) = self.calls.iter().position(|(sent, _)| *sent == token) else { return };
        let (_, kind) = self.calls.swap_remove(place);
        let Some(worker) = self.worker.clone() else { return };
        let now = host::now();
        match kind {
            CallKind::Attempt(attempt) => {
                let (end, retry_after) = host::call_end(headers, body);
                worker.engine(now, |engine, world| match end {
                    CallEnd::Ended(ending) => engine.handle_call_ended(world, attempt, ending, retry_after.as_deref()),
                    CallEnd::NotSent => engine.handle_call_refused(world, attempt),
                });
            }
            CallKind::Store(number) => {
                let reply = host::store_reply(headers, body, trailers);
                worker.engine(now, |engine, world| engine.handle_store_reply(world, number, &reply));
            }
        }
        self.pump(now);
        self.end(now);
    }

    /// Tells the engine a message of the stream. Another stream's comes too late.
    fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
        if self.stream == Some(token)
            && let Some(worker) = self.worker.clone()
        {
            let now = host::now();
            let message = host::stream_message(size);
            worker.engine(now, |engine, world| engine.handle_announcement(world, &message));
            self.pump(now);
        }
    }

    /// Tells the engine the end of the stream. Envoy keeps hold of a stream that its server has closed until the filter
    /// ends it, too, and must be told so in this callback.
    fn on_grpc_stream_close(&mut self, token: u32, _status: u32) {
        host::cancel_stream(token);
        if self.stream == Some(token)
            && let Some(worker) = self.worker.clone()
        {
            self.stream = None;
            worker.engine(host::now(), |engine, world| engine.handle_stream_end(world));
        }
    }

    /// Ends the root: its configuration is replaced and its listeners have drained. False while calls are under way, so
    /// that they may end first: Envoy waits for them unless it replaces the VM too.
    fn on_done(&mut self) -> bool {
        self.is_ending = !self.close(host::now());
        !self.is_ending
    }
}

impl RootContext for Root {
    /// Parses the configuration; logs every problem and returns false if there is any. Depends only on the
    /// configuration and the environment, and changes no shared data: it also runs in a canary VM that then dies.
    fn on_configure(&mut self, _size: usize) -> bool {
        if let Err(error) = host::check_randomness() {
            log::error!("gatepost: no random ids without the host's random_get: {error}");
            return false;
        }
        match config::parse(&host::configuration(), &host::environment) {
            Ok(config) => {
                self.worker = Some(Rc::new(Worker::new(config, host::plugin_name())));
                self.tick = TICK_MAX;
                host::set_tick(self.tick);
                true
            }
            Err(problems) => {
                for problem in problems.iter() {
                    log::error!("gatepost config: {problem}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(worker) = &self.worker else { return };
        worker.arrived();
        worker.metrics.borrow_mut().define_some(&worker.config);
        let now = host::now();
        self.pump(now);
        self.end(now);
    }

    /// Runs the engine after a stream of this worker has left it something to do.
    fn on_queue_ready(&mut self, queue: u32) {
        let Some(worker) = &self.worker else { return };
        host::Queue::take(queue);
        worker.arrived();
        self.pump(host::now());
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Root {
    /// Drives the engine: tells it the time, performs its actions, then sets the next tick to the engine's next
    /// timeout.
    fn pump(&mut self, now: Now) {
        let Some(worker) = self.worker.clone() else { return };
        worker.engine(now, Engine::handle_timeout);
        while let Some(action) = worker.engine(now, |engine, world| engine.poll_action(world)) {
            self.perform(&worker, now, action);
        }
        let next = worker.engine(now, |engine, world| {
            engine.poll_timeout().map_or(TICK_MAX, |at| at.since(world.now.mono).clamp(TICK_MIN, TICK_MAX))
        });
        if next != self.tick {
            self.tick = next;
            host::set_tick(next);
        }
    }

    /// Gives up the partitions of which no attempt is under way, and performs the actions that follow; returns whether
    /// none is left.
    fn close(&mut self, now: Now) -> bool {
        let is_done = self.worker.as_ref().is_none_or(|worker| worker.engine(now, Engine::close));
        self.pump(now);
        is_done
    }

    /// Tells Envoy that the root is done, if Envoy waits for that and no attempt is under way any more.
    fn end(&mut self, now: Now) {
        if self.is_ending && self.close(now) {
            self.is_ending = false;
            host::done();
        }
    }

    fn perform(&mut self, worker: &Worker, now: Now, action: Action) {
        match action {
            Action::Call(call) => match host::call(&call) {
                Some(token) => self.calls.push((token, CallKind::Attempt(call.attempt))),
                None => worker.engine(now, |engine, world| engine.handle_call_refused(world, call.attempt)),
            },
            Action::Store(request) => match host::store_call(&request) {
                Some(token) => self.calls.push((token, CallKind::Store(request.number))),
                None => worker.engine(now, |engine, world| {
                    engine.handle_store_reply(world, request.number, &StoreReply::NotSent)
                }),
            },
            Action::OpenStream { cluster, stream } => {
                self.stream = host::open_stream(&cluster, &stream);
                if self.stream.is_none() {
                    worker.engine(now, |engine, world| engine.handle_stream_end(world));
                }
            }
            Action::CloseStream => self.stream.take().into_iter().for_each(host::cancel_stream),
            Action::Answer { stream, answer } => {
                // A client that is gone needs no answer; its event goes on.
                host::answer_stream(self.id, stream, &answer);
            }
            Action::Pass { stream, rule, changes } => {
                // A client that is gone is told of by its stream.
                let Some(is_changed) = host::pass_stream(self.id, stream, &changes) else { return };
                worker.engine(now, |engine, _| engine.handle_passed(rule, is_changed));
            }
            Action::Notice(notice) => worker.tell(now, &notice),
        }
    }
}
