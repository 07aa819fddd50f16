//! The sender of signed messages to the gateways, one message to several of them, and the applications behind.

use std::time::Duration;

use host_tests::{Request, Thread};

use super::FleetRun;
use crate::checks::attempts::mac;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::fleet::claims::body;
use crate::fleet::clients::{Message, NUMBER, Passing, Sender};
use crate::plan::PARTNERS_SECRET;
use crate::requests::PATH;

/// The number of messages that come again: the last ones.
const AGAIN: u32 = 6;

/// How long it may take until a message reaches an application once all is well: a gateway may have no lease yet.
const AT_LAST: Duration = Duration::from_secs(15);

/// How long a claim that was given up may be found in etcd, where nothing goes wrong.
const RELEASED: Duration = Duration::from_secs(1);

impl FleetRun<'_> {
    /// Sends, now and then, some messages, new and old, and some to two gateways at once.
    pub(super) fn send_messages(&mut self) -> Result<(), Broken> {
        if self.sender.rng.u8(0..3) > 0 {
            return Ok(());
        }
        for _ in 0..self.sender.rng.u32(1..4) {
            let next = self.sender.messages.len() as u32;
            let is_new = next == 0 || self.sender.rng.bool();
            let number = if is_new { next } else { next - 1 - self.sender.rng.u32(0..next.min(AGAIN)) };
            for _ in 0..self.sender.rng.u32(1..3) {
                let leaves = self.sender.rng.u8(0..12) == 0;
                self.send_message(number, leaves)?;
            }
        }
        Ok(())
    }

    /// Sends a message to some gateway; `leaves`: the sender does not wait for the answer.
    fn send_message(&mut self, number: u32, leaves: bool) -> Result<(), Broken> {
        let alive = self.alive();
        let Some(gateway) = self.sender.rng.choice(alive) else { return Ok(()) };
        let worker = self.sender.rng.usize(0..self.plan.workers);
        let body = body(number);
        let signature = format!("sha256={}", mac(body.as_bytes(), PARTNERS_SECRET));
        let request = Request::post(PATH).header("x-hub-signature-256", signature).header(NUMBER, number.to_string());
        self.sender.messages.entry(number).or_default();
        let at = self.fleet.now();
        let Some(stream) = self.request_at(gateway, worker, request.body(body))? else { return Ok(()) };
        self.sender.open.push(Passing { number, gateway, worker, stream, at, has_passed: false });
        self.look()?;
        if leaves && let Some(name) = self.gateways.get(gateway).map(|gateway| gateway.name.clone()) {
            let left = self.fleet.with(&name, |process| process.disconnect(stream));
            left.unwrap_or(Ok(())).or_else(|fault| broken(Invariant::NoTrap, fault.to_string()))?;
            self.look()?;
        }
        Ok(())
    }

    /// Looks at the messages that have gone on, and at those that were answered.
    pub(super) fn look_at_messages(&mut self) -> Result<(), Broken> {
        let now = self.fleet.now();
        let under_way: Vec<u32> = self.sender.open.iter().map(|one| one.number).collect();
        for mut one in std::mem::take(&mut self.sender.open) {
            let Some(gateway) = self.gateways.get(one.gateway) else { continue };
            let (name, process) = (gateway.name.clone(), gateway.process());
            let Some(running) = self.fleet.get(&name) else { continue };
            let (started, is_open) = (self.fleet.started(&name).unwrap_or_default(), running.is_open(one.stream));
            let gone = running.forwarded(one.stream).map(|gone| started + gone.at);
            let status = running.received(one.stream).map(host_tests::Answer::status);
            if let Some(at) = gone.filter(|_| !one.has_passed) {
                one.has_passed = true;
                self.checks.passes(&process, one.number, at)?;
            }
            if is_open {
                self.sender.open.push(one);
                continue;
            }
            self.checks.tell(now, format!("{process} answers message {}: {status:?}", one.number));
            match status {
                Some(200..300) if one.has_passed => {
                    self.checks.is_taken(&process, Thread::Worker(one.worker), one.number);
                }
                Some(status) if !one.has_passed => self.judge_answer(&one, status, &under_way)?,
                _ => {}
            }
            self.sender.messages.entry(one.number).or_default().ended = now;
        }
        Ok(())
    }

    /// Checks that it was right that this message did not go on.
    fn judge_answer(&self, one: &Passing, status: u16, under_way: &[u32]) -> Result<(), Broken> {
        let message = self.sender.messages.get(&one.number);
        let others = || under_way.iter().filter(|number| **number == one.number).count() > 1;
        let is_so = match status {
            200 => self.sender.taken.borrow().contains(&one.number),
            409 => !self.plan.is_calm() || others() || message.is_some_and(|it| it.ended + RELEASED >= one.at),
            503 => !self.plan.is_calm(),
            _ => false,
        };
        if is_so {
            return Ok(());
        }
        let seen = format!("message {} at {:?} by gateway {}: {status}, {message:?}", one.number, one.at, one.gateway);
        broken(Invariant::Acknowledged, seen)
    }

    /// Checks, when all is well again, that each message that no application has taken reaches one.
    pub(super) fn send_all_again(&mut self) -> Result<(), Broken> {
        let until = self.fleet.now() + AT_LAST;
        loop {
            let free = self.free();
            let Some(first) = free.first() else { return Ok(()) };
            if self.fleet.now() >= until {
                return broken(Invariant::Acknowledged, format!("message {first} reaches no application"));
            }
            for number in free {
                self.send_message(number, false)?;
            }
            self.pass(Duration::from_secs(1))?;
        }
    }

    /// The messages that no application has taken, and that nobody has.
    fn free(&self) -> Vec<u32> {
        let Sender { messages, open, taken, .. } = &self.sender;
        let is_free = |(number, message): &(&u32, &Message)| {
            !message.is_unsure && !taken.borrow().contains(*number) && open.iter().all(|one| one.number != **number)
        };
        messages.iter().filter(is_free).map(|(number, _)| *number).collect()
    }
}
