//! The key `filter` of an endpoint: the conditions on its events, each with its operators.

use std::cell::Cell;

use super::reader::{Node, all, unknown};
use super::tree::{Number, Value};
use crate::egress::filter::{CONDITIONS_MAX, Condition, DEPTH_MAX, EventFilter, Operand, Position, Test};
use crate::headers;
use crate::json::Pointer;

/// The longest text and the longest name of a field in a filter, in bytes.
const TEXT_MAX: usize = 1024;
/// The most values of a list.
const VALUES_MAX: usize = 64;
/// The operators, as a problem lists them.
const OPERATORS: [&str; 16] = [
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exist",
    "$startsWith",
    "$endsWith",
    "$ref",
    "$and",
    "$or",
    "$not",
    "$event",
];
const SCALAR: &str = "a string, a number, true, false, null or {$ref: \"/pointer\"}";
const ORDERED: &str = "a number, a string or {$ref: \"/pointer\"}";
const TEXT: &str = "a string or {$ref: \"/pointer\"}";
const CONDITION: &str = "a value, a list of values, or an object of fields and operators";

/// Reads the key. An empty object is no filter: every event passes.
pub(super) fn filter(node: &Node<'_>) -> Option<EventFilter> {
    let reader = FilterReader { conditions: Cell::new(0) };
    if !matches!(node.value(), Value::Object(_)) {
        return node.wrong_type("an object of fields and operators, such as {data: {amount: {$gte: 100}}}");
    }
    let condition = reader.condition(node, Place { depth: 0, is_top: true })?;
    match reader.conditions.get() {
        conditions if conditions > CONDITIONS_MAX => {
            node.problem(&format!("has {conditions} conditions"), &format!("at most {CONDITIONS_MAX}"))
        }
        _ => Some(EventFilter::new(condition)),
    }
}

struct FilterReader {
    conditions: Cell<usize>,
}

/// Where a condition stands.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// The value is the whole payload: `$event` and `$headers.<name>` may stand here.
    is_top: bool,
}

impl Place {
    fn same(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    fn below(self) -> Self {
        Self { depth: self.depth + 1, is_top: false }
    }
}

impl FilterReader {
    fn condition(&self, node: &Node<'_>, place: Place) -> Option<Condition> {
        if place.depth > DEPTH_MAX {
            return node.problem("is nested too deep", &format!("at most {DEPTH_MAX} levels"));
        }
        match node.value() {
            Value::Object(_) => self.object(node, place),
            Value::List(_) => self.list(node, place).map(Condition::Any),
            _ => {
                self.count(1);
                literal(node, CONDITION).map(Condition::equals)
            }
        }
    }

    fn count(&self, conditions: usize) {
        self.conditions.set(self.conditions.get() + conditions);
    }

    fn list(&self, node: &Node<'_>, place: Place) -> Option<Vec<Condition>> {
        let nodes = node.some_list(VALUES_MAX, "a list of at least one value: an empty one would match nothing")?;
        all(&nodes, |node| self.condition(node, place.same()))
    }

    /// Reads the fields and operators that stand side by side: all must hold.
    fn object(&self, node: &Node<'_>, place: Place) -> Option<Condition> {
        let entries = node.entries(CONDITIONS_MAX, CONDITION)?;
        if entries.is_empty() && place.depth > 0 {
            return node.problem("is empty: it would match anything", CONDITION);
        }
        let (mut whole, mut tests) = (Vec::new(), Vec::new());
        for entry in all(&entries, |(key, child)| self.entry(key, child, place))? {
            match entry {
                Entry::Whole(condition) => whole.push(condition),
                Entry::Test(test) => tests.push(test),
            }
        }
        if !tests.is_empty() {
            whole.push(Condition::Value(tests));
        }
        Some(Condition::All(whole))
    }

    fn entry(&self, key: &str, node: &Node<'_>, place: Place) -> Option<Entry> {
        self.count(1);
        if let Some(name) = key.strip_prefix("$headers.") {
            return self.header(name, node, place);
        }
        let whole = match key {
            "$and" => self.list(node, place).map(Condition::All),
            "$or" => self.list(node, place).map(Condition::Any),
            "$not" => self.condition(node, place.same()).map(|condition| Condition::Not(Box::new(condition))),
            "$exist" => node.boolean().map(Condition::Exists),
            "$event" if place.is_top => {
                self.condition(node, place.below()).map(|condition| Condition::EventType(Box::new(condition)))
            }
            "$event" => return only_at_the_top(node),
            key if key.starts_with('$') => return self.comparison(key, node).map(Entry::Test),
            key if key.len() > TEXT_MAX => return node.problem("has a name that is too long", "at most 1024 bytes"),
            key => {
                let condition = self.condition(node, place.below())?;
                return Some(Entry::Test(Test::Field(key.to_owned(), condition)));
            }
        };
        whole.map(Entry::Whole)
    }

    fn header(&self, name: &str, node: &Node<'_>, place: Place) -> Option<Entry> {
        if !place.is_top {
            return only_at_the_top(node);
        }
        let name = name.to_ascii_lowercase();
        if !headers::is_name(&name) {
            return node.problem("names no header", "$headers.<name>, such as $headers.x-tenant-id");
        }
        let condition = self.condition(node, place.below())?;
        Some(Entry::Whole(Condition::Header(name, Box::new(condition))))
    }

    fn comparison(&self, key: &str, node: &Node<'_>) -> Option<Test> {
        let stands = |position| ordered(node).map(|operand| Test::Stands(position, operand));
        match key {
            "$eq" => operand(node, SCALAR).map(Test::Equals),
            "$ne" => operand(node, SCALAR).map(Test::Differs),
            "$gt" => stands(Position::Above),
            "$gte" => stands(Position::AtLeast),
            "$lt" => stands(Position::Below),
            "$lte" => stands(Position::AtMost),
            "$in" => self.operands(node).map(Test::OneOf),
            "$nin" => self.operands(node).map(Test::NoneOf),
            "$startsWith" => text(node).map(Test::StartsWith),
            "$endsWith" => text(node).map(Test::EndsWith),
            "$ref" => pointer(node).map(|pointer| Test::Equals(Operand::Ref(pointer))),
            // What others call $ne, which is as near to $eq.
            "$neq" => no_operator(node, "is not a known operator (did you mean $ne?)"),
            _ => no_operator(node, &unknown(key, &OPERATORS).replace("key", "operator")),
        }
    }

    fn operands(&self, node: &Node<'_>) -> Option<Vec<Operand>> {
        let nodes = node.some_list(VALUES_MAX, "a list of 1 to 64 values")?;
        self.count(nodes.len());
        all(&nodes, |node| operand(node, SCALAR))
    }
}

enum Entry {
    /// A condition on the value as a whole.
    Whole(Condition),
    /// A test of the value, or of an element of it.
    Test(Test),
}

fn no_operator<T>(node: &Node<'_>, what: &str) -> Option<T> {
    node.problem(what, &format!("one of {}, $headers.<name>", OPERATORS.join(", ")))
}

fn only_at_the_top<T>(node: &Node<'_>) -> Option<T> {
    node.problem(
        "stands within a field",
        "$event and $headers.<name> at the top of the filter, or in $and, $or, $not there",
    )
}

fn text(node: &Node<'_>) -> Option<Operand> {
    match node.value() {
        Value::Text(_) | Value::Object(_) => operand(node, TEXT),
        _ => node.wrong_type(TEXT),
    }
}

/// Reads what may be greater or less. A text with a number is that number: of the numbers in a YAML file Envoy keeps only
/// whole ones as numbers, and hands on `0.5` as a string.
fn ordered(node: &Node<'_>) -> Option<Operand> {
    match node.value() {
        Value::Text(text) => match Number::parse(text).and_then(Number::new) {
            Some(number) => number_value(node, number).map(Operand::Literal),
            None => operand(node, ORDERED),
        },
        Value::Number(_) | Value::Object(_) => operand(node, ORDERED),
        _ => node.wrong_type(ORDERED),
    }
}

/// Reads what a value is compared with: a literal, or `{$ref: "/pointer"}`.
fn operand(node: &Node<'_>, expected: &str) -> Option<Operand> {
    match node.value() {
        Value::Object(_) => {
            let object = node.object(&["$ref"], &[])?;
            object.required("$ref", "a JSON pointer into the payload", pointer).map(Operand::Ref)
        }
        _ => literal(node, expected).map(Operand::Literal),
    }
}

fn pointer(node: &Node<'_>) -> Option<Pointer> {
    const EXPECTED: &str = "a JSON pointer into the payload, such as \"/data/id\"";
    Pointer::parse(node.text(EXPECTED)?).map_err(|reason| node.problem::<()>(reason, EXPECTED)).ok()
}

fn literal(node: &Node<'_>, expected: &str) -> Option<serde_json::Value> {
    match node.value() {
        Value::Null => Some(serde_json::Value::Null),
        Value::Bool(value) => Some((*value).into()),
        Value::Number(number) => number_value(node, *number),
        Value::Text(text) if text.len() > TEXT_MAX => node.problem("is too long", "at most 1024 bytes"),
        Value::Text(text) => Some(text.as_str().into()),
        Value::List(_) | Value::Object(_) => node.wrong_type(expected),
    }
}

/// A number as the payload may hold it. An integer that a double does not hold exactly is refused: it would equal its
/// neighbours.
fn number_value(node: &Node<'_>, number: Number) -> Option<serde_json::Value> {
    match number {
        Number::Whole(number) => Some(number.into()),
        Number::Other(number) if number.fract() == 0.0 => {
            node.problem("is an integer that is not exact as a double", "an integer below 2^53, or a string")
        }
        Number::Other(number) => Some(number.into()),
    }
}
