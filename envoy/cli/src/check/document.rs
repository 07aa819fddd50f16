//! A YAML or JSON file as a tree that knows its lines.
//!
//! Scalars are read as Envoy reads them, so that the filter's parser sees what Envoy would hand it: of the numbers only
//! whole ones stay numbers. JSON is YAML, so one reader does for both.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{Options, Spanned};

/// A value and the line of its key; without a key, the line where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    line: usize,
    value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Number(Number),
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

/// Why a file is no YAML: the line, and the reason, which quotes no line of the file.
#[derive(Debug)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The reason.
    pub reason: String,
}

/// Reads a file.
///
/// # Errors
/// When it is neither YAML nor JSON, or has a key twice.
pub fn read(text: &str) -> Result<Node, Fault> {
    let mut options = Options::default();
    // The lines around a fault may hold a secret.
    options.with_snippet = false;
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| line(&location));
        // "line 2 column 4: …": the line is told apart.
        let reason = error.without_snippet().to_string();
        let reason = reason
            .split_once(": ")
            .filter(|(place, _)| place.starts_with("line "))
            .map(|(_, reason)| reason.to_owned())
            .unwrap_or(reason);
        Fault { line, reason: in_words(&reason).map_or(reason, str::to_owned) }
    })
}

/// What the library says to a programmer, to whoever wrote the file.
fn in_words(reason: &str) -> Option<&'static str> {
    if reason.starts_with("multiple YAML documents") {
        return Some(
            "there are several YAML documents in it, and one is wanted: put the others into files of their own",
        );
    }
    reason.starts_with("budget breached").then_some("it is too large, or its aliases unfold to too much")
}

impl Node {
    /// Nothing, on the line of what it is missing from.
    pub fn absent(line: usize) -> Self {
        Self { line, value: Value::Null }
    }

    /// Its line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The value under a key of this mapping. Envoy takes `typedConfig` for `typed_config`, and so does this.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.exact(key).or_else(|| self.exact(&camel_case(key)))
    }

    fn exact(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The value behind keys with slashes between them.
    pub fn at(&self, path: &str) -> Option<&Node> {
        path.split('/').try_fold(self, |node, key| node.get(key))
    }

    /// The value behind as many of the keys as there are: where something is missing.
    pub fn nearest(&self, path: &str) -> &Node {
        let mut node = self;
        for key in path.split('/') {
            match node.get(key) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[(String, Node)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a sequence; none of anything else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The items of the sequence behind these keys.
    pub fn list(&self, path: &str) -> &[Node] {
        self.at(path).map_or(&[], Node::items)
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The text behind these keys; empty if there is none, which to Envoy is the same.
    pub fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Node::as_text).unwrap_or_default()
    }

    /// Whether there is a true behind these keys.
    pub fn is_true(&self, path: &str) -> bool {
        self.at(path).is_some_and(|node| matches!(node.value, Value::Bool(true)))
    }

    /// Whether there is a false behind these keys.
    pub fn is_false(&self, path: &str) -> bool {
        self.at(path).is_some_and(|node| matches!(node.value, Value::Bool(false)))
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<u64> {
        match &self.value {
            Value::Number(number) => number.as_u64(),
            // Envoy takes a number in quotes for a number.
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The name after the last slash of `typed_config`'s `@type`; empty if there is none.
    pub fn type_name(&self) -> &str {
        let url = self.text("typed_config/@type");
        url.rsplit_once('/').map_or(url, |(_, name)| name)
    }

    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect(),
        }
    }

    /// The line of a path as the filter's parser writes it, such as `endpoints[1].secrets[0].env`; of what is missing,
    /// the line of what it is missing from.
    pub fn line_of(&self, path: &str) -> usize {
        let mut node = self;
        let mut rest = path;
        while let Some((child, behind)) = node.step(rest) {
            (node, rest) = (child, behind);
        }
        node.line
    }

    fn step<'a, 'b>(&'a self, path: &'b str) -> Option<(&'a Node, &'b str)> {
        if let Some(numbered) = path.strip_prefix('[') {
            let (number, behind) = numbered.split_once(']')?;
            return Some((self.items().get(number.parse::<usize>().ok()?)?, behind));
        }
        let path = path.strip_prefix('.').unwrap_or(path);
        self.entries().iter().find_map(|(key, node)| {
            // What is no plain word stands in quotes.
            let quoted = serde_json::to_string(key).unwrap_or_default();
            let behind = path.strip_prefix(key.as_str()).or_else(|| path.strip_prefix(&quoted))?;
            (behind.is_empty() || behind.starts_with(['.', '['])).then_some((node, behind))
        })
    }

    /// Puts every line this much further down: a document that stands within another.
    pub fn moved_down(mut self, lines: usize) -> Self {
        self.line += lines;
        self.value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(|node| node.moved_down(lines)).collect()),
            Value::Map(entries) => {
                Value::Map(entries.into_iter().map(|(key, node)| (key, node.moved_down(lines))).collect())
            }
            value => value,
        };
        self
    }

    /// Puts everything on one line: a document whose own lines say nothing.
    pub fn all_on(mut self, line: usize) -> Self {
        self.line = line;
        self.value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(|node| node.all_on(line)).collect()),
            Value::Map(entries) => {
                Value::Map(entries.into_iter().map(|(key, node)| (key, node.all_on(line))).collect())
            }
            value => value,
        };
        self
    }
}

fn camel_case(key: &str) -> String {
    let mut camel = String::with_capacity(key.len());
    let mut is_start = false;
    for letter in key.chars() {
        if letter == '_' {
            is_start = true;
        } else {
            camel.push(if is_start { letter.to_ascii_uppercase() } else { letter });
            is_start = false;
        }
    }
    camel
}

fn line(location: &serde_saphyr::Location) -> usize {
    usize::try_from(location.line()).unwrap_or(1).max(1)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: line(&spanned.defined), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, node)) = entries.next_entry::<Spanned<String>, Node>()? {
            map.push((key.value, Node { line: line(&key.defined), ..node }));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_parser_leads_to_the_line_of_its_key() {
        let node = read("a:\n  - b: 1\n    \"c.d\":\n      e: [1,\n        2]\n").unwrap();
        assert_eq!(node.line_of("a[0].b"), 2);
        assert_eq!(node.line_of("a[0].\"c.d\".e[1]"), 5);
    }

    #[test]
    fn what_no_config_is_like_is_told_in_words() {
        let fault = read("a: 1\n---\nb: 2\n").unwrap_err();
        assert!(fault.line == 3 && fault.reason.starts_with("there are several YAML documents"), "{}", fault.reason);
        let mut bomb = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
        for (one, next) in ["a", "b", "c", "d", "e", "f", "g"].iter().zip(["b", "c", "d", "e", "f", "g", "h"]) {
            bomb += &format!("{next}: &{next} [{}]\n", vec![format!("*{one}"); 10].join(", "));
        }
        let fault = read(&bomb).unwrap_err();
        assert!(fault.reason.starts_with("it is too large"), "{}", fault.reason);
    }

    #[test]
    fn what_is_missing_is_reported_where_it_is_missing_from() {
        let node = read("a:\n  - b: 1\n  - c: 2\n").unwrap();
        assert_eq!(node.line_of("a[1].name"), 3);
        assert_eq!(node.line_of("configuration"), 1);
        assert_eq!(node.line_of("a[7]"), 1);
    }

    #[test]
    fn behind_an_alias_are_the_lines_of_its_anchor() {
        let node = read("x: &vm\n  id: 1\ny: *vm\n").unwrap();
        assert_eq!(node.get("y").unwrap().line(), 3);
        assert_eq!(node.line_of("y.id"), 2);
    }

    #[test]
    fn scalars_are_what_envoy_makes_of_them() {
        let node = read("{whole: 5, fraction: 0.2, yes: true, quoted: '5', none: ~}").unwrap();
        let json = serde_json::json!({"whole": 5, "fraction": "0.2", "yes": true, "quoted": "5", "none": null});
        assert_eq!(node.to_json(), json);
    }

    /// What is no YAML has a line and no line of the file in its reason.
    #[test]
    fn yaml_error_has_a_line_and_quotes_nothing_of_the_file() {
        let fault = read("a: sesame\nb: [\n").unwrap_err();
        assert_eq!(fault.line, 2);
        assert!(!fault.reason.contains("sesame") && !fault.reason.contains('\n'), "{}", fault.reason);
        assert_eq!(read("{\"a\": 1,\n\"a\": 2}").unwrap_err().line, 2);
    }

    #[test]
    fn both_spellings_of_a_key_of_envoys_are_one() {
        let node = read("typedConfig: {maxRequests: 4}").unwrap();
        assert_eq!(node.at("typed_config/max_requests").and_then(Node::as_number), Some(4));
    }
}
