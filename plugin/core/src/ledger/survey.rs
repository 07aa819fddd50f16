//! A survey of all pending events, whichever VM holds them.

use std::ops::Range;

use super::{Lease, PARTITIONS_MAX, Partition};

use crate::ledger::record::{EventMeta, StateRecord};
use crate::store::keys::Keys;
use crate::store::{Record, SharedStore, StoreError, is_freed};
use crate::time::Instant;

impl Partition {
    /// Calls `visit` with every event in any partition, whichever VM holds it; returns the number of partitions that
    /// are held by a VM that lives. Costs a read for each slot, and for each pending event one more read and a copy of
    /// its body.
    ///
    /// # Errors
    /// The store's.
    pub fn survey(
        store: &mut dyn SharedStore,
        keys: &Keys,
        now: Instant,
        visit: &mut dyn FnMut(StateRecord<String>),
    ) -> Result<u32, StoreError> {
        let mut living = 0;
        for number in 0..PARTITIONS_MAX {
            let Some((lease, _)) = store.get(keys.of::<Lease>(number).as_str())? else { break };
            if is_freed(&lease) {
                continue;
            }
            living += u32::from(matches!(Lease::decode(&lease), Ok((lease, _)) if !lease.is_abandoned(now)));
            let (states, bodies) = (keys.row_of::<StateRecord<String>>(number), keys.row_of::<EventMeta>(number));
            for slot in 0.. {
                let Some((body, _)) = store.get(bodies.at(slot).as_str())? else { break };
                if is_freed(&body) {
                    continue;
                }
                let Some((state, _)) = store.get(states.at(slot).as_str())? else { continue };
                if let (Ok((state, _)), Ok((meta, _))) =
                    (StateRecord::<String>::decode(&state), EventMeta::decode(&body))
                    && meta.id == state.id
                {
                    visit(state);
                }
            }
        }
        Ok(living)
    }

    /// The numbers of the partitions that were ever claimed.
    ///
    /// # Errors
    /// The store's.
    pub fn claimed(store: &mut dyn SharedStore, keys: &Keys) -> Result<Range<u32>, StoreError> {
        for number in 0..PARTITIONS_MAX {
            if store.get(keys.of::<Lease>(number).as_str())?.is_none() {
                return Ok(0..number);
            }
        }
        Ok(0..PARTITIONS_MAX)
    }
}
