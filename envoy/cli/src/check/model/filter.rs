//! A filter of Gatepost in an Envoy config.

use super::listener::{Listener, Manager};
use crate::check::document::{self, Node};

/// A filter of Gatepost and where it stands.
pub struct Filter<'a> {
    /// The listener it is on.
    pub listener: &'a Listener<'a>,
    /// The filter chain of the listener: its TLS.
    pub filter_chain: &'a Node,
    /// The config of the `http_connection_manager` it is in.
    pub manager: &'a Node,
    /// The filters of that, in their order.
    pub chain: &'a [Node],
    /// Its number among them.
    pub place: usize,
    /// Its entry.
    pub node: &'a Node,
    /// Its `typed_config.config`, a `PluginConfig`.
    pub wasm: &'a Node,
    /// Its config, with lines.
    pub tree: Node,
    /// Its config as Envoy hands it over.
    pub bytes: Vec<u8>,
}

impl<'a> Filter<'a> {
    /// The filter of that number, if it is one of Gatepost's. `lines` is the file: it tells what is a block of text.
    pub fn find(listener: &'a Listener<'a>, manager: Manager<'a>, place: usize, lines: &[&str]) -> Option<Self> {
        let Manager { filter_chain, node: manager } = manager;
        let chain = manager.list("http_filters");
        let node = chain.get(place)?;
        if !node.type_name().ends_with("filters.http.wasm.v3.Wasm") {
            return None;
        }
        let wasm = node.at("typed_config/config")?;
        let (tree, bytes) = configuration(wasm, lines);
        let is_ours = ["routes", "endpoints", "inbound", "admin"].iter().any(|key| tree.get(key).is_some());
        let is_named = [node.text("name"), wasm.text("name"), wasm.text("vm_config/code/local/filename")]
            .iter()
            .any(|name| name.to_ascii_lowercase().contains("gatepost"));
        (is_ours || is_named).then_some(Self { listener, filter_chain, manager, chain, place, node, wasm, tree, bytes })
    }

    /// What to call it.
    pub fn path(&self) -> String {
        format!("filter {} of listener {}", self.node.text("name"), self.listener.name())
    }

    /// What its state and metrics are kept under.
    pub fn identity(&self) -> (&str, &str) {
        (self.wasm.text("name"), self.wasm.text("vm_config/vm_id"))
    }

    /// Whether it takes events.
    pub fn delivers(&self) -> bool {
        ["routes", "endpoints"].iter().any(|key| self.tree.get(key).is_some())
    }

    /// Whether it verifies requests. One that does neither only shows and changes what another does.
    pub fn verifies(&self) -> bool {
        self.tree.get("inbound").is_some()
    }
}

/// A filter's config: the tree, and the bytes that Envoy makes of it.
fn configuration(wasm: &Node, lines: &[&str]) -> (Node, Vec<u8>) {
    let Some(value) = wasm.at("configuration/value").or_else(|| wasm.get("configuration")) else {
        return (Node::absent(wasm.line()), Vec::new());
    };
    let Some(text) = value.as_text() else {
        return (value.clone(), value.to_json().to_string().into_bytes());
    };
    let tree = match document::read(text) {
        // Behind "value: |" the text's lines are the file's. Elsewhere they are all there is to go by.
        Ok(tree) if is_block(lines, value.line()) => tree.moved_down(value.line()),
        Ok(tree) => tree.all_on(value.line()),
        // The filter's parser says what is wrong with it.
        Err(_) => value.clone(),
    };
    (tree, text.as_bytes().to_vec())
}

fn is_block(lines: &[&str], line: usize) -> bool {
    let begins = line.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default().trim_end();
    begins.trim_end_matches(|c: char| c.is_ascii_digit() || "+-".contains(c)).ends_with(": |")
}
