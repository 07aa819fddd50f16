//! The description of a process before it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Process;
use crate::fault::StartError;
use crate::filter::Filter;
use crate::upstream::Upstream;
use crate::vm::Identity;
use crate::world::{Thread, World};

/// Describes a process; [`start`](Self::start) makes it.
pub struct Builder {
    filter: Filter,
    identity: Identity,
    config: Vec<u8>,
    workers: usize,
    seed: u64,
    clusters: BTreeMap<String, Upstream>,
    watched: Vec<String>,
    records_writes: bool,
    fail_closed: bool,
    body_while_paused: bool,
}

impl Builder {
    pub(super) fn new(filter: &Filter) -> Self {
        Self {
            filter: filter.clone(),
            identity: Identity {
                plugin_name: "filter".to_owned(),
                vm_id: "filter".to_owned(),
                environment: Vec::new(),
                may_trap: false,
            },
            config: Vec::new(),
            workers: 1,
            seed: 0,
            clusters: BTreeMap::new(),
            watched: Vec::new(),
            records_writes: false,
            fail_closed: false,
            body_while_paused: true,
        }
    }

    /// The number of workers; 1 unless it is said.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The plugin's name; `filter` unless it is said.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.identity.plugin_name);
        self
    }

    /// The namespace of shared data and queues; `filter` unless it is said.
    #[must_use]
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        vm_id.clone_into(&mut self.identity.vm_id);
        self
    }

    /// The configuration, exactly as the filter will read it: JSON text, or a serialised `google.protobuf.Struct`.
    #[must_use]
    pub fn config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.config = config.into();
        self
    }

    /// Sets an environment variable of the filter.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.identity.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a cluster the filter can call.
    #[must_use]
    pub fn cluster(mut self, name: &str, upstream: Upstream) -> Self {
        self.clusters.insert(name.to_owned(), upstream);
        self
    }

    /// Where the randomness of the process starts; the same seed gives the same run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets every call to a cluster carry a copy of the keys of shared data that begin so.
    #[must_use]
    pub fn watch(mut self, prefix: &str) -> Self {
        self.watched.push(prefix.to_owned());
        self
    }

    /// Keeps every write to shared data, for [`Process::writes`].
    #[must_use]
    pub fn record_writes(mut self) -> Self {
        self.records_writes = true;
        self
    }

    /// With `FAIL_CLOSED`: a VM that traps is never rebuilt, and its worker answers 503 from then on.
    #[must_use]
    pub fn fail_closed(mut self) -> Self {
        self.fail_closed = true;
        self
    }

    /// Lets the filter abort without that being a [`Fault`](crate::Fault): its VM is lost, as it would be in Envoy, and
    /// the process goes on. For filters that trap on purpose.
    #[must_use]
    pub fn may_trap(mut self) -> Self {
        self.identity.may_trap = true;
        self
    }

    /// Without `allow_on_headers_stop_iteration: true`, which is Envoy's default: a request whose headers were paused
    /// shows the filter nothing more until it is continued.
    #[must_use]
    pub fn hold_body_while_paused(mut self) -> Self {
        self.body_while_paused = false;
        self
    }

    /// Starts the process as Envoy does: a canary that is thrown away, the main thread's VM, then the workers'.
    ///
    /// # Errors
    ///
    /// A VM refuses its configuration or goes wrong.
    pub fn start(self) -> Result<Process, StartError> {
        let mut world = Box::new(World::new(self.seed));
        world.watched = self.watched;
        world.writes = self.records_writes.then(Vec::new);
        for (name, upstream) in self.clusters {
            world.upstreams.set(&name, upstream);
        }
        let mut process = Process {
            filter: self.filter,
            identity: Arc::new(self.identity),
            config: self.config.into(),
            world,
            slots: BTreeMap::new(),
            fail_closed: self.fail_closed,
            body_while_paused: self.body_while_paused,
            fuel_of_the_lost: 0,
        };
        let config = Arc::clone(&process.config);
        process.canary(&config)?;
        process.boot(Thread::Main)?;
        for worker in 0..self.workers {
            process.boot(Thread::Worker(worker))?;
        }
        Ok(process)
    }
}
