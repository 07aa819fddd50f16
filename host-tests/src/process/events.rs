//! What happens while time passes.

use std::time::Duration;

use super::Process;
use crate::fault::Fault;
use crate::rules::{Effect, Point};
use crate::scheduler::Event;
use crate::trace::What;
use crate::vm::Guest;
use crate::world::{Thread, VmId};

impl Process {
    /// Lets this much virtual time pass.
    ///
    /// # Errors
    ///
    /// The filter went wrong; time stands where it did.
    pub fn advance(&mut self, duration: Duration) -> Result<(), Fault> {
        self.run_until(|_| false, duration).map(|_| ())
    }

    /// Lets virtual time pass until `done` holds or `limit` has passed; says whether it holds. Asked before the first
    /// event and after each one.
    ///
    /// # Errors
    ///
    /// The filter went wrong; time stands where it did.
    #[must_use = "false: the limit passed first"]
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool, limit: Duration) -> Result<bool, Fault> {
        let until = self.world.clock.elapsed() + limit;
        while !done(self) {
            let Some((at, event)) = self.world.schedule.take(until) else {
                self.world.clock.move_to(until);
                return Ok(done(self));
            };
            self.world.clock.move_to(at);
            self.happen(event)?;
        }
        Ok(true)
    }

    fn happen(&mut self, event: Event) -> Result<(), Fault> {
        let (thread, point) = match event {
            Event::Tick { thread, .. } => (thread, Point::Tick),
            Event::QueueReady { thread, .. } => (thread, Point::QueueReady),
            Event::CallEnd { thread, .. } => (thread, Point::CallEnd),
            Event::StreamIdle { stream } => {
                self.give_up(stream);
                return Ok(());
            }
        };
        let stalled = self.stalled_until(thread);
        if stalled > self.world.clock.elapsed() {
            self.world.schedule.put(stalled, event);
            return Ok(());
        }
        match self.world.rules.decide(thread, point) {
            Effect::Pass => {}
            Effect::Delay(wait) => {
                self.world.put_after(wait, event);
                return Ok(());
            }
            Effect::Fail(_) | Effect::Drop => {
                self.world.note(thread, What::CallbackLost);
                if let Event::Tick { vm, root, .. } = event {
                    // The timer itself goes on.
                    let period = self.living(thread, vm).and_then(|guest| Some(guest.roots.get(&root)?.tick_period));
                    period.into_iter().for_each(|period| self.world.put_after(period, event));
                }
                return Ok(());
            }
            Effect::Trap => {
                self.kill_vm(thread);
                return Ok(());
            }
        }
        match event {
            Event::Tick { thread, vm, root, armed } => self.tick(thread, vm, root, armed),
            Event::QueueReady { thread, root, queue } => {
                if self.guest(thread).is_some_and(|guest| guest.roots.contains_key(&root)) {
                    self.enter::<_, ()>(thread, "proxy_on_queue_ready", root, (root, queue.0))?;
                }
                self.settle(thread)
            }
            Event::CallEnd { thread, vm, token } => self.call_end(thread, vm, token),
            Event::StreamIdle { .. } => Ok(()),
        }
    }

    fn tick(&mut self, thread: Thread, vm: VmId, root: u32, armed: u64) -> Result<(), Fault> {
        let is_armed =
            |guest: &mut Guest| guest.roots.get(&root).filter(|root| root.armed == armed).map(|root| root.tick_period);
        if self.living(thread, vm).and_then(is_armed).is_none() {
            return Ok(());
        }
        self.enter::<_, ()>(thread, "proxy_on_tick", root, root)?;
        self.settle(thread)?;
        // The timer repeats, unless the tick itself set it anew.
        if let Some(period) = self.living(thread, vm).and_then(is_armed) {
            self.world.put_after(period, Event::Tick { thread, vm, root, armed });
        }
        Ok(())
    }

    fn call_end(&mut self, thread: Thread, vm: VmId, token: u32) -> Result<(), Fault> {
        let Some(guest) = self.living(thread, vm) else { return Ok(()) };
        let Some(call) = guest.calls.remove(&token) else { return Ok(()) };
        let response = call.response.unwrap_or_default();
        let status = response.headers.get(":status").and_then(|status| status.parse().ok());
        let headers = u32::try_from(response.headers.len()).unwrap_or(u32::MAX);
        let size = u32::try_from(response.body.len()).unwrap_or(u32::MAX);
        guest.call_response = Some(response);
        self.world.note(thread, What::CallEnded { token, status });
        let params = (call.context, token, headers, size, 0);
        self.enter::<_, ()>(thread, "proxy_on_http_call_response", call.context, params)?;
        if let Some(guest) = self.living(thread, vm) {
            guest.call_response = None;
        }
        self.settle(thread)
    }

    /// The VM of this thread, if it still is this one.
    fn living(&mut self, thread: Thread, vm: VmId) -> Option<&mut Guest> {
        self.guest(thread).filter(|guest| guest.vm == vm)
    }
}
