//! A configuration as one tree, whichever encoding it came in.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use sha2::{Digest, Sha256};

use super::error::shown;

/// A value of a configuration.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Value>),
    Object(Fields),
}

/// The fields of an object, sorted by key: their order in a config means nothing.
pub(super) type Fields = BTreeMap<String, Value>;

impl Value {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The digest of the value: the same for equal values, whichever encoding they came in, and practically only for
    /// those. It is the beginning of a cryptographic hash (SHA-256), since literal secrets may be part of the value.
    ///
    /// Digests are kept in shared data and compared with those of the next version: the same value must always give the
    /// same digest.
    pub(super) fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        let hash = Sha256::digest(&bytes);
        hash.iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
    }

    /// Writes the value so that no two values are written alike: each begins with its kind, and text with its length.
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Null => bytes.push(b'n'),
            Self::Bool(false) => bytes.push(b'f'),
            Self::Bool(true) => bytes.push(b't'),
            Self::Number(Number::Whole(number)) => {
                bytes.push(b'#');
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Self::Number(Number::Other(number)) => {
                bytes.push(b'.');
                bytes.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Self::Text(text) => write_text(b'"', text, bytes),
            Self::List(items) => {
                bytes.push(b'[');
                items.iter().for_each(|item| item.write(bytes));
                bytes.push(b']');
            }
            Self::Object(fields) => {
                bytes.push(b'{');
                for (key, value) in fields {
                    write_text(b':', key, bytes);
                    value.write(bytes);
                }
                bytes.push(b'}');
            }
        }
    }
}

fn write_text(kind: u8, text: &str, bytes: &mut Vec<u8>) {
    bytes.push(kind);
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Builds a [`Value`] of what a deserialiser meets. `serde_json::Value` will not do: of a key that stands twice it
/// takes the last value in silence.
struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(if number.unsigned_abs() < EXACT as u64 {
            Number::Whole(number)
        } else {
            Number::Other(number as f64)
        }))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => self.visit_f64(number as f64),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::new(number).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut fields = Fields::new();
        while let Some((key, value)) = object.next_entry()? {
            match fields.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(first) => {
                    return Err(A::Error::custom(format!("the key {} stands twice", shown(first.key()))));
                }
            }
        }
        Ok(Value::Object(fields))
    }
}

/// A number of a configuration. A whole one is an integer, so that both encodings give the same tree: in a Struct every
/// number is a double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// An integer below 2^53.
    Whole(i64),
    /// A fraction, or an integer that a double does not hold exactly.
    Other(f64),
}

impl Number {
    /// A double as the number the user wrote; `None` when it is not finite.
    pub(super) fn new(number: f64) -> Option<Self> {
        if number.fract() == 0.0 && number.abs() < EXACT {
            // Within ±2^53 the conversion is exact.
            return Some(Self::Whole(number as i64));
        }
        number.is_finite().then_some(Self::Other(number))
    }

    /// Parses text as a JSON number; `None`: the text is no number.
    pub(super) fn parse(text: &str) -> Option<f64> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn as_u64(self) -> Option<u64> {
        match self {
            Self::Whole(number) => u64::try_from(number).ok(),
            Self::Other(_) => None,
        }
    }

    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Other(number) => number,
        }
    }
}

/// Prints a number with six decimals at the most. A [`Number::Other`] of more than 12 digits is described instead.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Other(number) if number.abs() >= PRINTED => f.write_str("a number of more than 12 digits"),
            Self::Other(number) => {
                let text = format!("{number:.6}");
                let text = text.trim_end_matches('0');
                write!(f, "{text}{}", if text.ends_with('.') { "0" } else { "" })
            }
        }
    }
}

/// The bound of the fractions that are printed: beyond it six decimals are more than a double has.
const PRINTED: f64 = 1e12;

/// 2^53: a whole double below it is exactly the integer that it stands for.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> String {
        serde_json::from_str::<Value>(json).unwrap_err().to_string()
    }

    #[test]
    fn a_number_is_shown_as_it_was_written() {
        for (number, text) in [
            (5.0, "5"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (-12.5, "-12.5"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "0.0"),
            (100.01, "100.01"),
            (1e300, "a number of more than 12 digits"),
        ] {
            assert_eq!(Number::new(number).unwrap().to_string(), text);
        }
        assert_eq!(Number::new(f64::NAN), None);
    }

    #[test]
    fn a_number_is_the_nearest_double() {
        let long = "0.1000000000000000055511151231257827";
        for text in ["0.1", "1e22", "2.5e-3", "123456789.125", "0.30000000000000004", "-7.25E+2", "0e999", long] {
            assert_eq!(Number::parse(text), Some(text.parse().unwrap()), "{text}");
        }
        assert_eq!(Number::parse("18446744073709551615"), Some(u64::MAX as f64));
        for text in ["", "one", "null", "0x1", "1 2", "NaN", "1e309"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert_eq!(fault("1e309"), "number out of range at line 1 column 5");
    }

    #[test]
    fn a_key_that_stands_twice_is_said_where_its_object_ends() {
        assert_eq!(fault("{\"a\":1,\n \"a\":2 }"), "the key \"a\" stands twice at line 2 column 8");
        assert_eq!(fault(r#"[{"a":{"b":1,"b":2,"c":3}}]"#), "the key \"b\" stands twice at line 1 column 18");
    }

    #[test]
    fn values_nest_127_deep_and_no_deeper() {
        let deep = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(serde_json::from_str::<Value>(&deep(127)).is_ok());
        assert_eq!(fault(&deep(128)), "recursion limit exceeded at line 1 column 128");
    }
}
