//! One simulated Envoy process: a VM on the main thread and one on each worker, over one [`World`].
//!
//! Nothing happens by itself. A request runs its callbacks at once; ticks, queue wake-ups and the ends of HTTP calls
//! happen while [`Process::advance`] or [`Process::run_until`] move the clock.

mod builder;
mod events;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{WasmParams, WasmResults};

pub use builder::Builder;

use crate::clock::Clock;
use crate::fault::{Fault, StartError};
use crate::filter::Filter;
use crate::imports::log::LogLine;
use crate::imports::shared_data::Write;
use crate::rules::{Rule, RuleId};
use crate::scheduler::Event;
use crate::stream::{Answer, Forwarded, Stream, StreamId};
use crate::trace::{Trace, What};
use crate::upstream::{Call, Upstream};
use crate::vm::{Context, Guest, Identity, Vm};
use crate::world::{Thread, World};

/// From the moment a VM was made, or a configuration loaded into it, to the one at which a new stream may replace it once
/// it is lost: Envoy's `reload_config.backoff.base_interval`. One that ran for longer is replaced at once.
const RELOAD_BACKOFF: Duration = Duration::from_secs(1);
/// How long Envoy keeps a stream on which nothing happens: `stream_idle_timeout`.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// What starting one VM takes.
const START: Duration = Duration::from_millis(1);

/// A simulated Envoy process with one filter.
pub struct Process {
    filter: Filter,
    identity: Arc<Identity>,
    config: Arc<[u8]>,
    world: Box<World>,
    slots: BTreeMap<Thread, Slot>,
    /// Fuel burnt by VMs that are gone.
    fuel_of_the_lost: u64,
    fail_closed: bool,
    /// `allow_on_headers_stop_iteration`.
    body_while_paused: bool,
}

/// The place of a thread's VM.
#[derive(Default)]
struct Slot {
    vm: Option<Vm>,
    /// When it was made, or was last given a configuration.
    loaded_at: Duration,
    /// The thread does nothing before.
    stalled_until: Duration,
}

impl Process {
    /// Starts to describe a process that runs `filter`.
    pub fn builder(filter: &Filter) -> Builder {
        Builder::new(filter)
    }

    /// The virtual clocks.
    pub fn clock(&self) -> Clock {
        self.world.clock
    }

    /// What the client of this request was answered; `None` while it waits, and when it left.
    pub fn answer(&self, stream: StreamId) -> Option<&Answer> {
        self.world.streams.get(&stream).filter(|stream| !stream.open).and_then(|stream| stream.response.as_ref())
    }

    /// Is the client of this request still waiting?
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.world.streams.get(&stream).is_some_and(|stream| stream.open)
    }

    /// What of this request went on to the application; `None` when nothing did.
    pub fn forwarded(&self, stream: StreamId) -> Option<&Forwarded> {
        self.world.streams.get(&stream).and_then(|stream| stream.forwarded.as_ref())
    }

    /// Every call a cluster received, in order.
    pub fn calls(&self, cluster: &str) -> Vec<&Call> {
        self.world.upstreams.calls.iter().filter(|call| call.cluster == cluster).collect()
    }

    /// Gives a cluster another script, or adds a cluster.
    pub fn set_upstream(&mut self, cluster: &str, upstream: Upstream) {
        self.world.upstreams.set(cluster, upstream);
    }

    /// Everything the filter logged, in order.
    pub fn log(&self) -> &[LogLine] {
        &self.world.log
    }

    /// A counter's or gauge's value; `None` when the filter has defined none of this name.
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.world.metrics.value(name)
    }

    /// What a histogram was given, in order; `None` when the filter has defined none of this name.
    pub fn histogram(&self, name: &str) -> Option<&[u64]> {
        self.world.metrics.samples(name)
    }

    /// The names of all metrics, sorted.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.world.metrics.names()
    }

    /// Every key of shared data with its value, sorted by key.
    pub fn shared_data(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.world.shared_data.iter()
    }

    /// The threads that have written a key of shared data.
    pub fn writers(&self, key: &str) -> impl Iterator<Item = Thread> {
        self.world.shared_data.writers(key)
    }

    /// Every write to shared data that was made, in order; none unless they are
    /// [recorded](Builder::record_writes).
    pub fn writes(&self) -> &[Write] {
        self.world.writes.as_deref().unwrap_or_default()
    }

    /// The names of all shared queues, sorted.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        self.world.queues.names()
    }

    /// Fuel burnt so far by all VMs: one unit for most instructions, so a measure of work without a clock.
    pub fn fuel(&self) -> u64 {
        self.fuel_of_the_lost + self.slots.values().filter_map(|slot| slot.vm.as_ref()).map(|vm| vm.fuel).sum::<u64>()
    }

    /// What happened so far, in order.
    pub fn trace(&self) -> &Trace {
        &self.world.trace
    }

    /// Ends a VM as a trap does: its ticks and calls stop, shared data stays. Whoever waits for an answer of its waits on,
    /// until Envoy gives the stream up after five idle minutes. Under `FAIL_RELOAD` a worker's is rebuilt at the next new
    /// stream, but not within a second of being loaded, the main thread's only with another configuration.
    pub fn kill_vm(&mut self, thread: Thread) {
        let Some(mut vm) = self.slots.get_mut(&thread).and_then(|slot| slot.vm.take()) else { return };
        self.fuel_of_the_lost += vm.fuel;
        self.world.note(thread, What::Lost);
        let lost = vm.guest().vm;
        let waiting = |stream: &Stream| stream.open && stream.vm == lost;
        let streams = self.world.streams.iter().filter(|(_, stream)| waiting(stream));
        for stream in streams.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.world.put_after(STREAM_IDLE_TIMEOUT, Event::StreamIdle { stream });
        }
    }

    /// Adds a fault. See [`Rule`].
    pub fn add_rule(&mut self, rule: Rule) -> RuleId {
        self.world.rules.add(rule)
    }

    /// Takes a fault away.
    pub fn remove_rule(&mut self, rule: RuleId) {
        self.world.rules.remove(rule);
    }

    /// Takes all faults away.
    pub fn clear_rules(&mut self) {
        self.world.rules.clear();
    }

    /// Lets a thread do nothing for a while, as when the machine gives it no time: its ticks, wake-ups and ends of calls
    /// come late, in their order. A request made meanwhile is one that found the thread awake for a moment.
    pub fn stall(&mut self, thread: Thread, wait: Duration) {
        let until = self.world.clock.elapsed() + wait;
        if let Some(slot) = self.slots.get_mut(&thread) {
            slot.stalled_until = slot.stalled_until.max(until);
            self.world.note(thread, What::Stalled { wait });
        }
    }

    /// Until when a thread stalls, as time since the start; in the past when it does not.
    pub fn stalled_until(&self, thread: Thread) -> Duration {
        self.slots.get(&thread).map_or(Duration::ZERO, |slot| slot.stalled_until)
    }

    /// Has this thread a VM?
    pub fn has_vm(&self, thread: Thread) -> bool {
        self.slots.get(&thread).is_some_and(|slot| slot.vm.is_some())
    }

    /// Steps the wall clock forward or back; the monotonic one goes on as ever.
    pub fn step_wall_clock(&mut self, millis: i64) {
        self.world.clock.step_wall(millis);
        self.world.note(Thread::Main, What::Stepped { millis });
    }

    /// Lets one thread's wall clock be off by so much, as if it had not noticed a step yet.
    pub fn skew_wall_clock(&mut self, thread: Thread, millis: i64) {
        self.world.skews.insert(thread, millis.saturating_mul(1_000_000));
    }

    /// Ends the process and starts it again: everything in memory is gone, shared data included. The clusters and what
    /// they received stay, as do the clocks, the trace and the log.
    ///
    /// # Errors
    ///
    /// As when it was started.
    pub fn restart(&mut self) -> Result<(), StartError> {
        let threads: Vec<Thread> = self.slots.keys().copied().collect();
        threads.iter().for_each(|thread| self.kill_vm(*thread));
        // Connections end with the process.
        self.world.streams.values_mut().for_each(|stream| stream.open = false);
        self.world.forget();
        let config = Arc::clone(&self.config);
        self.canary(&config)?;
        threads.into_iter().try_for_each(|thread| self.boot(thread))
    }

    /// Pushes another configuration: a canary tries it, then every VM gets a new root context beside the old ones,
    /// which go on ticking; new connections go to the new root. A configuration that is still draining comes back
    /// without `on_configure`: its root serves again. A thread whose VM is lost gets another one.
    ///
    /// # Errors
    ///
    /// The canary refuses it or goes wrong, and everything stays as it was; or another VM does.
    pub fn update_config(&mut self, config: impl Into<Vec<u8>>) -> Result<(), StartError> {
        let config: Arc<[u8]> = config.into().into();
        self.canary(&config)?;
        self.config = Arc::clone(&config);
        self.world.note(Thread::Main, What::Configured);
        for thread in self.slots.keys().copied().collect::<Vec<_>>() {
            self.configure_thread(thread, &config)?;
        }
        Ok(())
    }

    fn configure_thread(&mut self, thread: Thread, config: &Arc<[u8]>) -> Result<(), StartError> {
        let now = self.world.clock.elapsed();
        let slot = self.slots.entry(thread).or_default();
        slot.loaded_at = now;
        let Some(vm) = slot.vm.as_mut() else {
            return match self.boot(thread) {
                Err(StartError::Fault(fault)) if fault.killed => Ok(()),
                result => result,
            };
        };
        let guest = vm.guest();
        let draining = guest.roots.iter().find(|(_, root)| !root.is_ending && root.config == *config);
        if let Some((root, _)) = draining {
            guest.serving = *root;
            return Ok(());
        }
        match configure(vm, &mut self.world, config, &thread.to_string()) {
            Err(StartError::Fault(fault)) if fault.killed => {
                self.kill_vm(thread);
                Ok(())
            }
            result => result,
        }
    }

    /// Ends the drain of old configurations: their connections close, and their roots are told that they are done.
    ///
    /// # Errors
    ///
    /// The filter went wrong.
    pub fn end_drain(&mut self) -> Result<(), Fault> {
        self.world.note(Thread::Main, What::Drained);
        for thread in self.slots.keys().copied().collect::<Vec<_>>() {
            let Some(guest) = self.guest(thread) else { continue };
            let (vm, serving) = (guest.vm, guest.serving);
            let old: Vec<u32> =
                guest.roots.iter().filter(|(id, root)| **id != serving && !root.is_ending).map(|(id, _)| *id).collect();
            for root in old {
                self.close_streams(thread, vm, root)?;
                let done: Option<u32> = self.enter(thread, "proxy_on_done", root, root)?;
                if let (Some(0), Some(root)) = (done, self.guest(thread).and_then(|guest| guest.roots.get_mut(&root))) {
                    root.is_ending = true;
                } else {
                    self.delete_root(thread, root)?;
                }
                self.settle(thread)?;
            }
        }
        Ok(())
    }

    /// Forgets a root with all it had under way.
    fn delete_root(&mut self, thread: Thread, root: u32) -> Result<(), Fault> {
        self.enter::<_, ()>(thread, "proxy_on_delete", root, root)?;
        if let Some(guest) = self.guest(thread) {
            guest.roots.remove(&root);
            guest.remove_context(root);
        }
        Ok(())
    }

    /// Starts a VM, configures it and throws it away, as Envoy does to try a configuration.
    fn canary(&mut self, config: &Arc<[u8]>) -> Result<(), StartError> {
        let mut vm = self.instantiate(Thread::Main)?;
        configure(&mut vm, &mut self.world, config, "canary")
    }

    fn boot(&mut self, thread: Thread) -> Result<(), StartError> {
        let mut vm = self.instantiate(thread)?;
        configure(&mut vm, &mut self.world, &self.config, &thread.to_string())?;
        let loaded_at = self.world.clock.elapsed();
        self.slots.insert(thread, Slot { vm: Some(vm), loaded_at, ..Slot::default() });
        self.world.note(thread, What::Started);
        Ok(())
    }

    fn instantiate(&mut self, thread: Thread) -> Result<Vm, Fault> {
        let now = self.world.clock.elapsed();
        self.world.clock.move_to(now + START);
        let guest = Guest::new(Arc::clone(&self.identity), thread, self.world.next_vm());
        Vm::new(&self.filter, guest, &mut self.world)
    }

    /// Runs a callback in a thread's VM; `None` when there is no VM or no such callback. A VM that goes wrong is lost.
    fn enter<P: WasmParams, R: WasmResults>(
        &mut self,
        thread: Thread,
        callback: &'static str,
        context: u32,
        params: P,
    ) -> Result<Option<R>, Fault> {
        let Some(vm) = self.slots.get_mut(&thread).and_then(|slot| slot.vm.as_mut()) else { return Ok(None) };
        let result = vm.call(&mut self.world, callback, context, params);
        if result.is_err() {
            let stream = vm.guest().contexts.get(&context).copied();
            self.kill_vm(thread);
            if let Some(Context::Stream(stream)) = stream {
                self.fail(stream, callback);
            }
        }
        match result {
            Err(fault) if fault.killed => Ok(None),
            result => result,
        }
    }

    fn guest(&mut self, thread: Thread) -> Option<&mut Guest> {
        Some(self.slots.get_mut(&thread)?.vm.as_mut()?.guest())
    }
}

/// Makes a root context with this configuration.
fn configure(vm: &mut Vm, world: &mut Box<World>, config: &Arc<[u8]>, name: &str) -> Result<(), StartError> {
    let logged = world.log.len();
    let size = u32::try_from(config.len()).unwrap_or(u32::MAX);
    let root = vm.guest().add_root(Arc::clone(config));
    vm.call::<_, ()>(world, "proxy_on_context_create", root, (root, 0))?;
    let started: Option<u32> = vm.call(world, "proxy_on_vm_start", root, (root, 0))?;
    let configured = match started {
        Some(0) => Some(0),
        _ => vm.call::<_, u32>(world, "proxy_on_configure", root, (root, size))?,
    };
    if configured == Some(0) {
        let log = world.log.iter().skip(logged).cloned().collect();
        return Err(StartError::Refused { vm: name.to_owned(), log });
    }
    Ok(())
}
