//! The filters of Gatepost in a whole Envoy config, and what stands in a filter's own entry.

use gatepost_core::config::Config;

use super::Circumstances;
use super::document::{self, Node};
use super::finding::{Findings, Severity};
use super::listeners::{Listener, Manager};
use super::plugin::{self, Environment, Source};

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

    /// Checks its entry and its config; gives what the filter's parser made of it, if it is right.
    pub fn check(&self, settings: &Settings<'_>, findings: &mut Findings) -> Option<Config> {
        self.check_entry(findings);
        let environment = Environment {
            variables: self.wasm.at("vm_config/environment_variables"),
            is_whole: true,
            circumstances: settings.circumstances,
        };
        let source =
            Source { tree: &self.tree, bytes: &self.bytes, environment: &environment, exposure: settings.exposure };
        let config = plugin::check(&source, findings)?;
        if self.delivers() && !config.enabled {
            let at = self.tree.nearest("enabled");
            findings.note(at, "not-enabled", "enabled", "the filter is off and sends nothing; write enabled: true");
        }
        Some(config)
    }

    fn check_entry(&self, findings: &mut Findings) {
        let path = self.path();
        if !self.wasm.is_true("allow_on_headers_stop_iteration") {
            let at = self.wasm.nearest("allow_on_headers_stop_iteration");
            let message = "Envoy would never show the filter a body, and every event and every request to be verified \
                           would hang; write allow_on_headers_stop_iteration: true";
            findings.error(at, "no-stop-iteration", &path, message);
        }
        self.check_failure_policy(&path, findings);
        if self.identity().1.is_empty() {
            let message = "its state is shared with every other filter that has no vm_id; write vm_id: gatepost";
            findings.error(self.wasm.nearest("vm_config/vm_id"), "no-vm-id", &path, message);
        }
    }

    fn check_failure_policy(&self, path: &str, findings: &mut Findings) {
        let wasm = self.wasm;
        if wasm.is_true("fail_open") || wasm.text("failure_policy") == "FAIL_OPEN" {
            let at = wasm.get("fail_open").unwrap_or_else(|| wasm.nearest("failure_policy"));
            let message = if self.verifies() {
                "after a trap requests reach the application unverified; write failure_policy: FAIL_RELOAD"
            } else {
                "after a trap events pass the filter by, unsigned and undelivered, and the producer is told nothing; \
                 write failure_policy: FAIL_RELOAD"
            };
            findings.error(at, "fail-open", path, message);
        } else if wasm.text("failure_policy") != "FAIL_RELOAD" {
            let message = "a worker whose VM trapped would answer 503 for ever; write failure_policy: FAIL_RELOAD";
            findings.error(wasm.nearest("failure_policy"), "failure-policy", path, message);
        }
    }
}

/// What holds for every filter of a file.
pub struct Settings<'a> {
    /// Where and when it is checked.
    pub circumstances: &'a Circumstances<'a>,
    /// How bad a weak or visible secret is.
    pub exposure: Severity,
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

/// What concerns filters together.
pub fn check_together(filters: &[Filter<'_>], findings: &mut Findings) {
    for (number, filter) in filters.iter().enumerate() {
        let (name, vm_id) = filter.identity();
        let others = || {
            filters.iter().enumerate().filter(move |(at, other)| *at != number && other.identity() == filter.identity())
        };
        if filter.delivers() {
            let earlier = others().find(|(at, other)| *at < number && other.delivers() && !is_same(filter, other));
            if let Some((_, other)) = earlier {
                let message = format!(
                    "the name {name} and the vm_id {vm_id} are those of the {} too (line {}), whose config is another: \
                     each would deliver by its own; give it a name of its own",
                    other.path(),
                    other.wasm.nearest("name").line()
                );
                findings.error(filter.wasm.nearest("name"), "name-twice", &filter.path(), message);
            }
        } else if filter.tree.get("admin").is_some()
            && !filter.verifies()
            && !others().any(|(_, other)| other.delivers())
        {
            let message = format!(
                "its admin surface is that of a filter with the name {name:?} and the vm_id {vm_id:?}, and none that \
                 delivers has both; write those of the filter it is for"
            );
            findings.error(filter.wasm.nearest("name"), "admin-of-nobody", &filter.path(), message);
        }
    }
}

fn is_same(one: &Filter<'_>, other: &Filter<'_>) -> bool {
    one.tree.to_json() == other.tree.to_json()
}
