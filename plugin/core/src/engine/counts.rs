//! The counts of one worker, of an endpoint or of the process, and whether they are written.

use std::time::Duration;

use crate::rollout::guard::Ring;
use crate::store::keys::StoreKey;
use crate::store::{Record, StoreError, World, read};

/// The counts of one endpoint, or of the process.
#[derive(Debug)]
pub(super) struct Counted {
    pub ring: Ring,
    /// The ring holds counts that are not written to shared data yet.
    pub is_dirty: bool,
    /// The ring includes the counts of the partition's earlier holders.
    is_continued: bool,
}

impl Counted {
    pub fn new(window: Duration) -> Self {
        Self { ring: Ring::new(window), is_dirty: false, is_continued: false }
    }

    pub fn write(&mut self, world: &mut World<'_>, key: &StoreKey<Ring>) -> Result<(), StoreError> {
        if !self.is_dirty {
            return Ok(());
        }
        if !self.is_continued {
            if let Some(earlier) = read::<Ring>(world.store, key)? {
                self.ring.add(&earlier);
            }
            self.is_continued = true;
        }
        self.ring.prune(world.now.mono);
        world.store.set(key.as_str(), &self.ring.encode()?, None)?;
        self.is_dirty = false;
        Ok(())
    }

    /// The ring, to be changed: its counts are to be written again.
    pub fn change(&mut self) -> &mut Ring {
        self.is_dirty = true;
        &mut self.ring
    }
}
