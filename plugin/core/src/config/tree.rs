//! A configuration as one tree, whichever encoding it came in.

use std::fmt;

use sha2::{Digest, Sha256};

/// A value of a configuration.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A whole one is an integer, so that both encodings give the same tree.
    Number(Number),
    Text(String),
    List(Vec<Value>),
    Object(Fields),
}

impl Value {
    /// A double as the number the user wrote; `None` when it is not finite.
    pub(super) fn number(number: f64) -> Option<Self> {
        if number.fract() == 0.0 && number.abs() < EXACT {
            // Within ±2^53 the conversion is exact.
            return Some(Self::Number(Number::Whole(number as i64)));
        }
        number.is_finite().then_some(Self::Number(Number::Other(number)))
    }

    /// Text that is a number, as JSON has it: its parser is here already.
    pub(crate) fn parse_number(text: &str) -> Option<f64> {
        match Self::parse(text) {
            Ok(Self::Number(number)) => Some(number.as_f64()),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same for equal values, whichever encoding they came in, and practically only for those. A cryptographic hash,
    /// since literal secrets may be part of the value.
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
                for (key, value) in fields.iter() {
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

/// A number of a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// An integer.
    Whole(i64),
    /// Any other, or an integer of more bits.
    Other(f64),
}

impl Number {
    pub(super) fn as_u64(self) -> Option<u64> {
        match self {
            Self::Whole(number) => u64::try_from(number).ok(),
            Self::Other(_) => None,
        }
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Other(number) => number,
        }
    }
}

/// With six decimals at the most.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self {
            Self::Whole(number) => return fmt::Display::fmt(number, f),
            Self::Other(number) => *number,
        };
        if number.abs() >= PRINTED {
            return f.write_str("a number of more than 12 digits");
        }
        let millionths = (number.abs() * 1e6).round() as u64;
        let (whole, mut part, mut digits) = (millionths / 1_000_000, millionths % 1_000_000, 6);
        while part % 10 == 0 && digits > 1 {
            (part, digits) = (part / 10, digits - 1);
        }
        let sign = if number < 0.0 { "-" } else { "" };
        write!(f, "{sign}{whole}.{part:0digits$}")
    }
}

/// Beyond it six decimals are more than a double has.
const PRINTED: f64 = 1e12;

/// 2^53: below it every whole double is the integer it says.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The fields of an object, sorted by key: their order in a config means nothing.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Adds a field.
    ///
    /// # Errors
    /// The key, if it is there already: of two values one would be ignored in silence.
    pub(super) fn insert(&mut self, key: String, value: Value) -> Result<(), String> {
        match self.place(&key) {
            Ok(_) => Err(key),
            Err(at) => {
                self.0.insert(at, (key, value));
                Ok(())
            }
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let at = self.place(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (String, Value)> {
        self.0.iter()
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_as_it_was_written() {
        for (number, text) in [
            (5.0, "5"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (-12.5, "-12.5"),
            (0.000_001, "0.000001"),
            (100.01, "100.01"),
            (1e300, "a number of more than 12 digits"),
        ] {
            let Some(Value::Number(shown)) = Value::number(number) else { panic!("{number}") };
            assert_eq!(shown.to_string(), text);
        }
        assert_eq!(Value::number(f64::NAN), None);
        assert_eq!(Value::parse_number("18446744073709551615"), Some(u64::MAX as f64));
    }
}
