//! What to run: the example config, with a plugin config of the test's own and what is put around it.

use std::path::PathBuf;

use anyhow::{Context, Result};
use gatepost_kit::envoy::Launch;
use gatepost_kit::etcd::Etcd;
use gatepost_kit::example::Example;
use gatepost_kit::receiver::Receiver;
use serde_json::{Value, json};

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
    /// Tokens of the admin surface besides the example's, with their roles.
    tokens: Vec<(String, String)>,
    /// Laid over the `PluginConfig`.
    around: Value,
    /// The filter, when it is not the one that is released.
    wasm: Option<PathBuf>,
    /// The public listener serves the admin surface too.
    administered: bool,
    /// The paths of the application behind the filter, and its cluster, which is called under its own name.
    application: Option<(String, String)>,
    arguments: Vec<String>,
    /// The members of the etcd that the journal is on, and what is laid over the section `journal` of envoy/fleet.yaml.
    journal: Option<(Vec<String>, Value)>,
    /// Merged into Envoy's whole config.
    bootstrap: Value,
}

impl Setup {
    /// This plugin config, its endpoints' clusters as the example has them.
    pub fn bare(plugin: Value) -> Self {
        Self {
            plugin,
            clusters: Vec::new(),
            env: Vec::new(),
            as_text: false,
            tokens: Vec::new(),
            around: json!({}),
            wasm: None,
            administered: false,
            application: None,
            arguments: Vec::new(),
            journal: None,
            bootstrap: json!({}),
        }
    }

    /// One route, `POST /events/{event}`, to these endpoints, all of them at this receiver.
    pub fn new(receiver: &Receiver, endpoints: &[Value]) -> Self {
        let setup = Self::bare(json!({
            "enabled": true,
            "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
            "endpoints": endpoints,
        }));
        let names = endpoints.iter().filter_map(|entry| entry.get("name").and_then(Value::as_str));
        names.fold(setup, |setup, name| setup.with_cluster(name, receiver.address()))
    }

    /// The example's own config, its two endpoints at this receiver.
    ///
    /// # Errors
    /// When the example does not have the shape we know, or the filter does not build.
    pub fn example(receiver: &Receiver) -> Result<Self> {
        let setup = Self::bare(Example::load()?.plugin()?.clone());
        Ok(["billing", "audit"].into_iter().fold(setup, |setup, name| setup.with_cluster(name, receiver.address())))
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

    /// Lets the holder of a token ask the admin surface, which has a listener of its own.
    #[must_use]
    pub fn with_token(mut self, token: &str, role: &str) -> Self {
        self.tokens.push((token.to_owned(), role.to_owned()));
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

    /// Lets requests to `/gatepost` reach the filter that takes events, so that the section `admin` of its own config
    /// says what they may do.
    #[must_use]
    pub fn administered(mut self) -> Self {
        self.administered = true;
        self
    }

    /// Lets requests below `path` reach the filter, and what it lets by the application: the receiver at this address,
    /// where it is the endpoint `name`.
    #[must_use]
    pub fn with_application(self, path: &str, name: &str, address: &str) -> Self {
        let application = Some((path.to_owned(), name.to_owned()));
        Self { application, ..self.with_cluster(name, address) }
    }

    /// Adds arguments to Envoy's command line.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Makes it a gateway of a fleet, as envoy/fleet.yaml has it: its journal is on this etcd. `more` is laid over the
    /// section `journal`.
    #[must_use]
    pub fn with_journal(mut self, etcd: &Etcd, more: Value) -> Self {
        let members = etcd.addresses().into_iter().map(str::to_owned).collect();
        self.journal = Some((members, more));
        self
    }

    /// Merges more keys into Envoy's whole config.
    #[must_use]
    pub fn with_bootstrap(mut self, bootstrap: Value) -> Self {
        self.bootstrap = bootstrap;
        self
    }

    /// How Envoy is started for this, with the listener in its config.
    ///
    /// # Errors
    /// When the example does not have the shape we know, or the filter does not build.
    pub fn launch(&self) -> Result<Launch> {
        let (mut example, plugin) = self.example_and_plugin()?;
        example.use_free_ports()?;
        if self.as_text {
            let text = json!({
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": plugin.to_string(),
            });
            overlay(example.wasm()?, json!({"configuration": text}));
        } else {
            *example.plugin()? = plugin;
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
        let tokens = self.tokens.iter().map(|(token, role)| json!({"value": token, "role": role}));
        example.admin_tokens()?.extend(tokens);
        let mut config = example.config().clone();
        let listener = config.pointer_mut(LISTENER_AT).context("the example has no listener")?;
        overlay(listener, json!({"connection_balance_config": {"exact_balance": {}}}));
        let routes = listener.pointer_mut(ROUTES_AT).and_then(Value::as_array_mut);
        let routes = routes.context("the example has no routes")?;
        let on = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
        let mut serve = |path: &str, more: Value| {
            let mut route =
                json!({"match": {"path_separated_prefix": path}, "typed_per_filter_config": {"gatepost": on}});
            overlay(&mut route, more);
            routes.insert(0, route);
        };
        if self.administered {
            serve("/gatepost", json!({"direct_response": {"status": 404}}));
        }
        if let Some((path, name)) = &self.application {
            let rewrite = json!({"pattern": {"regex": "^.*$"}, "substitution": format!("/{name}")});
            serve(path, json!({"route": {"cluster": name, "regex_rewrite": rewrite}}));
        }
        merge(&mut config, self.bootstrap.clone());
        Ok(Launch { config, workers: WORKERS, env: self.env.clone(), arguments: self.arguments.clone() })
    }

    /// The example that this is laid over, and the plugin's config, with its journal if it has one.
    fn example_and_plugin(&self) -> Result<(Example, Value)> {
        let mut plugin = self.plugin.clone();
        let Some((members, more)) = &self.journal else { return Ok((Example::load()?, plugin)) };
        let mut example = Example::load_file("envoy/fleet.yaml")?;
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        example.set_members("etcd", &members)?;
        example.rename_cluster("etcd", CLUSTER_OF_ETCD)?;
        let mut journal = example.plugin()?.get("journal").context("the example has no journal")?.clone();
        overlay(&mut journal, more.clone());
        *journal.pointer_mut("/etcd/cluster").context("the journal names no cluster")? = json!(CLUSTER_OF_ETCD);
        overlay(&mut plugin, json!({"journal": journal}));
        Ok((example, plugin))
    }
}

/// The cluster of the journal's etcd. Its name is by chance a message of protobuf, which Envoy tries to read before it takes
/// the target of a stream for the name of a cluster.
const CLUSTER_OF_ETCD: &str = "etcd1";

/// Replaces keys of an object.
pub(crate) fn overlay(value: &mut Value, more: Value) {
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
}

/// Replaces values inside nested objects; what is no object is replaced as a whole.
pub(crate) fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(value), Value::Object(more)) => {
            for (key, inner) in more {
                merge(value.entry(key).or_insert(Value::Null), inner);
            }
        }
        (value, more) => *value = more,
    }
}

/// Where the listener for events is in the example.
pub(crate) const LISTENER_AT: &str = "/static_resources/listeners/0";
/// Where its routes are.
pub(crate) const ROUTES_AT: &str = "/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes";
/// The smallest number with which workers can disagree.
pub(crate) const WORKERS: u32 = 2;
