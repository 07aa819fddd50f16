//! The queue of one worker: accepted events that have not ended, the partitions that hold them, the order of attempts,
//! the attempts under way, and the producers that wait.

use std::collections::HashMap;

use super::flights::Flights;
use super::holdings::{Fresh, Holding, Holdings};
use super::lane::{LaneEntry, LaneId, Lanes};
use super::pending::{Delivery, Pending};
use super::timers::Timers;
use crate::config::Limits;
use crate::egress::endpoint::Endpoint;
use crate::journal::batches::EntryTicket;
use crate::ledger::Place;
use crate::ledger::record::{EventMeta, Stage};
use crate::store::{StoreError, World};
use crate::time::{Instant, Now};

/// The queue of one worker.
#[derive(Debug)]
pub(super) struct Queue {
    pub holdings: Holdings,
    /// The partition to accept into.
    pub home: Option<u32>,
    /// How many partitions to accept into were claimed so far.
    pub claims: u64,
    /// Bytes of the payloads in `holdings`.
    pub bytes: u64,
    /// Deliveries in `holdings` that have not ended.
    pub waiting: usize,
    pub lanes: Lanes,
    pub flights: Flights,
    /// Bodies that need not be read back.
    pub fresh: Fresh,
    /// The deadlines of the answers that producers are owed, with the numbers of their events' places.
    pub pledges: Timers,
    /// What the producers whose streams wait are waiting for.
    pub waiters: HashMap<u32, Waiter>,
    /// Entries of lanes whose attempts the journal holds back.
    parked: Vec<Parked>,
    /// The events that the journal has cleared since the engine was last told the time.
    pub cleared: Vec<Place>,
    /// Those that it had cleared then: their attempts leave before the next time, or something holds them.
    pub may_leave: Vec<Place>,
    last_attempt: u64,
}

/// An entry that is taken out of its lane.
#[derive(Debug)]
struct Parked {
    lane: LaneId,
    entry: LaneEntry,
    /// Its attempt has its place among those under way already.
    is_reserved: bool,
}

/// What a producer waits for, or the sender of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    /// That its event is committed in the journal, under this number.
    Commit(EntryTicket),
    /// That its message is claimed in the fleet.
    Message,
    /// The end of its message, which is with the application.
    Passed,
    /// The end of the event at this place.
    End(Place),
}

impl Queue {
    /// An empty queue for these endpoints.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        Self {
            holdings: Holdings::default(),
            home: None,
            claims: 0,
            bytes: 0,
            waiting: 0,
            lanes: Lanes::new(endpoints),
            flights: Flights::default(),
            fresh: Fresh::default(),
            pledges: Timers::default(),
            waiters: HashMap::new(),
            parked: Vec::new(),
            cleared: Vec::new(),
            may_leave: Vec::new(),
            last_attempt: 0,
        }
    }

    /// Says whether there is no room for an event of so many deliveries and bytes.
    pub fn is_full(&self, limits: &Limits, deliveries: usize, bytes: u64) -> bool {
        self.waiting + deliveries > limits.pending as usize || self.bytes + bytes > limits.pending_bytes
    }

    /// The number of the next attempt.
    pub fn next_attempt(&mut self) -> u64 {
        self.last_attempt += 1;
        self.last_attempt
    }

    /// The delivery that an entry of a lane stands for.
    pub fn delivery(&mut self, entry: &LaneEntry) -> Option<&mut Delivery> {
        self.delivery_at(entry.place, entry.index)
    }

    /// A delivery of the event at `place`.
    pub fn delivery_at(&mut self, place: Place, index: usize) -> Option<&mut Delivery> {
        self.holdings.event_mut(place)?.deliveries.get_mut(index)
    }

    /// Says whether this entry of a lane still stands for its delivery.
    pub fn is_live(&self, entry: &LaneEntry) -> bool {
        is_live(&self.holdings, entry)
    }

    /// Drops the entries of lanes that stand for no delivery any more.
    pub fn drop_leftovers(&mut self) {
        let holdings = &self.holdings;
        self.lanes.retain(|entry| is_live(holdings, entry));
        for parked in self.parked.extract_if(.., |parked| !is_live(holdings, &parked.entry)) {
            if parked.is_reserved {
                self.lanes.ended(parked.lane);
            }
        }
    }

    /// Takes an entry out of its lane until [`unpark`](Self::unpark) puts it back.
    pub fn park(&mut self, lane: LaneId, entry: LaneEntry) {
        self.parked.push(Parked { lane, entry, is_reserved: false });
    }

    /// The same; the attempt that is to come takes its place among those under way at once.
    pub fn reserve(&mut self, lane: LaneId, entry: LaneEntry) {
        self.lanes.started(lane);
        self.parked.push(Parked { lane, entry, is_reserved: true });
    }

    /// The places of the events whose attempts have their places reserved.
    pub fn reserved(&self) -> Vec<Place> {
        self.parked.iter().filter(|parked| parked.is_reserved).map(|parked| parked.entry.place).collect()
    }

    /// How many places of a lane are reserved.
    pub fn reserved_in(&self, lane: LaneId) -> usize {
        self.parked.iter().filter(|parked| parked.is_reserved && parked.lane == lane).count()
    }

    /// Gives the reserved places back; the entries stay parked.
    pub fn give_back_reserved(&mut self) {
        for parked in &mut self.parked {
            if std::mem::take(&mut parked.is_reserved) {
                self.lanes.ended(parked.lane);
            }
        }
    }

    /// Puts entries back into their lanes that `is` names by their places.
    pub fn unpark(&mut self, is: impl Fn(Place) -> bool) {
        for Parked { lane, entry, is_reserved } in self.parked.extract_if(.., |parked| is(parked.entry.place)) {
            if is_reserved {
                self.lanes.ended(lane);
                // Others may have found the gate shut because this one is to pass first.
                self.lanes.block(lane, Instant::default());
            }
            self.lanes.put_back(lane, entry);
        }
    }

    /// Moves a delivery to a stage that waits, and puts it into a lane.
    pub fn requeue(&mut self, lane: LaneId, place: Place, index: usize, stage: Stage, due: Instant) {
        let ticket = self.lanes.push(lane, due, place, index);
        if let Some(delivery) = self.delivery_at(place, index) {
            delivery.stage = stage;
            delivery.ticket = ticket;
        }
    }

    /// Puts an event that is new to this worker into memory, and its deliveries into their lanes.
    pub fn enlist(&mut self, place: Place, mut pending: Pending) {
        let Some(holding) = self.holdings.get_mut(place.partition) else { return };
        for (index, delivery) in pending.deliveries.iter_mut().enumerate() {
            let (lane, due) = match delivery.stage {
                Stage::Waiting { due } => (LaneId::of(delivery.endpoint), due),
                Stage::Sinking { due, .. } => (LaneId::sink(delivery.endpoint), due),
                Stage::Delivered | Stage::Dead => continue,
            };
            delivery.ticket = self.lanes.push(lane, due, place, index);
            self.waiting += 1;
        }
        self.bytes += pending.bytes;
        holding.events.insert(place.slot, pending);
    }

    /// Removes from memory an event whose deliveries have all ended.
    pub fn remove(&mut self, place: Place) {
        self.fresh.remove(place);
        let removed = self.holdings.get_mut(place.partition).and_then(|holding| holding.events.remove(place.slot));
        self.bytes -= removed.map_or(0, |event| event.bytes);
    }

    /// Removes a partition from memory, with the attempts of its events, and returns it. The caller gives back what its
    /// events took of the queue.
    pub fn take(&mut self, partition: u32) -> Option<Holding> {
        let holding = self.holdings.take(partition)?;
        self.home.take_if(|home| *home == partition);
        self.fresh.remove_of(partition);
        for flight in self.flights.take_of(partition) {
            self.lanes.ended(flight.lane);
        }
        Some(holding)
    }

    /// The deliveries that have waited for their endpoint's `max_age` and are not being attempted: each by the place of
    /// its event and its index there.
    pub fn expired(&self, now: Now, endpoints: &[Endpoint]) -> Vec<(Place, usize)> {
        let mut expired = Vec::new();
        for (place, event) in self.holdings.iter() {
            for (index, delivery) in event.deliveries.iter().enumerate() {
                let max_age = endpoints.get(delivery.endpoint.0).map(|endpoint| endpoint.max_age);
                if matches!(delivery.stage, Stage::Waiting { .. })
                    && max_age.is_some_and(|max_age| event.age(now) >= max_age)
                    && !delivery.under_way
                {
                    expired.push((place, index));
                }
            }
        }
        expired
    }

    /// The metadata and the body of an event that is about to be attempted. They are not read from shared data if they
    /// are cached since the event was accepted; the cache drops them with the first attempt of the event's last
    /// delivery.
    pub fn body_to_send(
        &mut self,
        world: &mut World<'_>,
        entry: &LaneEntry,
    ) -> Result<(EventMeta, Vec<u8>), StoreError> {
        let place = entry.place;
        let is_wanted_again = self.holdings.event(place).is_some_and(|event| {
            let others = event.deliveries.iter().enumerate().filter(|(index, _)| *index != entry.index);
            others.map(|(_, delivery)| delivery).any(|delivery| delivery.attempts == 0 && !delivery.under_way)
        });
        let fresh = if is_wanted_again { self.fresh.get(place).cloned() } else { self.fresh.remove(place) };
        fresh.map_or_else(|| self.body(world, place), Ok)
    }

    /// The metadata and the body of an event, read from shared data.
    pub fn body(&self, world: &mut World<'_>, place: Place) -> Result<(EventMeta, Vec<u8>), StoreError> {
        let holding = self.holdings.get(place.partition).ok_or(StoreError::UnknownFormat)?;
        let event = holding.events.get(place.slot).ok_or(StoreError::UnknownFormat)?;
        holding.partition.body(world.store, place.slot, event.id)
    }
}

fn is_live(holdings: &Holdings, entry: &LaneEntry) -> bool {
    let delivery = holdings.event(entry.place).and_then(|event| event.deliveries.get(entry.index));
    delivery.is_some_and(|delivery| delivery.ticket == entry.ticket && !delivery.stage.is_settled())
}
