//! The journal and the fleet, for an answer: as the workers of this gateway see them.

use super::answers::{self, GatewayView, JournalView};
use super::{Outcome, Result, Surface, problem, success};
use crate::admin::about::About;
use crate::telemetry::fleet::{FleetGateway, FleetRecord};
use crate::time::WallTime;

impl Surface<'_, '_> {
    pub(super) fn fleet(&mut self, about: &About) -> Result<Outcome> {
        let now = self.world.now;
        let Some(record) = FleetRecord::read(self.world.store, self.keys, now.mono)? else {
            let detail = "the config has no journal: this gateway is in no fleet";
            return Err(problem(404, "Not Found", detail));
        };
        Ok(Outcome::Answer(success(&answers::Fleet {
            process: about.process(),
            now: now.wall,
            journal: shown(&record),
            seen_seconds: record.fleet.at.map(|at| now.mono.since(at).as_secs()),
            dead_workers: record.fleet.dead.into(),
            gateways: record.fleet.gateways.iter().map(|gateway| shown_gateway(gateway, now.wall)).collect(),
        })))
    }

    /// The status of the journal; `None`: the config has none.
    pub(super) fn journal(&mut self) -> Result<Option<JournalView>> {
        let record = FleetRecord::read(self.world.store, self.keys, self.world.now.mono)?;
        Ok(record.as_ref().map(shown))
    }
}

fn shown(record: &FleetRecord) -> JournalView {
    let (last_error_at, last_error) = record.last_error().cloned().unzip();
    JournalView {
        state: record.state().label().into(),
        segments: record.fleet.segments(),
        bytes: record.fleet.bytes(),
        limit: record.limit,
        oldest: record.fleet.oldest(),
        last_error,
        last_error_at,
        gateways: record.fleet.gateways.len() as u64,
    }
}

fn shown_gateway(gateway: &FleetGateway, now: WallTime) -> GatewayView {
    let FleetGateway { sum, workers } = gateway;
    GatewayView {
        instance: sum.instance.clone(),
        started_at: WallTime::from_millis(sum.started_at),
        version: sum.version.clone(),
        config: sum.config.clone(),
        workers: (*workers).into(),
        lease_age_seconds: gateway.lease_age(now).as_secs(),
        pending: sum.pending,
        segments: sum.segments,
        bytes: sum.bytes,
        takeovers: sum.takeovers,
    }
}
