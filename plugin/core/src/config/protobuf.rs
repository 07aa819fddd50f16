//! A serialised `google.protobuf.Struct` as a tree, read by hand: it is four small messages, and a protobuf library with
//! its generated types would be a tenth of the filter.
//!
//! ```proto
//! message Struct { map<string, Value> fields = 1; }  // each entry a message: key = 1, value = 2
//! message ListValue { repeated Value values = 1; }
//! message Value {
//!   oneof kind {
//!     NullValue null_value = 1;  double number_value = 2;   string string_value = 3;
//!     bool bool_value = 4;       Struct struct_value = 5;   ListValue list_value = 6;
//!   }
//! }
//! ```
//! The wire format is a list of fields, each a key (number and wire type) and a payload:
//! <https://protobuf.dev/programming-guides/encoding/>. Unknown fields are skipped, of a repeated one the last counts.

use super::error::shown;
use super::tree::{Fields, Value};

/// Objects and lists within each other; each is a few levels of recursion. Deeper than any config by far.
const DEPTH_MAX: u32 = 64;

/// The highest number a field may have, 2^29 - 1.
const NUMBER_MAX: u64 = 0x1fff_ffff;

/// Why bytes are no Struct that a config may be.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    /// They are no Struct.
    NotStruct(&'static str),
    /// They are one, with a number that JSON does not have.
    NotFinite {
        /// Where it is.
        path: String,
    },
}

impl Fault {
    /// The fault as it is seen from the value around it.
    fn within(self, step: String) -> Self {
        match self {
            Self::NotFinite { path } if path.is_empty() || path.starts_with('[') => {
                Self::NotFinite { path: format!("{step}{path}") }
            }
            Self::NotFinite { path } => Self::NotFinite { path: format!("{step}.{path}") },
            other => other,
        }
    }
}

/// Decodes a Struct to its end. One without fields is none: so nearly any bytes would do.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, Fault> {
    let fields = object(bytes, DEPTH_MAX)?;
    if fields.len() == 0 { Err(Fault::NotStruct("it has no fields")) } else { Ok(Value::Object(fields)) }
}

fn object(bytes: &[u8], depth: u32) -> Result<Fields, Fault> {
    let mut fields = Fields::default();
    let mut message = Message(bytes);
    while let Some((number, payload)) = message.next()? {
        if number == 1 {
            let (key, value) = entry(payload.bytes()?, depth)?;
            fields.insert(key, value).map_err(|_| Fault::NotStruct("it has a key twice"))?;
        }
    }
    Ok(fields)
}

fn entry(bytes: &[u8], depth: u32) -> Result<(String, Value), Fault> {
    let mut entry = (String::new(), Value::Null);
    let mut message = Message(bytes);
    while let Some((number, payload)) = message.next()? {
        match number {
            1 => entry.0 = payload.text()?,
            // The key comes first, unless somebody takes pains: the path then lacks it.
            2 => {
                let inner = value(payload.bytes()?, depth);
                entry.1 = inner.map_err(|fault| fault.within(shown(&entry.0).trim_matches('"').to_owned()))?;
            }
            _ => {}
        }
    }
    Ok(entry)
}

fn value(bytes: &[u8], depth: u32) -> Result<Value, Fault> {
    let deeper = depth.checked_sub(1).ok_or(Fault::NotStruct("recursion limit reached"))?;
    let mut value = Value::Null;
    let mut message = Message(bytes);
    while let Some((number, payload)) = message.next()? {
        value = match number {
            1 => payload.varint().map(|_| Value::Null)?,
            2 => Value::number(payload.double()?).ok_or(Fault::NotFinite { path: String::new() })?,
            3 => Value::Text(payload.text()?),
            4 => Value::Bool(payload.varint()? != 0),
            5 => Value::Object(object(payload.bytes()?, deeper)?),
            6 => Value::List(list(payload.bytes()?, deeper)?),
            _ => value,
        };
    }
    Ok(value)
}

fn list(bytes: &[u8], depth: u32) -> Result<Vec<Value>, Fault> {
    let mut items = Vec::new();
    let mut message = Message(bytes);
    while let Some((number, payload)) = message.next()? {
        if number == 1 {
            let item = value(payload.bytes()?, depth);
            items.push(item.map_err(|fault| fault.within(format!("[{}]", items.len())))?);
        }
    }
    Ok(items)
}

/// The fields of a message still to be read.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// The number and payload of the next field.
    fn next(&mut self) -> Result<Option<(u64, Payload<'a>)>, Fault> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Payload::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => self.take(4).map(|_| Payload::Fixed32)?,
            _ => return Err(Fault::NotStruct("it has a wire type that is none")),
        };
        match key >> 3 {
            number @ 1..=NUMBER_MAX => Ok(Some((number, payload))),
            _ => Err(Fault::NotStruct("it has a field number that is none")),
        }
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            // Only one bit is left for the tenth byte.
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::NotStruct("it has a number of more than 64 bits"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Fault::NotStruct("it ends too soon"))?;
        self.0 = rest;
        Ok(taken)
    }
}

/// What a field holds; the type of a known one must be the one its message says.
enum Payload<'a> {
    Varint(u64),
    Fixed64(&'a [u8]),
    Bytes(&'a [u8]),
    Fixed32,
}

const OTHER_TYPE: Fault = Fault::NotStruct("it has a field of another type");

impl<'a> Payload<'a> {
    fn varint(self) -> Result<u64, Fault> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(OTHER_TYPE),
        }
    }

    fn double(self) -> Result<f64, Fault> {
        match self {
            Self::Fixed64(bytes) => bytes.try_into().map(f64::from_le_bytes).map_err(|_| OTHER_TYPE),
            _ => Err(OTHER_TYPE),
        }
    }

    fn bytes(self) -> Result<&'a [u8], Fault> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(OTHER_TYPE),
        }
    }

    fn text(self) -> Result<String, Fault> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Fault::NotStruct("it has text that is not UTF-8"))?;
        Ok(text.to_owned())
    }
}
