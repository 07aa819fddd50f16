//! How the journal serves this worker, and what the worker knows of the fleet, told once a second: to shared data, where
//! operators are answered from, and to the metrics.

use std::time::Duration;

use super::Engine;
use super::commits::Journaled;
use crate::journal::JournalState;
use crate::journal::event::CommitRefusal;
use crate::journal::operation::StoreRefusal;
use crate::store::World;
use crate::telemetry::fleet::{FleetRecord, FleetView, JournalHealth};
use crate::telemetry::notice::{Gauge, Notice};
use crate::time::Now;

/// How long the store may fail until it is called unavailable: an election takes as long.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the store must be well until it is called so: one that is full takes what deletes in between.
const RECOVERED: Duration = Duration::from_secs(3);

impl Engine {
    /// Writes what this worker knows of the journal and of the fleet, if there is one, and reports it to the metrics.
    pub(super) fn say_fleet(&mut self, world: &mut World<'_>) {
        let Some(limit) = self.config.journal.as_ref().map(|journal| journal.bytes) else { return };
        if !self.leadership.leads() {
            return;
        }
        let state = self.journal_state(world.now);
        let worker = self.leadership.nonce(world);
        let Some(Journaled { writer, .. }) = self.journal.as_ref() else { return };
        let last_error = writer.last_failure().map(|(at, why)| (world.now.on_wall(at), why.label().to_owned()));
        let health = JournalHealth { worker, at: world.now.mono, state, last_error };
        let fleet = writer.fleet_seen().map_or_else(FleetView::default, |at| FleetView::of(writer.fleet(), at));
        match FleetRecord::say(world.store, &self.keys, &health, limit, &fleet) {
            Ok((record, is_news)) => self.tell_fleet(&record, is_news),
            Err(error) => self.output.note(Notice::Store { doing: "saying how the journal is", error }),
        }
    }

    fn tell_fleet(&mut self, record: &FleetRecord, is_news: bool) {
        let state = record.state();
        if is_news {
            let why = record.last_error().filter(|_| state != JournalState::Ok).map(|(_, why)| why.clone());
            self.output.note(Notice::Journal { state, why });
        }
        self.tell_gauge(None, Gauge::JournalUp, (state != JournalState::Unavailable).into());
        self.tell_gauge(None, Gauge::JournalFull, (state == JournalState::Full).into());
        if record.fleet.at.is_some() {
            self.tell_gauge(None, Gauge::JournalBytes, record.fleet.bytes());
            self.tell_gauge(None, Gauge::JournalSegments, record.fleet.segments());
            self.tell_gauge(None, Gauge::FleetGateways, record.fleet.gateways.len() as u64);
        }
    }

    /// How the journal serves this worker now or, where it is well since a moment only, served it before.
    fn journal_state(&mut self, now: Now) -> JournalState {
        let is_over = self.fleet_bytes() >= self.config.journal.as_ref().map_or(0, |journal| journal.bytes);
        let Some(Journaled { writer, unwell, .. }) = self.journal.as_mut() else { return JournalState::Ok };
        // A writer that was closed on purpose has no lease, and wants none.
        let is_down = !writer.is_closed() && writer.down_for(now.mono) >= PATIENCE;
        let is_denied = writer.last_error() == Some(CommitRefusal::Store(StoreRefusal::Denied));
        let state = if is_down || is_denied || writer.failing_for(now.mono) >= PATIENCE {
            JournalState::Unavailable
        } else if writer.is_full() || is_over {
            JournalState::Full
        } else {
            JournalState::Ok
        };
        if state != JournalState::Ok {
            *unwell = Some((now.mono, state));
        }
        unwell.filter(|(at, _)| now.mono.since(*at) < RECOVERED).map_or(JournalState::Ok, |(_, before)| before)
    }
}
