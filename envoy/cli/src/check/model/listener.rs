//! A listener of an Envoy config, and who can reach it.

use crate::check::document::Node;

/// A listener.
pub struct Listener<'a>(pub &'a Node);

/// An `http_connection_manager` of a listener.
#[derive(Clone, Copy)]
pub struct Manager<'a> {
    /// The filter chain it is in.
    pub filter_chain: &'a Node,
    /// Its `typed_config`.
    pub node: &'a Node,
}

impl<'a> Listener<'a> {
    /// Its name, or what to call it if it has none.
    pub fn name(&self) -> &'a str {
        Some(self.0.text("name")).filter(|name| !name.is_empty()).unwrap_or("without a name")
    }

    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        let others = self.0.list("additional_addresses").iter().map(|other| other.get("address"));
        std::iter::once(self.0.get("address")).chain(others).all(|address| address.is_none_or(is_loopback))
    }

    /// Whether only Envoy itself reaches it, by a cluster.
    pub fn is_internal(&self) -> bool {
        self.0.get("internal_listener").is_some()
    }

    /// Its filter chains, of which a connection takes one.
    pub fn filter_chains(&self) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.0.list("filter_chains").iter().chain(self.0.get("default_filter_chain"))
    }

    /// Its connection managers.
    pub fn managers(&self) -> Vec<Manager<'a>> {
        let mut managers = Vec::new();
        for filter_chain in self.filter_chains() {
            for filter in filter_chain.list("filters") {
                if filter.type_name().ends_with(".HttpConnectionManager") {
                    managers.extend(filter.get("typed_config").map(|node| Manager { filter_chain, node }));
                }
            }
        }
        managers
    }
}

/// The route tables of a connection manager that are in the file.
pub fn tables(manager: &Node) -> Vec<&Node> {
    let scopes = manager.list("scoped_routes/scoped_route_configurations_list/scoped_route_configurations").iter();
    let scoped = scopes.filter_map(|scope| scope.get("route_configuration"));
    manager.get("route_config").into_iter().chain(scoped).collect()
}

/// Whether an address is of this machine alone. A socket in the file system is.
pub fn is_loopback(address: &Node) -> bool {
    let Some(socket) = address.get("socket_address") else {
        return true;
    };
    let address = socket.text("address");
    address == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::read;

    /// A loopback address and a socket in the file system are of this machine alone.
    #[test]
    fn loopback_addresses_and_unix_sockets_are_local() {
        let is_local = |text: &str| Listener(&read(text).unwrap()).is_loopback();
        assert!(is_local("address: { socket_address: { address: 127.8.0.1, port_value: 1 } }"));
        assert!(is_local("address: { socket_address: { address: '::1', port_value: 1 } }"));
        assert!(is_local("address: { pipe: { path: /run/envoy.sock } }"));
        assert!(!is_local("address: { socket_address: { address: '::', port_value: 1 } }"));
        assert!(!is_local("address: { socket_address: { address: envoy.internal, port_value: 1 } }"));
        let two = "{ address: { pipe: { path: /a } }, additional_addresses: [{ address: { socket_address: { address: 10.0.0.1 } } }] }";
        assert!(!is_local(two));
    }
}
