//! The engine of one worker: takes events, decides when which attempt leaves, and what its end means.
//!
//! It is a state machine in the manner of quinn-proto. The binding tells it what happened ([`Engine::handle_event`],
//! [`Engine::handle_timeout`], [`Engine::handle_call_ended`] …), then performs what [`Engine::poll_action`] returns until that is `None`, and
//! comes back at [`Engine::poll_timeout`] at the latest. It knows no host: clocks, randomness and shared data come in
//! with each call as a [`World`]. A call that is late, repeated or about something unknown is a no-op.
//!
//! The VM's memory is a cache. Whatever was accepted stands in shared data first ([`crate::ledger`]), so any worker can
//! take up what another left, and one that finds a partition taken over forgets what was in it.
//!
//! It is made of parts, each of which knows nothing of the others:
//!
//! | part | holds |
//! |---|---|
//! | `queue` (of `holdings`, `lane`, `flights`, `timers`, `pending`) | what was accepted and has not ended: partitions, the order of attempts, those under way |
//! | `leadership` | which configuration delivers, and whether anything is delivered |
//! | `endpoint` (of `counts`, `told`) | what is known and counted of one endpoint |
//! | `telemetry` | what is counted of the process, and the history |
//! | `output` (of `action`) | what is to be done and told |
//!
//! What happens runs through several of them:
//!
//! | module | what happens |
//! |---|---|
//! | `requests` | what requests ask for: an event taken, a message verified, a command carried out |
//! | `accept`, `inspect` | an event comes in: admitted, kept, committed; personal data in it |
//! | `send` | the gates before an attempt, and the attempt itself |
//! | `settle` | the end of an attempt, of a delivery, of an event |
//! | `pledge` | producers that wait for the end |
//! | `hold` | partitions are claimed, adopted, handed over |
//! | `count`, `gauges` | counts are written, and gauges told, once a second |
//! | `watch` | the rollout: who gets what, and what follows from what was counted |
//! | `tell` | the history of what has ended, and the gateway's own events |
//! | `operate` | the admin surface, and who waits for an end of it all |

use std::rc::Rc;
use std::time::Duration;

use crate::config::Config;
use crate::egress::endpoint::Endpoint;
use crate::egress::state::EndpointKeys;
use crate::ids::EndpointId;
use crate::inbound::Verifier;
use crate::ingress::idempotency::KeyTable;
use crate::ledger::generation::Generation;
use crate::rollout::guard;
use crate::store::World;
use crate::store::keys::Keys;
use crate::telemetry::history::History;
use crate::telemetry::notice::Notice;
use crate::time::Instant;

mod accept;
mod action;
mod count;
mod counts;
mod drains;
mod endpoint;
mod flights;
mod gauges;
mod hold;
mod holdings;
mod inspect;
mod lane;
mod leadership;
mod operate;
mod output;
mod pending;
mod pledge;
mod queue;
mod requests;
mod send;
mod settle;
mod telemetry;
mod tell;
mod timers;
mod told;
mod watch;

pub use accept::Reply;
pub use action::{Action, Call, Purpose};
use drains::Drain;
use endpoint::EndpointState;
use leadership::Leadership;
use output::Output;
use queue::Queue;
use telemetry::Telemetry;

/// How often what has grown too old is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// The engine of one worker. See the module.
pub struct Engine {
    config: Rc<Config>,
    keys: Keys,
    /// Counts callbacks: what another one has read may have changed since.
    callback: u64,
    idempotency: KeyTable,
    /// The tables of what was verified.
    gate: Verifier,
    leadership: Leadership,
    queue: Queue,
    /// In the order of the config.
    endpoints: Vec<EndpointState>,
    telemetry: Telemetry,
    output: Output,
    /// Requests that wait until nothing is pending.
    drains: Vec<Drain>,
    swept: Instant,
}

impl Engine {
    /// An engine with nothing to do. `filter`, the filter's name, begins every key in shared data. Touches nothing:
    /// a partition is claimed at the first event.
    pub fn new(config: Rc<Config>, filter: &str) -> Self {
        let keys = Keys::new(filter);
        let window = guard::window(config.rollout.guard.as_ref());
        let state = |endpoint: &Endpoint| EndpointState::new(EndpointKeys::new(&keys, &endpoint.name), window);
        Self {
            callback: 0,
            idempotency: KeyTable::new(&keys, config.limits.idempotency_keys),
            gate: Verifier::new(&config.inbound, &keys),
            leadership: Leadership::new(Generation::new(&keys, config.fingerprint)),
            queue: Queue::new(&config.endpoints),
            endpoints: config.endpoints.iter().map(state).collect(),
            telemetry: Telemetry::new(window, History::new(&keys, config.limits.history)),
            output: Output::default(),
            drains: Vec::new(),
            swept: Instant::default(),
            keys,
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
        self.queue.home.map(|home| (home, self.queue.claims))
    }

    /// Is a request's connection worth telling of ([`handle_connection`](Self::handle_connection))? To know its id costs a host call.
    pub fn wants_connections(&self) -> bool {
        !self.config.endpoints.is_empty()
    }

    /// Is this connection newer than all this worker has served?
    pub fn is_new(&self, connection: u64) -> bool {
        self.leadership.generation.is_new(connection)
    }

    /// Time has passed; to be called in every callback. Keeps the leases, finds out which configuration delivers, and
    /// ends what has grown too old.
    pub fn handle_timeout(&mut self, world: &mut World<'_>) {
        // A store that cannot say whose a partition is takes no write either; the next callback asks again.
        let _ = self.renew(world);
        self.callback += 1;
        // Before an attempt starts it is looked at in any case; a callback that starts none need not.
        if self.leadership.is_check_due(world.now.mono) {
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
            if self.leadership.leads() { self.adopt(world) } else { self.hand_over_slowly(world) }
        }
    }

    /// The next thing to do. Whoever performs a [`Action::Call`] reports its end.
    pub fn poll_action(&mut self, world: &mut World<'_>) -> Option<Action> {
        loop {
            if let Some(action) = self.output.poll() {
                return Some(action);
            }
            let lane = self.queue.lanes.ready(world.now.mono)?;
            if !self.leadership.is_checked_in(self.callback) {
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
        self.output.poll_notice()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) and [`poll_action`](Self::poll_action) at the latest; `None`: at leisure.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.output.is_empty() {
            return Some(Instant::default());
        }
        let attempt =
            self.queue.lanes.next_ready().filter(|_| self.delivers() || !self.leadership.generation.is_known());
        [attempt, self.queue.pledges.first().map(|(deadline, _)| deadline)].into_iter().flatten().min()
    }

    /// Does this worker start attempts?
    fn delivers(&self) -> bool {
        self.leadership.delivers(self.config.enabled)
    }

    fn check_control(&mut self, world: &mut World<'_>) {
        if let Err(error) = self.leadership.control.refresh(world.store, &self.keys, world.now.mono) {
            self.output.note(Notice::Store { doing: "asking what operators have switched", error });
        }
    }

    /// A delivery has ended: its share is free again.
    fn discount(&mut self, endpoint: EndpointId, bytes: u64) {
        if let Some(EndpointState { share, .. }) = self.endpoints.get_mut(endpoint.0) {
            share.deliveries = share.deliveries.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(bytes);
            self.queue.waiting = self.queue.waiting.saturating_sub(1);
        }
    }

    fn endpoint(&self, id: EndpointId) -> Option<(&Endpoint, &EndpointKeys)> {
        Some((self.config.endpoints.get(id.0)?, &self.endpoints.get(id.0)?.keys))
    }
}

#[cfg(test)]
mod tests;
