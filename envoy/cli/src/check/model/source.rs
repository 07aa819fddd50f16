//! The filter's config as it stands in a file, and where its variables come from.

use gatepost_core::time::WallTime;

use crate::check::document::Node;
use crate::check::finding::Severity;

/// A filter's config as it stands in the file.
pub struct Source<'a> {
    /// The tree, with lines.
    pub tree: &'a Node,
    /// The bytes Envoy would hand to the filter.
    pub bytes: &'a [u8],
    /// Where variables come from.
    pub environment: &'a Environment<'a>,
    /// How bad a weak or visible secret is.
    pub exposure: Severity,
}

/// The environment of a filter.
pub struct Environment<'a> {
    /// `vm_config.environment_variables`; `None`: the file is a filter's config alone, and Envoy's is not known.
    pub variables: Option<&'a Node>,
    /// Whether this is a whole Envoy config, in which a name that is not passed on is not there.
    pub is_whole: bool,
    /// Where and when it is checked.
    pub circumstances: &'a Circumstances<'a>,
}

/// What a name in `{env: NAME}` gives.
pub enum Variable {
    /// A value.
    Set(String),
    /// Nothing here, but Envoy may have it where it runs.
    Unset,
    /// Nothing, wherever it runs.
    NotPassed,
}

impl Environment<'_> {
    /// What a name gives.
    pub fn variable(&self, name: &str) -> Variable {
        if let Some(value) = self.written(name) {
            return Variable::Set(value.as_text().map_or_else(|| value.to_json().to_string(), str::to_owned));
        }
        let keys = self.variables.map_or(&[][..], |variables| variables.list("host_env_keys"));
        if self.is_whole && !keys.iter().any(|key| key.as_text() == Some(name)) {
            return Variable::NotPassed;
        }
        (self.circumstances.host)(name).map_or(Variable::Unset, Variable::Set)
    }

    /// The entry of `key_values`, whose value anyone can read who reads the file or Envoy's `config_dump`.
    pub fn written(&self, name: &str) -> Option<&Node> {
        let entries = self.variables?.get("key_values")?.entries();
        entries.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }
}

/// Where and when a config is checked.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// The environment of this process.
    pub host: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a variable that is not set here is an error.
    pub is_strict_env: bool,
    /// Secrets are valid for a time.
    pub now: WallTime,
}

/// The entries of `signature`, which is one or a list of them, with their paths.
pub fn signatures<'a>(owner: &'a Node, path: &str) -> Vec<(String, &'a Node)> {
    match owner.get("signature") {
        None => Vec::new(),
        Some(one) if one.items().is_empty() => vec![(format!("{path}.signature"), one)],
        Some(list) => {
            list.items().iter().enumerate().map(|(at, node)| (format!("{path}.signature[{at}]"), node)).collect()
        }
    }
}
