//! The filter's own config, read by the filter's own parser, and what that cannot know: where its secrets come from and
//! how long they are.

use gatepost_core::config::{self, Config};

use super::document::Node;
use super::finding::{Finding, Findings, Severity};

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
    /// The environment of this process.
    pub host: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a variable that is not set here is an error.
    pub is_strict: bool,
}

/// What a name in `{env: NAME}` gives.
enum Variable {
    /// A value.
    Set(String),
    /// Nothing here, but Envoy may have it where it runs.
    Unset,
    /// Nothing, wherever it runs.
    NotPassed,
}

impl Environment<'_> {
    fn variable(&self, name: &str) -> Variable {
        if let Some(value) = self.written(name) {
            return Variable::Set(value.as_text().map_or_else(|| value.to_json().to_string(), str::to_owned));
        }
        let keys = self.variables.map_or(&[][..], |variables| variables.list("host_env_keys"));
        if self.is_whole && !keys.iter().any(|key| key.as_text() == Some(name)) {
            return Variable::NotPassed;
        }
        (self.host)(name).map_or(Variable::Unset, Variable::Set)
    }

    /// The entry of `key_values`, whose value anyone can read who reads the file or Envoy's `config_dump`.
    fn written(&self, name: &str) -> Option<&Node> {
        let entries = self.variables?.get("key_values")?.entries();
        entries.iter().find(|(key, _)| key == name).map(|(_, node)| node)
    }
}

/// Checks a filter's config. Gives what the parser made of it, if it is right.
pub fn check(source: &Source<'_>, findings: &mut Findings) -> Option<Config> {
    note_unset(source, findings);
    for secret in secrets(source.tree) {
        check_secret(source, &secret, findings);
    }
    let lookup = |name: &str| match source.environment.variable(name) {
        Variable::Set(value) => Some(value),
        Variable::Unset => Some(stand_in(source.tree, name).to_owned()),
        Variable::NotPassed => None,
    };
    match config::parse(source.bytes, &lookup) {
        Ok(config) => Some(config),
        Err(problems) => {
            for problem in problems {
                let message = format!("{}; expected {}", problem.what, problem.expected);
                let line = source.tree.line_of(&problem.path);
                findings.push(Finding { line, severity: Severity::Error, code: "config", path: problem.path, message });
            }
            None
        }
    }
}

/// What is taken for a variable that is not set here, so that the rest can be checked.
fn stand_in(tree: &Node, name: &str) -> &'static str {
    let is_of = |path: &str| tree.text(path) == name;
    if is_of("enabled/env") {
        "true"
    } else if is_of("rollout/percent/env") {
        "100"
    } else {
        "stand-in-of-thirty-two-bytes-xxx"
    }
}

fn note_unset(source: &Source<'_>, findings: &mut Findings) {
    let mut named = Vec::new();
    variables(source.tree, "", &mut named);
    let severity = if source.environment.is_strict { Severity::Error } else { Severity::Note };
    for (path, node) in named {
        let name = node.as_text().unwrap_or_default();
        if let Variable::Unset = source.environment.variable(name) {
            let message = format!("{name} is not set here: set it to have its value checked too");
            findings.add(severity, node, "env-unset", &path, message);
        }
    }
}

/// Every `{env: NAME}` with its path.
fn variables<'a>(node: &'a Node, path: &str, found: &mut Vec<(String, &'a Node)>) {
    for (key, child) in node.entries() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if key == "env" && child.as_text().is_some() {
            found.push((path, child));
        } else {
            variables(child, &path, found);
        }
    }
    for (number, child) in node.items().iter().enumerate() {
        variables(child, &format!("{path}[{number}]"), found);
    }
}

/// A secret or a token of the config.
struct Kept<'a> {
    path: String,
    node: &'a Node,
    kind: &'static Kind,
}

/// What is expected of a secret.
struct Kind {
    name: &'static str,
    literal: &'static str,
    short: &'static str,
    bytes_min: usize,
    make: &'static str,
}

/// HMAC-SHA256 gains nothing from a longer key, and loses with a shorter one (RFC 2104, section 3).
const SECRET: Kind = Kind {
    name: "secret",
    literal: "literal-secret",
    short: "secret-short",
    bytes_min: 32,
    make: "`gatepost secret` makes one",
};
/// 128 bits of hex or base64 have more; what has less was thought up by a person.
const TOKEN: Kind = Kind {
    name: "token",
    literal: "literal-token",
    short: "token-short",
    bytes_min: 16,
    make: "`gatepost secret` makes one",
};
/// Other people make it: its length is their affair.
const HEADER: Kind =
    Kind { name: "credential", literal: "literal-secret", short: "secret-short", bytes_min: 0, make: "" };

fn secrets(tree: &Node) -> Vec<Kept<'_>> {
    let mut kept = Vec::new();
    for (number, endpoint) in tree.list("endpoints").iter().enumerate() {
        for (at, node) in endpoint.list("secrets").iter().enumerate() {
            kept.push(Kept { path: format!("endpoints[{number}].secrets[{at}]"), node, kind: &SECRET });
        }
        for (name, node) in endpoint.get("headers").map_or(&[][..], Node::entries) {
            if is_credential(name) {
                kept.push(Kept { path: format!("endpoints[{number}].headers.{name}"), node, kind: &HEADER });
            }
        }
    }
    for (at, node) in tree.list("admin/tokens").iter().enumerate() {
        kept.push(Kept { path: format!("admin.tokens[{at}]"), node, kind: &TOKEN });
    }
    kept
}

fn is_credential(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "password"].iter().any(|word| header.contains(word))
}

fn check_secret(source: &Source<'_>, kept: &Kept<'_>, findings: &mut Findings) {
    let Kept { path, node, kind } = kept;
    let Kind { name, make, bytes_min, .. } = kind;
    let environment = source.environment;
    let literal = if node.as_text().is_some() { Some(*node) } else { node.get("value") };
    let (value, at) = if let Some(value) = literal {
        let message = format!(
            "the {name} stands in the file, and so in Envoy's config_dump; write {{env: NAME}}, and NAME under \
             vm_config.environment_variables.host_env_keys"
        );
        findings.add(source.exposure, value, kind.literal, path, message);
        (value.as_text().map(str::to_owned), value)
    } else if let Some(env) = node.get("env") {
        let variable = env.as_text().unwrap_or_default();
        if let Some(entry) = environment.written(variable) {
            let message = format!(
                "the {name} of {path} stands in the file, and so in Envoy's config_dump; write {variable} under \
                 host_env_keys instead, and set it in Envoy's environment"
            );
            findings.add(source.exposure, entry, "secret-in-key-values", "environment_variables.key_values", message);
        }
        match environment.variable(variable) {
            Variable::Set(value) => (Some(value), env),
            Variable::Unset | Variable::NotPassed => (None, env),
        }
    } else {
        return;
    };
    let length = value.map(|value| value.len()).filter(|length| (1..*bytes_min).contains(length));
    if let Some(length) = length {
        let message = format!("the {name} has {length} bytes; expected at least {bytes_min}: {make}");
        findings.add(source.exposure, at, kind.short, path, message);
    }
}
