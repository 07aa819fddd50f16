//! An example of the repository, as a value that can be changed: what the demo and the tests run is what a user copies.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::{artifact, workspace};

/// The listener that takes events.
pub const LISTENER: &str = "public";
/// The listener of the admin surface.
pub const ADMIN_LISTENER: &str = "admin";
/// The token of the admin surface, as the value of an `authorization` header (RFC 6750).
pub const ADMIN_AUTHORIZATION: &str = "Bearer demo-admin-demo-admin-demo-admin";
/// The user and password that a producer is let in with, as `curl -u` takes them.
pub const USER: &str = "shop:demo";
/// The same as the value of an `authorization` header (RFC 7617).
pub const AUTHORIZATION: &str = "Basic c2hvcDpkZW1v";

/// A whole Envoy config.
#[derive(Clone, Debug)]
pub struct Example {
    config: Value,
}

impl Example {
    /// `envoy/envoy.yaml` as it is in the repository, with the filter built from this source.
    ///
    /// # Errors
    /// When the file is not YAML of the shape we know, or the filter does not build.
    pub fn load() -> Result<Self> {
        Self::load_file("envoy/envoy.yaml")
    }

    /// The same of another example, such as `envoy/inbound.yaml`.
    ///
    /// # Errors
    /// When the file is not YAML of the shape we know, or the filter does not build.
    pub fn load_file(file: &str) -> Result<Self> {
        let mut example = Self::read(file)?;
        example.set_wasm(&artifact::wasm("gatepost")?)?;
        Ok(example)
    }

    /// An example that runs a filter built before, if there is one.
    fn read(file: &str) -> Result<Self> {
        let path = workspace::root()?.join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { config: serde_saphyr::from_str(&text).context(file.to_owned())? })
    }

    /// The config, to hand to Envoy.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The config, to change what has no method here.
    pub fn config_mut(&mut self) -> &mut Value {
        &mut self.config
    }

    /// Lets Envoy choose its ports: `Envoy::listener` and `Envoy::admin_address` tell which.
    ///
    /// # Errors
    /// When the config has no listener or admin address.
    pub fn use_free_ports(&mut self) -> Result<()> {
        *at(&mut self.config, "/admin/address/socket_address/port_value")? = json!(0);
        for listener in 0..self.listeners()? {
            let port = format!("/static_resources/listeners/{listener}/address/socket_address/port_value");
            *at(&mut self.config, &port)? = json!(0);
        }
        Ok(())
    }

    /// The filter's own config: routes, endpoints, limits.
    ///
    /// # Errors
    /// When the config has no such filter.
    pub fn plugin(&mut self) -> Result<&mut Value> {
        at(self.wasm()?, "/configuration/value")
    }

    /// The tokens of the admin surface.
    ///
    /// # Errors
    /// When the config has no such surface.
    pub fn admin_tokens(&mut self) -> Result<&mut Vec<Value>> {
        let tokens = at(self.wasm_of(1)?, "/configuration/value/admin/tokens")?;
        tokens.as_array_mut().context("the tokens are a list")
    }

    /// The value of an environment variable that the config gives to the filter.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn variable(&mut self, name: &str) -> Result<String> {
        let value = at(self.wasm()?, "/vm_config/environment_variables/key_values")?.get(name);
        Ok(value.and_then(Value::as_str).with_context(|| format!("no variable {name} in the example"))?.to_owned())
    }

    /// Runs this file as the filter.
    ///
    /// # Errors
    /// When the config has no such filter.
    pub fn set_wasm(&mut self, path: &Path) -> Result<()> {
        for listener in 0..self.listeners()? {
            *at(self.wasm_of(listener)?, "/vm_config/code/local/filename")? = json!(path);
        }
        Ok(())
    }

    /// Sends what a cluster is asked for to this address, `host:port`.
    ///
    /// # Errors
    /// When the config has no such cluster, or the address no port.
    pub fn set_cluster(&mut self, name: &str, address: &str) -> Result<()> {
        self.set_members(name, &[address])
    }

    /// Sends what a cluster is asked for to all of these addresses in turn, `host:port` each.
    ///
    /// # Errors
    /// When the config has no such cluster, or an address no port.
    pub fn set_members(&mut self, name: &str, addresses: &[&str]) -> Result<()> {
        let member = |address: &&str| {
            let (host, port) = address.rsplit_once(':').with_context(|| format!("no port in {address}"))?;
            let socket = json!({"address": host, "port_value": port.parse::<u16>()?});
            Ok(json!({"endpoint": {"address": {"socket_address": socket}}}))
        };
        let members = addresses.iter().map(member).collect::<Result<Vec<_>>>()?;
        let cluster = named(at(&mut self.config, CLUSTERS)?, name)?;
        *at(cluster, "/load_assignment/endpoints/0/lb_endpoints")? = json!(members);
        Ok(())
    }

    /// Gives a cluster another name; what names it is left to the caller.
    ///
    /// # Errors
    /// When the config has no such cluster.
    pub fn rename_cluster(&mut self, name: &str, new: &str) -> Result<()> {
        let cluster = named(at(&mut self.config, CLUSTERS)?, name)?;
        *at(cluster, "/name")? = json!(new);
        *at(cluster, "/load_assignment/cluster_name")? = json!(new);
        Ok(())
    }

    /// Adds a cluster of this name, a copy of the first one, unless there is one.
    ///
    /// # Errors
    /// When the config has no cluster to copy.
    pub fn add_cluster(&mut self, name: &str) -> Result<()> {
        let clusters = at(&mut self.config, CLUSTERS)?;
        if named(clusters, name).is_err() {
            let mut copy = at(clusters, "/0")?.clone();
            *at(&mut copy, "/name")? = json!(name);
            *at(&mut copy, "/load_assignment/cluster_name")? = json!(name);
            clusters.as_array_mut().context("clusters are a list")?.push(copy);
        }
        Ok(())
    }

    /// The `PluginConfig` of the filter that takes events.
    ///
    /// # Errors
    /// When the config has no such filter.
    pub fn wasm(&mut self) -> Result<&mut Value> {
        self.wasm_of(0)
    }

    /// The number of listeners: each runs the filter, and the one for events is the first.
    fn listeners(&mut self) -> Result<usize> {
        Ok(at(&mut self.config, "/static_resources/listeners")?.as_array().context("listeners are a list")?.len())
    }

    fn wasm_of(&mut self, listener: usize) -> Result<&mut Value> {
        let chain = format!("/static_resources/listeners/{listener}/filter_chains/0");
        let filters = at(&mut self.config, &format!("{chain}/filters/0/typed_config/http_filters"))?;
        at(named(filters, "gatepost")?, "/typed_config/config")
    }
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> Result<&'a mut Value> {
    value.pointer_mut(pointer).ok_or_else(|| anyhow!("the example has no {pointer}"))
}

fn named<'a>(list: &'a mut Value, name: &str) -> Result<&'a mut Value> {
    let entries = list.as_array_mut().into_iter().flatten();
    let mut found = entries.filter(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    found.next().ok_or_else(|| anyhow!("the example has nothing named {name}"))
}

const CLUSTERS: &str = "/static_resources/clusters";

#[cfg(test)]
mod tests {
    use super::*;

    /// What is explained in envoy/envoy.yaml holds for envoy/fleet.yaml too.
    #[test]
    fn fleet_example_is_the_other_and_the_journal() {
        let one = Example::read("envoy/envoy.yaml").unwrap();
        let mut fleet = Example::read("envoy/fleet.yaml").unwrap();
        let journal = fleet.plugin().unwrap().as_object_mut().unwrap().remove("journal").unwrap();
        let clusters = at(&mut fleet.config, CLUSTERS).unwrap().as_array_mut().unwrap();
        let etcd = clusters.pop().unwrap();
        assert_eq!(fleet.config, one.config);
        assert_eq!(etcd["name"], journal["etcd"]["cluster"]);
    }

    #[test]
    fn members_replace_those_of_the_example() {
        let mut fleet = Example::read("envoy/fleet.yaml").unwrap();
        fleet.set_members("etcd", &["127.0.0.1:1", "10.0.0.1:2"]).unwrap();
        let cluster = named(at(&mut fleet.config, CLUSTERS).unwrap(), "etcd").unwrap();
        let members = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].as_array().unwrap();
        let ports = members.iter().map(|member| member["endpoint"]["address"]["socket_address"]["port_value"].clone());
        assert_eq!(ports.collect::<Vec<_>>(), [json!(1), json!(2)]);
        assert!(fleet.set_members("etcd", &["nowhere"]).unwrap_err().to_string().contains("no port in nowhere"));
    }
}
