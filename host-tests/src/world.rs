//! What all VMs of one process share. While a callback runs, the process lends its world to that VM's store: there is
//! no global, no lock and no reference count, and a host call finds everything in its own store.

pub(crate) mod clock;
pub(crate) mod crossings;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod queues;
pub(crate) mod schedule;
pub(crate) mod shared_data;
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::time::Duration;

use clock::Clock;
use crossings::Crossings;
use log::LogLine;
use metrics::Metrics;
use queues::Queues;
use schedule::{Event, Schedule};
use shared_data::{SharedData, Write};
use trace::{Trace, What};

use crate::abi::Status;
use crate::application::Application;
use crate::grpc::GrpcComing;
use crate::ids::{At, StreamId, Thread, VmId};
use crate::rules::Rules;
use crate::stream::Stream;
use crate::upstream::Upstreams;

/// What answers a foreign function.
type ForeignFunction = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, Status>>;

/// The functions of a process, by name.
pub(crate) type ForeignFunctions = BTreeMap<String, ForeignFunction>;

/// What all VMs of one process share.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) schedule: Schedule,
    pub(crate) shared_data: SharedData,
    pub(crate) queues: Queues,
    pub(crate) metrics: Metrics,
    pub(crate) log: Vec<LogLine>,
    pub(crate) entropy: Entropy,
    pub(crate) upstreams: Upstreams,
    pub(crate) application: Application,
    pub(crate) foreign_functions: ForeignFunctions,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) trace: Trace,
    pub(crate) rules: Rules,
    pub(crate) crossings: Crossings,
    /// Every write to shared data, where somebody wants to know.
    pub(crate) writes: Option<Vec<Write>>,
    /// Calls to clusters carry a copy of the keys that begin so.
    pub(crate) watched: Vec<String>,
    /// How far the wall clock of a thread is off, in nanoseconds.
    pub(crate) skews: BTreeMap<Thread, i64>,
    /// The first CAS number of each life of the process.
    first_cas: u32,
    vms: u64,
}

impl World {
    pub(crate) fn new(seed: u64, first_cas: u32) -> Self {
        let entropy = Entropy(fastrand::Rng::with_seed(seed));
        Self { entropy, first_cas, shared_data: SharedData::starting_at(first_cas), ..Self::default() }
    }

    /// A number no other VM has had.
    pub(crate) fn next_vm(&mut self) -> VmId {
        self.vms += 1;
        VmId(self.vms)
    }

    /// Forgets what ends with a process.
    pub(crate) fn forget(&mut self) {
        self.schedule = Schedule::default();
        self.shared_data = SharedData::starting_at(self.first_cas);
        self.queues = Queues::default();
        self.metrics = Metrics::default();
        self.rules.clear();
        let open: Vec<StreamId> = self.streams.iter().filter(|(_, stream)| stream.is_open).map(|(id, _)| *id).collect();
        for id in open {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.is_open = false;
                let thread = stream.at.thread;
                self.note(thread, What::Reset { stream: id });
            }
        }
    }

    /// The watched keys of shared data.
    pub(crate) fn watched(&self) -> Vec<(String, Vec<u8>)> {
        let keys = self.watched.iter().flat_map(|prefix| self.shared_data.starting_with(prefix));
        keys.map(|(key, value)| (key.to_owned(), value.to_vec())).collect()
    }

    pub(crate) fn put_after(&mut self, wait: Duration, event: Event) {
        self.schedule.put(self.clock.elapsed() + wait, event);
    }

    /// Puts in what a server's reply makes happen to a gRPC call or stream.
    pub(crate) fn put_grpc(&mut self, At { thread, vm }: At, token: u32, coming: GrpcComing) {
        for _ in 0..coming.count {
            self.schedule.put(coming.due, Event::Grpc { thread, vm, token });
        }
        if let Some(again) = coming.again {
            self.schedule.put(again, Event::GrpcAgain { thread, vm, token });
        }
    }

    pub(crate) fn note(&mut self, thread: Thread, what: What) {
        self.trace.push(self.clock.elapsed(), thread, what);
    }
}

/// The one source of randomness of a process.
pub(crate) struct Entropy(fastrand::Rng);

impl Entropy {
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self(fastrand::Rng::with_seed(0))
    }
}
