//! Producers: what they send, and what they are answered.

use std::time::Duration;

use host_tests::{Answer, Request};
use serde_json::Value;

use super::{Run, defect};
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant, Sent};
use crate::plan::{Config, wrapped};
use crate::receivers::POISON;
use crate::requests::{Keyed, Open};
use gatepost_core::egress::breaker::Position;

/// How much later than its `ack_timeout` a producer may be answered: by the idle tick, and a little.
const LATE: Duration = Duration::from_millis(1_100);

impl Run {
    /// Sends an event, or one that was sent before under the same key.
    pub(super) fn send(&mut self, poison: bool) -> Result<(), Broken> {
        let Some(worker) = self.worker() else { return Ok(()) };
        self.send_to(worker, poison, true)
    }

    /// Sends an event to a certain worker, as [`send`](Self::send) does. `may_reuse`: it may come over an earlier
    /// connection.
    pub(super) fn send_to(&mut self, worker: usize, poison: bool, may_reuse: bool) -> Result<(), Broken> {
        let at = self.process.clock().elapsed();
        let dice = if poison { u8::MAX } else { self.rng.u8(0..12) };
        // Where few keys are remembered, a key may be forgotten early.
        let known = self.rng.choice(&self.keys).map(|(key, keyed)| (key.clone(), keyed.clone()));
        let (key, keyed) = match known.filter(|_| dice == 0 && !self.plan.limits.are_small) {
            Some((key, keyed)) => (Some(key), keyed),
            None => self.draw(poison, dice),
        };
        let Keyed { path, event, body, .. } = keyed.clone();
        let leaves = if path == "wrap" { wrapped(&event, &body).into_bytes() } else { body.clone().into_bytes() };
        // An event that is sent again may be accepted only now.
        let sent = self.checks.facts.sent.entry(leaves.clone()).or_insert(Sent { event: event.clone(), times: 0 });
        sent.times += 1;
        let mut request = self.framed(&format!("/{path}/{event}"), body);
        if let Some(key) = &key {
            request = request.header("idempotency-key", key);
            self.keys.entry(key.clone()).or_insert(keyed);
        }
        let kept = self.rng.choice(&self.connections).copied().filter(|_| self.rng.u8(0..3) == 0 && may_reuse);
        let stream = match kept {
            Some(kept) => self.process.request_again(kept, request),
            None => self.process.request(worker, request),
        };
        let stream = stream.or_else(|fault| defect(&fault))?;
        self.connections.push(stream);
        let config = kept.is_none().then_some(self.current);
        self.open.push(Open { stream, at, path, event, body: leaves, key, config });
        self.look()?;
        if self.rng.u8(0..20) == 0 {
            self.process.disconnect(stream).or_else(|fault| defect(&fault))?;
            self.look()?;
        }
        Ok(())
    }

    /// Draws an event that was not sent before.
    fn draw(&mut self, poison: bool, dice: u8) -> (Option<String>, Keyed) {
        self.events += 1;
        let number = self.events;
        // The body is text that comes out differently when it is read and written again.
        let is_large = self.rng.u8(0..if self.plan.limits.are_small { 2 } else { 6 }) == 0;
        let padding = "x".repeat(if is_large { self.rng.usize(0..1500) } else { 0 });
        let kind = if poison { String::from_utf8_lossy(POISON).into_owned() } else { "caf\\u00e9".to_owned() };
        let body =
            format!("{{\"number\": {number}, \"amount\": 1.50,\t\"kind\": \"{kind}\", \"text\": \"{padding}\"}}");
        let path = match self.rng.u8(0..6) {
            0 => "wait",
            1 => "wrap",
            _ => "events",
        };
        let types = ["paid", "refund.made", "refund.failed", "order.placed"];
        let event = types.get(self.rng.usize(0..types.len())).copied().unwrap_or("paid").to_owned();
        let key = (dice < 3).then(|| format!("key-{number}"));
        (key, Keyed { path, event, body, first: None })
    }

    /// Makes the request for a body, whose bytes may come in several ways.
    fn framed(&mut self, path: &str, body: String) -> Request {
        let request = Request::post(path).header("content-type", "application/json");
        let pieces = |body: &str| -> Vec<Vec<u8>> { body.as_bytes().chunks(700).map(<[u8]>::to_vec).collect() };
        match self.rng.u8(0..8) {
            0 => request.body(body).http2(),
            1 => request.chunks(pieces(&body)),
            2 => request.chunks(pieces(&body)).http2(),
            3 => request.body(body).trailers([("x-checksum", "1")]),
            _ => request.body(body),
        }
    }

    /// Checks the calls that left and the answers that came.
    pub(super) fn look(&mut self) -> Result<(), Broken> {
        self.checks.check(&self.process)?;
        self.bury_victims()?;
        let now = self.process.clock().elapsed();
        for open in std::mem::take(&mut self.open) {
            match self.process.answer(open.stream).cloned() {
                Some(answer) => self.answered(&open, &answer)?,
                None if self.process.is_open(open.stream) => {
                    let wait = if open.path == "wait" { self.plan.ack_timeout + LATE } else { Duration::ZERO };
                    if self.plan.is_calm() && now > open.at + wait {
                        return broken(Invariant::AnsweredInTime, format!("{} since {:?}", open.stream, open.at));
                    }
                    self.open.push(open);
                }
                // The client has left, and does not learn how the event ends.
                None => self.checks.facts.failed(&open.body),
            }
        }
        self.look_at_drains()
    }

    fn answered(&mut self, open: &Open, answer: &Answer) -> Result<(), Broken> {
        let (status, now) = (answer.status(), self.process.clock().elapsed());
        let receipt: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let state = receipt.get("status").and_then(Value::as_str).unwrap_or_default();
        let config = open.config.and_then(|config| self.plan.configs.get(config)).cloned();
        let is_replay = answer.header("idempotent-replayed") == "true";
        if let Some(config) = config.as_ref().filter(|_| open.at == now && open.key.is_none()) {
            self.checks.orders.answer(now, config, status, &receipt)?;
        }
        match (status, open.path) {
            (202, _) | (200 | 502, "wait") => {}
            (409, _) if open.key.is_some() => return Ok(()),
            (503, _) if self.may_refuse(open) => return Ok(()),
            _ => return broken(Invariant::Answers, format!("{} of {}: {status} {receipt}", open.stream, open.path)),
        }
        if matches!(state, "disabled" | "no_subscriber") {
            return Ok(());
        }
        let Some(id) = receipt.get("id").and_then(Value::as_str).filter(|id| *id == answer.header("x-webhook-id"))
        else {
            return broken(Invariant::Answers, format!("an accepted event has an id: {receipt}"));
        };
        self.checks.facts.identify(id, &open.body)?;
        let named = |delivery: &Value| delivery.get("endpoint").and_then(Value::as_str).map(str::to_owned);
        let deliveries = receipt.get("deliveries").and_then(Value::as_array);
        let deliveries: Vec<&Value> = deliveries.into_iter().flatten().collect();
        let endpoints: Vec<String> = deliveries.iter().copied().filter_map(named).collect();
        // A delivery that found no room has failed; its letter is looked at in the end.
        let has_failed = |delivery: &&Value| delivery.get("status").and_then(Value::as_str) == Some("failed");
        let pending: Vec<String> =
            deliveries.iter().copied().filter(|delivery| !has_failed(delivery)).filter_map(named).collect();
        if let Some(config) = config.filter(|_| !is_replay) {
            self.are_wanted(&config, &open.event, &endpoints)?;
        }
        self.is_kept(id, &pending)?;
        self.is_so(open, status, id, &endpoints)?;
        if status == 502 {
            self.checks.facts.failed(&open.body);
        }
        if let Some(keyed) = open.key.as_ref().and_then(|key| self.keys.get_mut(key)) {
            match &keyed.first {
                Some((first, _)) if first != id => {
                    return broken(Invariant::OneEventAKey, format!("{first} and {id}"));
                }
                // Where a write is lost, the event may be taken again, and the later answer is remembered.
                Some((_, body)) if is_replay && self.plan.is_calm() && *body != answer.body => {
                    return broken(Invariant::OneEventAKey, format!("another answer than the first: {receipt}"));
                }
                Some(_) => {}
                None if status < 300 => keyed.first = Some((id.to_owned(), answer.body.clone())),
                None => {}
            }
        }
        self.accepted.entry(id.to_owned()).or_insert(endpoints);
        Ok(())
    }

    /// Checks that the event goes to the endpoints that want it.
    fn are_wanted(&self, config: &Config, event: &str, endpoints: &[String]) -> Result<(), Broken> {
        let wanted = config.endpoints.iter().filter_map(|name| self.plan.endpoint(name));
        let wanted: Vec<&str> = wanted.filter(|one| one.wants(event)).map(|one| one.name.as_str()).collect();
        if wanted == endpoints {
            return Ok(());
        }
        broken(Invariant::Answers, format!("{event} is for {endpoints:?}, and {wanted:?} want it"))
    }

    /// Checks that what the answer promises stands, or stood, in shared data.
    fn is_kept(&self, id: &str, endpoints: &[String]) -> Result<(), Broken> {
        let kept = self.checks.facts.kept.get(id);
        let is_kept = |endpoint: &&String| kept.is_some_and(|kept| kept.endpoints.contains(*endpoint));
        match endpoints.iter().find(|endpoint| !is_kept(endpoint)) {
            Some(endpoint) => {
                broken(Invariant::Kept, format!("{id} to {endpoint} at {:?}", self.process.clock().elapsed()))
            }
            None => Ok(()),
        }
    }

    /// Checks that the answer to a producer that waited says how the event has ended.
    fn is_so(&self, open: &Open, status: u16, id: &str, endpoints: &[String]) -> Result<(), Broken> {
        let (facts, now) = (&self.checks.facts, self.process.clock().elapsed());
        let all = || endpoints.iter().all(|endpoint| facts.is_delivered(id, endpoint, now));
        let any = || endpoints.iter().any(|endpoint| facts.is_dead(id, endpoint));
        let was_redelivered = |endpoint: &String| facts.delivery(id, endpoint).is_some_and(|one| one.redelivered > 0);
        let is_so = match status {
            200 => all(),
            502 => any(),
            _ => true,
        };
        if is_so || endpoints.iter().any(was_redelivered) {
            return Ok(());
        }
        broken(Invariant::Waited, format!("{} {id} at {now:?}: {status}", open.stream))
    }

    /// Whether there is a reason not to take an event now.
    fn may_refuse(&self, open: &Open) -> bool {
        let plan = &self.plan;
        let mut endpoints = plan.endpoints.iter();
        !plan.is_calm()
            || plan.limits.are_small
            || self.checks.orders.may_refuse(open.at)
            || endpoints.any(|endpoint| {
                let is_waited_for = open.path == "wait";
                endpoint.pending < 100
                    || (is_waited_for && self.checks.breakers.position(&endpoint.name) != Position::Closed)
            })
    }
}
