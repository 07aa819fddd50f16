//! The end of a run of a fleet: everything is healed, and what was accepted must come to its end.

use std::time::Duration;

use super::FleetRun;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::outcome::Summary;

/// How long everything may take to come to its end once all is healed: leases, takeovers, and a whole schedule.
const HEALING: Duration = Duration::from_secs(180);

impl FleetRun<'_> {
    /// Ends all faults, and waits until every event has ended.
    pub(super) fn heal(&mut self) -> Result<Summary, Broken> {
        self.checks.tell(self.fleet.now(), "everything is healed");
        self.is_healed = true;
        self.etcd.clear_disruptions();
        self.make_room();
        self.receivers.borrow_mut().heal();
        let now = self.fleet.now();
        for gateway in &mut self.gateways {
            gateway.returns = gateway.returns.map(|_| now);
            gateway.drained_until = gateway.drained_until.map(|_| now);
            let application = self.sender.application(self.seed, true);
            self.fleet.with(&gateway.name, |process| {
                process.clear_rules();
                process.set_application(application);
            });
        }
        // The deploy ends: each has the whole configuration.
        for number in 0..self.gateways.len() {
            if self.gateways.get(number).is_some_and(|gateway| gateway.endpoints != self.plan.endpoints) {
                self.kill(number, Duration::ZERO);
            }
        }
        self.agree()?;
        self.switch_all_on()?;
        self.finish()?;
        self.agree()?;
        self.send_all_again()?;
        // A writer that was lost may have lapsed only now.
        self.finish()?;
        let (delivered, dead) = self.checks.judge()?;
        Ok(Summary { accepted: self.checks.accepted.len(), delivered, dead, disruptions: self.disruptions })
    }

    /// Waits until nothing is left to do, and every producer is answered.
    fn finish(&mut self) -> Result<(), Broken> {
        let until = self.fleet.now() + HEALING;
        while self.fleet.now() < until {
            self.pass(Duration::from_secs(2))?;
            self.wake()?;
            if self.checks.is_done() && self.open.is_empty() {
                break;
            }
        }
        if !self.open.is_empty() {
            return broken(Invariant::Ends, format!("{} producers wait", self.open.len()));
        }
        Ok(())
    }
}
