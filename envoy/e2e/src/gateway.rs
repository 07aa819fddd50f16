//! A running Envoy with the example config, and a plugin config of the test's own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use gatepost_cli::envoy::{Envoy, Launch};
use gatepost_cli::example::{Example, LISTENER};
use gatepost_cli::receiver::Receiver;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::client::{Answer, Connection, Event, Protocol};

/// The example's endpoint of this name, which the receiver serves under the same name.
///
/// `more` is laid over the entry: its keys replace those of the same name.
pub fn endpoint(name: &str, secret: &str, more: Value) -> Value {
    let mut entry = json!({
        "name": name,
        "cluster": name,
        "url": format!("http://receiver.test/{name}"),
        "secrets": [{"value": secret}],
    });
    overlay(&mut entry, more);
    entry
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Setup {
    plugin: Value,
    /// Where each endpoint's cluster goes, `(cluster, host:port)`.
    clusters: Vec<(String, String)>,
    env: Vec<(String, String)>,
    as_text: bool,
    /// Laid over the `PluginConfig`.
    around: Value,
    /// The filter, when it is not the one that is released.
    wasm: Option<PathBuf>,
    arguments: Vec<String>,
    /// The admin surface's, when they are not the example's.
    tokens: Option<Value>,
}

impl Setup {
    /// One route, `POST /events/{event}`, to these endpoints, all of them at this receiver.
    pub fn new(receiver: &Receiver, endpoints: &[Value]) -> Self {
        let names = endpoints.iter().filter_map(|entry| entry.get("name").and_then(Value::as_str));
        Self {
            plugin: json!({
                "enabled": true,
                "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
                "endpoints": endpoints,
            }),
            clusters: names.map(|name| (name.to_owned(), receiver.address().to_owned())).collect(),
            env: Vec::new(),
            as_text: false,
            around: json!({}),
            wasm: None,
            arguments: Vec::new(),
            tokens: None,
        }
    }

    /// The example's own config, its two endpoints at this receiver.
    ///
    /// # Errors
    /// When the example does not have the shape we know, or the filter does not build.
    pub fn example(receiver: &Receiver) -> Result<Self> {
        let plugin = Example::load()?.plugin()?.clone();
        let clusters = ["billing", "audit"].map(|name| (name.to_owned(), receiver.address().to_owned()));
        Ok(Self { plugin, clusters: clusters.to_vec(), ..Self::new(receiver, &[]) })
    }

    /// Lays more keys over the plugin's config.
    #[must_use]
    pub fn with(mut self, more: Value) -> Self {
        overlay(&mut self.plugin, more);
        self
    }

    /// Takes a key out of the plugin's config.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        if let Some(plugin) = self.plugin.as_object_mut() {
            plugin.remove(key);
        }
        self
    }

    /// Sends what an endpoint gets to another address.
    #[must_use]
    pub fn with_cluster(mut self, name: &str, address: &str) -> Self {
        self.clusters.retain(|(cluster, _)| cluster != name);
        self.clusters.push((name.to_owned(), address.to_owned()));
        self
    }

    /// Sets a variable in Envoy's environment and lets the filter read it.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the plugin's config as a JSON string (`StringValue`) instead of a `Struct`.
    #[must_use]
    pub fn as_text(mut self) -> Self {
        self.as_text = true;
        self
    }

    /// Lays more keys over what Envoy is told of the plugin, beside its own config.
    #[must_use]
    pub fn with_around(mut self, around: Value) -> Self {
        self.around = around;
        self
    }

    /// Runs this file as the filter.
    #[must_use]
    pub fn with_wasm(mut self, wasm: PathBuf) -> Self {
        self.wasm = Some(wasm);
        self
    }

    /// Gives the admin surface other tokens than the example's.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Value) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Adds arguments to Envoy's command line.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// How Envoy is started for this, with the listener in its config.
    ///
    /// # Errors
    /// When the example does not have the shape we know, or the filter does not build.
    pub fn launch(&self) -> Result<Launch> {
        let mut example = Example::load()?;
        example.use_free_ports()?;
        if self.as_text {
            let text = json!({
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": self.plugin.to_string(),
            });
            overlay(example.wasm()?, json!({"configuration": text}));
        } else {
            *example.plugin()? = self.plugin.clone();
        }
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let environment = json!({"vm_config": {"environment_variables": {"host_env_keys": names}}});
        merge(example.wasm()?, environment);
        overlay(example.wasm()?, self.around.clone());
        if let Some(wasm) = &self.wasm {
            example.set_wasm(wasm)?;
        }
        for (name, address) in &self.clusters {
            example.add_cluster(name)?;
            example.set_cluster(name, address)?;
        }
        if let Some(tokens) = &self.tokens {
            overlay(example.admin()?, json!({"tokens": tokens}));
        }
        let mut config = example.config().clone();
        let listener = config.pointer_mut("/static_resources/listeners/0").context("the example has no listener")?;
        overlay(listener, json!({"connection_balance_config": {"exact_balance": {}}}));
        Ok(Launch { config, workers: WORKERS, env: self.env.clone(), arguments: self.arguments.clone() })
    }
}

/// A running gateway.
pub struct Gateway {
    /// The process: its log, statistics and CPU time.
    pub envoy: Envoy,
    address: String,
    runtime: Arc<Runtime>,
    /// The file of the listener, when it is a dynamic one.
    listeners: Option<TempDir>,
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
        write_listener(&directory, &launch.config)?;
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
        Ok(Self { envoy, address, runtime, listeners })
    }

    /// Replaces the listener of a gateway started with [`Gateway::start_dynamic`]; Envoy notices by itself.
    ///
    /// # Errors
    /// When the listener is not a dynamic one, or the file cannot be written.
    pub fn update(&self, setup: &Setup) -> Result<()> {
        let directory = self.listeners.as_ref().context("the listener is a fixed one")?;
        write_listener(directory, &setup.launch()?.config)
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
        let stats = self.envoy.admin("/stats?filter=vm_reload")?;
        Ok(stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum())
    }
}

/// Envoy watches for the file being moved into place: it never sees half of it.
fn write_listener(directory: &TempDir, config: &Value) -> Result<()> {
    let mut listener = config.pointer("/static_resources/listeners/0").context("the config has no listener")?.clone();
    overlay(&mut listener, json!({"@type": "type.googleapis.com/envoy.config.listener.v3.Listener"}));
    let scratch = directory.path().join("scratch");
    fs::write(&scratch, json!({"resources": [listener]}).to_string())?;
    Ok(fs::rename(scratch, directory.path().join("listeners.json"))?)
}

/// Replaces keys of an object.
fn overlay(value: &mut Value, more: Value) {
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
}

/// Replaces values inside nested objects; what is no object is replaced as a whole.
fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(value), Value::Object(more)) => {
            for (key, inner) in more {
                merge(value.entry(key).or_insert(Value::Null), inner);
            }
        }
        (value, more) => *value = more,
    }
}

/// The smallest number with which workers can disagree.
const WORKERS: u32 = 2;
