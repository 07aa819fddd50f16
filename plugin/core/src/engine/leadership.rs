//! Which configuration delivers, and whether anything is delivered at all, as far as a worker knows.

use crate::admin::control::{Cached, FilterState, REREAD};
use crate::ledger::generation::Generation;
use crate::store::World;
use crate::time::Instant;

/// The announcement of a configuration that has become the newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub since: Instant,
    /// The configuration has been the newest for a lease, so that overrides put over earlier configurations are
    /// forgotten.
    pub has_settled: bool,
}

/// A worker's knowledge of which configuration delivers, and of the operators' switches.
#[derive(Debug)]
pub(super) struct Leadership {
    pub generation: Generation,
    /// When the generation was checked last, and in which callback.
    checked: (Instant, u64),
    /// The announcement of this configuration in shared data, as long as it is the newest.
    pub announced: Option<Announced>,
    /// The operators' switches, as read last.
    pub control: Cached,
    /// The random number that names this worker as the holder of leases and of breakers' probes; drawn when it is first
    /// needed.
    nonce: Option<u64>,
    /// The worker gives up its partitions, and starts no attempt any more.
    pub is_closing: bool,
}

impl Leadership {
    /// A worker's knowledge before anything is read.
    pub fn new(generation: Generation) -> Self {
        Self {
            generation,
            checked: (Instant::default(), 0),
            announced: None,
            control: Cached::default(),
            nonce: None,
            is_closing: false,
        }
    }

    /// Says whether accepted events are this worker's to deliver, now or once the filter is switched on.
    pub fn leads(&self) -> bool {
        self.generation.is_newest() && !self.is_closing
    }

    /// The state of the filter whose config has this `enabled`.
    pub fn state(&self, enabled: bool) -> FilterState {
        self.control.get().state(enabled)
    }

    /// Says whether this worker starts attempts, if its config has this `enabled`.
    pub fn delivers(&self, enabled: bool) -> bool {
        self.state(enabled) == FilterState::Enabled && self.leads()
    }

    /// Says whether the generation was checked in this callback.
    pub fn is_checked_in(&self, callback: u64) -> bool {
        self.checked.1 == callback
    }

    /// Says whether it is time to check the generation even if no attempt starts.
    pub fn is_check_due(&self, now: Instant) -> bool {
        !self.generation.is_known() || now.since(self.checked.0) >= REREAD
    }

    /// Remembers that the generation is checked now.
    pub fn check(&mut self, now: Instant, callback: u64) {
        self.checked = (now, callback);
    }

    /// The random number that names this worker.
    pub fn nonce(&mut self, world: &mut World<'_>) -> u64 {
        *self.nonce.get_or_insert_with(|| {
            let [a, b, c, d, e, f, g, h, ..] = (world.random)();
            u64::from_le_bytes([a, b, c, d, e, f, g, h])
        })
    }
}
