//! What `gatepost check` says: one line each, for a person or as JSON.

use std::fmt;

use serde::Serialize;

use super::document::Node;

/// How bad it is. An error fails the check, a warning only with `--strict`, a note never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// It runs, and not as well or as safely as it could.
    Warning,
    /// It does not load, loses events, or is open to people it must not be open to.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing to know about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing: a word that stays the same whatever the message says.
    pub code: &'static str,
    /// Where: `endpoints[1].secrets[0].env` in the filter's config, `cluster billing` around it.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, severity, code, path, message } = self;
        write!(f, "{line}: {severity}: {path}: {message} [{code}]")
    }
}

/// Everything that was found, each thing once: two filters that share a `vm_config` share its faults.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// An error at this node.
    pub fn error(&mut self, at: &Node, code: &'static str, path: &str, message: impl Into<String>) {
        self.add(Severity::Error, at, code, path, message);
    }

    /// A warning at this node.
    pub fn warning(&mut self, at: &Node, code: &'static str, path: &str, message: impl Into<String>) {
        self.add(Severity::Warning, at, code, path, message);
    }

    /// A note at this node.
    pub fn note(&mut self, at: &Node, code: &'static str, path: &str, message: impl Into<String>) {
        self.add(Severity::Note, at, code, path, message);
    }

    /// The same, where how bad it is depends.
    pub fn add(&mut self, severity: Severity, at: &Node, code: &'static str, path: &str, message: impl Into<String>) {
        self.push(Finding { line: at.line(), severity, code, path: path.to_owned(), message: message.into() });
    }

    /// Any finding.
    pub fn push(&mut self, finding: Finding) {
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// In the order of the file.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.line);
        self.0
    }
}
