//! Operators: what they order over the admin surface, and what it shows them.

use std::time::Duration;

use gatepost_core::admin::control::FilterState;
use gatepost_core::egress::breaker::Position;
use host_tests::{Answer, Request, Thread};
use serde_json::{Value, json};

use super::{Run, defect};
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::plan::TOKEN;

/// How long an operator may wait for the end of a drain: 60 s, and a little.
const DRAIN: Duration = Duration::from_millis(62_000);

impl Run {
    /// Lets an operator do something. What is off is soon on again, or nothing would happen in most runs.
    pub(super) fn operate(&mut self) -> Result<(), Broken> {
        let dice = self.rng.u8(0..16);
        if !self.checks.orders.are_none() && self.rng.bool() {
            return match dice {
                0..8 => self.set_state(FilterState::Enabled),
                8..12 => self.delete_overrides().map(|_| ()),
                _ => self.set_endpoint(Some(false)).map(|_| ()),
            };
        }
        match dice {
            0 => self.set_state(FilterState::Paused),
            1 => self.set_state(FilterState::Disabled),
            2 => self.set_state(FilterState::Enabled),
            3 | 4 => self.set_endpoint(None).map(|_| ()),
            5 | 6 => self.force_breaker(),
            7 => self.delete_overrides().map(|_| ()),
            8 => self.drain(),
            9..12 => self.redeliver(),
            12 => self.discard(),
            _ => self.compare(),
        }
    }

    /// Sends a request of the operator's to a worker that is not stalled; returns the answer, if there is one at once.
    fn order(&mut self, method: &str, path: &str, body: &Value) -> Result<Option<Answer>, Broken> {
        let Some(worker) = self.worker() else { return Ok(None) };
        self.order_on(worker, method, path, body)
    }

    fn order_on(&mut self, worker: usize, method: &str, path: &str, body: &Value) -> Result<Option<Answer>, Broken> {
        let request = Request::new(method, &format!("/gatepost/{path}"));
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        self.checks.is_operating = true;
        let stream = self.process.request(worker, request).or_else(|fault| defect(&fault));
        let looked = self.look();
        self.checks.is_operating = false;
        let stream = stream?;
        looked?;
        if self.process.is_open(stream) {
            self.drains.push((stream, self.process.clock().elapsed()));
            return Ok(None);
        }
        let answer = self.process.answer(stream).cloned();
        match answer.as_ref().map(Answer::status) {
            // 404: the letter or endpoint is not there (any more). 503: the VM is lost, or shared data failed.
            Some(200 | 404) => Ok(answer),
            Some(503) if !self.plan.is_calm() || !self.has_begun() => Ok(None),
            status => broken(Invariant::Answers, format!("{status:?} to {method} {path}")),
        }
    }

    /// Whether a configuration has begun to deliver, so that there is a worker that answers for it.
    fn has_begun(&self) -> bool {
        self.checks.store.value("gatepost/about").is_some()
    }

    fn set_state(&mut self, state: FilterState) -> Result<(), Broken> {
        let answer = self.order("PUT", "state", &json!({"state": state.label(), "reason": "a try"}))?;
        let now = self.process.clock().elapsed();
        let Some(receipt) = receipt(answer.as_ref()) else {
            self.checks.orders.lost(now);
            return Ok(());
        };
        let configured = receipt.get("configured").and_then(Value::as_str);
        if receipt.get("state").and_then(Value::as_str) != Some(state.label()) || configured.is_none() {
            return broken(Invariant::Answers, format!("{} was ordered: {receipt}", state.label()));
        }
        self.checks.orders.state(now, state, configured == Some("enabled"));
        Ok(())
    }

    /// Takes all overrides back; returns whether that was answered.
    pub(super) fn delete_overrides(&mut self) -> Result<bool, Broken> {
        let answer = self.order("DELETE", "overrides", &Value::Null)?;
        let now = self.process.clock().elapsed();
        match receipt(answer.as_ref()) {
            Some(_) => self.checks.orders.overrides_deleted(now),
            None => self.checks.orders.lost(now),
        }
        Ok(answer.is_some())
    }

    fn set_endpoint(&mut self, disabled: Option<bool>) -> Result<(), Broken> {
        let disabled = disabled.unwrap_or_else(|| self.rng.bool());
        let name = self.endpoint();
        self.order_endpoint(&name, disabled).map(|_| ())
    }

    /// Disables or enables an endpoint; returns whether that was answered.
    pub(super) fn order_endpoint(&mut self, name: &str, disabled: bool) -> Result<bool, Broken> {
        let answer = self.order("PATCH", &format!("endpoints/{name}"), &json!({"disabled": disabled}))?;
        let now = self.process.clock().elapsed();
        // If the answer was lost, nothing is known of this endpoint. It is then noted as not disabled, which promises
        // nothing.
        self.checks.orders.endpoint(now, name, disabled && receipt(answer.as_ref()).is_some());
        Ok(answer.is_some())
    }

    fn force_breaker(&mut self) -> Result<(), Broken> {
        let (name, word) = (self.endpoint(), if self.rng.bool() { "open" } else { "closed" });
        let answer = self.order("POST", &format!("endpoints/{name}/breaker"), &json!({"state": word}))?;
        let expected = if word == "open" { Position::Open } else { Position::Closed };
        let is = self.checks.breakers.position(&name);
        match receipt(answer.as_ref()) {
            Some(_) if is != expected => broken(Invariant::Answers, format!("{name} was ordered {word} and is {is:?}")),
            _ => Ok(()),
        }
    }

    fn drain(&mut self) -> Result<(), Broken> {
        let before = self.drains.len();
        self.order("POST", "drain", &Value::Null)?;
        let now = self.process.clock().elapsed();
        if self.drains.len() > before {
            self.checks.orders.drain(now);
        } else {
            self.checks.orders.lost(now);
        }
        Ok(())
    }

    /// Checks the answers of the operators that wait for the end of a drain.
    pub(super) fn look_at_drains(&mut self) -> Result<(), Broken> {
        let now = self.process.clock().elapsed();
        for (stream, since) in std::mem::take(&mut self.drains) {
            let Some(answer) = self.process.answer(stream) else {
                if self.plan.is_calm() && now > since + DRAIN {
                    return broken(Invariant::AnsweredInTime, format!("{stream}, a drain since {since:?}"));
                }
                self.drains.extend(self.process.is_open(stream).then_some((stream, since)));
                continue;
            };
            let pending = self.checks.ledger.live().count();
            // Events may have been accepted between the answer and this check, but not while the drain goes on.
            if answer.status() == 200 && pending > 0 && self.plan.is_calm() && self.checks.orders.is_draining() {
                return broken(Invariant::Answers, format!("drained, and {pending} events are pending at {now:?}"));
            }
        }
        Ok(())
    }

    fn redeliver(&mut self) -> Result<(), Broken> {
        let path = match self.rng.u8(0..3) {
            0 => "dead-letters/redeliver".to_owned(),
            1 => format!("dead-letters/redeliver?endpoint={}", self.endpoint()),
            _ => match self.letter()? {
                Some(delivery) => format!("dead-letters/{delivery}/redeliver"),
                None => return Ok(()),
            },
        };
        self.checks.ledger.redelivered.clear();
        let answer = self.order("POST", &path, &Value::Null)?;
        let again = std::mem::take(&mut self.checks.ledger.redelivered);
        let Some(receipt) = receipt(answer.as_ref()) else { return Ok(()) };
        let told = receipt.get("redelivered").and_then(Value::as_u64);
        if told != Some(again.len() as u64) {
            return broken(Invariant::Redelivered, format!("{path}: {receipt}, and {} were put back", again.len()));
        }
        let left = self.checks.ring.letters(&mut self.checks.store);
        let facts = &self.checks.facts;
        match again.iter().find(|letter| left.contains(letter)) {
            Some(letter) if facts.is_calm(&self.plan, &letter.0) => {
                broken(Invariant::Redelivered, format!("{letter:?} is redelivered and is left in the ring"))
            }
            _ => Ok(()),
        }
    }

    fn discard(&mut self) -> Result<(), Broken> {
        let Some(delivery) = self.letter()? else { return Ok(()) };
        let before = self.checks.ring.count();
        let answer = self.order("DELETE", &format!("dead-letters/{delivery}"), &Value::Null)?;
        let is_done = answer.is_some_and(|answer| answer.status() == 200);
        if is_done && self.checks.ring.count() + 1 != before {
            return broken(Invariant::Answers, format!("{delivery} was to be discarded"));
        }
        Ok(())
    }

    /// Draws a letter from the list of the admin surface; returns the name of its delivery.
    fn letter(&mut self) -> Result<Option<String>, Broken> {
        let answer = self.order("GET", "dead-letters", &Value::Null)?;
        let Some(list) = receipt(answer.as_ref()) else { return Ok(None) };
        let letters = list.get("dead_letters").and_then(Value::as_array).cloned().unwrap_or_default();
        let total = list.get("total").and_then(Value::as_u64);
        if self.plan.is_calm() && total != Some(self.checks.ring.count() as u64) {
            return broken(Invariant::SameFromEveryVm, format!("{total:?} letters of {}", self.checks.ring.count()));
        }
        let letter = self.rng.choice(&letters);
        Ok(letter.and_then(|letter| letter.get("delivery")?.as_str().map(str::to_owned)))
    }

    fn endpoint(&mut self) -> String {
        let number = self.rng.usize(0..self.plan.endpoints.len());
        self.plan.endpoints.get(number).map(|endpoint| endpoint.name.clone()).unwrap_or_default()
    }

    /// Checks that every worker's VM shows the same at the same time, and that this is what shared data holds.
    fn compare(&mut self) -> Result<(), Broken> {
        let mut first: Option<Value> = None;
        for worker in 0..self.plan.workers {
            let (thread, now) = (Thread::Worker(worker), self.process.clock().elapsed());
            if !self.process.has_vm(thread) || self.process.stalled_until(thread) > now {
                continue;
            }
            let answer = self.order_on(worker, "GET", "status", &Value::Null)?;
            let Some(mut status) = receipt(answer.as_ref()) else { continue };
            // Each thread has a wall clock of its own.
            status.as_object_mut().map(|status| status.remove("now"));
            self.is_true(&status)?;
            match &first {
                Some(first) if *first != status => {
                    return broken(Invariant::SameFromEveryVm, format!("worker {worker}: {status}, not {first}"));
                }
                Some(_) => {}
                None => first = Some(status),
            }
        }
        Ok(())
    }

    fn is_true(&self, status: &Value) -> Result<(), Broken> {
        let is = |key: &str, number: usize| status.get(key).and_then(Value::as_u64) == Some(number as u64);
        let live = self.checks.ledger.live().flat_map(|(_, state)| &state.deliveries);
        let pending = live.filter(|delivery| !delivery.stage.is_settled()).count();
        if !is("pending", pending) || !is("dead_letters", self.checks.ring.count()) {
            return broken(Invariant::SameFromEveryVm, format!("{status}, and {pending} deliveries are pending"));
        }
        for endpoint in status.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
            let name = endpoint.get("name").and_then(Value::as_str).unwrap_or_default();
            let word = endpoint.get("breaker").and_then(|breaker| breaker.get("state")?.as_str());
            let (position, waits) = (self.checks.breakers.position(name), self.checks.ledger.pending(name));
            let told = endpoint.get("pending").and_then(Value::as_u64);
            if word != Some(position.label()) || told != Some(waits as u64) {
                let seen = format!("{endpoint}, and its breaker is {position:?}, {waits} wait");
                return broken(Invariant::SameFromEveryVm, seen);
            }
        }
        Ok(())
    }
}

/// The body of an answer with status 200.
fn receipt(answer: Option<&Answer>) -> Option<Value> {
    let answer = answer.filter(|answer| answer.status() == 200)?;
    serde_json::from_slice(&answer.body).ok()
}
