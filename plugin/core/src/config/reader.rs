//! The walk over the tree of a configuration: it knows the path of each value, and collects every problem on the way.
//!
//! Each step gives `Option`: `None` means that a problem has been noted, so callers read all they can before they give
//! up with `?`, and the user sees all mistakes at once.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::error::{ConfigProblem, Problems, field_path, shown};
use super::tree::{Number, Value};

/// The reader of one configuration: collects its problems, and looks up environment variables.
pub(crate) struct Reader<'a> {
    /// The name of the whole in a problem, such as `configuration`.
    whole: &'static str,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// The places that were visited: for each, the number of the place around it, and the step from there. A path is
    /// put together only for a problem.
    places: RefCell<Vec<(usize, PathStep<'a>)>>,
    problems: RefCell<Problems>,
}

#[derive(Clone, Copy)]
enum PathStep<'a> {
    Whole,
    Key(&'a str),
    Item(usize),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(whole: &'static str, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { whole, env, places: RefCell::new(vec![(0, PathStep::Whole)]), problems: RefCell::default() }
    }

    pub(crate) fn root(&'a self, value: &'a Value) -> Node<'a> {
        Node { reader: self, place: 0, value }
    }

    /// Returns what was read if no problem was noted, else all problems.
    pub(crate) fn finish<T>(&self, read: Option<T>) -> Result<T, Problems> {
        let problems = self.problems.take();
        read.filter(|_| problems.is_empty()).ok_or(problems)
    }

    fn note(&self, path: String, what: &str, expected: &str) {
        let path = if path.is_empty() { self.whole.to_owned() } else { path };
        self.problems.borrow_mut().push(ConfigProblem::new(path, what, expected));
    }

    fn visit(&self, from: usize, step: PathStep<'a>) -> usize {
        let mut places = self.places.borrow_mut();
        places.push((from, step));
        places.len() - 1
    }

    /// The path of a place, as users write it: `endpoints[1].url`; empty for the whole.
    fn path(&self, place: usize) -> String {
        let (from, step) = self.places.borrow().get(place).copied().unwrap_or((0, PathStep::Whole));
        match step {
            PathStep::Whole => String::new(),
            PathStep::Item(at) => format!("{}[{at}]", self.path(from)),
            PathStep::Key(key) => field_path(&self.path(from), key),
        }
    }
}

/// A value of the tree, and its place.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    reader: &'a Reader<'a>,
    place: usize,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Notes a problem of this value; returns `None`.
    pub(crate) fn problem<T>(&self, what: &str, expected: &str) -> Option<T> {
        self.reader.note(self.reader.path(self.place), what, expected);
        None
    }

    /// Notes that the value is of another type than the expected one; the value itself is not shown.
    pub(crate) fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let what = match self.value {
            Value::Null => "is null",
            Value::Bool(_) => "is a boolean",
            Value::Number(_) => "is a number",
            Value::Text(_) => "is a string",
            Value::List(_) => "is a list",
            Value::Object(_) => "is an object",
        };
        self.problem(what, expected)
    }

    /// Notes that this text or number does not fit, and shows the value: not to be called for anything that may be a
    /// secret.
    pub(crate) fn unfit<T>(&self, expected: &str) -> Option<T> {
        match self.value {
            Value::Text(text) => self.problem(&format!("is {}", shown(text)), expected),
            Value::Number(number) => self.problem(&format!("is {number}"), expected),
            _ => self.wrong_type(expected),
        }
    }

    pub(crate) fn text(&self, expected: &str) -> Option<&'a str> {
        self.value.as_text().or_else(|| self.wrong_type(expected))
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(*value),
            _ => self.wrong_type("true or false"),
        }
    }

    /// A whole number in a range.
    pub(crate) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Value::Number(number) = self.value else {
            return self.wrong_type(&expected);
        };
        let integer = number.as_u64().and_then(|number| u32::try_from(number).ok());
        let within = integer.filter(|integer| range.contains(integer));
        within.or_else(|| self.unfit(&expected))
    }

    /// Any number in a range, which `expected` names. Text with a number will do: of the numbers in a YAML file Envoy
    /// keeps only whole ones as numbers, and hands on `0.2` as a string.
    pub(crate) fn number(&self, range: RangeInclusive<f64>, expected: &str) -> Option<f64> {
        let number = match self.value {
            Value::Number(number) => Some(number.as_f64()),
            Value::Text(text) => Number::parse(text),
            _ => return self.wrong_type(expected),
        };
        number.filter(|number| range.contains(number)).or_else(|| self.unfit(expected))
    }

    /// The items of a list that may have at most `max` items.
    pub(crate) fn list(&self, max: usize, expected: &str) -> Option<Vec<Node<'a>>> {
        let Value::List(items) = self.value else {
            return self.wrong_type(expected);
        };
        if items.len() > max {
            return self.problem(&format!("has {} items", items.len()), &format!("at most {max}"));
        }
        let item = |(at, value)| Node { place: self.reader.visit(self.place, PathStep::Item(at)), value, ..*self };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list that must have 1 to `max` items.
    pub(crate) fn some_list(&self, max: usize, expected: &str) -> Option<Vec<Node<'a>>> {
        let items = self.list(max, expected)?;
        if items.is_empty() { self.problem("is empty", expected) } else { Some(items) }
    }

    /// The fields of an object whose keys the user chooses, at most `max` of them.
    pub(crate) fn entries(&self, max: usize, expected: &str) -> Option<Vec<(&'a str, Node<'a>)>> {
        let Value::Object(fields) = self.value else {
            return self.wrong_type(expected);
        };
        if fields.len() > max {
            return self.problem(&format!("has {} entries", fields.len()), &format!("at most {max}"));
        }
        Some(fields.iter().map(|(key, value)| (key.as_str(), self.child(key, value))).collect())
    }

    /// An object with these keys. Any other key is a problem, and so are the keys of `later`, which are known but not
    /// yet supported: a key that is ignored in silence is a promise broken in silence.
    pub(crate) fn object(&self, keys: &[&str], later: &[&str]) -> Option<Object<'a>> {
        let Value::Object(fields) = self.value else {
            return self.wrong_type(&format!("an object with {}", keys.join(", ")));
        };
        for (key, value) in fields {
            let child = self.child(key, value);
            if later.contains(&key.as_str()) {
                child.problem::<()>("is not yet supported", "it to be left out");
            } else if !keys.contains(&key.as_str()) {
                child.problem::<()>(&unknown(key, &[keys, later].concat()), &format!("one of {}", keys.join(", ")));
            }
        }
        Some(Object { node: *self })
    }

    /// The field of this key, if the value is an object that has it.
    pub(crate) fn field(&self, key: &'a str) -> Option<Node<'a>> {
        match self.value {
            Value::Object(fields) => fields.get(key).map(|value| self.child(key, value)),
            _ => None,
        }
    }

    /// The value of the environment variable that this text names.
    pub(crate) fn environment(&self) -> Option<String> {
        let name = self.text("the name of an environment variable")?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return self.problem("is not the name of a variable", "letters, digits and '_'");
        }
        let Some(value) = (self.reader.env)(name) else {
            let expected = "an environment variable that Envoy's environment_variables.host_env_keys passes on";
            return self.problem(&format!("{name} is not set"), expected);
        };
        // The line end of a file that a secret was read from would be part of the secret. A blank value has its own word.
        let trimmed = value.trim();
        if !trimmed.is_empty() && trimmed != value {
            return self.problem(&format!("{name} begins or ends with white space"), "the value without it");
        }
        Some(value)
    }

    fn child(&self, key: &'a str, value: &'a Value) -> Node<'a> {
        Node { place: self.reader.visit(self.place, PathStep::Key(key)), value, ..*self }
    }
}

/// An object whose keys were checked.
pub(crate) struct Object<'a> {
    node: Node<'a>,
}

impl<'a> Object<'a> {
    pub(crate) fn node(&self) -> &Node<'a> {
        &self.node
    }

    pub(crate) fn get(&self, key: &'a str) -> Option<Node<'a>> {
        self.node.field(key)
    }

    /// Reads a key that must be there.
    pub(crate) fn required<T>(
        &self,
        key: &'a str,
        expected: &str,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<T> {
        if let Some(node) = self.get(key) {
            return read(&node);
        }
        let reader = self.node.reader;
        reader.note(field_path(&reader.path(self.node.place), key), "is missing", expected);
        None
    }

    /// Reads a key that has a default.
    pub(crate) fn or<T>(&self, key: &'a str, default: T, read: impl FnOnce(&Node<'a>) -> Option<T>) -> Option<T> {
        self.get(key).map_or(Some(default), |node| read(&node))
    }

    /// Reads a key that may be left out.
    pub(crate) fn optional<T>(&self, key: &'a str, read: impl FnOnce(&Node<'a>) -> Option<T>) -> Option<Option<T>> {
        self.get(key).map_or(Some(None), |node| read(&node).map(Some))
    }
}

/// Reads every item, also behind one that has a problem; `None` if any has one.
pub(crate) fn all<N, T>(nodes: &[N], mut read: impl FnMut(&N) -> Option<T>) -> Option<Vec<T>> {
    let mut items = Vec::with_capacity(nodes.len());
    for node in nodes {
        if let Some(item) = read(node) {
            items.push(item);
        }
    }
    (items.len() == nodes.len()).then_some(items)
}

pub(super) fn unknown(key: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::levenshtein(key, known), *known)).min();
    match near {
        Some((distance, known)) if distance <= NEAR_MAX && distance < known.len() => {
            format!("is not a known key (did you mean {known}?)")
        }
        _ => "is not a known key".to_owned(),
    }
}

/// The largest edit distance (Levenshtein) from an unknown key to the known key that is suggested for it: a slip or two
/// of the finger.
const NEAR_MAX: usize = 2;
