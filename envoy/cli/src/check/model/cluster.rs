//! A cluster of an Envoy config.

use crate::check::document::Node;

/// `HttpProtocolOptions`, wherever they stand.
pub fn http_options(cluster: &Node) -> Option<&Node> {
    let options = cluster.get("typed_extension_protocol_options")?.entries().iter();
    options.map(|(_, options)| options).find(|options| options.text("@type").ends_with(".HttpProtocolOptions"))
}
