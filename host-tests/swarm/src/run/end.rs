//! The end of a run: everything is healed, and each accepted delivery must have ended.

use std::time::Duration;

use host_tests::{Request, Thread};

use super::{Run, defect};
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::outcome::Summary;

/// How long everything may take to come to its end once all is healed: leases, open breakers, the longest `Retry-After`
/// and a whole schedule, several times over.
const HEALING: Duration = Duration::from_secs(600);

/// How often the endpoints are enabled again: an answer that was under way may have disabled one.
const LOOK: Duration = Duration::from_secs(20);

impl Run {
    /// Ends all faults, and waits until every event has ended.
    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.process.clear_rules();
        self.break_again();
        self.receivers.borrow_mut().heal();
        self.look_at_messages()?;
        if !self.plan.configs.get(self.current).is_some_and(|config| config.enabled) {
            self.load(0)?;
        }
        let threads = (0..self.plan.workers).map(Thread::Worker).chain([Thread::Main]);
        let stalled = threads.map(|thread| self.process.stalled_until(thread)).max().unwrap_or_default();
        let wait = stalled.saturating_sub(self.process.clock().elapsed()) + Duration::from_secs(2);
        self.pass(wait)?;
        self.process.end_drain().or_else(|fault| defect(&fault))?;
        self.look()?;
        let end = self.process.clock().elapsed() + HEALING;
        let mut next = Duration::ZERO;
        while self.checks.ledger.live().count() > 0 || !self.open.is_empty() || !self.drains.is_empty() {
            let now = self.process.clock().elapsed();
            if now >= end {
                return self.stuck();
            }
            self.revive()?;
            if now >= next && self.switch_on()? {
                next = now + LOOK;
            }
            self.pass(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Rebuilds the VMs that were lost, by a new stream for each.
    fn revive(&mut self) -> Result<(), Broken> {
        for worker in 0..self.plan.workers {
            if !self.process.has_vm(Thread::Worker(worker)) {
                let stream = self.process.request(worker, Request::new("GET", "/"));
                stream.or_else(|fault| defect(&fault))?;
            }
        }
        self.look()
    }

    /// Takes back what operators have ordered; returns whether all of that was answered.
    fn switch_on(&mut self) -> Result<bool, Broken> {
        if self.plan.faults.operator == 0 && self.plan.endpoints.iter().all(|endpoint| !endpoint.ends_by_gone) {
            return Ok(true);
        }
        let mut is_done = self.delete_overrides()?;
        for endpoint in self.plan.endpoints.clone() {
            is_done &= self.order_endpoint(&endpoint.name, false)?;
        }
        Ok(is_done)
    }

    fn stuck<T>(&self) -> Result<T, Broken> {
        let left: Vec<String> = self.checks.ledger.live().map(|(slot, state)| format!("{slot:?} {state:?}")).collect();
        let waiting: Vec<String> = self.open.iter().map(|open| open.stream.to_string()).collect();
        broken(Invariant::Ends, format!("{left:?} are left, {waiting:?} wait"))
    }

    /// Checks that every accepted delivery was delivered or is a dead letter.
    pub(super) fn judge(&mut self) -> Result<Summary, Broken> {
        let mut dead = 0;
        for (id, endpoints) in &self.accepted {
            dead += self.checks.have_ended(id, endpoints)?;
        }
        let (accepted, delivered) = (self.accepted.len() + self.lost, self.checks.facts.delivered());
        Ok(Summary { accepted, delivered, dead, disruptions: self.checks.facts.disruptions })
    }
}
