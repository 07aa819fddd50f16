//! The description of a process before it starts.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use super::Process;
use super::slot::Slot;
use crate::abi::Status;
use crate::application::Application;
use crate::deployment::Deployment;
use crate::fault::StartError;
use crate::filter::Filter;
use crate::guest::Identity;
use crate::ids::{PluginKey, Thread};
use crate::upstream::Upstream;
use crate::world::clock::Clock;
use crate::world::{ForeignFunctions, World};

/// Describes a process; [`start`](Self::start) makes it.
pub struct Builder {
    filter: Filter,
    identity: Identity,
    name: String,
    config: Vec<u8>,
    listeners: Vec<(String, String, Vec<u8>)>,
    workers: usize,
    seed: u64,
    first_cas: u32,
    wall_offset_nanos: i64,
    clusters: BTreeMap<String, Upstream>,
    watched: Vec<String>,
    records_writes: bool,
    fail_closed: bool,
    body_while_paused: bool,
    application: Application,
    foreign_functions: ForeignFunctions,
    route_timeout: Duration,
    idle_timeout: Duration,
}

impl Process {
    /// Begins the description of a process that runs `filter`.
    pub fn builder(filter: &Filter) -> Builder {
        Builder::new(filter)
    }
}

impl Builder {
    fn new(filter: &Filter) -> Self {
        Self {
            filter: filter.clone(),
            identity: Identity {
                vm_id: "filter".to_owned(),
                vm_config: Vec::new(),
                environment: Vec::new(),
                may_trap: false,
            },
            name: "filter".to_owned(),
            config: Vec::new(),
            listeners: Vec::new(),
            workers: 1,
            seed: 0,
            first_cas: 1,
            wall_offset_nanos: 0,
            clusters: BTreeMap::new(),
            watched: Vec::new(),
            records_writes: false,
            fail_closed: false,
            body_while_paused: true,
            application: Application::default(),
            foreign_functions: ForeignFunctions::default(),
            route_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(300),
        }
    }

    /// The number of workers; 1 by default.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The plugin's name; `filter` by default.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The namespace of shared data and queues; `filter` by default.
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

    /// The configuration of the VM, which `on_vm_start` may read; empty by default.
    #[must_use]
    pub fn vm_config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.identity.vm_config = config.into();
        self
    }

    /// Adds a listener beside the first one, with a plugin of its own: the same filter in the same VMs, so it shares keys
    /// and queues, under a name and a configuration that may or may not be those of another. A request comes in on it
    /// by [`Request::listener`](crate::Request::listener).
    #[must_use]
    pub fn listener(mut self, listener: &str, plugin: &str, config: impl Into<Vec<u8>>) -> Self {
        self.listeners.push((listener.to_owned(), plugin.to_owned(), config.into()));
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

    /// The application behind the gateway; one that answers 200 at once by default.
    #[must_use]
    pub fn application(mut self, application: Application) -> Self {
        self.application = application;
        self
    }

    /// A function of the host's own that the filter may call by name. There are none of Envoy's unless they are put here.
    #[must_use]
    pub fn foreign_function(
        mut self,
        name: &str,
        function: impl FnMut(&[u8]) -> Result<Vec<u8>, Status> + 'static,
    ) -> Self {
        self.foreign_functions.insert(name.to_owned(), Box::new(function));
        self
    }

    /// How long the application may take for a whole answer, the route's `timeout`; 15 s by default, zero for no
    /// limit. One that has not begun by then is answered 504, one that has is reset.
    #[must_use]
    pub fn route_timeout(mut self, timeout: Duration) -> Self {
        self.route_timeout = timeout;
        self
    }

    /// How long nothing may go through a stream, the `stream_idle_timeout`; 5 minutes by default, zero for no
    /// limit. Then it is answered 504, or 408 if its request has not arrived whole.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Where the randomness of the process starts; the same seed gives the same run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The CAS number of the first value written to shared data, in each life of the process; 1 by default, and 0
    /// is none. The numbers wrap behind `u32::MAX`, after days of heavy work: this starts just before.
    #[must_use]
    pub fn first_cas(mut self, cas: u32) -> Self {
        self.first_cas = cas;
        self
    }

    /// How far the wall clock is off when the process starts, in milliseconds.
    #[must_use]
    pub fn wall_clock_off_by(mut self, millis: i64) -> Self {
        self.wall_offset_nanos = self.wall_offset_nanos.saturating_add(millis.saturating_mul(1_000_000));
        self
    }

    /// It starts so long after the moment at which wall clocks begin.
    pub(crate) fn starting_after(mut self, passed: Duration) -> Self {
        let nanos = i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX);
        self.wall_offset_nanos = self.wall_offset_nanos.saturating_add(nanos);
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

    /// Starts the process as Envoy does: for each listener a canary that is thrown away and the main thread's root, then
    /// those of the workers.
    ///
    /// # Errors
    ///
    /// A VM refuses its configuration or goes wrong.
    pub fn start(self) -> Result<Process, StartError> {
        let mut world = Box::new(World::new(self.seed, self.first_cas));
        world.clock = Clock::off_by(self.wall_offset_nanos);
        world.watched = self.watched;
        world.writes = self.records_writes.then(Vec::new);
        world.application = self.application;
        world.foreign_functions = self.foreign_functions;
        for (name, upstream) in self.clusters {
            world.upstreams.set(&name, upstream);
        }
        let mut deployment = Deployment::default();
        let build = deployment.build(&self.filter);
        let first = (String::new(), self.name, self.config);
        for (listener, name, config) in iter::once(first).chain(self.listeners) {
            deployment.add_listener(&listener, build, PluginKey { name: name.into(), config: config.into() });
        }
        let threads = iter::once(Thread::Main).chain((0..self.workers).map(Thread::Worker));
        let mut process = Process {
            deployment,
            identity: Arc::new(self.identity),
            world,
            slots: threads.map(|thread| (thread, Slot::default())).collect(),
            fail_closed: self.fail_closed,
            body_while_paused: self.body_while_paused,
            route_timeout: self.route_timeout,
            idle_timeout: self.idle_timeout,
            fuel_of_the_lost: 0,
            others: None,
        };
        process.start()?;
        Ok(process)
    }
}
