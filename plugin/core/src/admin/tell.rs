//! Operational events about what an operator did, for the endpoints that want them ([`crate::egress::operational`]).

use super::{Result, Surface};
use crate::admin::about::About;
use crate::admin::control::{Control, FilterState};
use crate::egress::operational::News;
use crate::ids::EventId;
use crate::ledger::Partition;
use crate::ledger::record::{DeliveryRecord, EventMeta, Stage, StateRecord, Trail};
use crate::time::Now;

impl Surface<'_, '_> {
    /// Claims a partition that nobody else writes. Once it is released, any worker may adopt the events in it.
    pub(super) fn partition(&mut self) -> Result<Partition> {
        let [a, b, c, d, e, f, g, h, ..] = (self.world.random)();
        let nonce = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Ok(Partition::claim(self.world.store, self.keys, nonce, self.world.now.mono)?)
    }

    /// Emits operational events about a change. If they cannot be kept, the change stands all the same, and the line of
    /// the log says that they were dropped.
    pub(super) fn tell(&mut self, about: &About, news: &[News<'_>]) {
        let is_wanted = |one: &News<'_>| about.endpoints.iter().any(|endpoint| endpoint.wants(one));
        if news.iter().any(is_wanted) && self.emit(about, news).is_err() {
            self.is_untold = true;
        }
    }

    fn emit(&mut self, about: &About, news: &[News<'_>]) -> Result<()> {
        if Control::read(self.world.store, self.keys)?.state(about.enabled) == FilterState::Disabled {
            return Ok(());
        }
        let mut partition = self.partition()?;
        let told = news.iter().try_for_each(|one| self.keep(about, &mut partition, one));
        partition.release(self.world.store, false)?;
        told
    }

    fn keep(&mut self, about: &About, partition: &mut Partition, news: &News<'_>) -> Result<()> {
        let Now { mono, wall } = self.world.now;
        let wanting = about.endpoints.iter().filter(|endpoint| endpoint.wants(news));
        let deliveries: Vec<_> = wanting.map(|endpoint| fresh(&endpoint.name, mono)).collect();
        if deliveries.is_empty() {
            return Ok(());
        }
        let id = EventId::from_random((self.world.random)());
        let (event_type, route) = (news.kind.event_type(), "");
        let state = StateRecord {
            is_journaled: false,
            id,
            accepted: mono,
            accepted_wall: wall,
            trials: 0,
            event_type,
            route,
            deliveries,
        };
        let meta = EventMeta::json(id, event_type.to_owned());
        partition.accept(self.world.store, &meta, &news.payload(wall, about.instance), &state)?;
        Ok(())
    }
}

/// The record of a new delivery that is due at this time.
pub(super) fn fresh(endpoint: &str, due: crate::time::Instant) -> DeliveryRecord<&str> {
    let stage = Stage::Waiting { due };
    DeliveryRecord { endpoint, attempts: 0, response_status: None, stage, trail: Trail::default() }
}
