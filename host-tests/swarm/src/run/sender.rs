//! The sender of signed messages to the inbound path, who repeats some and forges others, and what the application
//! makes of them.

use std::time::Duration;

use host_tests::{Request, StreamId};

use super::{Run, defect};
use crate::checks::attempts::mac;
use crate::checks::invariant::broken;
use crate::checks::{Broken, Invariant};
use crate::plan::{PARTNER, PARTNERS_SECRET};
use crate::requests::PATH;

const VERIFIED: &str = "x-gatepost-verified";
/// How long a claim holds.
const CLAIM: Duration = Duration::from_secs(300);
/// How long a message that was taken is remembered.
const TTL: Duration = Duration::from_secs(900);

/// The request with a message: attempt 0 as the message came first, 1 without its id, 2 with another body under the
/// same id.
fn request(number: u32, attempt: u8, secret: &str) -> Request {
    let body = format!("{{\"message\": {number}, \"attempt\": {}}}", attempt / 2);
    let signature = mac(body.as_bytes(), secret);
    let request = Request::post(PATH).header("x-hub-signature-256", format!("sha256={signature}"));
    let request = if attempt != 1 { request.header("x-github-delivery", format!("id-{number}")) } else { request };
    request.body(body)
}

impl Run {
    /// Sends, now and then, some messages, new and old, and forged ones.
    pub(super) fn send_messages(&mut self) -> Result<(), Broken> {
        if self.sender.rng.u8(0..3) > 0 {
            return Ok(());
        }
        let worker = self.sender.rng.usize(0..self.plan.workers);
        let now = self.process.clock().elapsed();
        if self.process.stalled_until(host_tests::Thread::Worker(worker)) > now {
            return Ok(());
        }
        for _ in 0..self.sender.rng.u32(1..4) {
            match self.sender.rng.u8(0..6) {
                0 => self.forge(worker)?,
                _ => self.send_message(worker)?,
            }
        }
        Ok(())
    }

    /// Sends a request that is not signed, or not with the partner's secret, and that says that it is verified: on the
    /// inbound path and on another one.
    fn forge(&mut self, worker: usize) -> Result<(), Broken> {
        let number = self.sender.rng.u32(0..=self.sender.next);
        let request = match self.sender.rng.u8(0..3) {
            0 => request(number, 0, "another-secret"),
            1 => request(number, 0, PARTNERS_SECRET).body("{}"),
            _ => Request::post("/others").body("{}"),
        };
        let stream = self.process.request(worker, request.header(VERIFIED, PARTNER)).or_else(|fault| defect(&fault))?;
        let gone = self.process.forwarded(stream).map(|gone| (gone.header(":path"), gone.header(VERIFIED)));
        match gone {
            None | Some(("/others", "")) => self.look(),
            Some(gone) => broken(Invariant::Verified, format!("{stream}: {gone:?}")),
        }
    }

    /// Sends a message that is new, or one that came before: as it was, without its id, or with another body under its
    /// id.
    fn send_message(&mut self, worker: usize) -> Result<(), Broken> {
        self.look_at_messages()?;
        let rng = &mut self.sender.rng;
        let is_new = self.sender.next == 0 || rng.bool();
        self.sender.next += u32::from(is_new);
        let number = if is_new { self.sender.next } else { self.sender.next - rng.u32(0..self.sender.next.min(8)) };
        // A message with an odd number is always known by its id, one with an even number by its body.
        let attempt = if rng.bool() { 0 } else { 1 + (number % 2) as u8 };
        let leaves = rng.u8(0..10) == 0;
        let now = self.process.clock().elapsed();
        let stream = self.process.request(worker, request(number, attempt, PARTNERS_SECRET));
        let stream = stream.or_else(|fault| defect(&fault))?;
        self.judge_message(number, stream, now)?;
        if leaves && self.process.is_open(stream) {
            self.process.disconnect(stream).or_else(|fault| defect(&fault))?;
        }
        self.look()?;
        self.look_at_messages()
    }

    /// Checks that it was right that this request with a message went on, or did not.
    fn judge_message(&mut self, number: u32, stream: StreamId, now: Duration) -> Result<(), Broken> {
        let (is_calm, has_faulty_store) = (self.plan.is_calm(), self.plan.faults.store > 0);
        let message = self.sender.messages.entry(number).or_default();
        let seen = format!("{stream} of message {number} at {now:?}: {message:?}");
        let with_application = message.with_application.iter().any(|(_, since)| now < *since + CLAIM);
        // A message whose commit could not be written is known for as long as its claim.
        let remembered = if has_faulty_store { CLAIM } else { TTL };
        let is_taken = message.taken.is_some_and(|taken| now < taken + remembered);
        if let Some(gone) = self.process.forwarded(stream) {
            if gone.header(VERIFIED) != PARTNER {
                return broken(Invariant::Verified, seen);
            }
            if with_application {
                return broken(Invariant::OneAtATime, seen);
            }
            if is_taken {
                return broken(Invariant::TakenOnce, seen);
            }
            message.with_application.push((stream, now));
            return Ok(());
        }
        let status = self.process.answer(stream).map(host_tests::Answer::status);
        let expected = if is_taken { Some(200) } else { with_application.then_some(409) };
        if is_calm && !message.is_unsure && status != expected {
            return broken(Invariant::Acknowledged, format!("{seen}, {status:?}"));
        }
        Ok(())
    }

    /// Notes what the application has answered.
    pub(super) fn look_at_messages(&mut self) -> Result<(), Broken> {
        for message in self.sender.messages.values_mut() {
            let (process, taken, is_unsure) = (&self.process, &mut message.taken, &mut message.is_unsure);
            message.with_application.retain(|(stream, since)| {
                let status = process.received(*stream).map(host_tests::Answer::status);
                match status {
                    _ if process.is_open(*stream) => return true,
                    Some(200..300) => *taken = Some(*since),
                    Some(_) => {}
                    None => *is_unsure = true,
                }
                false
            });
        }
        Ok(())
    }
}
