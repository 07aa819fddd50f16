//! The engine of one worker: takes events, decides when which attempt leaves, and what its end means.
//!
//! The engine is a state machine without I/O, in the manner of quinn-proto. The binding tells the engine what happened
//! ([`Engine::handle_event`], [`Engine::handle_timeout`], [`Engine::handle_call_ended`] …), then performs the actions
//! that [`Engine::poll_action`] returns until it returns `None`, and calls again at [`Engine::poll_timeout`] at the
//! latest. The engine knows no host: clocks, randomness and shared data come in with each call as a [`World`]. A call
//! that is late, repeated or about something unknown is a no-op.
//!
//! The VM's memory is a cache. An accepted event is written to shared data first ([`crate::ledger`]), so any worker can
//! take over the events of another. A worker that finds its partition taken over drops the events of the partition from
//! memory.
//!
//! The engine is made of parts, each of which knows nothing of the others:
//!
//! | part | holds |
//! |---|---|
//! | `journaled` (of `commits`, `claims`) | the writer of the journal, events that wait for their commit, messages for their claim |
//! | `queue` (of `holdings`, `lane`, `flights`, `timers`, `pending`) | pending events, and their attempts |
//! | `leadership` | which configuration delivers, and whether anything is delivered |
//! | `endpoint` (of `counts`, `told`) | the state and the counts of one endpoint |
//! | `telemetry` | the counts of the process, and the history |
//! | `output` (of `action`) | actions to perform, and notices to count and to log |
//!
//! What happens runs through several parts:
//!
//! | module | what happens |
//! |---|---|
//! | `requests` | what requests ask for: an event taken, a message verified, a command carried out |
//! | `accept`, `inspect` | an event comes in: admitted, kept, committed; personal data in the event |
//! | `send` | the gates before an attempt, and the attempt itself |
//! | `settle` | the end of an attempt, of a delivery, of an event |
//! | `pledge` | producers that wait for the end |
//! | `hold`, `ending` | partitions are claimed, adopted, handed over; what ends with the process is told |
//! | `count`, `gauges`, `fleet` | counts are written, and gauges reported, once a second |
//! | `watch` | the rollout: which endpoint gets which event, and what follows from the counts |
//! | `tell` | the history of ended events, and the gateway's operational events |
//! | `operate` | the admin surface, and drain requests that wait until nothing is pending |

use std::rc::Rc;
use std::time::Duration;

use crate::config::Config;
use crate::egress::endpoint::Endpoint;
use crate::egress::state::EndpointKeys;
use crate::ids::EndpointId;
use crate::inbound::Verifier;
use crate::ingress::idempotency::KeyTable;
use crate::journal::documents::FleetKnowledge;
use crate::ledger::generation::Generation;
use crate::rollout::guard;
use crate::store::World;
use crate::store::keys::Keys;
use crate::telemetry::history::History;
use crate::telemetry::notice::Notice;
use crate::time::Instant;

mod accept;
mod action;
mod announcements;
mod claims;
mod commits;
mod count;
mod counts;
mod documents;
mod draft;
mod drains;
mod elsewhere;
mod ending;
mod endpoint;
mod fleet;
mod fleet_keys;
mod fleet_letters;
mod fleet_messages;
mod flights;
mod gauges;
mod hold;
mod holdings;
mod inspect;
mod journaled;
mod lane;
mod leadership;
mod letter_plan;
mod letters;
mod operate;
mod output;
mod pending;
mod pledge;
mod queue;
mod requests;
mod send;
mod settle;
mod takeover;
mod telemetry;
mod tell;
mod timers;
mod told;
mod watch;

pub use action::{Action, Call, Purpose, StoreRequest};
use commits::{Documents, Journaled};
pub use draft::Reply;
use drains::Drain;
use endpoint::EndpointState;
use leadership::Leadership;
use letter_plan::FleetLetters;
use output::Output;
use queue::Queue;
use telemetry::Telemetry;

/// The interval of the periodic work: the sweep of what is overdue, the watch of the rollouts, the gauges, the drain
/// requests, and the partitions.
const SWEEP: Duration = Duration::from_secs(1);

/// The engine of one worker. See the module.
pub struct Engine {
    config: Rc<Config>,
    keys: Keys,
    /// The number of the current callback. Shared data that was read in an earlier callback may have changed since.
    callback: u64,
    idempotency: KeyTable,
    /// The verifier of inbound messages, with its tables of messages already verified.
    gate: Verifier,
    leadership: Leadership,
    queue: Queue,
    /// The states of the endpoints, in the order of the config.
    endpoints: Vec<EndpointState>,
    telemetry: Telemetry,
    /// The journal; `None`: the config has none.
    journal: Option<Journaled>,
    documents: Documents,
    fleet_letters: FleetLetters,
    output: Output,
    /// Drain requests, which wait until nothing is pending.
    drains: Vec<Drain>,
    swept: Instant,
}

impl Engine {
    /// Makes an engine with nothing to do. `filter`, the filter's name, begins every key in shared data. Shared data is
    /// not touched: a partition is claimed at the first event.
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
            journal: config.journal.as_ref().map(Journaled::new),
            documents: Documents::new(config.journal.is_some()),
            fleet_letters: FleetLetters::default(),
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

    /// The number of the partition that the worker accepts into, and how many such partitions it has claimed so far;
    /// `None` before the first claim. The number names the queue that wakes the worker. The count tells a number that
    /// was given up and claimed again: meanwhile its queue may have woken another worker.
    pub fn partition(&self) -> Option<(u32, u64)> {
        self.queue.home.map(|home| (home, self.queue.claims))
    }

    /// Says whether the engine needs [`handle_connection`](Self::handle_connection) at all: to learn the id of a
    /// connection costs a host call.
    pub fn wants_connections(&self) -> bool {
        self.has_generations()
    }

    /// Says whether it matters which configuration is the newest: it is the one that delivers, and speaks for this
    /// gateway in the fleet.
    fn has_generations(&self) -> bool {
        !self.config.endpoints.is_empty() || self.config.journal.is_some()
    }

    /// Says whether this connection is newer than all that this worker has served.
    pub fn is_new(&self, connection: u64) -> bool {
        self.leadership.generation.is_new(connection)
    }

    /// Does the work that the time brings; to be called in every callback. Renews the leases, finds out which
    /// configuration delivers, and once a second does the periodic work.
    pub fn handle_timeout(&mut self, world: &mut World<'_>) {
        // A store that cannot say whose a partition is takes no write either; the next callback asks again.
        let _ = self.renew(world);
        self.callback += 1;
        // Before an attempt starts the generation is checked in any case; a callback that starts no attempt need not
        // check.
        if self.leadership.is_check_due(world.now.mono) {
            self.check_generation(world);
        }
        self.check_control(world);
        self.withdraw_cleared();
        self.drive_journal(world);
        self.expire_pledges(world);
        if world.now.mono.since(self.swept) >= SWEEP {
            self.swept = world.now.mono;
            self.sweep(world);
            self.watch(world);
            self.gauge(world);
            self.check_letters(world);
            self.check_drains(world);
            if self.leadership.leads() { self.adopt(world) } else { self.hand_over_slowly(world) }
        }
    }

    /// The next action to perform; `None`: nothing is to be done now. Whoever performs an [`Action::Call`] reports its
    /// end.
    pub fn poll_action(&mut self, world: &mut World<'_>) -> Option<Action> {
        loop {
            if let Some(action) = self.output.poll() {
                return Some(action);
            }
            if let Some(request) = self.poll_store(world.now.mono) {
                return Some(Action::Store(request));
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

    /// The next notice to count and to log, if there is one. Notices can be taken at once, without the actions of the
    /// next callback, so that the log line of a change stands beside the request that asked for the change.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.output.poll_notice()
    }

    /// The latest time of the next calls of [`handle_timeout`](Self::handle_timeout) and
    /// [`poll_action`](Self::poll_action); `None`: no attempt and no answer is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.output.is_empty() || self.has_ended_messages() {
            return Some(Instant::default());
        }
        let attempt =
            self.queue.lanes.next_ready().filter(|_| self.delivers() || !self.leadership.generation.is_known());
        let pledge = self.queue.pledges.first().map(|(deadline, _)| deadline);
        let journal = self.journal.as_ref().and_then(|journal| journal.writer.poll_timeout());
        [attempt, pledge, journal, self.documents_due()].into_iter().flatten().min()
    }

    /// Says whether this worker starts attempts.
    fn delivers(&self) -> bool {
        self.leadership.delivers(self.config.enabled) && self.documents.knowledge != FleetKnowledge::Awaited
    }

    fn check_control(&mut self, world: &mut World<'_>) {
        if let Err(error) = self.leadership.control.refresh(world.store, &self.keys, world.now.mono) {
            self.output.note(Notice::Store { doing: "asking what operators have switched", error });
        }
    }

    /// Gives back what a delivery took of its endpoint's share: the delivery has ended, or is another worker's now.
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
