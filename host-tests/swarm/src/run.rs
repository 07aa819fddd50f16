//! The steps of a run.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use gatepost_core::ledger::{HEARTBEAT, LEASE};
use host_tests::{Builder, Effect, Fault, Filter, Point, Process, Rule, StartError, StreamId, Thread};

use crate::bugs::Bug;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Checks, Invariant};
use crate::outcome::{Summary, Violation};
use crate::plan::Plan;
use crate::receivers::{Receivers, SINK};
use crate::requests::{Keyed, Open, Sender, application};
use crate::throw::Throw;

mod end;
mod operator;
mod producer;
mod sender;

/// How often a worker looks for partitions to adopt, and again at those that it has adopted.
const SWEEP: Duration = Duration::from_secs(1);

/// Plays the run of a seed.
///
/// # Errors
/// The first invariant that breaks.
pub fn run(filter: &Filter, seed: u64) -> Result<Summary, Box<Violation>> {
    traced(filter, seed).map(|(summary, _)| summary)
}

/// Plays the run of a seed; returns the trace, too, of a run that held.
///
/// # Errors
/// The first invariant that breaks.
pub fn traced(filter: &Filter, seed: u64) -> Result<(Summary, String), Box<Violation>> {
    played(filter, seed, None)
}

/// Plays the run of a seed with a deliberate bug, if there is one; returns the trace, too, of a run that held.
///
/// # Errors
/// The first invariant that breaks.
pub fn played(filter: &Filter, seed: u64, bug: Option<&Bug>) -> Result<(Summary, String), Box<Violation>> {
    let started = Run::start(filter, seed, bug.copied());
    let mut run = started.map_err(|broken| Box::new(Violation { seed, broken, trace: String::new() }))?;
    match run.play() {
        Ok(summary) => Ok((summary, run.trace())),
        Err(broken) => Err(Box::new(Violation { seed, broken, trace: run.trace() })),
    }
}

/// A run under way.
struct Run {
    /// The deliberate bug, if there is one.
    bug: Option<Bug>,
    rng: Rng,
    plan: Rc<Plan>,
    process: Process,
    receivers: Rc<RefCell<Receivers>>,
    checks: Checks,
    sender: Sender,
    /// Requests whose answer was not looked at yet.
    open: Vec<Open>,
    /// Operators that wait for the end of a drain, since when.
    drains: Vec<(StreamId, Duration)>,
    /// Connections that may be used again.
    connections: Vec<StreamId>,
    /// The accepted events, by id, with the endpoints that their receipts name.
    accepted: BTreeMap<String, Vec<String>>,
    keys: BTreeMap<String, Keyed>,
    current: usize,
    events: u32,
    /// The number of events that were accepted before the process ended.
    lost: usize,
}

impl Run {
    pub fn start(filter: &Filter, seed: u64, bug: Option<Bug>) -> Result<Self, Broken> {
        let mut rng = Rng::with_seed(seed);
        let plan = Rc::new(Plan::new(&mut rng));
        let receivers = Receivers::new(rng.fork());
        let builder = builder(filter, seed, &plan, &receivers).application(application(seed));
        let first = plan.configs.first().map(|config| config.text.as_str()).unwrap_or_default();
        let builder = builder.config(bug.map_or_else(|| first.to_owned(), |bug| bug.config(first)));
        let mut process = builder.start().or_else(|error| broken(Invariant::Starts, error.to_string()))?;
        if let Some(rule) = bug.and_then(|bug| bug.rule()) {
            process.add_rule(rule);
        }
        let checks = Checks::new(&plan, &receivers);
        Ok(Self {
            bug,
            rng,
            plan,
            process,
            receivers,
            checks,
            sender: Sender::new(seed),
            open: Vec::new(),
            drains: Vec::new(),
            connections: Vec::new(),
            accepted: BTreeMap::new(),
            keys: BTreeMap::new(),
            current: 0,
            events: 0,
            lost: 0,
        })
    }

    /// The trace of the run: its plan, and everything that happened.
    pub fn trace(&self) -> String {
        format!("{}{}", self.plan, self.process.trace())
    }

    /// Plays all steps, then the end.
    pub fn play(&mut self) -> Result<Summary, Broken> {
        for _ in 0..self.plan.steps {
            self.step()?;
        }
        self.heal()?;
        self.judge()
    }

    fn step(&mut self) -> Result<(), Broken> {
        let faults = self.plan.faults;
        let mut throw = Throw::new(&mut self.rng);
        if throw.falls(faults.kill) {
            let thread = self.thread();
            self.process.kill_vm(thread);
            self.checks.facts.disruptions += 1;
        } else if throw.falls(faults.trap) {
            let after = self.rng.u64(0..60);
            let rule = Rule::new(Point::AnyHostCall, Effect::Trap).on(self.thread()).after(after).times(1);
            self.disrupt(rule);
        } else if throw.falls(faults.stall) {
            let (thread, wait) = (self.thread(), Duration::from_millis(self.rng.u64(100..25_000)));
            self.process.stall(thread, wait);
            self.checks.facts.disruptions += 1;
        } else if throw.falls(faults.lost_end) {
            let late = Effect::Delay(Duration::from_millis(self.rng.u64(1..12_000)));
            let effect = if self.rng.bool() { Effect::Drop } else { late };
            self.disrupt(Rule::new(Point::CallEnd, effect).times(1));
        } else if throw.falls(faults.store) {
            let status = if self.rng.bool() { 8 } else { 10 };
            let times = self.rng.u64(1..4);
            let rule = Rule::new(Point::HostCall("proxy_set_shared_data"), Effect::Fail(status));
            let after = self.rng.u64(0..30);
            (0..times).for_each(|_| self.disrupt(rule.clone().after(after).times(1)));
        } else if throw.falls(faults.config) {
            self.change_config()?;
        } else if throw.falls(faults.restart) {
            self.restart()?;
        } else if throw.falls(faults.poison) {
            self.send(true)?;
        } else if throw.falls(faults.clock) {
            self.change_clock();
        } else if throw.falls(faults.receiver) {
            let names = self.plan.endpoints.len();
            let cluster = self.plan.endpoints.get(self.rng.usize(0..names)).map(|endpoint| endpoint.name.as_str());
            self.receivers.borrow_mut().change(cluster.filter(|_| self.rng.u8(0..8) > 0).unwrap_or(SINK));
        } else if throw.falls(faults.operator) {
            self.operate()?;
        } else if throw.falls(faults.freeze) {
            self.freeze()?;
        } else {
            for _ in 0..self.rng.u32(0..4) {
                self.send(false)?;
            }
        }
        self.send_messages()?;
        let longest = if self.rng.u8(0..10) == 0 { 8_000 } else { 400 };
        let wait = Duration::from_millis(self.rng.u64(0..longest));
        self.pass(wait)
    }

    fn disrupt(&mut self, rule: Rule) {
        self.process.add_rule(rule);
        self.checks.facts.disruptions += 1;
    }

    /// Puts the deliberate bug in again, after all rules were taken away.
    fn break_again(&mut self) {
        if let Some(rule) = self.bug.and_then(|bug| bug.rule()) {
            self.process.add_rule(rule);
        }
    }

    /// Stalls a worker in the middle of accepting an event, until its lease has lapsed, so that another worker may have
    /// adopted its partition and found it empty; but not until that worker looks again.
    fn freeze(&mut self) -> Result<(), Broken> {
        let Some(worker) = self.worker() else { return Ok(()) };
        let thread = Thread::Worker(worker);
        let now = self.process.clock().elapsed();
        // Of several partitions it is not known here which one the worker accepts into.
        let leases: Vec<Duration> = self.checks.ledger.heartbeats(thread).collect();
        let heartbeat = match leases.as_slice() {
            [_, _, ..] => return Ok(()),
            [heartbeat] if now < *heartbeat + HEARTBEAT => *heartbeat,
            // The lease is renewed, or taken, before the event is accepted.
            _ => now,
        };
        let lapsed = heartbeat + LEASE + Duration::from_millis(self.rng.u64(0..SWEEP.as_millis() as u64));
        let rule = Rule::new(Point::Write("gatepost/body/"), Effect::Delay(lapsed.saturating_sub(now)));
        self.checks.facts.disruptions += 1;
        let rule = self.process.add_rule(rule.on(thread).times(1));
        let sent = self.send_to(worker, false, false);
        self.process.remove_rule(rule);
        sent
    }

    /// Lets some time go by; everything is checked after each thing that happens.
    fn pass(&mut self, wait: Duration) -> Result<(), Broken> {
        let until = self.process.clock().elapsed() + wait;
        loop {
            let left = until.saturating_sub(self.process.clock().elapsed());
            let (checks, found) = (RefCell::new(&mut self.checks), RefCell::new(Ok(())));
            let look = |process: &Process| {
                let mut checks = checks.borrow_mut();
                let result = checks.check(process);
                let stops = result.is_err() || !checks.victims.is_empty();
                *found.borrow_mut() = result;
                stops
            };
            let stopped = self.process.run_until(look, left).or_else(|fault| defect(&fault))?;
            found.into_inner()?;
            self.bury_victims()?;
            if !stopped {
                return self.look();
            }
        }
    }

    /// Ends the VMs that do not survive the attempt that they have made.
    fn bury_victims(&mut self) -> Result<(), Broken> {
        let mut victims = std::mem::take(&mut self.checks.victims);
        // A VM that was killed by several deliveries of an event died once.
        victims.sort();
        victims.dedup();
        for (thread, id) in victims {
            self.process.kill_vm(thread);
            let facts = &mut self.checks.facts;
            facts.disruptions += 1;
            let deaths = facts.deaths.entry(id.clone()).or_default();
            *deaths += 1;
            let times = facts.kept.get(&id).map_or(0, |kept| kept.times);
            let again = self.plan.endpoints.iter().filter_map(|endpoint| facts.delivery(&id, &endpoint.name));
            let again = again.map(|delivery| delivery.redelivered).sum::<u32>();
            // The letter of the event, on its way to the sink, kills another VM, which ends the event.
            let most = 3 + u32::from(self.plan.endpoints.iter().any(|endpoint| endpoint.has_sink));
            if facts.deaths.get(&id).is_some_and(|deaths| *deaths > most * (times + again)) {
                return broken(Invariant::Poison, format!("{id}, {:?}", facts.deaths));
            }
        }
        Ok(())
    }

    fn thread(&mut self) -> Thread {
        let number = self.rng.usize(0..=self.plan.workers);
        if number == self.plan.workers { Thread::Main } else { Thread::Worker(number) }
    }

    /// Draws a worker; `None`: the worker is stalled at the moment.
    fn worker(&mut self) -> Option<usize> {
        let worker = self.rng.usize(0..self.plan.workers);
        let now = self.process.clock().elapsed();
        (self.process.stalled_until(Thread::Worker(worker)) <= now).then_some(worker)
    }

    fn change_clock(&mut self) {
        let millis = self.rng.i64(-5_000_000..5_000_000);
        if self.rng.bool() {
            return self.process.step_wall_clock(millis);
        }
        let thread = self.thread();
        self.process.skew_wall_clock(thread, millis / 1000);
    }

    fn change_config(&mut self) -> Result<(), Broken> {
        self.checks.facts.disruptions += 1;
        if self.rng.bool() {
            self.process.end_drain().or_else(|fault| defect(&fault))?;
            return self.look();
        }
        let next = self.rng.usize(0..self.plan.configs.len());
        self.load(next)
    }

    fn load(&mut self, number: usize) -> Result<(), Broken> {
        let Some(config) = self.plan.configs.get(number) else { return Ok(()) };
        let text = self.bug.map_or_else(|| config.text.clone(), |bug| bug.config(&config.text));
        match self.process.update_config(text) {
            Ok(()) => {}
            // A trap in the canary: Envoy keeps the configuration that it has, and is told the new one again.
            Err(StartError::Fault(fault)) if fault.killed => return self.load(number),
            Err(error) => return broken(Invariant::Starts, error.to_string()),
        }
        self.current = number;
        let enabled = self.plan.configs.get(number).is_some_and(|config| config.enabled);
        self.checks.orders.reconfigured(self.process.clock().elapsed(), enabled);
        self.look()
    }

    /// Ends the process and begins it again. What the process had accepted may be lost, and nothing else.
    fn restart(&mut self) -> Result<(), Broken> {
        self.process.restart().or_else(|error| broken(Invariant::Starts, error.to_string()))?;
        self.checks.facts.disruptions += 1;
        self.break_again();
        self.look()?;
        self.sender.forget();
        self.checks.restarted();
        self.lost += self.accepted.len();
        (self.accepted, self.keys) = (BTreeMap::new(), BTreeMap::new());
        self.connections.clear();
        self.drains.clear();
        Ok(())
    }
}

/// The builder of a run's process.
fn builder(filter: &Filter, seed: u64, plan: &Plan, receivers: &Rc<RefCell<Receivers>>) -> Builder {
    let mut builder = Process::builder(filter).name("gatepost").vm_id("gatepost").workers(plan.workers).seed(seed);
    for cluster in plan.endpoints.iter().map(|endpoint| endpoint.name.as_str()).chain([SINK]) {
        builder = builder.cluster(cluster, Receivers::upstream(receivers, cluster));
    }
    // In one run of four Envoy's counter of writes comes to where it wraps.
    let first_cas = if seed % 4 == 3 { u32::MAX - (seed % 400) as u32 } else { 1 };
    builder.first_cas(first_cas).watch("gatepost/breaker/").watch("gatepost/generation").record_writes()
}

fn defect<T>(fault: &Fault) -> Result<T, Broken> {
    broken(Invariant::NoTrap, fault.to_string())
}
