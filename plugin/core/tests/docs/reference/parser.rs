//! What the parser says of its keys when it is asked.

use std::collections::BTreeMap;

use gatepost_core::config::{self, Problems};
use serde_json::Value;

use super::samples::samples;

/// More items than any list may have, and more entries than any object.
const MANY: usize = 5000;
const MANY_ENTRIES: usize = 100;

/// A key of the config.
pub struct Key {
    /// What it accepts, by the parser's messages.
    pub accepts: String,
    /// A sample that has the key, and where.
    sample: Value,
    pointer: String,
    path: String,
}

/// What the parser makes of a config.
#[derive(Debug, PartialEq)]
pub enum Parsed {
    /// The configuration, printed; without the digests of what the user wrote.
    Good(String),
    /// The key is required.
    Missing,
    /// The problems.
    Refused(String),
}

fn parse(config: &Value) -> Result<config::Config, Problems> {
    config::parse(config.to_string().as_bytes(), &|name| Some(if name == "ON" { "true" } else { "s" }.to_owned()))
}

impl Key {
    /// The sample with this value of the key, or without the key, and without what has no meaning then.
    pub fn with(&self, value: Option<Value>) -> Parsed {
        let mut config = self.sample.clone();
        let (parent, key) = self.pointer.rsplit_once('/').unwrap();
        let object = config.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match key {
            "payload" => drop(object.remove("metadata")),
            "ack" => drop(object.remove("ack_timeout")),
            "phases" => drop(object.remove("start")),
            "username" if value.is_none() => drop(object.remove("password")),
            "password" if value.is_none() => drop(object.remove("username")),
            _ => {}
        }
        match value {
            Some(value) => drop(object.insert(key.to_owned(), value)),
            None => drop(object.remove(key)),
        }
        match parse(&config) {
            Ok(config) => {
                // Nothing of a token is printed.
                let roles = config.admin.iter().flat_map(|admin| &admin.tokens).map(|token| token.role.label());
                let printed = format!("{config:#?}\n{:?}", roles.collect::<Vec<_>>());
                let is_digest = |line: &&str| ["digest:", "fingerprint:"].iter().any(|of| line.trim().starts_with(of));
                Parsed::Good(printed.lines().filter(|line| !is_digest(line)).collect::<Vec<_>>().join("\n"))
            }
            Err(problems) if problems.iter().any(|it| it.path == self.path && it.what == "is missing") => {
                Parsed::Missing
            }
            Err(problems) => Parsed::Refused(format!("{problems:?}")),
        }
    }

    /// What the sample says.
    pub fn value(&self) -> Value {
        self.sample.pointer(&self.pointer).unwrap().clone()
    }
}

/// Every key that the parser accepts, by its path without numbers: `endpoints[].retry.delays`.
pub fn keys() -> BTreeMap<String, Key> {
    let (mut keys, mut wanted) = (BTreeMap::new(), Vec::new());
    for sample in samples() {
        assert!(parse(&sample).is_ok(), "{:#?}", parse(&sample).unwrap_err());
        walk(&Place { sample: &sample, pointer: String::new(), path: String::new() }, &mut keys, &mut wanted);
    }
    for name in wanted {
        assert!(keys.contains_key(&name), "{name}: no sample has it");
    }
    keys
}

/// A place in a sample.
struct Place<'a> {
    sample: &'a Value,
    pointer: String,
    path: String,
}

/// Takes the keys of what is here; `wanted` are those that the parser says it has.
fn walk(place: &Place<'_>, keys: &mut BTreeMap<String, Key>, wanted: &mut Vec<String>) {
    match place.value() {
        Value::Object(fields) => {
            let Some(known) = place.object_keys() else { return };
            for key in known {
                let child = place.child(&key);
                wanted.push(child.name());
                if fields.contains_key(&key) {
                    keys.entry(child.name()).or_insert_with(|| child.key());
                    walk(&child, keys, wanted);
                }
            }
        }
        Value::Array(items) => (0..items.len()).for_each(|at| walk(&place.item(at), keys, wanted)),
        _ => assert!(place.object_keys().is_none(), "{}: no sample has the object", place.path),
    }
}

impl Place<'_> {
    fn value(&self) -> &Value {
        self.sample.pointer(&self.pointer).unwrap()
    }

    fn child(&self, key: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { pointer: format!("{}/{key}", self.pointer), path: format!("{}{dot}{key}", self.path), ..*self }
    }

    fn item(&self, at: usize) -> Self {
        Self { pointer: format!("{}/{at}", self.pointer), path: format!("{}[{at}]", self.path), ..*self }
    }

    /// The path without numbers.
    fn name(&self) -> String {
        let parts = self.path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
        parts.collect::<Vec<_>>().join("[]")
    }

    /// What the parser says of another value here: what is wrong with it, and what it expected.
    fn told(&self, value: Value) -> Option<(String, String)> {
        let mut config = self.sample.clone();
        *config.pointer_mut(&self.pointer).unwrap() = value;
        let path = if self.path.is_empty() { "configuration" } else { &self.path };
        let problem = parse(&config).err()?.into_iter().find(|problem| problem.path == path)?;
        Some((problem.what, problem.expected))
    }

    /// What the parser expects here. Where null is a value, true is none.
    fn expected(&self) -> String {
        let told = self.told(Value::Null).or_else(|| self.told(Value::Bool(true)));
        told.unwrap_or_else(|| panic!("{}: takes anything", self.path)).1
    }

    /// The keys of the object here, if the parser wants one with certain keys.
    fn object_keys(&self) -> Option<Vec<String>> {
        let keys = self.expected().strip_prefix(OBJECT)?.split(", ").map(str::to_owned).collect();
        Some(keys)
    }

    fn key(&self) -> Key {
        Key {
            accepts: self.accepts(),
            sample: self.sample.clone(),
            pointer: self.pointer.clone(),
            path: self.path.clone(),
        }
    }

    /// What is said when there are too many, of items or entries.
    fn most(&self, many: Value, what: &str) -> Option<String> {
        self.told(many).filter(|(said, _)| said == what).map(|(_, most)| most)
    }

    fn accepts(&self) -> String {
        let expected = self.expected();
        let is_object = expected.starts_with(OBJECT);
        let mut accepts = if is_object { "an object".to_owned() } else { expected.clone() };
        if self.told(Value::Null).is_none() && !accepts.ends_with("or null") {
            accepts += "; or null";
        }
        // How long a list of endpoints may be depends on how many there are.
        let items = self.most(vec![Value::Null; MANY].into(), &format!("has {MANY} items"));
        if let Some(most) = items.filter(|_| self.name() != "routes[].endpoints") {
            let list = if is_object { ", or a list" } else { "" };
            accepts = format!("{accepts}{list}; {most} items");
        }
        let many = (0..MANY_ENTRIES).map(|at| (at.to_string(), Value::Null)).collect::<serde_json::Map<_, _>>();
        if let Some(most) = self.most(many.into(), &format!("has {MANY_ENTRIES} entries")) {
            accepts = format!("{accepts}; {most} entries");
        }
        if let Value::Array(items) = self.value() {
            assert!(!items.is_empty(), "{}: no sample has an item", self.path);
            let item = self.item(0).expected();
            if item != expected && !item.starts_with(OBJECT) {
                accepts = format!("{accepts}; each {item}");
            }
        }
        readable(&accepts)
    }
}

/// How the parser asks for an object with certain keys.
const OBJECT: &str = "an object with ";

/// A message of the parser as prose: without examples of durations and sizes, in large units, with code spans.
fn readable(message: &str) -> String {
    let parts = message.split("; ").map(|part| {
        let is_quantity = part.contains("a duration from ") || part.contains("a size from ");
        let part = if is_quantity { part.split(", such as ").next().unwrap_or_default() } else { part };
        part.split(' ').map(in_large_units).collect::<Vec<_>>().join(" ").replace(" bytes", "")
    });
    parts.collect::<Vec<_>>().join("; ").replace('"', "`")
}

fn in_large_units(word: &str) -> String {
    let last = if word.ends_with(',') { "," } else { "" };
    let word = word.trim_end_matches(',');
    let units = [("s", 3600, "h"), ("s", 60, "m"), ("", 1 << 30, "GiB"), ("", 1 << 20, "MiB")];
    for (unit, factor, large) in units {
        let number = word.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
        if let Some(number) = number.filter(|number| *number > 0 && number % factor == 0) {
            return format!("{}{large}{last}", number / factor);
        }
    }
    format!("{word}{last}")
}
