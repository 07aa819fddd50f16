//! Which configuration delivers, and whether anything is delivered at all, as far as a worker knows.

use crate::admin::control::{Cached, FilterState, REREAD};
use crate::ledger::generation::Generation;
use crate::store::World;
use crate::time::Instant;

/// A configuration that has become the newest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub since: Instant,
    /// It has been for long enough to forget what operators have put over what was before it.
    pub has_settled: bool,
}

/// What a worker knows of who delivers.
#[derive(Debug)]
pub(super) struct Leadership {
    pub generation: Generation,
    /// When the generation was looked at, and in which callback.
    checked: (Instant, u64),
    /// What this configuration is stands in shared data, as long as it is the newest.
    pub announced: Option<Announced>,
    /// What operators have switched.
    pub control: Cached,
    /// Names this worker as the holder of leases and of a breaker's probe, once it has needed a name.
    nonce: Option<u64>,
    /// The worker gives up what it holds, and starts no attempt any more.
    pub is_closing: bool,
}

impl Leadership {
    /// Nothing is known yet.
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

    /// Is it for this worker to deliver what was accepted, now or once it is switched on?
    pub fn leads(&self) -> bool {
        self.generation.is_newest() && !self.is_closing
    }

    /// What is done with events where the config says `enabled`.
    pub fn state(&self, enabled: bool) -> FilterState {
        self.control.get().state(enabled)
    }

    /// Does this worker start attempts where the config says `enabled`?
    pub fn delivers(&self, enabled: bool) -> bool {
        self.state(enabled) == FilterState::Enabled && self.leads()
    }

    /// Was the generation looked at in this callback?
    pub fn is_checked_in(&self, callback: u64) -> bool {
        self.checked.1 == callback
    }

    /// Is it time to look at the generation, though no attempt starts?
    pub fn is_check_due(&self, now: Instant) -> bool {
        !self.generation.is_known() || now.since(self.checked.0) >= REREAD
    }

    /// The generation is being looked at.
    pub fn check(&mut self, now: Instant, callback: u64) {
        self.checked = (now, callback);
    }

    /// What names this worker.
    pub fn nonce(&mut self, world: &mut World<'_>) -> u64 {
        *self.nonce.get_or_insert_with(|| {
            let [a, b, c, d, e, f, g, h, ..] = (world.random)();
            u64::from_le_bytes([a, b, c, d, e, f, g, h])
        })
    }
}
