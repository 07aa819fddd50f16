//! What operators switch at one gateway, for the fleet: the state of the filter, and endpoints.

use std::time::Duration;

use host_tests::{Process, Thread};
use serde_json::{Value, json};

use super::FleetRun;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::fleet::switches::{ON, Switch};

/// A gateway that has started has read the fleet's documents after so long: before, it refuses orders, and accepts events
/// although the fleet is off.
const KNOWS: Duration = Duration::from_secs(3);

/// How long all gateways may take to show the same, once nothing goes wrong any more: a worker that was lost may have been
/// the one of its gateway that reads the documents.
const QUIET: Duration = Duration::from_secs(30);

impl FleetRun<'_> {
    /// Lets an operator switch something now and then. What is off is soon on again, or nothing would happen in most runs.
    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        if !self.plan.is_operated || self.operator.rng.u8(0..8) > 0 {
            return Ok(());
        }
        let alive = self.alive();
        // A state would end the drain of a gateway.
        let drains = |number: &usize| self.gateways.get(*number).is_none_or(|one| one.drained_until.is_some());
        let alive: Vec<usize> = alive.into_iter().filter(|number| !drains(number)).collect();
        let Some(number) = self.operator.rng.choice(alive) else { return Ok(()) };
        let endpoint = self.operator.rng.choice(self.plan.endpoints.iter()).cloned().unwrap_or_default();
        let off = self.switched_off();
        if !off.is_empty() && self.operator.rng.u8(0..3) > 0 {
            let switch = self.operator.rng.choice(off).unwrap_or(Switch::State);
            return self.switch(number, switch, ON).map(|_| ());
        }
        match self.operator.rng.u8(0..6) {
            0 | 1 => self.switch(number, Switch::State, "paused"),
            2 => self.switch(number, Switch::State, "disabled"),
            3 => self.switch(number, Switch::State, ON),
            _ => self.switch(number, Switch::Endpoint(endpoint), "disabled"),
        }
        .map(|_| ())
    }

    /// What does not stand on `enabled` in etcd.
    fn switched_off(&self) -> Vec<Switch> {
        let endpoints = self.plan.endpoints.iter().cloned().map(Switch::Endpoint);
        let switches = std::iter::once(Switch::State).chain(endpoints);
        switches.filter(|switch| self.checks.switches.word(switch) != ON).collect()
    }

    /// Orders something at a gateway; returns whether that was answered.
    pub(super) fn switch(&mut self, number: usize, switch: Switch, word: &str) -> Result<bool, Broken> {
        let now = self.fleet.now();
        let stream = match &switch {
            Switch::State => self.order(number, "PUT", "state", &json!({"state": word, "reason": "a try"}))?,
            Switch::Endpoint(name) => {
                self.order(number, "PATCH", &format!("endpoints/{name}"), &json!({"disabled": word != ON}))?
            }
        };
        if stream.is_some() && word == "disabled" && switch == Switch::State {
            self.operator.disabled = Some(now);
        }
        let Some((gateway, stream)) = self.gateways.get(number).zip(stream) else { return Ok(false) };
        let (process, name) = (gateway.process(), gateway.name.clone());
        let status = self.fleet.get(&name).and_then(|process| process.answer(stream)).map(|answer| answer.status());
        let is_new = self.is_new(number, now);
        self.checks.tell(now, format!("{process}: {switch:?} is ordered {word}, {status:?}"));
        match status {
            Some(200) => {
                let is_stored = self.plan.stores_orders() && gateway.drained_until.is_none();
                self.checks.switches.ordered(&process, switch, word, now, is_stored);
            }
            // Its configuration lacks the endpoint.
            Some(404) if self.plan.is_rolling => {}
            // Its VM is lost, or it has not read what the fleet has decided.
            Some(503) | None if !self.plan.is_calm() || is_new => {}
            status => return broken(Invariant::Answers, format!("{status:?} to {switch:?} {word} at {process}")),
        }
        self.look()?;
        Ok(status == Some(200))
    }

    /// Whether a gateway has started so lately that it may not know what stands in etcd.
    pub(super) fn is_new(&self, number: usize, at: Duration) -> bool {
        let started = self.gateways.get(number).and_then(|gateway| self.fleet.started(&gateway.name));
        started.is_none_or(|started| at < started + KNOWS)
    }

    /// Waits until all gateways show the same, and what stands in etcd.
    pub(super) fn agree(&mut self) -> Result<(), Broken> {
        let until = self.fleet.now() + QUIET;
        loop {
            self.pass(Duration::from_secs(1))?;
            self.wake()?;
            let strange = self.strange()?;
            match strange {
                None => return Ok(()),
                Some(seen) if self.fleet.now() >= until => return broken(Invariant::SameAtEveryGateway, seen),
                Some(_) => {}
            }
        }
    }

    /// Switches everything on, at one gateway or another.
    pub(super) fn switch_all_on(&mut self) -> Result<(), Broken> {
        let endpoints = self.plan.endpoints.iter().cloned().map(Switch::Endpoint);
        for switch in std::iter::once(Switch::State).chain(endpoints).collect::<Vec<_>>() {
            let until = self.fleet.now() + QUIET;
            while self.checks.switches.word(&switch) != ON {
                if self.fleet.now() >= until {
                    return broken(Invariant::OrderStands, format!("{switch:?} at {:?}", self.fleet.now()));
                }
                let alive = self.alive();
                if let Some(number) = self.operator.rng.choice(alive) {
                    self.switch(number, switch.clone(), ON)?;
                }
                self.pass(Duration::from_secs(2))?;
            }
        }
        Ok(())
    }

    /// What some gateway shows that does not stand so in etcd.
    fn strange(&mut self) -> Result<Option<String>, Broken> {
        for number in 0..self.gateways.len() {
            let Some(stream) = self.order(number, "GET", "status", &Value::Null)? else {
                return Ok(Some(format!("gateway {number} stalls")));
            };
            let Some(gateway) = self.gateways.get(number) else { continue };
            let answer = self.fleet.get(&gateway.name).and_then(|process| process.answer(stream));
            let Some(answer) = answer.filter(|answer| answer.status() == 200) else {
                return Ok(Some(format!("{} does not answer", gateway.process())));
            };
            let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let endpoints = status.get("endpoints").and_then(Value::as_array).into_iter().flatten();
            let of_endpoint = |endpoint: &Value| {
                let is_disabled = endpoint.get("disabled")?.as_bool()?;
                let name = endpoint.get("name")?.as_str()?.to_owned();
                Some((Switch::Endpoint(name), if is_disabled { "disabled" } else { ON }.to_owned()))
            };
            let state = status.get("state").and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut shown = endpoints.filter_map(of_endpoint).chain([(Switch::State, state)]);
            let strange = shown.find(|(switch, word)| self.checks.switches.word(switch) != word);
            if let Some((switch, word)) = strange {
                let stands = self.checks.switches.word(&switch);
                return Ok(Some(format!("{}: {switch:?} is {word}, and {stands} in etcd", gateway.process())));
            }
        }
        Ok(None)
    }

    /// A VM that was lost comes back with the next request to its worker.
    pub(super) fn wake(&mut self) -> Result<(), Broken> {
        for gateway in &self.gateways {
            for worker in 0..self.plan.workers {
                let is_stalled =
                    |process: &Process| process.stalled_until(Thread::Worker(worker)) > process.clock().elapsed();
                if self.fleet.get(&gateway.name).is_none_or(is_stalled) {
                    continue;
                }
                let request = host_tests::Request::new("GET", "/");
                if let Some(Err(fault)) = self.fleet.with(&gateway.name, |process| process.request(worker, request)) {
                    return broken(Invariant::NoTrap, format!("{}: {fault}", gateway.process()));
                }
            }
        }
        self.look()
    }
}
