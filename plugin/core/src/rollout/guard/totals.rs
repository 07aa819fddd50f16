//! The totals of the counts.

use serde::{Deserialize, Serialize};

use crate::outcome::DeliveryResult;
use crate::time::WallTime;

/// The totals since the process began, of an endpoint or of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Deliveries that were accepted; in the totals of the process, events.
    pub accepted: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Deliveries that were delivered.
    pub delivered: u64,
    /// Deliveries that failed for good.
    pub failed: u64,
    /// Deliveries that grew too old.
    pub expired: u64,
    /// When the last attempt was made.
    pub last_attempt: Option<WallTime>,
}

impl Totals {
    /// Counts an attempt that was made at this time, and has ended.
    pub fn attempt(&mut self, at: WallTime) {
        self.attempts += 1;
        self.last_attempt = self.last_attempt.max(Some(at));
    }

    /// Counts the end of a delivery.
    pub fn delivery(&mut self, result: DeliveryResult) {
        match result {
            DeliveryResult::Delivered => self.delivered += 1,
            DeliveryResult::Failed => self.failed += 1,
            DeliveryResult::Expired => self.expired += 1,
        }
    }

    /// Adds other totals to these.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.attempts += other.attempts;
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.expired += other.expired;
        self.last_attempt = self.last_attempt.max(other.last_attempt);
    }
}
