//! The queues of a worker: a lane for each endpoint and one for its sink, so that no lane waits for another.
//!
//! A lane is ready at the time its first delivery is due, or when a block of the lane ends, whichever is later. A lane
//! with as many attempts under way as its endpoint allows is not ready at all. The ready times of all lanes stand in
//! one ordered set, so the next lane is found without looking at the others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::timers::Timers;
use crate::egress::endpoint::Endpoint;
use crate::ids::EndpointId;
use crate::ledger::Place;
use crate::time::Instant;

/// The id of a lane: of an endpoint's deliveries, or of its dead letters on their way to the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneId {
    /// The endpoint of the lane.
    pub endpoint: EndpointId,
    /// The lane is the sink's.
    pub sink: bool,
}

impl LaneId {
    /// The lane of an endpoint's deliveries.
    pub fn of(endpoint: EndpointId) -> Self {
        Self { endpoint, sink: false }
    }

    /// The lane of an endpoint's sink.
    pub fn sink(endpoint: EndpointId) -> Self {
        Self { endpoint, sink: true }
    }

    fn number(self) -> u64 {
        self.endpoint.0 as u64 * 2 + u64::from(self.sink)
    }

    fn numbered(number: u64) -> Self {
        Self { endpoint: EndpointId(number as usize / 2), sink: number % 2 == 1 }
    }
}

/// A delivery in a lane. Ordered by due time, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneEntry {
    /// The earliest time of the delivery's attempt.
    pub due: Instant,
    /// The turn of the entry. If the delivery has another ticket by now, it has moved on and the entry is left over.
    pub ticket: u64,
    /// The place of the event.
    pub place: Place,
    /// The index of the delivery among those of the event.
    pub index: usize,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: BinaryHeap<Reverse<LaneEntry>>,
    in_flight: u32,
    max_in_flight: u32,
    blocked_until: Instant,
    /// The time at which the lane stands in the schedule; `None`: it is not in the schedule.
    ready: Option<Instant>,
}

impl Lane {
    fn ready_at(&self) -> Option<Instant> {
        let Reverse(first) = self.waiting.peek()?;
        (self.in_flight < self.max_in_flight).then(|| first.due.max(self.blocked_until))
    }
}

/// All lanes of a worker.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    /// The ready times of the lanes, with the lanes' numbers.
    schedule: Timers,
    last_ticket: u64,
}

impl Lanes {
    /// Empty lanes for these endpoints.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        let lane = |endpoint: &Endpoint| Lane { max_in_flight: endpoint.max_in_flight, ..Lane::default() };
        Self {
            lanes: endpoints.iter().flat_map(|endpoint| [lane(endpoint), lane(endpoint)]).collect(),
            schedule: Timers::default(),
            last_ticket: 0,
        }
    }

    /// Adds a delivery; returns its ticket.
    pub fn push(&mut self, id: LaneId, due: Instant, place: Place, index: usize) -> u64 {
        self.last_ticket += 1;
        self.put_back(id, LaneEntry { due, ticket: self.last_ticket, place, index });
        self.last_ticket
    }

    /// Adds an entry again that [`pop`](Self::pop) returned: the entry keeps its turn.
    pub fn put_back(&mut self, id: LaneId, entry: LaneEntry) {
        self.change(id, |lane| lane.waiting.push(Reverse(entry)));
    }

    /// The lane that has been ready for longest, if any lane is ready.
    pub fn ready(&self, now: Instant) -> Option<LaneId> {
        self.schedule.first().filter(|(at, _)| *at <= now).map(|(_, number)| LaneId::numbered(number))
    }

    /// When the next lane is ready.
    pub fn next_ready(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| at)
    }

    /// Takes the first entry of a lane, if it is due.
    pub fn pop(&mut self, id: LaneId, now: Instant) -> Option<LaneEntry> {
        self.change(id, |lane| {
            let due = lane.waiting.peek().is_some_and(|Reverse(first)| first.due <= now);
            if due { lane.waiting.pop().map(|Reverse(entry)| entry) } else { None }
        })
        .flatten()
    }

    /// Lets nothing out of a lane before `until`.
    pub fn block(&mut self, id: LaneId, until: Instant) {
        self.change(id, |lane| lane.blocked_until = until);
    }

    /// Counts an attempt that has left.
    pub fn started(&mut self, id: LaneId) {
        self.change(id, |lane| lane.in_flight += 1);
    }

    /// Counts an attempt that has ended.
    pub fn ended(&mut self, id: LaneId) {
        self.change(id, |lane| lane.in_flight = lane.in_flight.saturating_sub(1));
    }

    /// Drops the entries that `live` rejects: they stand for no delivery any more.
    pub fn retain(&mut self, live: impl Fn(&LaneEntry) -> bool) {
        for number in 0..self.lanes.len() as u64 {
            self.change(LaneId::numbered(number), |lane| lane.waiting.retain(|Reverse(entry)| live(entry)));
        }
    }

    fn change<T>(&mut self, id: LaneId, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(id.number() as usize)?;
        let result = change(lane);
        let ready = lane.ready_at();
        if ready != lane.ready {
            if let Some(at) = lane.ready {
                self.schedule.remove(at, id.number());
            }
            if let Some(at) = ready {
                self.schedule.insert(at, id.number());
            }
            lane.ready = ready;
        }
        Some(result)
    }
}
