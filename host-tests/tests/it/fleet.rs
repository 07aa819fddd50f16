//! Two gateways of one fleet, behind one etcd.

use etcd_model::Etcd;
use host_tests::{Fleet, Process, Request, StreamId};
use serde_json::{Value, json};

use crate::support::{gateway, millis, with};

pub const NAMES: [&str; 2] = ["one", "two"];

pub struct Gateways {
    pub fleet: Fleet,
    pub etcd: Etcd,
    config: Value,
}

/// The cluster of etcd. Its name is by chance a message of protobuf, which Envoy tries to read first.
pub const ETCD: &str = "etcd1";

/// This configuration with a journal, which has these keys besides.
pub fn journaled(config: Value, journal: Value) -> Value {
    let journal = with(json!({"etcd": {"cluster": ETCD, "prefix": "/g"}}), journal);
    with(config, json!({"journal": journal}))
}

impl Gateways {
    /// Starts them with this configuration, and a journal that has these keys besides. They have their leases.
    pub fn start(config: Value, journal: Value) -> Self {
        let config = journaled(config, journal);
        let mut gateways = Self { fleet: Fleet::default(), etcd: Etcd::new(7), config };
        NAMES.into_iter().for_each(|name| gateways.start_again(name));
        gateways.advance(3_000);
        gateways
    }

    /// Starts a gateway, as one that has died or was not there yet.
    pub fn start_again(&mut self, name: &str) {
        let seed = 1 + NAMES.iter().take_while(|other| **other != name).count() as u64;
        let upstream = self.etcd.upstream(name, self.fleet.now());
        self.fleet.start(name, gateway(&self.config).seed(seed).cluster(ETCD, upstream)).expect("it starts");
    }

    pub fn advance(&mut self, for_millis: u64) {
        self.fleet.advance(millis(for_millis)).unwrap_or_else(|fault| panic!("{fault}"));
    }

    pub fn process(&self, name: &str) -> &Process {
        self.fleet.get(name).expect("it runs")
    }

    /// Does something to a gateway.
    pub fn with<T>(&mut self, name: &str, work: impl FnOnce(&mut Process) -> T) -> T {
        self.fleet.with(name, work).expect("it runs")
    }

    pub fn request(&mut self, name: &str, worker: usize, request: Request) -> StreamId {
        self.with(name, |process| process.request(worker, request)).unwrap_or_else(|fault| panic!("{fault}"))
    }
}
