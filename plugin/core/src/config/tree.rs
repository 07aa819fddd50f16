//! A configuration as one tree, whichever encoding it came in.

use serde_json::Number;
use sha2::{Digest, Sha256};

/// A value of a configuration.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
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
            return Some(Self::Number(Number::from(number as i64)));
        }
        Number::from_f64(number).map(Self::Number)
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
            Self::Number(number) => write_text(b'#', &number.to_string(), bytes),
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

/// 2^53: below it every whole double is the integer it says.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The fields of an object, sorted by key: their order in a config means nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields(Vec<(String, Value)>);

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

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, (String, Value)> {
        self.0.iter()
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(key))
    }
}
