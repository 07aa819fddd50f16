//! Gateways that run the example, each an Envoy of its own, with one receiver behind them.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::example::{ADMIN_LISTENER, AUTHORIZATION, Example, LISTENER};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::{http, wait};
use serde_json::{Value, json};

/// What a busy machine may take for what else takes a moment.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The secret of the example's endpoint `billing`.
pub const SECRET: &str = "demo-billing";

pub struct Site {
    pub receiver: Receiver,
    pub gateways: Vec<Envoy>,
    config: Value,
}

impl Site {
    /// So many gateways; the keys of `more` replace those of the example's plugin config.
    pub fn start(gateways: usize, more: Value) -> Result<Self> {
        let endpoints = [("billing", SECRET), ("audit", "demo-audit")];
        let receiver = Receiver::start(&endpoints, &Options::default())?;
        let mut example = Example::load()?;
        example.use_free_ports()?;
        for (endpoint, _) in endpoints {
            example.set_cluster(endpoint, receiver.address())?;
        }
        let plugin = example.plugin()?.as_object_mut().context("the plugin's config is an object")?;
        plugin.extend(more.as_object().cloned().unwrap_or_default());
        // Envoy counts the requests to its own admin interface as those of `admin`, which is the example's name too.
        let prefix = "/static_resources/listeners/1/filter_chains/0/filters/0/typed_config/stat_prefix";
        *example.config_mut().pointer_mut(prefix).context("the admin listener")? = json!("surface");
        let config = example.config().clone();
        let mut site = Self { receiver, gateways: Vec::new(), config };
        for _ in 0..gateways {
            site.add()?;
        }
        Ok(site)
    }

    /// One gateway more, with the ports it is given by the system.
    pub fn add(&mut self) -> Result<()> {
        let launch = Launch { config: self.config.clone(), workers: 2, env: vec![], arguments: vec![] };
        let envoy = Envoy::start(&launch)?;
        let health = format!("{}/health", surface(&envoy)?);
        // Before that no configuration has begun to deliver.
        wait::until("the gateway begins", DEADLINE, || {
            Ok((http::client().get(&health).call()?.status() == 200).then_some(()))
        })?;
        self.gateways.push(envoy);
        Ok(())
    }

    /// What each of them was started with.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The gateway of this number ends; gives back where it listened.
    pub fn end(&mut self, number: usize) -> Result<[String; 2]> {
        let old = self.gateways.remove(number);
        Ok([old.listener(LISTENER)?, old.listener(ADMIN_LISTENER)?])
    }

    /// Another one is started in the place of one that ended, and listens where that did.
    pub fn start_again(&mut self, number: usize, listened: &[String; 2]) -> Result<()> {
        let config = self.config.clone();
        for (at, address) in listened.iter().enumerate() {
            let port: u16 = address.rsplit_once(':').context("a port")?.1.parse()?;
            let place = format!("/static_resources/listeners/{at}/address/socket_address/port_value");
            *self.config.pointer_mut(&place).context("a listener")? = json!(port);
        }
        self.add()?;
        self.config = config;
        let new = self.gateways.pop().context("a gateway")?;
        self.gateways.insert(number, new);
        Ok(())
    }

    /// The admin surfaces of all of them, as GATEPOST_GATEWAYS wants them.
    pub fn surfaces(&self) -> Result<String> {
        Ok(self.gateways.iter().map(surface).collect::<Result<Vec<_>>>()?.join(","))
    }

    /// Events of this type for the gateway of this number.
    pub fn send(&self, number: usize, event: &str, events: usize) -> Result<()> {
        let url = format!("http://{}/events/{event}", self.gateways[number].listener(LISTENER)?);
        for _ in 0..events {
            let request = http::client().post(&url).header("authorization", AUTHORIZATION);
            let mut answer = request.content_type("application/json").send("{\"amount\":42}")?;
            ensure!(answer.status() == 202, "{}: {}", answer.status(), answer.body_mut().read_to_string()?);
        }
        Ok(())
    }

    /// Runs a command against all of them.
    pub fn gatepost(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments)?.output()?)
    }

    /// The same, to be started.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command
            .args(arguments)
            .env("GATEPOST_GATEWAYS", self.surfaces()?)
            .env("GATEPOST_ADMIN_TOKEN", "demo-admin-demo-admin-demo-admin");
        Ok(command)
    }

    /// What a command prints as JSON, and its exit code.
    pub fn json(&self, arguments: &[&str]) -> Result<(Value, Option<i32>)> {
        let output = self.gatepost(arguments)?;
        let shown = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&shown).with_context(|| {
            format!("{arguments:?} printed {shown:?} and said {:?}", String::from_utf8_lossy(&output.stderr))
        });
        Ok((value?, output.status.code()))
    }

    /// How the gateway of this number stands.
    pub fn status(&self, number: usize) -> Result<Value> {
        self.get(number, "status")
    }

    /// What the gateway of this number answers to a GET.
    pub fn get(&self, number: usize, path: &str) -> Result<Value> {
        let url = format!("{}/{path}", surface(&self.gateways[number])?);
        let request = http::client().get(url).header("authorization", "Bearer demo-admin-demo-admin-demo-admin");
        Ok(request.call()?.body_mut().read_json()?)
    }

    /// How many requests the admin surface of the gateway of this number has answered well.
    pub fn answered(&self, number: usize) -> Result<u64> {
        self.gateways[number].stat("http.surface.downstream_rq_2xx")
    }

    /// Waits until the hours of a gateway tell of so many deliveries to an endpoint: they are written once a second.
    pub fn wait_for_hours(&self, number: usize, endpoint: &str, delivered: u64) -> Result<()> {
        wait::until("the hours tell of all deliveries", DEADLINE, || {
            let answer = self.get(number, &format!("hours?endpoint={endpoint}&hours=2"))?;
            let hours = answer["hours"].as_array().into_iter().flatten();
            let sum: u64 = hours.filter_map(|hour| hour["delivered"].as_u64()).sum();
            Ok((sum == delivered).then_some(()))
        })
    }

    /// Waits until the log of a gateway holds this, and gives all of it back.
    pub fn wait_for_log(&self, number: usize, wanted: &str) -> Result<String> {
        wait::until(&format!("{wanted} in the log"), DEADLINE, || {
            Ok(Some(self.gateways[number].log()?).filter(|log| log.contains(wanted)))
        })
    }

    /// Waits until the status of a gateway is as it should be.
    pub fn wait_for(&self, number: usize, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        wait::until(what, DEADLINE, || {
            last = self.status(number)?;
            Ok(holds(&last).then_some(()))
        })
        .with_context(|| last.to_string())?;
        Ok(last)
    }
}

/// The admin surface of a gateway.
pub fn surface(envoy: &Envoy) -> Result<String> {
    Ok(format!("http://{}/gatepost", envoy.listener(ADMIN_LISTENER)?))
}
