//! The steps of a run of a fleet. `faults`: what goes wrong meanwhile. `drains`: what an operator does.

mod drains;
mod faults;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use etcd_model::Etcd;
use fastrand::Rng;
use host_tests::{Filter, Fleet, Process, Request, StreamId, Thread};
use serde_json::Value;

use super::bugs::FleetBug;
use super::checks::FleetChecks;
use super::plan::{ETCD, FleetPlan};
use super::receivers::FleetReceivers;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::outcome::{Summary, Violation};
use crate::throw::Throw;

/// How long everything may take to come to its end once all is healed: leases, takeovers, and a whole schedule.
const HEALING: Duration = Duration::from_secs(180);

/// How long the request of a producer stands whose VM is lost.
const IDLE: Duration = Duration::from_secs(60);

/// How long a producer may wait where nothing goes wrong.
const CALM_ANSWER: Duration = Duration::from_secs(1);

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
        let longest = if self.rng.u8(0..10) == 0 { 6_000 } else { 400 };
        let wait = Duration::from_millis(self.rng.u64(0..longest));
        self.pass(wait)
    }

    /// A gateway that is alive.
    fn gateway(&mut self) -> Option<usize> {
        let alive = self.gateways.iter().enumerate().filter(|(_, gateway)| gateway.returns.is_none());
        let alive: Vec<usize> = alive.map(|(number, _)| number).collect();
        self.rng.choice(alive)
    }

    fn thread(&mut self) -> Thread {
        let number = self.rng.usize(0..=self.plan.workers);
        if number == self.plan.workers { Thread::Main } else { Thread::Worker(number) }
    }

    fn send(&mut self) -> Result<(), Broken> {
        let Some(number) = self.gateway() else { return Ok(()) };
        let body = format!(r#"{{"n":{}}}"#, self.events + 1);
        let request = Request::post("/events/paid").header("content-type", "application/json").body(body);
        let at = self.fleet.now();
        if let Some(stream) = self.request(number, request)? {
            self.events += 1;
            self.open.push(Waiting { gateway: number, stream, at });
        }
        self.look()
    }

    /// Sends a request to some worker of a gateway; `None`: its thread stalls.
    fn request(&mut self, number: usize, request: Request) -> Result<Option<StreamId>, Broken> {
        let worker = self.rng.usize(0..self.plan.workers);
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
            let (checks, open) = (RefCell::new(&mut self.checks), &self.open);
            let gateways = &self.gateways;
            let found = RefCell::new(Ok(()));
            let look = |fleet: &Fleet| {
                let result = checks.borrow_mut().look(fleet.now());
                let stops = result.is_err() || open.iter().any(|one| is_answered(fleet, gateways, one));
                *found.borrow_mut() = result;
                stops
            };
            let stopped = self.fleet.run_until(look, left);
            found.into_inner()?;
            match stopped {
                Ok(true) => self.answers()?,
                Ok(false) => return self.look(),
                Err(fault) => return broken(Invariant::NoTrap, fault.to_string()),
            }
        }
    }

    fn look(&mut self) -> Result<(), Broken> {
        self.checks.look(self.fleet.now())?;
        self.drained()?;
        self.answers()
    }

    /// Looks at the answers that have come.
    fn answers(&mut self) -> Result<(), Broken> {
        let now = self.fleet.now();
        for open in std::mem::take(&mut self.open) {
            let Some(gateway) = self.gateways.get(open.gateway) else { continue };
            let Some(process) = self.fleet.get(&gateway.name) else { continue };
            let answer = process.answer(open.stream).map(|answer| (answer.status(), answer.body.clone()));
            match answer {
                Some((status, body)) => self.answered(&open, status, &body)?,
                None if process.is_open(open.stream) => {
                    if self.plan.is_calm() && now > open.at + CALM_ANSWER {
                        return broken(Invariant::AnsweredInTime, format!("{} since {:?}", open.stream, open.at));
                    }
                    self.open.push(open);
                }
                // Its VM is gone.
                None => {}
            }
        }
        Ok(())
    }

    fn answered(&mut self, open: &Waiting, status: u16, body: &[u8]) -> Result<(), Broken> {
        let receipt: Value = serde_json::from_slice(body).unwrap_or_default();
        self.checks.tell(self.fleet.now(), format!("a producer is answered {status} {receipt}"));
        let text = |key: &str| receipt.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match status {
            202 if text("durability") != "memory" => {}
            503 if !self.plan.is_calm() => return Ok(()),
            _ => return broken(Invariant::Answers, format!("{} at {:?}: {status} {receipt}", open.stream, open.at)),
        }
        let deliveries = receipt.get("deliveries").and_then(Value::as_array);
        let name = |delivery: &Value| delivery.get("endpoint").and_then(Value::as_str).map(str::to_owned);
        let endpoints: Vec<String> = deliveries.into_iter().flatten().filter_map(name).collect();
        if self.gateways.get(open.gateway).is_none_or(|gateway| gateway.endpoints != endpoints) {
            return broken(Invariant::Answers, format!("{receipt}"));
        }
        self.checks.accepted(&text("id"), endpoints)
    }

    /// Ends all faults, and waits until every event has ended.
    fn heal(&mut self) -> Result<Summary, Broken> {
        self.checks.tell(self.fleet.now(), "everything is healed");
        self.is_healed = true;
        self.etcd.clear_disruptions();
        self.make_room();
        self.receivers.borrow_mut().heal();
        let now = self.fleet.now();
        for gateway in &mut self.gateways {
            gateway.returns = gateway.returns.map(|_| now);
            gateway.drained_until = gateway.drained_until.map(|_| now);
            self.fleet.with(&gateway.name, Process::clear_rules);
        }
        // The deploy ends: each has the whole configuration.
        for number in 0..self.gateways.len() {
            if self.gateways.get(number).is_some_and(|gateway| gateway.endpoints != self.plan.endpoints) {
                self.kill(number, Duration::ZERO);
            }
        }
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
        let (delivered, dead) = self.checks.judge()?;
        Ok(Summary { accepted: self.checks.accepted.len(), delivered, dead, disruptions: self.disruptions })
    }

    /// A VM that was lost comes back with the next request to its worker.
    fn wake(&mut self) -> Result<(), Broken> {
        for gateway in &self.gateways {
            for worker in 0..self.plan.workers {
                let asked = self.fleet.with(&gateway.name, |process| process.request(worker, Request::new("GET", "/")));
                if let Some(Err(fault)) = asked {
                    return broken(Invariant::NoTrap, format!("{}: {fault}", gateway.process()));
                }
            }
        }
        self.look()
    }
}

fn is_answered(fleet: &Fleet, gateways: &[Gateway], open: &Waiting) -> bool {
    let process = gateways.get(open.gateway).and_then(|gateway| fleet.get(&gateway.name));
    process.is_none_or(|process| !process.is_open(open.stream))
}
