//! What happens while time passes.

use std::time::Duration;

use super::{Others, Process};
use crate::abi::size;
use crate::fault::Fault;
use crate::grpc::GrpcPart;
use crate::guest::{GrpcKind, Guest, PendingGrpc, ShownGrpc};
use crate::ids::{At, Thread};
use crate::rules::{Effect, Place};
use crate::world::schedule::Event;
use crate::world::trace::What;

/// How an HTTP call that was reset failed, to `proxy_get_status`.
const BROKEN_CONNECTION: u32 = 11;

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
            let due = self.world.schedule.next_due().filter(|due| *due <= until);
            self.let_others_reach(due.unwrap_or(until))?;
            if due.is_none() {
                self.world.clock.move_to(until);
                return Ok(done(self));
            }
            self.next()?;
        }
        Ok(true)
    }

    /// When the next thing happens, as time since the start.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.world.schedule.next_due().map(|due| due.max(self.world.clock.elapsed()))
    }

    /// Lets the next thing happen.
    pub(crate) fn next(&mut self) -> Result<(), Fault> {
        let Some((at, event)) = self.world.schedule.take(Duration::MAX) else { return Ok(()) };
        self.world.clock.move_to(at);
        self.happen(event)
    }

    /// Lets the clocks go on to this time, up to which nothing is due.
    pub(crate) fn idle_to(&mut self, elapsed: Duration) {
        self.world.clock.move_to(elapsed);
    }

    /// Runs what is due in other processes before this one's time is `elapsed`.
    fn let_others_reach(&mut self, elapsed: Duration) -> Result<(), Fault> {
        self.others.as_mut().map_or(Ok(()), |others| others.reach(elapsed))
    }

    /// Runs `work` while the processes beside this one are lent to it.
    pub(crate) fn beside<T>(
        &mut self,
        others: Box<dyn Others>,
        work: impl FnOnce(&mut Self) -> T,
    ) -> (T, Option<Box<dyn Others>>) {
        self.others = Some(others);
        let result = work(self);
        (result, self.others.take())
    }

    fn happen(&mut self, event: Event) -> Result<(), Fault> {
        let Some(thread) = self.thread_of(event) else { return Ok(()) };
        let stalled = self.stalled_until(thread);
        if stalled > self.world.clock.elapsed() {
            self.world.schedule.put(stalled, event);
            return Ok(());
        }
        let place = match event {
            Event::Tick { .. } => Some(Place::Tick),
            Event::QueueReady { .. } => Some(Place::QueueReady),
            Event::CallEnd { .. } => Some(Place::CallEnd),
            Event::Grpc { .. }
            | Event::GrpcAgain { .. }
            | Event::Answer { .. }
            | Event::RouteTimeout { .. }
            | Event::Idle { .. } => None,
        };
        match place.map_or(Effect::Pass, |place| self.world.rules.decide(thread, place)) {
            Effect::Pass => self.do_happen(event),
            Effect::Delay(wait) => {
                self.world.put_after(wait, event);
                Ok(())
            }
            Effect::Fail(_) | Effect::Drop => {
                self.world.note(thread, What::CallbackLost);
                if let Event::Tick { vm, root, .. } = event {
                    // The timer itself goes on.
                    let root = self.guest(At { thread, vm }).and_then(|guest| guest.roots.get(&root));
                    let period = root.map(|root| root.tick_period);
                    period.into_iter().for_each(|period| self.world.put_after(period, event));
                }
                Ok(())
            }
            Effect::Trap => {
                if let Some(at) = self.vm_of(event) {
                    self.lose(at);
                }
                Ok(())
            }
        }
    }

    fn do_happen(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Tick { thread, vm, root, armed } => self.tick(At { thread, vm }, root, armed),
            Event::QueueReady { root, queue, .. } => {
                let Some(at) = self.vm_of(event) else { return Ok(()) };
                if self.guest(at).is_some_and(|guest| guest.roots.contains_key(&root)) {
                    self.enter::<_, ()>(at, "proxy_on_queue_ready", root, (root, queue.0))?;
                }
                self.settle(at)
            }
            Event::CallEnd { thread, vm, token } => self.call_end(At { thread, vm }, token),
            Event::Grpc { thread, vm, token } => self.grpc(At { thread, vm }, token),
            Event::GrpcAgain { thread, vm, token } => {
                self.ask_again(At { thread, vm }, token);
                Ok(())
            }
            Event::Answer { stream } => self.come(stream),
            Event::RouteTimeout { stream } => self.time_out(stream),
            Event::Idle { stream } => self.check_idle(stream),
        }
    }

    /// The VM an event happens to.
    fn vm_of(&mut self, event: Event) -> Option<At> {
        match event {
            Event::Tick { thread, vm, .. }
            | Event::CallEnd { thread, vm, .. }
            | Event::Grpc { thread, vm, .. }
            | Event::GrpcAgain { thread, vm, .. } => Some(At { thread, vm }),
            Event::QueueReady { thread, build, .. } => {
                let vm = self.slots.get_mut(&thread)?.vm_of(build)?.id();
                Some(At { thread, vm })
            }
            Event::Answer { stream } | Event::RouteTimeout { stream } | Event::Idle { stream } => {
                self.world.streams.get(&stream).map(|stream| stream.at)
            }
        }
    }

    /// `None` where there is nobody any more.
    fn thread_of(&self, event: Event) -> Option<Thread> {
        match event {
            Event::Tick { thread, .. }
            | Event::QueueReady { thread, .. }
            | Event::CallEnd { thread, .. }
            | Event::Grpc { thread, .. }
            | Event::GrpcAgain { thread, .. } => Some(thread),
            Event::Answer { stream } | Event::RouteTimeout { stream } | Event::Idle { stream } => {
                self.world.streams.get(&stream).filter(|stream| stream.is_open).map(|stream| stream.at.thread)
            }
        }
    }

    fn tick(&mut self, at: At, root: u32, armed: u64) -> Result<(), Fault> {
        let is_armed =
            |guest: &mut Guest| guest.roots.get(&root).filter(|root| root.armed == armed).map(|root| root.tick_period);
        if self.guest(at).and_then(is_armed).is_none() {
            return Ok(());
        }
        self.enter::<_, ()>(at, "proxy_on_tick", root, root)?;
        self.settle(at)?;
        // The timer repeats, unless the tick itself set it anew.
        if let Some(period) = self.guest(at).and_then(is_armed) {
            let At { thread, vm } = at;
            self.world.put_after(period, Event::Tick { thread, vm, root, armed });
        }
        Ok(())
    }

    fn call_end(&mut self, at: At, token: u32) -> Result<(), Fault> {
        let Some(guest) = self.guest(at) else { return Ok(()) };
        let Some(call) = guest.calls.remove(&token) else { return Ok(()) };
        let decided = call.end.decide();
        let end = decided.as_ref();
        let status = end.and_then(|end| end.headers.get(":status")?.parse().ok());
        let counts = end.map_or([0; 3], |end| [end.headers.len(), end.body.len(), end.trailers.len()]);
        let [headers, body, trailers] = counts.map(size);
        if end.is_none() {
            guest.set_status(call.root, BROKEN_CONNECTION, "reset");
        }
        guest.call_end = decided;
        self.world.note(at.thread, What::CallEnded { token, status });
        let params = (call.root, token, headers, body, trailers);
        self.enter::<_, ()>(at, "proxy_on_http_call_response", call.root, params)?;
        if let Some(guest) = self.guest(at) {
            guest.call_end = None;
            guest.clear_status(call.root);
        }
        self.settle(at)
    }

    /// Asks the server of a stream whether it has something to say.
    fn ask_again(&mut self, at: At, token: u32) {
        let now = self.world.clock.elapsed();
        let Some(pending) = self.guest(at).and_then(|guest| guest.grpc.get_mut(&token)) else { return };
        pending.is_asked_again = false;
        let number = pending.number;
        let Some(reply) = self.world.upstreams.continue_grpc(number, None, false, now) else { return };
        let pending = self.guest(at).and_then(|guest| guest.grpc.get_mut(&token));
        let coming = pending.map(|pending| pending.take_in(reply, now, Duration::ZERO));
        if let Some(coming) = coming {
            self.world.put_grpc(at, token, coming);
        }
    }

    /// Tells the filter the next part of a gRPC call or stream.
    fn grpc(&mut self, at: At, token: u32) -> Result<(), Fault> {
        let Some(guest) = self.guest(at) else { return Ok(()) };
        let Some(pending) = guest.grpc.get_mut(&token) else { return Ok(()) };
        let Some(part) = pending.parts.pop_front() else { return Ok(()) };
        let (root, kind) = (pending.root, pending.kind);
        let is_last = kind == GrpcKind::Call || matches!(part, GrpcPart::Close { .. });
        (pending.has_closed, pending.is_closing) = (is_last, is_last);
        let shown = &mut guest.shown_grpc;
        let (callback, number) = match part {
            GrpcPart::Initial(metadata) => {
                let count = shown.initial.insert(metadata).len();
                ("proxy_on_grpc_receive_initial_metadata", size(count))
            }
            GrpcPart::Message(message) => ("proxy_on_grpc_receive", size(shown.message.insert(message).len())),
            GrpcPart::Trailing(metadata) => {
                let count = shown.trailing.insert(metadata).len();
                ("proxy_on_grpc_receive_trailing_metadata", size(count))
            }
            GrpcPart::Close { code, message } => {
                guest.set_status(root, code, &message);
                ("proxy_on_grpc_close", code)
            }
        };
        if is_last {
            self.world.note(at.thread, What::GrpcEnded { token });
        }
        self.enter::<_, ()>(at, callback, root, (root, token, number))?;
        if let Some(guest) = self.guest(at) {
            guest.shown_grpc = ShownGrpc::default();
            guest.clear_status(root);
            let is_over = |pending: &mut PendingGrpc| {
                pending.is_closing = false;
                is_last && (kind == GrpcKind::Call || pending.is_let_go)
            };
            if guest.grpc.get_mut(&token).is_some_and(is_over) {
                guest.grpc.remove(&token);
            }
        }
        self.settle(at)
    }
}
