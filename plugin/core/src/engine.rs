//! The engine of one worker: takes events, decides when which attempt leaves, and what its end means.
//!
//! It is a state machine in the manner of quinn-proto. The binding tells it what happened ([`Engine::offer`],
//! [`Engine::tick`], [`Engine::ended`] …), then performs what [`Engine::poll_action`] returns until that is `None`, and
//! comes back at [`Engine::poll_timeout`] at the latest. It knows no host: clocks, randomness and shared data come in
//! with each call as a [`World`]. A call that is late, repeated or about something unknown is a no-op.
//!
//! The VM's memory is a cache. Whatever was accepted stands in shared data first ([`crate::ledger`]), so a worker that
//! finds its partition taken over forgets everything and starts anew.
//!
//! | module | holds |
//! |---|---|
//! | `accept` | an event comes in: capacity, idempotency, the answer |
//! | `send` | the gates before an attempt, and the attempt itself |
//! | `settle` | the end of an attempt, of a delivery, of an event |
//! | `pledge` | producers that wait for the end |
//! | `lane`, `table` | the queues, and the other collections |

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::answer::Answer;
use crate::config::{Config, Endpoint, EndpointId};
use crate::dead_letter::{Letter, Reason};
use crate::delivery::{Delivery, DeliveryRecord, Pending, Stage};
use crate::endpoint::Keys;
use crate::idempotency::Table;
use crate::ledger::{Ownership, Partition, Recovered};
use crate::notice::Notice;
use crate::store::{SharedStore, StoreError};
use crate::time::{Instant, Now};

mod accept;
mod lane;
mod pledge;
mod send;
mod settle;
mod table;

pub use accept::{Offer, Reply};
use lane::{LaneId, Lanes};
pub use pledge::Pledge;
pub use send::Call;
use table::{Events, Flights, Timers};

/// How often what has grown too old is looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// What the engine may use during one call.
pub struct World<'a> {
    /// Both clocks, read when the callback began.
    pub now: Now,
    /// The data that all VMs share.
    pub store: &'a mut dyn SharedStore,
    /// Sixteen random bytes, unpredictable.
    pub random: &'a mut dyn FnMut() -> [u8; 16],
}

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
    partition: Option<Partition>,
    events: Events,
    /// Bytes of the payloads in `events`.
    bytes: u64,
    /// Deliveries in `events` that have not ended.
    waiting: usize,
    /// How much of them each endpoint takes.
    shares: Vec<Share>,
    lanes: Lanes,
    flights: Flights,
    last_attempt: u64,
    /// Refusals in a row, for each endpoint.
    refusals: Vec<u32>,
    /// When which event's producer is answered at the latest, by slot.
    pledges: Timers,
    outbox: VecDeque<Action>,
    swept: Instant,
}

impl Engine {
    /// An engine with nothing to do. `prefix`, the plugin's name, begins every key in shared data. Touches nothing:
    /// the partition is claimed at the first tick or event.
    pub fn new(config: Rc<Config>, prefix: &str) -> Self {
        let endpoints = config.endpoints.len();
        Self {
            keys: config.endpoints.iter().map(|endpoint| Keys::new(prefix, &endpoint.name)).collect(),
            idempotency: Table::new(prefix, config.limits.idempotency_keys),
            lanes: Lanes::new(&config.endpoints),
            config,
            prefix: prefix.to_owned(),
            partition: None,
            events: Events::default(),
            bytes: 0,
            waiting: 0,
            shares: vec![Share::default(); endpoints],
            flights: Flights::default(),
            last_attempt: 0,
            refusals: vec![0; endpoints],
            pledges: Timers::default(),
            outbox: VecDeque::new(),
            swept: Instant::default(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Rc<Config> {
        &self.config
    }

    /// The number of the worker's partition, once it has one: it names the queue that wakes the worker.
    pub fn partition(&self) -> Option<u32> {
        self.partition.as_ref().map(Partition::number)
    }

    /// Time has passed; to be called in every callback. Keeps the lease, and ends what has grown too old.
    pub fn tick(&mut self, world: &mut World<'_>) {
        if !self.config.enabled || self.own(world).is_err() {
            return;
        }
        self.expire_pledges(world);
        if world.now.mono.since(self.swept) >= SWEEP {
            self.swept = world.now.mono;
            self.sweep(world);
        }
    }

    /// The next thing to do. Whoever performs a [`Action::Call`] reports its end.
    pub fn poll_action(&mut self, world: &mut World<'_>) -> Option<Action> {
        loop {
            if let Some(action) = self.outbox.pop_front() {
                return Some(action);
            }
            let lane = self.lanes.ready(world.now.mono)?;
            self.start(world, lane);
        }
    }

    /// When to call [`tick`](Self::tick) and [`poll_action`](Self::poll_action) at the latest; `None`: at leisure.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.outbox.is_empty() {
            return Some(Instant::default());
        }
        [self.lanes.next_ready(), self.pledges.first().map(|(deadline, _)| deadline)].into_iter().flatten().min()
    }

    /// Gives the partition back if nothing is in it; one that holds deliveries waits for its lease to lapse, so that
    /// another worker reads them.
    pub fn close(&mut self, world: &mut World<'_>) {
        if self.events.is_empty()
            && let Some(partition) = self.partition.take()
            && let Err(error) = partition.release(world.store)
        {
            self.note(Notice::Store { doing: "giving the partition back", error });
        }
    }

    /// Makes sure that the worker owns a partition.
    fn own(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        if let Some(partition) = &mut self.partition {
            let number = partition.number();
            match partition.renew(world.store, world.now.mono)? {
                Ownership::Held => return Ok(()),
                Ownership::Lost => self.forget_all(world, number),
            }
        }
        let [a, b, c, d, e, f, g, h, ..] = (world.random)();
        let nonce = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match Partition::claim(world.store, &self.prefix, nonce, world.now.mono) {
            Ok((partition, recovered)) => {
                self.note(Notice::Claimed { partition: partition.number(), recovered: recovered.len() });
                self.partition = Some(partition);
                recovered.into_iter().for_each(|event| self.recover(world, event));
                Ok(())
            }
            Err(error) => {
                self.note(Notice::Store { doing: "claiming a partition", error });
                Err(error)
            }
        }
    }

    /// The partition is another's now: what was held is its to deliver, and results that come back are no-ops.
    fn forget_all(&mut self, world: &mut World<'_>, partition: u32) {
        self.note(Notice::Lost { partition });
        self.partition = None;
        self.abandon_pledges(world);
        self.bytes = 0;
        self.waiting = 0;
        self.shares.fill(Share::default());
        self.lanes.clear();
        self.flights.clear();
    }

    /// Takes up an event whose worker died. Its endpoints are known by name; a delivery whose endpoint is gone from
    /// the config becomes a dead letter.
    fn recover(&mut self, world: &mut World<'_>, event: Recovered) {
        let Recovered { slot, state, bytes } = event;
        let (accepted, accepted_wall) = (state.accepted, state.accepted_wall);
        let mut pending =
            Pending { id: state.id, accepted, accepted_wall, bytes, deliveries: Vec::new(), pledge: None };
        for record in state.deliveries {
            match self.config.endpoints.iter().position(|endpoint| endpoint.name == record.endpoint) {
                Some(endpoint) => pending.deliveries.push(Delivery::from_record(EndpointId(endpoint), &record)),
                // The letter of one on its way to the sink is kept already.
                None if !matches!(record.stage, Stage::Waiting { .. }) => {}
                // The event stays where it is: whoever reads the partition next tries again.
                None if self.bury_removed(world, slot, &pending, record).is_err() => return,
                None => {}
            }
        }
        self.enlist(slot, pending);
        self.persist(world, slot);
    }

    /// Keeps a delivery as a dead letter whose endpoint is gone from the config.
    fn bury_removed(
        &mut self,
        world: &mut World<'_>,
        slot: u32,
        event: &Pending,
        record: DeliveryRecord<String>,
    ) -> Result<(), StoreError> {
        let partition = self.partition.as_ref().ok_or(StoreError::UnknownFormat)?;
        let (meta, payload) = partition.body(world.store, slot, event.id)?;
        let letter = Letter {
            meta,
            endpoint: record.endpoint,
            reason: Reason::EndpointRemoved,
            attempts: record.attempts,
            response_status: record.response_status,
            accepted: event.accepted_wall,
            died: world.now.wall,
        };
        self.keep_letter(world, &letter, &payload)
    }

    /// Puts an event into memory and its deliveries into their lanes.
    fn enlist(&mut self, slot: u32, mut pending: Pending) {
        for (index, delivery) in pending.deliveries.iter_mut().enumerate() {
            let (lane, due) = match delivery.stage {
                Stage::Waiting { due } => (LaneId::of(delivery.endpoint), due),
                Stage::Sinking { due, .. } => (LaneId::sink(delivery.endpoint), due),
                Stage::Delivered | Stage::Dead => continue,
            };
            delivery.ticket = self.lanes.push(lane, due, slot, index);
            if let Some(share) = self.shares.get_mut(delivery.endpoint.0) {
                share.deliveries += 1;
                share.bytes += pending.bytes;
                self.waiting += 1;
            }
        }
        self.bytes += pending.bytes;
        self.events.insert(slot, pending);
    }

    fn endpoint(&self, id: EndpointId) -> Option<(&Endpoint, &Keys)> {
        Some((self.config.endpoints.get(id.0)?, self.keys.get(id.0)?))
    }

    fn note(&mut self, notice: Notice) {
        self.outbox.push_back(Action::Notice(notice));
    }
}

#[cfg(test)]
mod tests;
