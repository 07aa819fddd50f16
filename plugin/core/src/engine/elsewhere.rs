//! The gateways of a fleet tell each other what their guards count, so that each judges the counts of all.
//!
//! Once a second the worker that keeps the documents of its gateway says of the gateway's endpoints what all workers have
//! counted, in what its writer says of itself in the store, and writes to shared data what the other gateways have said
//! ([`Elsewhere`]). A gateway that restarts has lost its counts, and so has the fleet.
//!
//! What is told is bounded, for every worker of the fleet reads it once a second: the first [`ENDPOINTS_MAX`] endpoints of
//! a config, as many of them as [`BYTES_MAX`] holds. Endpoints past that are judged on each gateway's own counts.

use std::collections::BTreeMap;

use super::Engine;
use super::commits::Journaled;
use crate::ids::EndpointId;
use crate::journal::record::GuardReport;
use crate::rollout::guard::{Elsewhere, FleetCounts, count_all, count_fleet};
use crate::store::{Record, StoreError, World};
use crate::telemetry::notice::Notice;
use crate::time::Now;

/// The most endpoints of a config whose counts are told.
const ENDPOINTS_MAX: usize = 64;

/// The most bytes of counts that a gateway tells: 14 endpoints at their busiest, and all 64 of them at some events a minute.
const BYTES_MAX: usize = 32 << 10;

/// The most bytes that all gateways of a fleet tell together, a quarter of what the examples let Envoy hold of an answer.
const FLEET_BYTES_MAX: usize = 1 << 20;

impl Engine {
    /// Tells the other gateways what was counted here, and the other workers what was counted there.
    pub(super) fn exchange_counts(&mut self, world: &mut World<'_>) {
        let is_guarded = self.config.rollout.guard.is_some() && self.leadership.leads() && self.keeps_documents();
        let Some(Journaled { writer, .. }) = self.journal.as_ref() else { return };
        let reports = if is_guarded && writer.is_alive(world.now.mono) {
            self.take_counts_elsewhere(world);
            self.count_reports(world)
        } else {
            BTreeMap::new()
        };
        if let Some(journal) = self.journal.as_mut() {
            journal.reports = reports;
        }
    }

    /// What is told of the endpoints that were counted here. An endpoint that is rolled back is not judged, nor are its
    /// breaker's openings to count once it is resumed.
    fn count_reports(&mut self, world: &mut World<'_>) -> BTreeMap<String, GuardReport> {
        let gateways = self.journal.as_ref().map_or(1, |journal| journal.writer.gateways() as usize);
        let mut room = BYTES_MAX.min(FLEET_BYTES_MAX / gateways.max(1));
        let mut reports = BTreeMap::new();
        let (config, window, now) = (std::rc::Rc::clone(&self.config), self.window(), world.now);
        for (number, endpoint) in config.endpoints.iter().enumerate().take(ENDPOINTS_MAX) {
            let Some(progress) = self.progress(world, EndpointId(number)) else { continue };
            let (is_judged, opens) = (progress.rolled_back.is_none(), progress.opens(now.mono));
            let Ok(ring) = count_all(world.store, &self.keys, &endpoint.name, window) else { continue };
            if let Some(report) = ring.report(opens, now).filter(|_| is_judged)
                && let Some(left) = room.checked_sub(endpoint.name.len() + report.counts.len())
            {
                room = left;
                reports.insert(endpoint.name.clone(), report);
            }
        }
        reports
    }

    /// Writes to shared data what other gateways say of the endpoints that this one has, too.
    fn take_counts_elsewhere(&mut self, world: &mut World<'_>) {
        for (endpoint, elsewhere) in self.counts_elsewhere(world.now) {
            let written = elsewhere.encode().and_then(|bytes| {
                let key = self.keys.of::<Elsewhere>(&endpoint);
                world.store.set(key.as_str(), &bytes, None)
            });
            if let Err(error) = written {
                self.output.note(Notice::Store { doing: "writing what other gateways have counted", error });
            }
        }
    }

    fn counts_elsewhere(&self, now: Now) -> BTreeMap<String, Elsewhere> {
        let mut counts = BTreeMap::<String, Elsewhere>::new();
        let Some(Journaled { writer, process: Some((own, _)), .. }) = self.journal.as_ref() else { return counts };
        let reports = writer.reports_of_others(own).into_iter().flatten();
        for (endpoint, report) in reports {
            if self.config.endpoints.iter().any(|known| known.name == *endpoint) {
                let sum = counts.entry(endpoint.clone());
                sum.or_insert_with(|| Elsewhere::new(self.window(), now.mono)).add(report, now);
            }
        }
        counts
    }

    /// What was counted of an endpoint, added up over all workers and gateways; `None`: the store failed.
    pub(super) fn counted(&mut self, world: &mut World<'_>, id: EndpointId) -> Option<FleetCounts> {
        let (name, window) = (&self.config.endpoints.get(id.0)?.name, self.window());
        let counts = if self.journal.is_some() {
            count_fleet(world.store, &self.keys, name, window, world.now.mono)
        } else {
            let ring = count_all(world.store, &self.keys, name, window);
            ring.map(|ring| FleetCounts { ring, opens_elsewhere: 0, gateways: 1 })
        };
        self.noted_counts(counts)
    }

    /// How often the endpoint's breaker has opened in the last 24 hours, at all gateways, and how many these are.
    pub(super) fn opens(&mut self, world: &mut World<'_>, id: EndpointId) -> (u32, u32) {
        let own = self.endpoints.get(id.0).map_or(0, |state| state.rollout.progress.opens(world.now.mono));
        let Some(endpoint) = self.config.endpoints.get(id.0).filter(|_| self.journal.is_some()) else {
            return (own, 1);
        };
        let elsewhere = Elsewhere::read(world.store, &self.keys, &endpoint.name, world.now.mono);
        let (opens, gateways) =
            self.noted_counts(elsewhere).map_or((0, 0), |elsewhere| (elsewhere.opens(), elsewhere.gateways()));
        (own.saturating_add(opens), gateways.saturating_add(1))
    }

    fn noted_counts<T>(&mut self, counts: Result<T, StoreError>) -> Option<T> {
        counts.map_err(|error| self.output.note(Notice::Store { doing: "reading what was counted", error })).ok()
    }
}
