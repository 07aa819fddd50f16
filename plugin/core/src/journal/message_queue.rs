//! Inbound messages whose claims or ends wait for their turn.

use std::collections::{BTreeMap, VecDeque};

use crate::journal::jobs::QueuedClaim;
use crate::journal::messages::KeyLease;
use crate::journal::operation::Operation;
use crate::time::Instant;

/// The messages whose claims or ends wait for their turn.
#[derive(Debug, Default)]
pub struct MessageQueue {
    /// The claims.
    pub claims: VecDeque<QueuedClaim>,
    /// The ends.
    pub ends: VecDeque<QueuedEnd>,
    /// The leases of keys, by how long the keys are to last, in seconds.
    pub leases: BTreeMap<u64, KeyLease>,
}

/// What became of a message, to be told to the store.
#[derive(Debug)]
pub struct QueuedEnd {
    /// The operation that tells it.
    pub operation: Operation,
    /// When it was to be told first.
    pub since: Instant,
    /// When it is to be told.
    pub due: Instant,
}

impl MessageQueue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.ends.is_empty()
    }
}
