//! The end of a process with deliveries pending: one line of the log says how many there are.
//!
//! A root that ends while its configuration is the newest ends because the process does, or because the filter is
//! removed. Envoy waits for nothing then, and ends its workers one after the other, within milliseconds: the first one
//! tells for all. What a journal holds is others' to deliver, and is not counted.

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::ledger::{LEASE, Partition};
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, World, Write, update};
use crate::telemetry::notice::Notice;
use crate::time::Instant;

/// When a worker said last that the process ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct EndingRecord {
    said: Option<Instant>,
}

impl Stored for EndingRecord {
    const NAME: &'static str = "ending";
}

impl Record for EndingRecord {
    const VERSION: u8 = 1;
}

impl EndingRecord {
    /// Says whether this worker is the first to tell.
    fn is_first(store: &mut dyn SharedStore, keys: &Keys, now: Instant) -> Result<bool, StoreError> {
        update(store, &keys.single(), |ending: &mut Self| {
            if ending.said.is_some_and(|said| now.since(said) < LEASE) {
                return (Write::No, false);
            }
            ending.said = Some(now);
            (Write::Yes, true)
        })
    }
}

impl Engine {
    /// Tells how many deliveries end with the process, if this worker's end is the process's, as far as it can know.
    pub(super) fn tell_ending(&mut self, world: &mut World<'_>) {
        // What was known of the newest configuration may be older than an update that ends this one.
        self.check_generation(world);
        if !self.leadership.leads() {
            return;
        }
        match self.ends_with(world) {
            Ok(0) => {}
            Ok(pending) => self.output.note(Notice::EndsWithPending { deliveries: pending }),
            Err(error) => self.output.note(Notice::Store { doing: "counting what ends with the process", error }),
        }
    }

    fn ends_with(&self, world: &mut World<'_>) -> Result<usize, StoreError> {
        let mut pending = 0;
        Partition::survey(world.store, &self.keys, world.now.mono, &mut |event| {
            let is_here = !event.is_journaled;
            pending += event.deliveries.iter().filter(|delivery| is_here && !delivery.stage.is_settled()).count();
        })?;
        if pending == 0 || !EndingRecord::is_first(world.store, &self.keys, world.now.mono)? {
            return Ok(0);
        }
        Ok(pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recorded::assert_recorded;

    #[test]
    fn ending_is_read_and_written_as_recorded() {
        assert_recorded("ending none", &EndingRecord::default());
        assert_recorded("ending", &EndingRecord { said: Some(Instant::from_nanos(1_000_000_000)) });
    }
}
