//! What an operator does in a run of a fleet: gateways are drained, and switched on again.

use std::time::Duration;

use host_tests::{Request, StreamId};
use serde_json::{Value, json};

use super::{FleetRun, Waiting};
use crate::checks::Broken;
use crate::fleet::plan::TOKEN;
use crate::fleet::switches::{ON, Switch};

/// When a gateway is asked again whose thread stalled.
const AGAIN: Duration = Duration::from_millis(500);

impl FleetRun<'_> {
    /// Begins to drain a gateway that is alive.
    pub(super) fn drain(&mut self) -> Result<(), Broken> {
        let Some(number) = self.gateway() else { return Ok(()) };
        self.disruptions += 1;
        let now = self.fleet.now();
        let goes_on = now + Duration::from_millis(self.rng.u64(500..15_000));
        if let Some(stream) = self.order(number, "POST", "drain", &Value::Null)? {
            self.drains.push(Waiting { gateway: number, stream, at: now, keyed: None });
        }
        if let Some(gateway) = self.gateways.get_mut(number) {
            gateway.drained_until = Some(goes_on);
            self.checks.tell(now, format!("{} is to drain", gateway.process()));
        }
        self.look()
    }

    /// Switches the gateways on whose time it is.
    pub(super) fn switch_on(&mut self, now: Duration) -> Result<(), Broken> {
        for number in 0..self.gateways.len() {
            let Some(gateway) = self.gateways.get(number) else { continue };
            if gateway.drained_until.is_none_or(|at| at > now) {
                continue;
            }
            let stream = self.order(number, "PUT", "state", &json!({"state": "enabled"}))?;
            let process = self.gateways.get(number).and_then(|gateway| self.fleet.get(&gateway.name));
            let answer = process.zip(stream).and_then(|(process, stream)| process.answer(stream));
            let is_on = answer.is_some_and(|answer| answer.status() == 200);
            if let Some(gateway) = self.gateways.get(number).filter(|_| is_on) {
                self.checks.switches.ordered(&gateway.process(), Switch::State, ON, now, false);
            }
            if let Some(gateway) = self.gateways.get_mut(number) {
                gateway.drained_until = (!is_on).then_some(now + AGAIN);
                self.checks.tell(now, format!("{} is switched on: {is_on}", gateway.process()));
            }
            self.look()?;
        }
        Ok(())
    }

    /// Sends a request of the operator's to a worker; `None`: its thread stalls.
    pub(super) fn order(
        &mut self,
        number: usize,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Option<StreamId>, Broken> {
        let request =
            Request::new(method, &format!("/gatepost/{path}")).header("authorization", format!("Bearer {TOKEN}"));
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        self.request(number, request)
    }

    /// Looks at the drains that were answered: who says that it is done holds nothing any more.
    pub(super) fn drained(&mut self) -> Result<(), Broken> {
        for drain in std::mem::take(&mut self.drains) {
            let Some(gateway) = self.gateways.get(drain.gateway) else { continue };
            let Some(process) = self.fleet.get(&gateway.name) else { continue };
            match process.answer(drain.stream).map(|answer| answer.status()) {
                // A gateway that was switched on meanwhile holds what it accepts; one that cannot reach etcd lets its lease
                // lapse, and one whose thread stands still does not count what that thread holds.
                Some(200) if gateway.drained_until.is_some() && self.plan.is_prompt() => {
                    self.checks.drained(&gateway.process(), drain.at)?;
                }
                None if process.is_open(drain.stream) => self.drains.push(drain),
                _ => {}
            }
        }
        Ok(())
    }
}
