//! What goes wrong in a run of a fleet.

use std::time::Duration;

use etcd_messages::{LEASE_KEEP_ALIVE, TXN};
use etcd_model::{Disruption, Mishap, Outage, Status};
use fastrand::Rng;
use host_tests::{Effect, Point, Process, Rule, Thread};

use super::FleetRun;
impl FleetRun<'_> {
    /// Does something to a gateway that is alive.
    pub(super) fn disrupt(&mut self, what: &str, work: impl FnOnce(&mut Process)) {
        let Some(gateway) = self.gateway().and_then(|number| self.gateways.get(number)) else { return };
        self.disruptions += 1;
        self.checks.tell(self.fleet.now(), format!("{}: {what}", gateway.process()));
        self.fleet.with(&gateway.name, work);
    }

    /// Kills a gateway that is alive; it is started again some time later.
    pub(super) fn kill_one(&mut self) {
        let Some(number) = self.gateway() else { return };
        let wait = Duration::from_millis(self.rng.u64(0..9_000));
        self.kill(number, wait);
    }

    /// Kills a gateway; it is started again after so long.
    pub(super) fn kill(&mut self, number: usize, wait: Duration) {
        let now = self.fleet.now();
        let Some(gateway) = self.gateways.get_mut(number) else { return };
        self.disruptions += 1;
        (gateway.returns, gateway.drained_until) = (Some(now + wait), None);
        let process = gateway.process();
        self.fleet.kill(&gateway.name);
        for open in self.open.extract_if(.., |open| open.gateway == number).collect::<Vec<_>>() {
            self.ended(&open);
        }
        self.sender.open.retain(|one| one.gateway != number);
        self.drains.retain(|drain| drain.gateway != number);
        self.checks.lost(&process, None, now);
        self.checks.tell(now, format!("{process} is killed"));
    }

    pub(super) fn trap(&mut self) {
        let Some(number) = self.gateway() else { return };
        let (thread, now) = (self.thread(), self.fleet.now());
        let Some(gateway) = self.gateways.get(number) else { return };
        self.disruptions += 1;
        self.checks.lost(&gateway.process(), Some(thread), now);
        self.sender.lost(number, thread);
        self.checks.tell(now, format!("{}: the VM of {thread} is lost", gateway.process()));
        self.fleet.with(&gateway.name, |process| process.kill_vm(thread));
    }

    /// A worker waits in the middle of its next write to shared data, for longer than its lease.
    pub(super) fn freeze(&mut self) {
        let Some(number) = self.gateway() else { return };
        let lease = Duration::from_secs(self.plan.lease);
        let wait = Duration::from_millis(self.rng.u64(0..2 * self.plan.lease * 1000 + 2000));
        let (thread, now) = (Thread::Worker(self.rng.usize(0..self.plan.workers)), self.fleet.now());
        let Some(gateway) = self.gateways.get(number) else { return };
        self.disruptions += 1;
        let process = gateway.process();
        self.checks.tell(now, format!("{process}: {thread} is going to wait for {wait:?}"));
        // What it was about to attempt when it began to wait it attempts all the same.
        let until = self.checks.frozen.entry(process).or_default();
        *until = (*until).max(now + wait + lease + Duration::from_secs(20));
        let rule = Rule::new(Point::Write("gatepost/"), Effect::Delay(wait)).on(thread).times(1);
        self.fleet.with(&gateway.name, |process| process.add_rule(rule));
    }

    /// Lets some calls to etcd go wrong for a while.
    pub(super) fn disturb_calls(&mut self) {
        let now = self.fleet.now();
        let millis = |rng: &mut Rng, most: u64| Duration::from_millis(rng.u64(1..most));
        let mishap = match self.rng.u8(0..10) {
            0 => Mishap::NotSent,
            1 => Mishap::Unreachable,
            2 => Mishap::Refused(Status::new(14, "etcdserver: request timed out")),
            3 | 4 => Mishap::Unanswered { is_applied: self.rng.bool() },
            5 => Mishap::Disconnected { is_applied: self.rng.bool() },
            6 => Mishap::Reset,
            7 | 8 => Mishap::Late(millis(&mut self.rng, 8_000)),
            _ => Mishap::Slow(millis(&mut self.rng, 1_500)),
        };
        let until = now + millis(&mut self.rng, 8_000);
        let mut disruption = Disruption::new(mishap).from(now).until(until).chance(0.1 + 0.9 * self.rng.f64());
        match self.rng.u8(0..4) {
            0 => disruption = disruption.of(LEASE_KEEP_ALIVE),
            1 | 2 => disruption = disruption.of(TXN),
            _ => {}
        }
        if let Some(gateway) = self.gateway().filter(|_| self.rng.bool()).and_then(|number| self.gateways.get(number)) {
            disruption = disruption.by(&gateway.process());
        }
        self.disruptions += 1;
        self.checks.tell(now, format!("{disruption:?}"));
        self.etcd.disrupt(disruption);
    }

    pub(super) fn fail_etcd(&mut self) {
        let outage = match self.rng.u8(0..3) {
            0 => Outage::LeaderLost,
            1 => Outage::Down,
            _ => Outage::Stopped,
        };
        let duration = Duration::from_millis(self.rng.u64(100..8_000));
        self.disruptions += 1;
        self.checks.tell(self.fleet.now(), format!("etcd: {outage:?} for {duration:?}"));
        self.etcd.advance(self.fleet.now());
        self.etcd.fail(outage, duration);
    }

    /// Leaves etcd without room: it refuses whatever would take some, until its operator makes room.
    pub(super) fn fill_etcd(&mut self) {
        self.disruptions += 1;
        self.checks.tell(self.fleet.now(), "etcd: no room");
        self.etcd.advance(self.fleet.now());
        self.etcd.raise_no_space();
        self.full_until = Some(self.fleet.now() + Duration::from_millis(self.rng.u64(500..15_000)));
    }

    /// Does what an operator of etcd does about a full one.
    pub(super) fn make_room(&mut self) {
        self.full_until = None;
        if self.etcd.is_full() {
            self.checks.tell(self.fleet.now(), "etcd: there is room again");
            self.etcd.advance(self.fleet.now());
            self.etcd.make_room();
        }
    }
}
