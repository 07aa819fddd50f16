//! The engine of one worker: takes events, decides when which attempt leaves, and what its end means.
//!
//! It is a state machine in the manner of quinn-proto. The binding tells it what happened ([`Engine::offer`],
//! [`Engine::tick`], [`Engine::ended`] …), then performs what [`Engine::poll_action`] returns until that is `None`, and
//! comes back at [`Engine::poll_timeout`] at the latest. It knows no host: clocks, randomness and shared data come in
//! with each call as a [`World`]. A call that is late, repeated or about something unknown is a no-op.
//!
//! The VM's memory is a cache. Whatever was accepted stands in shared data first ([`crate::ledger`]), so any worker can
//! take up what another left, and one that finds a partition taken over forgets what was in it.
//!
//! | module | holds |
//! |---|---|
//! | `accept` | an event comes in: capacity, idempotency, the answer |
//! | `inspect` | personal data in it: refused, redacted or reported |
//! | `send` | the gates before an attempt, and the attempt itself |
//! | `settle` | the end of an attempt, of a delivery, of an event |
//! | `pledge` | producers that wait for the end |
//! | `hold` | the partitions: claimed, adopted, handed over |
//! | `count` | what is counted, and written once a second |
//! | `gauges` | how it stands, told to the metrics once a second |
//! | `watch` | the rollout: who gets what, and what follows from what was counted |
//! | `tell` | the history of what has ended, and the gateway's own events |
//! | `drain` | the admin surface, and who waits for an end of it all |
//! | `lane`, `table` | the queues, and the other collections |

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::admin::control::{Cached, REREAD, State};
use crate::answer::Answer;
use crate::config::Config;
use crate::egress::endpoint::Endpoint;
use crate::egress::state::Keys;
use crate::ids::EndpointId;
use crate::ingress::idempotency::Table;
use crate::ledger::generation::Generation;
use crate::rollout::guard;
use crate::store::World;
use crate::telemetry::history::History;
use crate::telemetry::notice::Notice;
use crate::time::Instant;

mod accept;
mod count;
mod drain;
mod gauges;
mod hold;
mod inspect;
mod lane;
pub mod pending;
mod pledge;
mod send;
mod settle;
mod table;
mod tell;
mod watch;

pub use accept::{Offer, Reply};
use count::Counted;
use drain::Drain;
use gauges::Told;
use lane::Lanes;
pub use send::Call;
use send::Seen;
pub use table::Place;
use table::{Flights, Fresh, Holdings, Timers};
use watch::Watched;

/// How often what has grown too old is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// What the binding is to do.
#[derive(Debug)]
pub enum Action {
    /// Send an HTTP request; then call [`Engine::ended`], or [`Engine::refused`] if it could not be sent at all.
    Call(Box<Call>),
    /// Answer a producer that waits.
    Answer {
        /// Its stream.
        stream: u32,
        /// The answer.
        answer: Answer,
    },
    /// Count it and write it down.
    Notice(Notice),
}

/// A configuration that has become the newest.
#[derive(Clone, Copy, Debug)]
struct Announced {
    since: Instant,
    /// It has been for long enough to forget what operators have put over what was before it.
    has_settled: bool,
}

/// How much of a worker's queue an endpoint takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    deliveries: u32,
    /// The bytes of their payloads.
    bytes: u64,
}

/// The engine of one worker. See the module.
pub struct Engine {
    config: Rc<Config>,
    prefix: String,
    keys: Vec<Keys>,
    idempotency: Table,
    generation: Generation,
    /// Counts callbacks: what another one has read may have changed since.
    callback: u64,
    /// When the generation was looked at, and in which callback.
    generation_checked: (Instant, u64),
    /// What this configuration is stands in shared data, as long as it is the newest.
    announced: Option<Announced>,
    control: Cached,
    nonce: Option<u64>,
    holdings: Holdings,
    /// The partition to accept into.
    home: Option<u32>,
    /// How often one was claimed.
    claims: u64,
    is_closing: bool,
    /// Bytes of the payloads in `holdings`.
    bytes: u64,
    /// Deliveries in `holdings` that have not ended.
    waiting: usize,
    /// How much of them each endpoint takes.
    shares: Vec<Share>,
    lanes: Lanes,
    flights: Flights,
    fresh: Fresh,
    /// The records of endpoints that were read last.
    seen: HashMap<EndpointId, Seen>,
    last_attempt: u64,
    /// Refusals in a row, for each endpoint.
    refusals: Vec<u32>,
    /// When which event's producer is answered at the latest.
    pledges: Timers,
    /// The rollout of each endpoint.
    watched: Vec<Watched>,
    /// What was counted of all of them.
    process: Counted,
    /// The endpoint whose counts were written last, and the one whose hours were: not all can be at once.
    written_last: (usize, usize),
    history: History,
    /// What the metrics were last told of the process.
    told: Told,
    /// Shared data says that something is pending here.
    has_said_pending: bool,
    /// Requests that wait until nothing is pending.
    drains: Vec<Drain>,
    outbox: VecDeque<Action>,
    notices: VecDeque<Notice>,
    swept: Instant,
}

impl Engine {
    /// An engine with nothing to do. `prefix`, the plugin's name, begins every key in shared data. Touches nothing:
    /// a partition is claimed at the first event.
    pub fn new(config: Rc<Config>, prefix: &str) -> Self {
        let endpoints = config.endpoints.len();
        let window = guard::window(config.rollout.guard.as_ref());
        Self {
            keys: config.endpoints.iter().map(|endpoint| Keys::new(prefix, &endpoint.name)).collect(),
            idempotency: Table::new(prefix, config.limits.idempotency_keys),
            lanes: Lanes::new(&config.endpoints),
            generation: Generation::new(prefix, config.fingerprint),
            callback: 0,
            generation_checked: (Instant::default(), 0),
            prefix: prefix.to_owned(),
            announced: None,
            control: Cached::default(),
            nonce: None,
            holdings: Holdings::default(),
            home: None,
            claims: 0,
            is_closing: false,
            bytes: 0,
            waiting: 0,
            shares: vec![Share::default(); endpoints],
            flights: Flights::default(),
            fresh: Fresh::default(),
            seen: HashMap::new(),
            last_attempt: 0,
            refusals: vec![0; endpoints],
            pledges: Timers::default(),
            watched: (0..endpoints).map(|_| Watched::new(window)).collect(),
            process: Counted::new(window),
            written_last: (0, 0),
            history: History::new(prefix, config.limits.history),
            told: Told::new(),
            has_said_pending: false,
            drains: Vec::new(),
            outbox: VecDeque::new(),
            notices: VecDeque::new(),
            swept: Instant::default(),
            config,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Rc<Config> {
        &self.config
    }

    /// The number of the partition that the worker accepts into, once it has one: it names the queue that wakes the
    /// worker. With how many were claimed so far: a number that was given up may have woken another since.
    pub fn partition(&self) -> Option<(u32, u64)> {
        self.home.map(|home| (home, self.claims))
    }

    /// Is a request's connection worth telling of ([`serve`](Self::serve))? To know its id costs a host call.
    pub fn wants_connections(&self) -> bool {
        !self.config.endpoints.is_empty()
    }

    /// Is this connection newer than all this worker has served?
    pub fn is_new(&self, connection: u64) -> bool {
        self.generation.is_new(connection)
    }

    /// Time has passed; to be called in every callback. Keeps the leases, finds out which configuration delivers, and
    /// ends what has grown too old.
    pub fn tick(&mut self, world: &mut World<'_>) {
        // A store that cannot say whose a partition is takes no write either; the next callback asks again.
        let _ = self.renew(world);
        self.callback += 1;
        // Before an attempt starts it is looked at in any case; a callback that starts none need not.
        if !self.generation.is_known() || world.now.mono.since(self.generation_checked.0) >= REREAD {
            self.check_generation(world);
        }
        self.check_control(world);
        self.expire_pledges(world);
        if world.now.mono.since(self.swept) >= SWEEP {
            self.swept = world.now.mono;
            self.sweep(world);
            self.watch(world);
            self.gauge(world);
            self.check_drains(world);
            if self.leads() { self.adopt(world) } else { self.hand_over_slowly(world) }
        }
    }

    /// The next thing to do. Whoever performs a [`Action::Call`] reports its end.
    pub fn poll_action(&mut self, world: &mut World<'_>) -> Option<Action> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(Action::Notice(notice));
            }
            if let Some(action) = self.outbox.pop_front() {
                return Some(action);
            }
            let lane = self.lanes.ready(world.now.mono)?;
            if self.generation_checked.1 != self.callback {
                self.check_generation(world);
                continue;
            }
            if !self.delivers() {
                return None;
            }
            self.start(world, lane);
        }
    }

    /// What is to be counted and written down at once, and not only by the next callback that asks for actions: who has
    /// asked for a change finds its line where it belongs.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// When to call [`tick`](Self::tick) and [`poll_action`](Self::poll_action) at the latest; `None`: at leisure.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.outbox.is_empty() || !self.notices.is_empty() {
            return Some(Instant::default());
        }
        let attempt = self.lanes.next_ready().filter(|_| self.delivers() || !self.generation.is_known());
        [attempt, self.pledges.first().map(|(deadline, _)| deadline)].into_iter().flatten().min()
    }

    /// What is done with events, by the config or by an operator.
    fn state(&self) -> State {
        self.control.get().state(self.config.enabled)
    }

    fn check_control(&mut self, world: &mut World<'_>) {
        if let Err(error) = self.control.refresh(world.store, &self.prefix, world.now.mono) {
            self.note(Notice::Store { doing: "asking what operators have switched", error });
        }
    }

    /// A delivery has ended: its share is free again.
    fn discount(&mut self, endpoint: EndpointId, bytes: u64) {
        if let Some(share) = self.shares.get_mut(endpoint.0) {
            share.deliveries = share.deliveries.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(bytes);
            self.waiting = self.waiting.saturating_sub(1);
        }
    }

    fn endpoint(&self, id: EndpointId) -> Option<(&Endpoint, &Keys)> {
        Some((self.config.endpoints.get(id.0)?, self.keys.get(id.0)?))
    }

    fn note(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }
}

#[cfg(test)]
mod tests;
