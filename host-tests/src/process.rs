//! One simulated Envoy process: a VM on the main thread and one on each worker, over one [`World`].
//!
//! Nothing happens by itself. A request runs its callbacks at once; ticks, queue wake-ups and the ends of HTTP calls
//! happen while [`Process::advance`] or [`Process::run_until`] move the clock.

mod answers;
pub(crate) mod builder;
mod deploy;
mod events;
mod faults;
mod flow;
mod requests;
mod slot;
mod vms;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use slot::Slot;

use crate::application::Application;
use crate::deployment::Deployment;
use crate::fault::Fault;
use crate::grpc::GrpcCall;
use crate::guest::Identity;
use crate::ids::{StreamId, Thread};
use crate::stream::{Answer, Forwarded};
use crate::upstream::{Call, Upstream};
use crate::world::World;
use crate::world::clock::Clock;
use crate::world::crossings::Crossings;
use crate::world::log::LogLine;
use crate::world::shared_data::Write;
use crate::world::trace::Trace;

/// A simulated Envoy process with one filter.
#[derive(Default)]
pub struct Process {
    deployment: Deployment,
    identity: Arc<Identity>,
    world: Box<World>,
    slots: BTreeMap<Thread, Slot>,
    /// Fuel burnt by VMs that are gone.
    fuel_of_the_lost: u64,
    fail_closed: bool,
    /// `allow_on_headers_stop_iteration`.
    body_while_paused: bool,
    route_timeout: Duration,
    idle_timeout: Duration,
    /// The processes beside this one, while they are lent to it: they go on as its time passes.
    others: Option<Box<dyn Others>>,
}

/// The processes beside one that runs.
pub(crate) trait Others: Any {
    /// Lets happen to them what is due before the time `elapsed` of the one that runs.
    fn reach(&mut self, elapsed: Duration) -> Result<(), Fault>;
}

impl Process {
    /// The virtual clocks.
    pub fn clock(&self) -> Clock {
        self.world.clock
    }

    /// What the client of this request was answered; `None` while it waits, and when it left or the stream was reset
    /// before any of an answer had reached it.
    pub fn answer(&self, stream: StreamId) -> Option<&Answer> {
        self.world.streams.get(&stream).filter(|stream| !stream.is_open).and_then(|stream| stream.received.as_ref())
    }

    /// The response code details that the filter gave with its answer to this request; `None` when it has not answered.
    pub fn response_code_details(&self, stream: StreamId) -> Option<&str> {
        self.world.streams.get(&stream).and_then(|stream| stream.details.as_deref())
    }

    /// What has reached the client of this request so far of its answer.
    pub fn received(&self, stream: StreamId) -> Option<&Answer> {
        self.world.streams.get(&stream).and_then(|stream| stream.received.as_ref())
    }

    /// Is the client of this request still waiting?
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.world.streams.get(&stream).is_some_and(|stream| stream.is_open)
    }

    /// What of this request went on to the application; `None` when nothing did.
    pub fn forwarded(&self, stream: StreamId) -> Option<&Forwarded> {
        self.world.streams.get(&stream).and_then(|stream| stream.forwarded.as_ref())
    }

    /// Every call a cluster received, in order.
    pub fn calls(&self, cluster: &str) -> Vec<&Call> {
        self.world.upstreams.calls.iter().filter(|call| call.cluster == cluster).collect()
    }

    /// Every gRPC call and stream a cluster received, in order, with the messages so far.
    pub fn grpc_calls(&self, cluster: &str) -> Vec<&GrpcCall> {
        self.world.upstreams.grpc_calls.iter().filter(|call| call.cluster == cluster).collect()
    }

    /// What the filter has set as a property of this request, which Envoy keeps as the filter state `wasm.<key>`.
    pub fn filter_state(&self, stream: StreamId, key: &str) -> Option<&[u8]> {
        self.world.streams.get(&stream)?.state.get(key).map(Vec::as_slice)
    }

    /// Gives a cluster another script, or adds a cluster.
    pub fn set_upstream(&mut self, cluster: &str, upstream: Upstream) {
        self.world.upstreams.set(cluster, upstream);
    }

    /// Gives the application behind the gateway another script, for the requests that reach it from now on.
    pub fn set_application(&mut self, application: Application) {
        self.world.application = application;
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
    /// [recorded](crate::Builder::record_writes).
    pub fn writes(&self) -> &[Write] {
        self.world.writes.as_deref().unwrap_or_default()
    }

    /// The names of all shared queues, sorted.
    pub fn queues(&self) -> impl Iterator<Item = &str> {
        self.world.queues.names()
    }

    /// Fuel burnt so far by all VMs: one unit for most instructions, so a measure of work without a clock.
    pub fn fuel(&self) -> u64 {
        self.fuel_of_the_lost + self.slots.values().flat_map(|slot| &slot.vms).map(|vm| vm.fuel).sum::<u64>()
    }

    /// How often the VMs and the host have called each other so far.
    pub fn crossings(&self) -> &Crossings {
        &self.world.crossings
    }

    /// What happened so far, in order.
    pub fn trace(&self) -> &Trace {
        &self.world.trace
    }
}
