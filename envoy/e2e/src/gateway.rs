//! A running Envoy with the example config, and a plugin config of the test's own.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::example::LISTENER;
use gatepost_kit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::client::{Answer, Connection, Event, Protocol};
use crate::setup::{LISTENER_AT, ROUTES_AT, Setup, WORKERS, merge, overlay};

/// A running gateway.
pub struct Gateway {
    /// The process: its log, statistics and CPU time.
    pub envoy: Envoy,
    address: String,
    runtime: Arc<Runtime>,
    /// The file of the listener, when it is a dynamic one.
    listeners: Option<TempDir>,
    /// How often it was replaced.
    updates: AtomicU64,
}

impl Gateway {
    /// Starts Envoy with a fixed listener.
    ///
    /// # Errors
    /// When it does not come up; the error holds the end of its log.
    pub fn start(setup: &Setup) -> Result<Self> {
        Self::launch(&setup.launch()?, None)
    }

    /// Starts Envoy with a listener that [`Gateway::update`] can replace.
    ///
    /// # Errors
    /// When it does not come up; the error holds the end of its log.
    pub fn start_dynamic(setup: &Setup) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut launch = setup.launch()?;
        write_listener(&directory, &launch.config, 0)?;
        let source = json!({
            "resource_api_version": "V3",
            "path_config_source": {"path": directory.path().join("listeners.json")},
        });
        merge(
            &mut launch.config,
            json!({
                // Envoy asks whoever uses dynamic config to name the process.
                "node": {"id": "e2e", "cluster": "e2e"},
                "static_resources": {"listeners": []},
                "dynamic_resources": {"lds_config": source},
            }),
        );
        Self::launch(&launch, Some(directory))
    }

    fn launch(launch: &Launch, listeners: Option<TempDir>) -> Result<Self> {
        let envoy = Envoy::start(launch)?;
        let address = envoy.listener(LISTENER)?;
        // One thread drives all connections; the test itself blocks on its own.
        let runtime = Arc::new(Builder::new_multi_thread().worker_threads(1).enable_all().build()?);
        Ok(Self { envoy, address, runtime, listeners, updates: AtomicU64::new(0) })
    }

    /// Replaces the listener of a gateway started with [`Gateway::start_dynamic`], and waits until new connections to
    /// every worker get to the new one, or Envoy has refused it; says whether Envoy took it.
    ///
    /// # Errors
    /// When the listener is not a dynamic one, the file cannot be written, or Envoy does neither.
    pub fn update(&self, setup: &Setup) -> Result<bool> {
        let directory = self.listeners.as_ref().context("the listener is a fixed one")?;
        let version = self.updates.fetch_add(1, Ordering::Relaxed) + 1;
        let refused = self.envoy.stat(REFUSED)?;
        write_listener(directory, &setup.launch()?.config, version)?;
        wait::until("the new listener serves or is refused", UPDATE, || {
            if self.envoy.stat(REFUSED)? > refused {
                return Ok(Some(false));
            }
            // While the listener is being replaced a connection may break.
            Ok(self.serves(version).unwrap_or(false).then_some(true))
        })
    }

    /// Do new connections get to this version of the listener, on every worker?
    fn serves(&self, version: u64) -> Result<bool> {
        let connections = (0..WORKERS * 2).map(|_| self.connect(Protocol::Http1)).collect::<Result<Vec<_>>>()?;
        let (request, version) = (Event::request("GET", "/"), version.to_string());
        let mut answers = connections.into_iter().map(|mut connection| connection.send(&request));
        answers.try_fold(true, |serves, answer| Ok(serves && answer?.text() == version))
    }

    /// Waits until what was replaced has drained: its connections are closed, and its filters are told that they are
    /// done.
    ///
    /// # Errors
    /// When Envoy's admin interface does not answer, or it takes longer than a minute.
    pub fn wait_until_drained(&self) -> Result<()> {
        wait::until("what was replaced has drained", UPDATE, || {
            let listeners = self.envoy.stat("listener_manager.total_listeners_draining")?;
            let chains = self.envoy.stat("listener_manager.total_filter_chains_draining")?;
            Ok((listeners == 0 && chains == 0).then_some(()))
        })
    }

    /// `host:port` of the listener for events.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What drives the connections, for [`crate::load`].
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A connection of its own; with two workers the next one belongs to the other worker.
    ///
    /// # Errors
    /// When Envoy does not accept it.
    pub fn connect(&self, protocol: Protocol) -> Result<Connection> {
        Connection::open(Arc::clone(&self.runtime), &self.address, protocol)
    }

    /// A connection to this worker, 0 or 1.
    ///
    /// # Errors
    /// When Envoy does not accept it, or gives ten in a row to another.
    pub fn connect_to(&self, worker: usize, protocol: Protocol) -> Result<Connection> {
        // Those that went elsewhere stay open meanwhile: the next one goes to who has the fewest.
        let mut others = Vec::new();
        while others.len() < 10 {
            let before = self.accepted()?;
            let connection = self.connect(protocol)?;
            let after = wait::until("the connection is accepted", UPDATE, || {
                Ok(Some(self.accepted()?).filter(|accepted| *accepted != before))
            })?;
            if before.get(worker) != after.get(worker) {
                return Ok(connection);
            }
            others.push(connection);
        }
        bail!("no connection gets to worker {worker}")
    }

    /// How many connections each worker has accepted.
    fn accepted(&self) -> Result<Vec<u64>> {
        let count = |worker| self.envoy.stat(&format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total"));
        (0..WORKERS).map(count).collect()
    }

    /// Sends one event over a connection of its own.
    ///
    /// # Errors
    /// When the connection breaks; a refusal is an answer.
    pub fn send(&self, event: &Event) -> Result<Answer> {
        self.connect(Protocol::Http1)?.send(event)
    }

    /// How often a filter's VM was rebuilt after a trap.
    ///
    /// # Errors
    /// When Envoy's admin interface does not answer.
    pub fn rebuilt(&self) -> Result<u64> {
        self.envoy.stat("wasm.gatepost.vm_reload_success")
    }

    /// How often a filter's VM trapped and was, or was to be, rebuilt.
    ///
    /// # Errors
    /// When Envoy's admin interface does not answer.
    pub fn traps(&self) -> Result<u64> {
        self.envoy.traps()
    }
}

/// Envoy watches for the file being moved into place: it never sees half of it. The route that is no event's answers
/// with the version.
fn write_listener(directory: &TempDir, config: &Value, version: u64) -> Result<()> {
    let mut listener = config.pointer(LISTENER_AT).context("the config has no listener")?.clone();
    overlay(&mut listener, json!({"@type": "type.googleapis.com/envoy.config.listener.v3.Listener"}));
    let routes = listener.pointer_mut(ROUTES_AT).and_then(Value::as_array_mut);
    let last = routes.and_then(|routes| routes.last_mut()).context("the listener has no routes")?;
    let body = json!({"inline_string": version.to_string()});
    overlay(last, json!({"direct_response": {"status": 404, "body": body}}));
    let scratch = directory.path().join("scratch");
    fs::write(&scratch, json!({"resources": [listener]}).to_string())?;
    Ok(fs::rename(scratch, directory.path().join("listeners.json"))?)
}

/// Envoy's counter of updates it has refused.
const REFUSED: &str = "listener_manager.lds.update_rejected";
/// Taking an update means compiling the filter, beside whatever else the machine does; a drain is a few seconds here.
const UPDATE: Duration = Duration::from_secs(60);
