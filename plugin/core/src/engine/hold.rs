//! Which partitions this worker holds: the one it accepts into, those it adopts, and how it gives them up.
//!
//! A worker of the newest configuration adopts the partitions that nobody holds: those of VMs that died, and those that
//! roots of an older configuration left. Any other worker (its configuration was replaced, or its own end is near)
//! leaves each partition of which no attempt is under way; it looks for such partitions every second.

use std::rc::Rc;

use super::Engine;
use super::endpoint::EndpointState;
use super::holdings::Holding;
use super::leadership::Announced;
use super::pending::{Delivery, Pending, TrialMark};
use super::settle::state;
use crate::admin::about::About;
use crate::egress::dead_letter::Letter;
use crate::ids::{EndpointId, EventId, RouteId};
use crate::ledger::Place;
use crate::ledger::record::{DeliveryRecord, Stage, StateRecord};
use crate::ledger::{LEASE, Partition, Recovered};
use crate::outcome::Reason;
use crate::store::{StoreError, World};
use crate::telemetry::notice::Notice;
use crate::time::Now;

/// The number of attempts in a row that may have killed their VM, from which on an event is poison and becomes a dead
/// letter. If the VM of the first such attempt had accepted the event itself, the attempt is not written down: when
/// that VM dies, one attempt is assumed.
const TRIALS_MAX: u8 = 3;

/// The most partitions that a worker adopts in a second: enough for several configurations that drain side by side,
/// each worker of which may leave a partition every second, and few enough that the partitions of many workers are
/// spread over many.
const ADOPTIONS_MAX: u32 = 8;

/// While this many partitions wait to be adopted no other is left: enough for 32 workers at once, and a small share of
/// all partitions.
const LEFT_MAX: u32 = 32;

impl Engine {
    /// Gives up every partition of which no attempt is under way; says whether all partitions are given up. No attempt
    /// starts from now on.
    pub fn close(&mut self, world: &mut World<'_>) -> bool {
        self.tell_ending(world);
        self.leadership.is_closing = true;
        self.hand_over_all(world);
        self.queue.holdings.is_empty() && self.is_journal_closed()
    }

    /// Handles a request on the connection with this id: connection ids tell a newer configuration from an older one
    /// ([`crate::ledger::generation`]).
    pub fn handle_connection(&mut self, world: &mut World<'_>, connection: u64) {
        if let Err(error) = self.leadership.generation.serve(world.store, world.now.mono, connection) {
            self.output.note(Notice::Store { doing: "asking which configuration is the newest", error });
        }
    }

    /// Finds out which configuration delivers.
    pub(super) fn check_generation(&mut self, world: &mut World<'_>) {
        self.leadership.check(world.now.mono, self.callback);
        // A configuration with nothing to deliver and no fleet, and a worker that ends, do not claim to be the newest.
        if !self.has_generations() || self.leadership.is_closing {
            return;
        }
        match self.leadership.generation.check(world.store, world.now.mono) {
            Ok(None) => {}
            Ok(Some(is_newest)) => self.output.note(Notice::Generation { is_newest }),
            Err(error) => self.output.note(Notice::Store { doing: "asking which configuration is the newest", error }),
        }
        self.announce(world);
    }

    /// Writes the description of this configuration to shared data each time it becomes the newest. Once it has been
    /// the newest for a lease, overrides that operators have put over another value of the config are forgotten: a
    /// configuration that is in force for a moment only deletes no override.
    fn announce(&mut self, world: &mut World<'_>) {
        let (leads, now) = (self.leadership.leads(), world.now.mono);
        match self.leadership.announced.filter(|_| leads) {
            None if leads => {
                let instance = EventId::from_random((world.random)());
                match About::announce(world.store, &self.keys, &self.config, instance, world.now.wall) {
                    Ok(gone) => {
                        gone.into_iter().for_each(|endpoint| self.output.note(Notice::Removed { endpoint }));
                        self.leadership.announced = Some(Announced { since: now, has_settled: false });
                    }
                    Err(error) => self.output.note(Notice::Store { doing: "saying what the configuration is", error }),
                }
            }
            Some(Announced { since, has_settled: false }) if now.since(since) >= LEASE => {
                match self.forget_lapsed(world) {
                    Ok(()) => self.leadership.announced = Some(Announced { since, has_settled: true }),
                    Err(error) => {
                        self.output.note(Notice::Store { doing: "forgetting what is in force no more", error })
                    }
                }
            }
            known => self.leadership.announced = known,
        }
    }

    /// Makes sure that the worker holds a partition to accept into, and returns its number.
    pub(super) fn own(&mut self, world: &mut World<'_>) -> Result<u32, StoreError> {
        self.renew(world)?;
        if let Some(home) = self.queue.home {
            return Ok(home);
        }
        let nonce = self.leadership.nonce(world);
        match Partition::claim(world.store, &self.keys, nonce, world.now.mono) {
            Ok(partition) => {
                let number = partition.number();
                self.queue.holdings.add(partition);
                self.queue.home = Some(number);
                self.queue.claims += 1;
                Ok(number)
            }
            Err(error) => {
                self.output.note(Notice::Store { doing: "claiming a partition", error });
                Err(error)
            }
        }
    }

    /// Renews the leases. A partition that another worker holds now is dropped from memory: the other worker delivers
    /// its events, and results of attempts that still come back are no-ops.
    pub(super) fn renew(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let (lost, result) = self.queue.holdings.renew(world.store, world.now.mono);
        for number in lost {
            self.output.note(Notice::Lost { partition: number });
            self.forget(world, number);
        }
        if let Err(error) = result {
            self.output.note(Notice::Store { doing: "renewing a lease", error });
        }
        result
    }

    /// Takes over partitions that nobody holds, and gives up those that were adopted and are empty.
    pub(super) fn adopt(&mut self, world: &mut World<'_>) {
        self.release_drained(world);
        let nonce = self.leadership.nonce(world);
        for _ in 0..ADOPTIONS_MAX {
            match Partition::adopt(world.store, &self.keys, nonce, world.now.mono) {
                Ok(Some((partition, recovered, is_dead))) => {
                    let number = partition.number();
                    // A partition that was left in good order, by an older configuration or for a redelivery, is no
                    // news.
                    if is_dead {
                        self.output.note(Notice::Adopted { partition: number, events: recovered.len() });
                    }
                    // This worker holds the partition already only if its own lease lapsed unseen.
                    self.forget(world, number);
                    self.queue.holdings.add(partition);
                    self.recover_all(world, number, recovered);
                }
                Ok(None) => return,
                Err(error) => return self.output.note(Notice::Store { doing: "adopting a partition", error }),
            }
        }
    }

    fn release_drained(&mut self, world: &mut World<'_>) {
        for number in self.queue.holdings.numbers() {
            let Some(holding) = self.queue.holdings.get_mut(number).filter(|_| self.queue.home != Some(number)) else {
                continue;
            };
            let is_drained = holding.events.is_empty() && !holding.partition.is_foreign();
            if !is_drained && !holding.is_incomplete {
                continue;
            }
            // The former holder of the partition may have stalled while it accepted an event.
            match holding.partition.rescan(world.store) {
                Ok(found) if found.is_empty() && !holding.partition.is_foreign() => self.give_up(world, number, true),
                Ok(mut found) => {
                    found.retain(|event| holding.events.get(event.slot).is_none());
                    self.recover_all(world, number, found);
                }
                Err(error) => self.output.note(Notice::Store { doing: "reading a partition", error }),
            }
        }
    }

    /// Gives up partitions for the newest configuration to deliver, unless nobody adopts those that were left before:
    /// the VMs of that configuration may be dead. Called once a second: if it were called more often, each event that
    /// comes over an old connection would fill a partition of its own.
    pub(super) fn hand_over_slowly(&mut self, world: &mut World<'_>) {
        if self.queue.holdings.is_empty() {
            return;
        }
        match Partition::count_left(world.store, &self.keys) {
            Ok(left) if left >= LEFT_MAX => {}
            Ok(_) => self.hand_over_all(world),
            Err(error) => self.output.note(Notice::Store { doing: "looking for partitions that were left", error }),
        }
    }

    /// Gives up every partition of which no attempt is under way.
    fn hand_over_all(&mut self, world: &mut World<'_>) {
        // What the journal holds goes to others by the journal, which has to know first how it stands.
        if !self.is_journal_closed() {
            return;
        }
        for number in self.queue.holdings.numbers() {
            if !self.queue.flights.iter().any(|flight| flight.entry.place.partition == number) {
                if self.queue.home == Some(number) {
                    self.write_counts(world, usize::MAX);
                }
                // Only another scan can tell whether an adopted partition is empty.
                self.give_up(world, number, self.queue.home == Some(number));
            }
        }
    }

    /// Gives a partition up; `is_known` says that all events of the partition are in memory.
    fn give_up(&mut self, world: &mut World<'_>, number: u32, is_known: bool) {
        let Some(Holding { partition, events, .. }) = self.forget(world, number) else { return };
        if let Err(error) = partition.release(world.store, is_known && events.is_empty()) {
            self.output.note(Notice::Store { doing: "giving a partition up", error });
        }
    }

    /// Drops a partition from memory, and returns it. Producers that wait for its events are answered that their events
    /// are pending.
    fn forget(&mut self, world: &mut World<'_>, number: u32) -> Option<Holding> {
        let is_home = self.queue.home == Some(number);
        let holding = self.queue.take(number)?;
        if is_home {
            self.count_anew();
        }
        if holding.events.iter().any(|(_, event)| event.origin.is_some()) {
            self.abandon_journal(world.now.mono);
        }
        for (slot, event) in holding.events.iter() {
            self.queue.bytes -= event.bytes;
            for delivery in event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
                self.discount(delivery.endpoint, event.bytes);
            }
            self.abandon_pledge(world, Place { partition: number, slot }, event);
        }
        self.queue.drop_leftovers();
        Some(holding)
    }

    /// Takes up the events of an adopted partition. If an event cannot be taken up, the partition is scanned again
    /// later.
    fn recover_all(&mut self, world: &mut World<'_>, partition: u32, events: Vec<Recovered>) {
        let mut is_incomplete = false;
        for event in events {
            if event.state.is_journaled {
                // Whoever holds its segment in the journal delivers it.
                self.free(world, Place { partition, slot: event.slot });
                continue;
            }
            is_incomplete |= self.recover(world, partition, event).is_err();
        }
        if let Some(holding) = self.queue.holdings.get_mut(partition) {
            holding.is_incomplete = is_incomplete;
        }
    }

    /// Takes up an event of an adopted partition. Its record has the names of the endpoints. A delivery whose endpoint
    /// is gone from the config becomes a dead letter, and so does each delivery of an event whose attempts kill their
    /// VM.
    fn recover(&mut self, world: &mut World<'_>, partition: u32, event: Recovered) -> Result<(), StoreError> {
        let Recovered { slot, state, bytes } = event;
        let place = Place { partition, slot };
        let route = self.config.routes.iter().position(|route| route.name == state.route).map(RouteId);
        let accepted = Now { mono: state.accepted, wall: state.accepted_wall };
        let mut pending = Pending::new(state.id, state.event_type, route, accepted, Vec::new());
        (pending.bytes, pending.trials) = (bytes, Some(state.trials));
        for record in state.deliveries {
            match self.config.endpoints.iter().position(|endpoint| endpoint.name == record.endpoint) {
                Some(endpoint) => pending.deliveries.push(Delivery::from_record(EndpointId(endpoint), record)),
                // The letter of a delivery on its way to the sink is kept already.
                None if !matches!(record.stage, Stage::Waiting { .. }) => {}
                // If the letter cannot be kept the event stays where it is: whoever reads the partition next tries
                // again.
                None => self.bury_removed(world, place, &pending, record)?,
            }
        }
        self.enlist(place, pending);
        if state.trials >= TRIALS_MAX {
            self.bury_poison(world, place);
        }
        self.persist(world, place);
        Ok(())
    }

    /// Frees the slot of an event that is not this worker's to deliver.
    fn free(&mut self, world: &mut World<'_>, place: Place) {
        let Some(holding) = self.queue.holdings.get_mut(place.partition) else { return };
        if let Err(error) = holding.partition.free(world.store, place.slot) {
            self.output.note(Notice::Store { doing: "freeing a slot", error });
        }
    }

    /// Forgets an event that another gateway delivers, and frees its slot. A producer that waits for the event's end is
    /// answered that it is pending.
    pub(super) fn forget_event(&mut self, world: &mut World<'_>, place: Place) {
        let Some(event) = self.queue.holdings.event(place).cloned() else { return };
        for delivery in event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
            self.discount(delivery.endpoint, event.bytes);
        }
        self.abandon_pledge(world, place, &event);
        self.queue.remove(place);
        for flight in self.queue.flights.take_of_event(place) {
            self.queue.lanes.ended(flight.lane);
        }
        self.free(world, place);
    }

    pub(super) fn bury_poison(&mut self, world: &mut World<'_>, place: Place) {
        let deliveries = self.queue.holdings.event(place).map_or(0, |event| event.deliveries.len());
        for index in 0..deliveries {
            let delivery = self.queue.holdings.event(place).and_then(|event| event.deliveries.get(index));
            match delivery.map(|delivery| delivery.stage) {
                Some(Stage::Waiting { .. }) => self.bury(world, place, index, Reason::Poison),
                // The letter of the delivery is kept already.
                Some(Stage::Sinking { .. }) => self.settle(place, index, Stage::Dead),
                Some(Stage::Delivered | Stage::Dead) | None => {}
            }
        }
    }

    /// Keeps a dead letter for a delivery whose endpoint is gone from the config.
    fn bury_removed(
        &mut self,
        world: &mut World<'_>,
        place: Place,
        event: &Pending,
        mut record: DeliveryRecord<String>,
    ) -> Result<(), StoreError> {
        let holding = self.queue.holdings.get(place.partition).ok_or(StoreError::UnknownFormat)?;
        let (meta, payload) = holding.partition.body(world.store, place.slot, event.id)?;
        let letter = Letter {
            meta,
            endpoint: record.endpoint.clone(),
            reason: Reason::EndpointRemoved,
            attempts: record.attempts,
            response_status: record.response_status,
            accepted: event.accepted_wall,
            died: world.now.wall,
        };
        self.keep_letter(world, &letter, &payload)?;
        // The delivery goes into the history by itself: the event is taken up without it.
        record.trail.end(world.now.wall, Some(letter.reason));
        let DeliveryRecord { attempts, response_status, trail, .. } = record;
        let endpoint = letter.endpoint.as_str();
        let ended = DeliveryRecord { endpoint, attempts, response_status, stage: Stage::Dead, trail };
        let config = Rc::clone(&self.config);
        self.remember(world, &StateRecord { deliveries: vec![ended], ..state(&config, event) });
        Ok(())
    }

    /// Puts an event into memory and its deliveries into their lanes.
    pub(super) fn enlist(&mut self, place: Place, pending: Pending) {
        if self.queue.holdings.get(place.partition).is_none() {
            return;
        }
        for delivery in pending.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
            if let Some(EndpointState { share, .. }) = self.endpoints.get_mut(delivery.endpoint.0) {
                share.deliveries += 1;
                share.bytes += pending.bytes;
            }
        }
        self.queue.enlist(place, pending);
    }

    /// Counts a trial in the record of an adopted event that is about to be attempted: should the attempt kill this VM,
    /// the next holder of the partition knows.
    pub(super) fn write_trial(&mut self, world: &mut World<'_>, place: Place) -> Result<(), StoreError> {
        let Some(event) = self.queue.holdings.event_mut(place) else { return Ok(()) };
        // Several deliveries of the event may be under way at once. They are one trial: the VM can die only once.
        let is_counted = event.deliveries.iter().any(|delivery| delivery.under_way);
        // The journal counts those of the events that it holds.
        let is_counted = is_counted || event.origin.is_some();
        let Some(trials) = event.trials.as_mut().filter(|_| !is_counted) else { return Ok(()) };
        *trials = trials.saturating_add(1);
        self.write(world, place)
    }

    /// Forgets the trials of an adopted event, because an attempt has ended and this VM has not; says whether there
    /// were any.
    pub(super) fn clear_trials(&mut self, place: Place) -> bool {
        self.queue.holdings.event_mut(place).is_some_and(|event| {
            if event.mark != TrialMark::None {
                event.mark = TrialMark::Known;
            }
            event.trials.take().is_some()
        })
    }

    /// Writes the state of an event to shared data.
    pub(super) fn write(&mut self, world: &mut World<'_>, place: Place) -> Result<(), StoreError> {
        let Some(holding) = self.queue.holdings.get(place.partition) else { return Ok(()) };
        let Some(event) = holding.events.get(place.slot) else { return Ok(()) };
        holding.partition.write(world.store, place.slot, &state(&self.config, event))
    }
}
