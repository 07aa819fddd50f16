//! What the root and the streams of one worker share: the engine, the metrics, and the queue that wakes the root.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gatepost_core::config::Config;
use gatepost_core::engine::Engine;
use gatepost_core::inbound::Ticket;
use gatepost_core::ingress::request::{Request, RequestResult, Step, Work};
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
    engine: RefCell<Engine>,
    randomness: RefCell<Randomness>,
    /// Never borrowed across a host call that could come back here.
    pub metrics: RefCell<Metrics>,
    log: RefCell<Log>,
    /// The claim for whose partition a queue was registered, and that queue.
    queue: Cell<Option<(u64, Option<Queue>)>>,
    /// The root has been woken and has not come yet.
    woken: Cell<bool>,
}

impl Worker {
    /// A worker with nothing to do; touches nothing shared.
    pub fn new(config: Config, name: String) -> Self {
        let config = Rc::new(config);
        Self {
            engine: RefCell::new(Engine::new(Rc::clone(&config), &name)),
            randomness: RefCell::default(),
            metrics: RefCell::default(),
            log: RefCell::default(),
            config,
            name,
            queue: Cell::new(None),
            woken: Cell::new(false),
        }
    }

    /// Runs the engine in the world of this callback, whose clocks were read when it began. The borrow ends with it:
    /// no host call in there comes back.
    pub fn engine<T>(&self, now: Now, run: impl FnOnce(&mut Engine, &mut World<'_>) -> T) -> T {
        let mut randomness = self.randomness.borrow_mut();
        let mut world = World { now, store: &mut SharedData, random: &mut || randomness.draw() };
        run(&mut self.engine.borrow_mut(), &mut world)
    }

    /// Does what only the engine can do for a request, and wakes the root for what is to be done besides: a call that a
    /// stream dispatches would lose its end with the stream.
    pub fn work(&self, request: &mut Request, work: Work) -> Step {
        let now = host::now();
        let step = self.engine(now, |engine, world| engine.handle_work(world, request, work));
        self.tell_all(|| now);
        self.wake();
        step
    }

    /// A message that was verified has been answered, or left: `is_taken` says whether by a 2xx.
    pub fn end_message(&self, ticket: &Ticket, is_taken: bool) {
        self.engine(Now::default(), |engine, world| engine.handle_message_end(world, ticket, is_taken));
        self.tell_all(host::now);
    }

    /// Counts and writes down what has happened so far. The clocks are asked for only when there is something.
    fn tell_all(&self, now: impl Fn() -> Now) {
        while let Some(notice) = self.engine(Now::default(), |engine, _| engine.poll_notice()) {
            self.tell(now(), &notice);
        }
    }

    /// Counts what happened, and writes it down.
    pub fn tell(&self, now: Now, notice: &Notice) {
        self.metrics.borrow_mut().notice(&self.config, notice);
        if let Some((level, line)) = self.log.borrow_mut().line(&self.config, notice, now.mono) {
            log::log!(level, "{line}");
        }
    }

    /// Counts a request. It is no line of the log, so the time does not matter.
    pub fn count(&self, count: Option<RequestResult>) {
        count.into_iter().for_each(|count| self.tell(Now::default(), &Notice::Request(count)));
    }

    /// A request came: which connection it came on tells a newer configuration from an older one.
    pub fn note_connection(&self) {
        if !self.engine.borrow().wants_connections() {
            return;
        }
        let Some(connection) = host::connection_id() else { return };
        if self.engine.borrow().is_new(connection) {
            self.engine(host::now(), |engine, world| engine.handle_connection(world, connection));
        }
    }

    /// The root is here.
    pub fn arrived(&self) {
        self.woken.set(false);
    }

    /// Makes sure that the root comes soon, if the engine wants it.
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
