//! What the root and the streams of one worker share: the engine, the metrics, and the queue that wakes the root.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gatepost_core::admin::{self, Request};
use gatepost_core::answer::Answer;
use gatepost_core::config::Config;
use gatepost_core::engine::{Engine, Offer, Place};
use gatepost_core::headers::Headers;
use gatepost_core::ids::{RouteId, RuleId};
use gatepost_core::inbound::{Gate, InboundResult, Ticket, Verdict};
use gatepost_core::ingress::event::EventResult;
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
    gate: Gate,
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
            gate: Gate::new(&config.inbound, &name),
            randomness: RefCell::default(),
            metrics: RefCell::new(Metrics::new(&config)),
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

    /// Hands an event to the engine, and wakes the root for what is to be done: a call that a stream dispatches would
    /// lose its end with the stream. Answers, or names the place of the event whose end brings the answer.
    pub fn offer(&self, offer: Offer) -> Result<Answer, Place> {
        let route = offer.route;
        let now = host::now();
        let reply = self.engine(now, |engine, world| engine.handle_event(world, offer));
        self.count(route, reply.result);
        self.tell_all(now);
        self.wake();
        reply.answer
    }

    /// Hands a request to the admin surface to the engine; `None`: the answer comes later.
    pub fn operate(&self, stream: u32, headers: &Headers, body: &[u8]) -> Option<Answer> {
        let text = |name| headers.single(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        let (path, query) = self.config.admin.as_ref().and_then(|admin| admin::split(admin, text(":path")))?;
        let authorization = headers.single("authorization");
        let request = Request { method: text(":method"), path, query, authorization, body };
        let now = host::now();
        let answer = self.engine(now, |engine, world| engine.handle_operator(world, stream, &request));
        self.tell_all(now);
        self.wake();
        answer
    }

    /// Verifies a request on an inbound path, all of which is here.
    pub fn verify(&self, rule: RuleId, headers: &Headers, body: &[u8]) -> Verdict {
        self.gate.verify(&self.config.inbound, &mut SharedData, host::now(), rule, headers, body)
    }

    /// A verified request was answered, or left: `taken` says whether by a 2xx.
    pub fn end(&self, ticket: &Ticket, taken: bool) {
        if let Err(error) = self.gate.end(&mut SharedData, ticket, taken) {
            self.tell(host::now(), &Notice::Store { doing: "ending the claim of an inbound message", error });
        }
    }

    /// Counts and writes down what has happened so far.
    fn tell_all(&self, now: Now) {
        while let Some(notice) = self.engine(now, |engine, _| engine.poll_notice()) {
            self.tell(now, &notice);
        }
    }

    /// Counts what happened, and writes it down.
    pub fn tell(&self, now: Now, notice: &Notice) {
        self.metrics.borrow_mut().notice(&self.config, notice);
        if let Some((level, line)) = self.log.borrow_mut().line(&self.config, notice, now.mono) {
            log::log!(level, "{line}");
        }
    }

    /// Counts an answered request on an event route.
    pub fn count(&self, route: RouteId, result: EventResult) {
        self.metrics.borrow_mut().event(&self.config, route, result);
    }

    /// Counts a request on an inbound path.
    pub fn count_inbound(&self, rule: RuleId, result: InboundResult) {
        self.metrics.borrow_mut().inbound(&self.config, rule, result);
    }

    /// A request came: which connection it came on tells a newer configuration from an older one.
    pub fn serve(&self) {
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
