//! The runtime of an Envoy config: values that Envoy looks up by a key with dots in it.

use crate::check::document::Node;

/// The layers of `layered_runtime`.
pub struct Runtime<'a>(&'a [Node]);

impl<'a> Runtime<'a> {
    /// The runtime of a whole Envoy config.
    pub fn of(envoy: &'a Node) -> Self {
        Self(envoy.list("layered_runtime/layers"))
    }

    /// The value of a key, in whatever mixture of dots and nesting it is written. A later layer overrides an earlier one.
    pub fn value(&self, key: &str) -> Option<&'a Node> {
        let layers = self.0.iter().rev().filter_map(|layer| layer.get("static_layer"));
        layers.filter_map(|layer| find(layer, key)).next()
    }

    /// Whether a layer has values that are not in this file.
    pub fn is_elsewhere(&self) -> bool {
        let elsewhere = ["disk_layer", "rtds_layer"];
        self.0.iter().any(|layer| elsewhere.iter().any(|key| layer.get(key).is_some()))
    }
}

fn find<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.entries().iter().find_map(|(name, value)| match key.strip_prefix(name.as_str())? {
        "" => Some(value),
        rest => find(value, rest.strip_prefix('.')?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::document::read;

    fn value(text: &str) -> Option<u64> {
        Runtime::of(&read(text).unwrap()).value("http.async_response_buffer_limit").and_then(Node::as_number)
    }

    #[test]
    fn a_runtime_key_is_found_with_dots_and_nested() {
        let layers = |layer: &str| format!("layered_runtime: {{ layers: [{layer}] }}");
        assert_eq!(value(&layers("{ static_layer: { http.async_response_buffer_limit: 7 } }")), Some(7));
        assert_eq!(value(&layers("{ static_layer: { http: { async_response_buffer_limit: 7 } } }")), Some(7));
        assert_eq!(value(&layers("{ static_layer: { http.async: 1, http: { other: 1 } } }")), None);
        assert_eq!(value(&layers("{ admin_layer: {} }")), None);
    }

    #[test]
    fn of_two_runtime_layers_the_later_one_counts() {
        let layer = |value| format!("{{ static_layer: {{ http.async_response_buffer_limit: {value} }} }}");
        assert_eq!(value(&format!("layered_runtime: {{ layers: [{}, {}] }}", layer(1), layer(2))), Some(2));
    }
}
