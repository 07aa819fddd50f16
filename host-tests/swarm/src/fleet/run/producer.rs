//! Producers: what they send to which gateway, some under idempotency keys, and what they are answered.

use std::time::Duration;

use host_tests::{Answer, Request};
use serde_json::Value;

use super::{FleetRun, Waiting};
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::fleet::clients::Use;
use crate::fleet::switches::{IN_FORCE, Switch};

/// How long a producer may wait where nothing goes wrong.
const CALM_ANSWER: Duration = Duration::from_secs(1);

impl FleetRun<'_> {
    /// Sends an event, and some events with a key to another gateway, too, while the first may be under way.
    pub(super) fn send(&mut self) -> Result<(), Broken> {
        let Some(number) = self.gateway() else { return Ok(()) };
        let keyed = self.keys.draw();
        self.send_to(number, keyed)?;
        if keyed.is_some() && self.keys.rng.u8(0..3) == 0 {
            let alive = self.alive();
            if let Some(other) = self.keys.rng.choice(alive) {
                self.send_to(other, keyed)?;
            }
        }
        Ok(())
    }

    fn send_to(&mut self, number: usize, keyed: Option<Use>) -> Result<(), Broken> {
        let body = match keyed {
            Some(Use { key, is_other }) => format!(r#"{{"key":{key},"other":{is_other}}}"#),
            None => format!(r#"{{"n":{}}}"#, self.events + 1),
        };
        let mut request = Request::post("/events/paid").header("content-type", "application/json").body(body);
        if let Some(Use { key, is_other }) = keyed {
            request = request.header("idempotency-key", format!("key-{key}"));
            let key = self.keys.keys.entry(key).or_default();
            key.sent.insert(is_other);
        }
        let at = self.fleet.now();
        if let Some(stream) = self.request(number, request)? {
            self.events += 1;
            if let Some(key) = keyed.and_then(|keyed| self.keys.keys.get_mut(&keyed.key)) {
                key.open += 1;
            }
            self.open.push(Waiting { gateway: number, stream, at, keyed });
        }
        self.look()
    }

    /// Looks at the answers that have come.
    pub(super) fn answers(&mut self) -> Result<(), Broken> {
        let now = self.fleet.now();
        for open in std::mem::take(&mut self.open) {
            let process = self.gateways.get(open.gateway).and_then(|gateway| self.fleet.get(&gateway.name));
            let Some(process) = process else {
                self.ended(&open);
                continue;
            };
            match process.answer(open.stream).cloned() {
                Some(answer) => {
                    self.answered(&open, &answer)?;
                    self.ended(&open);
                }
                None if process.is_open(open.stream) => {
                    if self.plan.is_calm() && now > open.at + CALM_ANSWER {
                        return broken(Invariant::AnsweredInTime, format!("{} since {:?}", open.stream, open.at));
                    }
                    self.open.push(open);
                }
                // Its VM is gone.
                None => self.ended(&open),
            }
        }
        Ok(())
    }

    /// A request under a key has ended.
    pub(super) fn ended(&mut self, open: &Waiting) {
        let now = self.fleet.now();
        if let Some(key) = open.keyed.and_then(|keyed| self.keys.keys.get_mut(&keyed.key)) {
            (key.open, key.ended) = (key.open.saturating_sub(1), now);
        }
    }

    fn answered(&mut self, open: &Waiting, answer: &Answer) -> Result<(), Broken> {
        let (status, now) = (answer.status(), self.fleet.now());
        let receipt: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        self.checks.tell(now, format!("a producer is answered {status} {receipt}"));
        let text = |key: &str| receipt.get(key).and_then(Value::as_str).unwrap_or_default();
        let is_replay = answer.header("idempotent-replayed") == "true";
        let seen = || format!("{} at {:?}, {:?}: {status} {receipt}", open.stream, open.at, open.keyed);
        match status {
            202 if text("status") == "disabled" => return self.may_be_disabled(open, &seen()),
            202 if text("durability") != "memory" => {}
            202 if self.plan.falls_back => return Ok(()),
            409 | 422 if self.may_conflict(open, status) => return Ok(()),
            503 if !self.plan.is_calm() => return Ok(()),
            _ => return broken(Invariant::Answers, seen()),
        }
        if self.plan.is_prompt() && !is_replay && !self.is_new(open.gateway, open.at) && self.was_off(open.at) {
            return broken(Invariant::StoppedAnswers, seen());
        }
        let deliveries = receipt.get("deliveries").and_then(Value::as_array);
        let name = |delivery: &Value| delivery.get("endpoint").and_then(Value::as_str).map(str::to_owned);
        let endpoints: Vec<String> = deliveries.into_iter().flatten().filter_map(name).collect();
        if !is_replay && self.gateways.get(open.gateway).is_none_or(|gateway| gateway.endpoints != endpoints) {
            return broken(Invariant::Answers, seen());
        }
        if let Some(Use { key, is_other }) = open.keyed {
            let accepted = (text("id").to_owned(), endpoints.clone(), is_other);
            let key = self.keys.keys.entry(key).or_default();
            let first = key.first.get_or_insert_with(|| accepted.clone());
            if *first != accepted {
                return broken(Invariant::OneEventAKey, format!("{first:?}, and {}", seen()));
            }
        } else if is_replay {
            return broken(Invariant::Answers, seen());
        }
        self.checks.accepted(text("id"), endpoints)
    }

    /// Whether an event may be refused because of its key: another request has it, or it was used for another event.
    fn may_conflict(&self, open: &Waiting, status: u16) -> bool {
        let Some(key) = open.keyed.and_then(|keyed| self.keys.keys.get(&keyed.key)) else { return false };
        match status {
            422 => key.sent.len() > 1,
            // Where a gateway or a VM is lost, a key is in progress for some time.
            _ => !self.plan.is_calm() || key.open > 1 || key.ended >= open.at,
        }
    }

    /// Checks that an event may be discarded: operators have switched the filter off.
    fn may_be_disabled(&self, open: &Waiting, seen: &str) -> Result<(), Broken> {
        let is_on = |word: &str| word != "disabled";
        let was_on = self.checks.switches.was_always(&Switch::State, open.at.saturating_sub(IN_FORCE), is_on);
        // What cannot be written is in force where it was ordered.
        let since = if self.plan.stores_orders() { open.at.saturating_sub(IN_FORCE) } else { Duration::ZERO };
        let is_ordered = self.operator.has_disabled(since);
        if was_on && !is_ordered { broken(Invariant::StoppedAnswers, seen) } else { Ok(()) }
    }

    /// Whether all gateways that reach etcd know, by then, that the filter is off.
    fn was_off(&self, at: Duration) -> bool {
        at > IN_FORCE && self.checks.switches.was_always(&Switch::State, at - IN_FORCE, |word| word == "disabled")
    }
}
