//! The steps of a run of a fleet. `producer`, `sender`: events and inbound messages. `faults`: what goes wrong meanwhile.
//! `drains`, `orders`: what operators do. `end`: everything is healed.

mod drains;
mod end;
mod faults;
mod orders;
mod producer;
mod sender;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use etcd_model::Etcd;
use fastrand::Rng;
use host_tests::{Filter, Fleet, Process, Request, StreamId, Thread};

use super::bugs::FleetBug;
use super::checks::FleetChecks;
use super::clients::{Keys, Operator, Passing, Sender, Use};
use super::plan::{ETCD, FleetPlan};
use super::receivers::FleetReceivers;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::outcome::{Summary, Violation};
use crate::throw::Throw;

/// How long the request of a producer stands whose VM is lost.
const IDLE: Duration = Duration::from_secs(60);

/// Plays the run of a seed.
///
/// # Errors
/// The first invariant that breaks.
pub fn run(filter: &Filter, seed: u64) -> Result<Summary, Box<Violation>> {
    played(filter, seed, None).map(|(summary, _)| summary)
}

/// Plays the run of a seed, with a deliberate bug if there is one; returns the trace, too, of a run that held.
///
/// # Errors
/// The first invariant that breaks.
pub fn played(filter: &Filter, seed: u64, bug: Option<&FleetBug>) -> Result<(Summary, String), Box<Violation>> {
    let mut run = FleetRun::new(filter, seed, bug);
    match run.play() {
        Ok(summary) => Ok((summary, run.trace())),
        Err(broken) => Err(Box::new(Violation { seed, broken, trace: run.trace() })),
    }
}

/// A gateway of the fleet, through all its lives.
struct Gateway {
    name: String,
    lives: u64,
    /// When it is started again.
    returns: Option<Duration>,
    /// The endpoints that its configuration has in this life.
    endpoints: Vec<String>,
    /// When it is switched on again after a drain.
    drained_until: Option<Duration>,
}

impl Gateway {
    /// The name of its process, as etcd and the receivers know it: another one in each life.
    fn process(&self) -> String {
        format!("{}.{}", self.name, self.lives)
    }
}

/// A request whose answer is not known yet.
struct Waiting {
    gateway: usize,
    stream: StreamId,
    at: Duration,
    /// The idempotency key of an event.
    keyed: Option<Use>,
}

struct FleetRun<'a> {
    filter: &'a Filter,
    seed: u64,
    rng: Rng,
    plan: Rc<FleetPlan>,
    fleet: Fleet,
    etcd: Etcd,
    receivers: Rc<RefCell<FleetReceivers>>,
    checks: FleetChecks,
    gateways: Vec<Gateway>,
    open: Vec<Waiting>,
    drains: Vec<Waiting>,
    keys: Keys,
    sender: Sender,
    operator: Operator,
    /// When an operator makes room in etcd.
    full_until: Option<Duration>,
    events: u32,
    disruptions: u32,
    is_healed: bool,
}

impl<'a> FleetRun<'a> {
    fn new(filter: &'a Filter, seed: u64, bug: Option<&FleetBug>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Rc::new(FleetPlan::new(&mut rng));
        let etcd = Etcd::of_members(rng.u64(..), 3);
        etcd.set_jitter(plan.jitter);
        if let Some(bug) = bug {
            bug.put_in(&etcd);
        }
        let receivers = FleetReceivers::new(rng.fork());
        let checks = FleetChecks::new(&plan, &etcd, &receivers);
        let gateway = |number: usize| Gateway {
            name: format!("gateway {number}"),
            lives: 0,
            returns: None,
            endpoints: plan.endpoints.clone(),
            drained_until: None,
        };
        Self {
            filter,
            seed,
            rng,
            gateways: (0..plan.gateways).map(gateway).collect(),
            plan,
            fleet: Fleet::default(),
            etcd,
            receivers,
            checks,
            open: Vec::new(),
            drains: Vec::new(),
            keys: Keys::new(seed),
            sender: Sender::new(seed),
            operator: Operator::new(seed),
            full_until: None,
            events: 0,
            disruptions: 0,
            is_healed: false,
        }
    }

    /// The trace of the run: its plan, what the checks saw, and what each process that still runs did.
    fn trace(&self) -> String {
        let processes =
            self.fleet.names().filter_map(|name| Some((name, self.fleet.started(name)?, self.fleet.get(name)?)));
        let processes: String = processes
            .map(|(name, started, process)| format!("\n{name}, since {}:\n{}", started.as_secs_f64(), process.trace()))
            .collect();
        format!("{}{processes}\nall:\n{}\n", self.plan, self.checks.log.join("\n"))
    }

    fn play(&mut self) -> Result<Summary, Broken> {
        for number in 0..self.gateways.len() {
            self.start(number)?;
        }
        self.pass(Duration::from_millis(500))?;
        for _ in 0..self.plan.steps {
            self.step()?;
        }
        self.heal()
    }

    fn start(&mut self, number: usize) -> Result<(), Broken> {
        let now = self.fleet.now();
        let is_partial = self.plan.is_rolling && !self.is_healed && self.rng.bool();
        let left_out = usize::from(is_partial);
        let Some(gateway) = self.gateways.get_mut(number) else { return Ok(()) };
        gateway.lives += 1;
        (gateway.returns, gateway.drained_until) = (None, None);
        gateway.endpoints = self.plan.endpoints.iter().rev().skip(left_out).rev().cloned().collect();
        let (name, process, endpoints) = (gateway.name.clone(), gateway.process(), gateway.endpoints.clone());
        let seed = self.seed.wrapping_mul(1000) + 100 * number as u64 + gateway.lives;
        let mut builder = Process::builder(self.filter)
            .name("gatepost")
            .vm_id("gatepost")
            .workers(self.plan.workers)
            .seed(seed)
            .config(self.plan.config(&endpoints))
            .idle_timeout(IDLE)
            .application(self.sender.application(seed, self.is_healed))
            .wall_clock_off_by(self.rng.i64(-400..400))
            .cluster(ETCD, self.etcd.upstream(&process, now));
        for endpoint in &endpoints {
            builder = builder.cluster(endpoint, FleetReceivers::upstream(&self.receivers, endpoint, &process, now));
        }
        self.checks.tell(now, format!("{process} starts, with {endpoints:?}"));
        self.fleet.start(&name, builder).or_else(|error| broken(Invariant::Starts, error.to_string()))
    }

    fn step(&mut self) -> Result<(), Broken> {
        let faults = self.plan.faults;
        let mut throw = Throw::new(&mut self.rng);
        if throw.falls(faults.kill) {
            self.kill_one();
        } else if throw.falls(faults.trap) {
            self.trap();
        } else if throw.falls(faults.stall) {
            let (thread, wait) = (self.thread(), Duration::from_millis(self.rng.u64(100..12_000)));
            self.disrupt("a thread stalls", |process| process.stall(thread, wait));
        } else if throw.falls(faults.freeze) {
            self.freeze();
        } else if throw.falls(faults.calls) {
            self.disturb_calls();
        } else if throw.falls(faults.outage) {
            self.fail_etcd();
        } else if throw.falls(faults.full) {
            self.fill_etcd();
        } else if throw.falls(faults.drain) {
            self.drain()?;
        } else if throw.falls(faults.clock) {
            let millis = self.rng.i64(-20_000..20_000);
            self.disrupt("a clock steps", |process| process.step_wall_clock(millis));
        } else if throw.falls(faults.receiver) {
            let endpoint = self.rng.choice(self.plan.endpoints.iter()).cloned();
            endpoint.iter().for_each(|endpoint| self.receivers.borrow_mut().change(endpoint));
        } else {
            for _ in 0..self.rng.u32(0..5) {
                self.send()?;
            }
        }
        self.send_messages()?;
        self.operate()?;
        let longest = if self.rng.u8(0..10) == 0 { 6_000 } else { 400 };
        let wait = Duration::from_millis(self.rng.u64(0..longest));
        self.pass(wait)
    }

    /// A gateway that is alive.
    fn gateway(&mut self) -> Option<usize> {
        let alive = self.alive();
        self.rng.choice(alive)
    }

    fn alive(&self) -> Vec<usize> {
        let alive = self.gateways.iter().enumerate().filter(|(_, gateway)| gateway.returns.is_none());
        alive.map(|(number, _)| number).collect()
    }

    fn thread(&mut self) -> Thread {
        let number = self.rng.usize(0..=self.plan.workers);
        if number == self.plan.workers { Thread::Main } else { Thread::Worker(number) }
    }

    /// Sends a request to some worker of a gateway; `None`: its thread stalls.
    fn request(&mut self, number: usize, request: Request) -> Result<Option<StreamId>, Broken> {
        let worker = self.rng.usize(0..self.plan.workers);
        self.request_at(number, worker, request)
    }

    /// Sends a request to a worker of a gateway; `None`: its thread stalls.
    fn request_at(&mut self, number: usize, worker: usize, request: Request) -> Result<Option<StreamId>, Broken> {
        let Some(gateway) = self.gateways.get(number) else { return Ok(None) };
        let is_stalled = |process: &Process| process.stalled_until(Thread::Worker(worker)) > process.clock().elapsed();
        if self.fleet.get(&gateway.name).is_none_or(is_stalled) {
            return Ok(None);
        }
        match self.fleet.with(&gateway.name, |process| process.request(worker, request)) {
            Some(Ok(stream)) => Ok(Some(stream)),
            Some(Err(fault)) => broken(Invariant::NoTrap, format!("{}: {fault}", gateway.process())),
            None => Ok(None),
        }
    }

    /// Lets some time go by; everything is checked after each thing that happens.
    fn pass(&mut self, wait: Duration) -> Result<(), Broken> {
        let until = self.fleet.now() + wait;
        loop {
            let returns = self.gateways.iter().filter_map(|gateway| gateway.returns);
            let ons = self.gateways.iter().filter_map(|gateway| gateway.drained_until);
            let next =
                returns.chain(ons).chain(self.full_until).min().map_or(until, |at| at.min(until)).max(self.fleet.now());
            self.run_to(next)?;
            let now = self.fleet.now();
            self.switch_on(now)?;
            if self.full_until.is_some_and(|at| at <= now) {
                self.make_room();
            }
            for number in 0..self.gateways.len() {
                if self.gateways.get(number).and_then(|gateway| gateway.returns).is_some_and(|at| at <= now) {
                    self.start(number)?;
                }
            }
            if next >= until {
                return Ok(());
            }
        }
    }

    fn run_to(&mut self, until: Duration) -> Result<(), Broken> {
        loop {
            let left = until.saturating_sub(self.fleet.now());
            let (checks, open, messages) = (RefCell::new(&mut self.checks), &self.open, &self.sender.open);
            let gateways = &self.gateways;
            let found = RefCell::new(Ok(()));
            let look = |fleet: &Fleet| {
                let result = checks.borrow_mut().look(fleet.now());
                let get = |number: usize| gateways.get(number).and_then(|gateway| fleet.get(&gateway.name));
                let is_answered = |one: &Waiting| get(one.gateway).is_none_or(|process| !process.is_open(one.stream));
                let has_moved = |one: &Passing| get(one.gateway).is_none_or(|process| one.has_moved(process));
                let stops = result.is_err() || open.iter().any(is_answered) || messages.iter().any(has_moved);
                *found.borrow_mut() = result;
                stops
            };
            let stopped = self.fleet.run_until(look, left);
            found.into_inner()?;
            match stopped {
                Ok(true) => self.look()?,
                Ok(false) => return self.look(),
                Err(fault) => return broken(Invariant::NoTrap, fault.to_string()),
            }
        }
    }

    fn look(&mut self) -> Result<(), Broken> {
        self.checks.look(self.fleet.now())?;
        self.drained()?;
        self.look_at_messages()?;
        self.answers()?;
        for gateway in self.gateways.iter().filter(|_| self.plan.falls_back) {
            let Some(process) = self.fleet.get(&gateway.name) else { continue };
            let metric = |name: &str| process.metric(name).unwrap_or_default();
            let events = metric("gatepost_events_memory_only_total");
            self.checks.are_counted(&gateway.process(), events, metric("gatepost_inbound_memory_only_total"))?;
        }
        Ok(())
    }
}
