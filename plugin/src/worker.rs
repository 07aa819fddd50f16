//! What the root and the streams of one worker share: the engine, the metrics, and the queue that wakes the root.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gatepost_core::config::Config;
use gatepost_core::engine::Engine;
use gatepost_core::inbound::Ticket;
use gatepost_core::ingress::request::{End, Request, RequestResult, Step, Work};
use gatepost_core::ingress::waiting::Budgets;
use gatepost_core::store::World;
use gatepost_core::telemetry::log::Log;
use gatepost_core::telemetry::notice::Notice;
use gatepost_core::time::Now;

use crate::host::{self, Queue, Randomness, SharedData};
use crate::metrics::Metrics;

/// One worker under one configuration.
pub struct Worker {
    /// The configuration.
    pub config: Rc<Config>,
    /// The plugin's name.
    pub name: String,
    /// The budgets of the requests whose body is coming.
    pub budgets: Budgets,
    engine: RefCell<Engine>,
    randomness: RefCell<Randomness>,
    /// The metrics; never borrowed across a host call that could re-enter the worker.
    pub metrics: RefCell<Metrics>,
    log: RefCell<Log>,
    /// The number of the claim for whose partition a queue was registered, and that queue; `None`: the host refused.
    queue: Cell<Option<(u64, Option<Queue>)>>,
    /// The root has been woken, and its callback has not run yet.
    woken: Cell<bool>,
}

impl Worker {
    /// Makes a worker with nothing to do; touches no shared data.
    pub fn new(config: Config, name: String) -> Self {
        let config = Rc::new(config);
        Self {
            engine: RefCell::new(Engine::new(Rc::clone(&config), &name)),
            randomness: RefCell::default(),
            metrics: RefCell::default(),
            log: RefCell::default(),
            budgets: Budgets::new(config.limits.body),
            config,
            name,
            queue: Cell::new(None),
            woken: Cell::new(false),
        }
    }

    /// Runs `run` on the engine, in the world of this callback; `now` was read when the callback began. The engine is
    /// borrowed meanwhile: no host call in `run` re-enters the worker.
    pub fn engine<T>(&self, now: Now, run: impl FnOnce(&mut Engine, &mut World<'_>) -> T) -> T {
        let mut randomness = self.randomness.borrow_mut();
        let mut world = World { now, store: &mut SharedData, random: &mut || randomness.draw() };
        run(&mut self.engine.borrow_mut(), &mut world)
    }

    /// Lets the engine do `work` for a request, then wakes the root to perform the engine's actions: the end of a call
    /// that a stream dispatches would be lost with the stream.
    pub fn work(&self, request: &mut Request, work: Work) -> Step {
        let now = host::now();
        let step = self.engine(now, |engine, world| engine.handle_work(world, request, work));
        self.tell_all(|| now);
        self.wake();
        step
    }

    /// Tells the engine the end of a verified message; `is_taken` says that the message was answered with a 2xx, or was
    /// kept as an event.
    pub fn end_message(&self, ticket: &Ticket, is_taken: bool) {
        self.engine(Now::default(), |engine, world| engine.handle_message_end(world, ticket, is_taken));
        self.tell_all(host::now);
        self.wake_to_tell();
    }

    /// Tells the engine the end of the stream of a request that waited.
    pub fn end_request(&self, stream: u32, end: End) {
        self.engine(Now::default(), |engine, world| engine.handle_request_end(world, stream, end));
        self.tell_all(host::now);
        self.wake_to_tell();
    }

    /// Wakes the root if the store of the journal is to be told that a message has ended.
    fn wake_to_tell(&self) {
        if self.engine.borrow().has_ended_messages() {
            self.wake();
        }
    }

    /// Counts and logs every notice that the engine has. The clocks are read only when there is one.
    fn tell_all(&self, now: impl Fn() -> Now) {
        while let Some(notice) = self.engine(Now::default(), |engine, _| engine.poll_notice()) {
            self.tell(now(), &notice);
        }
    }

    /// Counts a notice, and logs it.
    pub fn tell(&self, now: Now, notice: &Notice) {
        self.metrics.borrow_mut().notice(&self.config, notice);
        if let Some((level, line)) = self.log.borrow_mut().line(&self.config, notice, now.mono) {
            log::log!(level, "{line}");
        }
    }

    /// Counts a request. A request makes no log line, so the time does not matter.
    pub fn count(&self, count: Option<RequestResult>) {
        count.into_iter().for_each(|count| self.tell(Now::default(), &Notice::Request(count)));
    }

    /// Tells the engine the connection of a request, if the connection is new to it: connections tell a newer
    /// configuration from an older one.
    pub fn note_connection(&self) {
        if !self.engine.borrow().wants_connections() {
            return;
        }
        let Some(connection) = host::connection_id() else { return };
        if self.engine.borrow().is_new(connection) {
            self.engine(host::now(), |engine, world| engine.handle_connection(world, connection));
        }
    }

    /// Notes that the root's callback runs, so that the root may be woken again.
    pub fn arrived(&self) {
        self.woken.set(false);
    }

    /// Wakes the root if the engine has something to do and the root is not woken yet.
    fn wake(&self) {
        let (partition, wanted) = {
            let engine = self.engine.borrow();
            (engine.partition(), engine.poll_timeout().is_some())
        };
        let Some(queue) = self.queue(partition) else { return };
        if wanted && !self.woken.get() {
            self.woken.set(queue.wake());
        }
    }

    /// The queue of the worker's partition, registered when the partition is new.
    fn queue(&self, partition: Option<(u32, u64)>) -> Option<Queue> {
        let (partition, claim) = partition?;
        if let Some((registered, queue)) = self.queue.get()
            && registered == claim
        {
            return queue;
        }
        let queue = Queue::register(&format!("{}/wake/{partition}", self.name));
        self.queue.set(Some((claim, queue)));
        queue
    }
}
