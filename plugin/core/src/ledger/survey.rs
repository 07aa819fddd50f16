//! A look at all that is pending, whoever holds it.

use super::{Lease, PARTITIONS_MAX, Partition, lease_key, slot_key};
use std::time::Duration;

use crate::delivery::{EventMeta, StateRecord};
use crate::guard::{self, Ring};
use crate::standing::{self, Standing};
use crate::store::{Record, SharedStore, StoreError, is_freed, read};
use crate::time::Instant;

impl Partition {
    /// Shows every event in any partition, whoever holds it, and returns how many partitions are held by a VM that
    /// lives. Its cost is a read for each slot, and for each event that is pending one more and a copy of its body.
    ///
    /// # Errors
    /// The store's.
    pub fn survey(
        store: &mut dyn SharedStore,
        prefix: &str,
        now: Instant,
        visit: &mut dyn FnMut(StateRecord<String>),
    ) -> Result<u32, StoreError> {
        let mut living = 0;
        for number in 0..PARTITIONS_MAX {
            let Some((lease, _)) = store.get(&lease_key(prefix, number))? else { break };
            if is_freed(&lease) {
                continue;
            }
            living += u32::from(matches!(Lease::decode(&lease), Ok((lease, _)) if !lease.is_abandoned(now)));
            let (states, bodies) = (format!("{prefix}/state/{number}/"), format!("{prefix}/body/{number}/"));
            for slot in 0.. {
                let Some((body, _)) = store.get(&slot_key(&bodies, slot))? else { break };
                if is_freed(&body) {
                    continue;
                }
                let Some((state, _)) = store.get(&slot_key(&states, slot))? else { continue };
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

    /// What the holders of all partitions counted of an endpoint, those that are gone too.
    ///
    /// # Errors
    /// The store's.
    pub fn count_all(
        store: &mut dyn SharedStore,
        prefix: &str,
        endpoint: &str,
        window: Duration,
    ) -> Result<Ring, StoreError> {
        let mut sum = Ring::new(window);
        for number in 0..PARTITIONS_MAX {
            if store.get(&lease_key(prefix, number))?.is_none() {
                break;
            }
            if let Some(ring) = read::<Ring>(store, &guard::key(prefix, number, endpoint))? {
                sum.add(&ring);
            }
        }
        Ok(sum)
    }

    /// What is pending, added up over all workers.
    ///
    /// # Errors
    /// The store's.
    pub fn stand_all(store: &mut dyn SharedStore, prefix: &str, now: Instant) -> Result<Standing, StoreError> {
        let mut sum = Standing::at(now);
        for number in 0..PARTITIONS_MAX {
            if store.get(&lease_key(prefix, number))?.is_none() {
                break;
            }
            if let Some(standing) = read::<Standing>(store, &standing::key(prefix, number))? {
                sum.add(&standing);
            }
        }
        Ok(sum)
    }
}
