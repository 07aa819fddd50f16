//! Where clusters lead: two clusters that lead to one address lead to one application.

use std::collections::BTreeSet;

use super::listener::{Listener, tables};
use super::route::targets;
use crate::check::document::Node;

/// Names of clusters, and the addresses behind them.
pub type Places = BTreeSet<String>;

/// Where these clusters lead, through clusters of clusters and listeners within Envoy.
pub fn places<'n>(envoy: &Node, names: impl IntoIterator<Item = &'n str>) -> Places {
    let mut found = Places::new();
    let mut open: Vec<String> = names.into_iter().map(str::to_owned).collect();
    while let Some(name) = open.pop() {
        if !found.insert(name.clone()) {
            continue;
        }
        let mut clusters = envoy.list("static_resources/clusters").iter();
        let Some(cluster) = clusters.find(|cluster| cluster.text("name") == name) else { continue };
        for member in cluster.list("cluster_type/typed_config/clusters") {
            open.push(member.as_text().unwrap_or_else(|| member.text("name")).to_owned());
        }
        for endpoint in cluster.list("load_assignment/endpoints").iter().flat_map(|group| group.list("lb_endpoints")) {
            let Some(address) = endpoint.at("endpoint/address") else { continue };
            match address.get("envoy_internal_address") {
                Some(within) => open.extend(behind(envoy, within.text("server_listener_name"))),
                None => found.extend(shown(address)),
            }
        }
    }
    found
}

/// The clusters behind a listener within Envoy.
fn behind(envoy: &Node, name: &str) -> Vec<String> {
    let mut listeners = envoy.list("static_resources/listeners").iter();
    let Some(listener) = listeners.find(|listener| listener.text("name") == name) else { return Vec::new() };
    let managers = Listener(listener).managers();
    let hosts = managers.iter().flat_map(|manager| tables(manager.node)).flat_map(|table| table.list("virtual_hosts"));
    let routes = hosts.flat_map(|host| host.list("routes"));
    let mut found: Vec<String> = routes.flat_map(targets).map(|target| target.name.to_owned()).collect();
    let plain = Listener(listener).filter_chains().flat_map(|chain| chain.list("filters"));
    found.extend(plain.flat_map(named).map(|(name, _)| name.to_owned()));
    found
}

/// The clusters that a filter of a listener, which is no connection manager, sends to, and where it says so.
pub fn named(filter: &Node) -> Vec<(&str, &Node)> {
    let mut found = Vec::new();
    if !filter.type_name().ends_with("HttpConnectionManager") {
        collect(filter, &mut found);
    }
    found
}

fn collect<'a>(node: &'a Node, found: &mut Vec<(&'a str, &'a Node)>) {
    for (key, child) in node.entries() {
        match child.as_text() {
            Some(name) if key == "cluster" => found.push((name, child)),
            _ if ["weighted_clusters", "weightedClusters"].contains(&key.as_str()) => {
                let entries = child.list("clusters").iter();
                found.extend(entries.map(|entry| (entry.text("name"), entry)));
            }
            _ => collect(child, found),
        }
    }
    node.items().iter().for_each(|child| collect(child, found));
}

/// Whether what comes decides where this cluster leads: by its host, or by where it was going.
pub fn is_chosen(envoy: &Node, name: &str) -> bool {
    let mut clusters = envoy.list("static_resources/clusters").iter();
    clusters.find(|cluster| cluster.text("name") == name).is_some_and(|cluster| {
        cluster.text("type") == "ORIGINAL_DST"
            || cluster.text("cluster_type/typed_config/@type").contains(".dynamic_forward_proxy.")
    })
}

fn shown(address: &Node) -> Option<String> {
    if let Some(pipe) = address.get("pipe") {
        return Some(format!("unix:{}", pipe.text("path")));
    }
    let socket = address.get("socket_address")?;
    let host = Some(socket.text("address")).filter(|host| *host != "localhost").unwrap_or("127.0.0.1");
    let port = socket.get("port_value").and_then(Node::as_number)?;
    Some(format!("{host}:{port}"))
}
