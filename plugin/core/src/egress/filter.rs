//! The filter of an endpoint: which events it gets, by what they hold.
//!
//! A filter is a JSON object laid over the JSON that is sent: what stands in the filter must stand there.
//!
//! - A literal is equal to the value; numbers are by value, so that 5 is 5.0. A list is any of its items.
//! - A field that begins with `$` is an operator; every other one descends.
//! - Where the value is an array, one of its elements does, the same for all fields and comparisons that stand side by
//!   side. `$and`, `$or`, `$not` and `$exist` look at the array as a whole: "no element" is `{"$not": …}`.
//! - A value of another type never matches a comparison, nor does one that is not there; so `$ne` is another value of the
//!   same type, and only `$not` is the opposite of what it holds.
//! - An event whose payload is not JSON matches no filter that looks at the payload, whatever the filter says.
//!
//! # Bounds
//! The payload is parsed once for all endpoints. A filter has at most [`CONDITIONS_MAX`] conditions, nested at most
//! [`DEPTH_MAX`] deep, and each of them looks at a value of the payload once at most: the work is linear in the payload for
//! each condition.

use std::cell::OnceCell;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::json::{self, Pointer};

/// The largest number of conditions of a filter: each literal, operator and field is one.
pub const CONDITIONS_MAX: usize = 256;

/// The deepest nesting of a filter.
pub const DEPTH_MAX: usize = 16;

/// The filter of an endpoint.
#[derive(Debug, PartialEq)]
pub struct EventFilter {
    condition: Condition,
    reads_payload: bool,
}

/// An event as filters see it.
#[derive(Debug)]
pub struct Subject<'a> {
    event_type: &'a str,
    headers: &'a [(String, String)],
    /// The payload; `None`: it has a content coding.
    bytes: Option<&'a [u8]>,
    /// The payload once a filter has looked at it; `None`: it is not JSON.
    payload: OnceCell<Option<Value>>,
}

impl<'a> Subject<'a> {
    /// An event of this type; `headers` are those of its request, each with its value, names in lower case. The payload is
    /// `None` where it has a content coding.
    pub fn new(event_type: &'a str, headers: &'a [(String, String)], payload: Option<&'a [u8]>) -> Self {
        Self { event_type, headers, bytes: payload, payload: OnceCell::new() }
    }

    fn payload(&self) -> Option<&Value> {
        self.payload.get_or_init(|| json::value(self.bytes?).ok()).as_ref()
    }
}

/// A condition on a value, which may be absent.
#[derive(Debug, PartialEq)]
pub enum Condition {
    /// All hold.
    All(Vec<Condition>),
    /// One holds at least.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The value is there, or is not.
    Exists(bool),
    /// All these hold for the value; of an array, for the same one of its elements.
    Value(Vec<Test>),
    /// The condition holds for the event type, whatever the value.
    EventType(Box<Condition>),
    /// The condition holds for the header of this name, whatever the value.
    Header(String, Box<Condition>),
}

/// A test of a value that is no array.
#[derive(Debug, PartialEq)]
pub enum Test {
    /// The condition holds for the field of this name.
    Field(String, Condition),
    /// The value is equal to this one.
    Equals(Operand),
    /// The value is of the same type as this one, or this one is null, and is not equal to it.
    Differs(Operand),
    /// The value is equal to one of these.
    OneOf(Vec<Operand>),
    /// The value is of the type of one of these, and is equal to none.
    NoneOf(Vec<Operand>),
    /// The value stands so to this one: both are numbers, or both are strings.
    Stands(Position, Operand),
    /// The value is a string that begins with this one.
    StartsWith(Operand),
    /// The value is a string that ends with this one.
    EndsWith(Operand),
}

/// Where a value stands beside another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It is greater.
    Above,
    /// It is greater, or equal.
    AtLeast,
    /// It is less.
    Below,
    /// It is less, or equal.
    AtMost,
}

/// What a value is compared with.
#[derive(Debug, PartialEq)]
pub enum Operand {
    /// A string, number, boolean or null.
    Literal(Value),
    /// The value of the payload at this pointer.
    Ref(Pointer),
}

impl EventFilter {
    /// The filter that a condition on the payload makes.
    pub fn new(condition: Condition) -> Self {
        let reads_payload = condition.reads_payload();
        Self { condition, reads_payload }
    }

    /// Says whether the filter looks at the payload.
    pub fn reads_payload(&self) -> bool {
        self.reads_payload
    }

    /// The names of the headers that the filter looks at.
    pub fn headers(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.condition.collect_headers(&mut names);
        names
    }

    /// Says whether an event passes the filter.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        if !self.reads_payload {
            return self.condition.holds(None, subject);
        }
        subject.payload().is_some_and(|payload| self.condition.holds(Some(payload), subject))
    }
}

impl Condition {
    /// The condition that a literal is.
    pub fn equals(literal: Value) -> Self {
        Self::Value(vec![Test::Equals(Operand::Literal(literal))])
    }

    fn parts(&self) -> &[Self] {
        match self {
            Self::All(parts) | Self::Any(parts) => parts,
            Self::Not(part) => std::slice::from_ref(part),
            Self::Exists(_) | Self::Value(_) | Self::EventType(_) | Self::Header(..) => &[],
        }
    }

    fn reads_payload(&self) -> bool {
        match self {
            Self::Exists(_) | Self::Value(_) => true,
            Self::EventType(condition) | Self::Header(_, condition) => condition.refers(),
            Self::All(_) | Self::Any(_) | Self::Not(_) => self.parts().iter().any(Self::reads_payload),
        }
    }

    /// Says whether the condition compares with a value of the payload.
    fn refers(&self) -> bool {
        match self {
            Self::Value(tests) => tests.iter().any(Test::refers),
            _ => self.parts().iter().any(Self::refers),
        }
    }

    fn collect_headers<'a>(&'a self, names: &mut Vec<&'a str>) {
        if let Self::Header(name, _) = self {
            names.push(name);
        }
        self.parts().iter().for_each(|part| part.collect_headers(names));
    }

    fn holds(&self, value: Option<&Value>, subject: &Subject<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(value, subject)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(value, subject)),
            Self::Not(condition) => !condition.holds(value, subject),
            Self::Exists(is_there) => value.is_some() == *is_there,
            Self::Value(tests) => hold(tests, value, subject),
            Self::EventType(condition) => condition.holds(Some(&Value::from(subject.event_type)), subject),
            Self::Header(name, condition) => {
                let header = subject.headers.iter().find(|(other, _)| other == name);
                condition.holds(header.map(|(_, value)| Value::from(value.as_str())).as_ref(), subject)
            }
        }
    }
}

fn hold(tests: &[Test], value: Option<&Value>, subject: &Subject<'_>) -> bool {
    match value {
        Some(Value::Array(elements)) => elements.iter().any(|element| hold(tests, Some(element), subject)),
        value => tests.iter().all(|test| test.holds(value, subject)),
    }
}

impl Test {
    fn refers(&self) -> bool {
        match self {
            Self::Field(_, condition) => condition.refers(),
            Self::Equals(operand)
            | Self::Differs(operand)
            | Self::Stands(_, operand)
            | Self::StartsWith(operand)
            | Self::EndsWith(operand) => operand.refers(),
            Self::OneOf(operands) | Self::NoneOf(operands) => operands.iter().any(Operand::refers),
        }
    }

    fn holds(&self, value: Option<&Value>, subject: &Subject<'_>) -> bool {
        if let Self::Field(name, condition) = self {
            return condition.holds(value.and_then(|value| value.get(name)), subject);
        }
        let Some(value) = value else { return false };
        let with = |operand: &Operand, compare: &dyn Fn(&Value) -> bool| operand.value(subject).is_some_and(compare);
        let equals = |operand: &Operand| with(operand, &|other| are_equal(value, other));
        let is_comparable = |operand: &Operand| with(operand, &|other| are_comparable(value, other));
        match self {
            Self::Field(..) => false,
            Self::Equals(operand) => equals(operand),
            Self::Differs(operand) => is_comparable(operand) && !equals(operand),
            Self::OneOf(operands) => operands.iter().any(equals),
            Self::NoneOf(operands) => operands.iter().any(is_comparable) && !operands.iter().any(equals),
            Self::Stands(position, operand) => {
                with(operand, &|other| order(value, other).is_some_and(|order| position.allows(order)))
            }
            Self::StartsWith(operand) => {
                with(operand, &|other| both_text(value, other, |text, end| text.starts_with(end)))
            }
            Self::EndsWith(operand) => with(operand, &|other| both_text(value, other, |text, end| text.ends_with(end))),
        }
    }
}

impl Position {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

impl Operand {
    fn refers(&self) -> bool {
        matches!(self, Self::Ref(_))
    }

    fn value<'a>(&'a self, subject: &'a Subject<'_>) -> Option<&'a Value> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Ref(pointer) => subject.payload()?.pointer(pointer.as_str()),
        }
    }
}

/// Whether two scalars are equal; objects and arrays are equal to nothing.
fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::String(one), Value::String(other)) => one == other,
        (Value::Number(one), Value::Number(other)) => order_of_numbers(one, other) == Some(Ordering::Equal),
        _ => false,
    }
}

/// Whether a value can differ from another one: they are scalars of one type, or one of them is null and the other not.
fn are_comparable(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Bool(_), Value::Bool(_))
        | (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_)) => true,
        (value, other) => other.is_null() && !value.is_null(),
    }
}

fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => order_of_numbers(one, other),
        _ => None,
    }
}

/// Integers are compared exactly, all others as doubles.
fn order_of_numbers(one: &Number, other: &Number) -> Option<Ordering> {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn both_text(one: &Value, other: &Value, compare: impl Fn(&str, &str) -> bool) -> bool {
    one.as_str().zip(other.as_str()).is_some_and(|(one, other)| compare(one, other))
}

#[cfg(test)]
mod tests;
