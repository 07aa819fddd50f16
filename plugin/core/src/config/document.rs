//! The bytes of a configuration as one tree, whether they are JSON or a serialised `google.protobuf.Struct`.
//!
//! Envoy hands over either, and does not say which. The first bytes do not tell: a Struct begins with a line feed and a
//! length, which may be the code of `{`. So each is decoded to its end before the other is tried.

use super::error::{Problem, shown};
use super::protobuf::{self, Fault};
use super::tree::{Fields, Number, Value};
use crate::json::read::{self, ARRAY, OBJECT, Reader};

/// A configuration that sends, as short as it can be.
pub(super) const MINIMAL: &str = r#"{"enabled":true,"routes":[{"name":"ingest","match":{"path":"/events/{event}"},"event":"{event}"}],"endpoints":[{"name":"billing","cluster":"billing","url":"https://api.example.com/webhooks","secrets":[{"env":"WEBHOOK_SECRET"}]}]}"#;

/// Where a problem is that concerns the whole.
pub(super) const WHOLE: &str = "configuration";

/// Decodes the bytes fully as JSON, and if they are not, fully as a Struct.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.trim_ascii().is_empty() {
        return Err(whole("is empty".to_owned()));
    }
    let json_error = match std::str::from_utf8(bytes).map(Value::parse) {
        Ok(Ok(tree)) => return Ok(tree),
        Ok(Err(error)) => error,
        Err(_) => "it is not UTF-8".to_owned(),
    };
    let struct_error = match protobuf::decode(bytes) {
        Ok(tree) => return Ok(tree),
        Err(Fault::NotFinite { path }) => {
            return Err(Problem { path, what: "is not finite".to_owned(), expected: "a number".to_owned() });
        }
        Err(Fault::NotStruct(reason)) => reason,
    };
    Err(whole(if bytes.trim_ascii_start().starts_with(b"{") {
        format!("is not valid JSON: {json_error}")
    } else {
        format!("is neither JSON ({json_error}) nor a google.protobuf.Struct ({struct_error})")
    }))
}

fn whole(what: String) -> Problem {
    Problem { path: WHOLE.to_owned(), what, expected: format!("JSON or a google.protobuf.Struct, such as {MINIMAL}") }
}

impl Value {
    /// JSON to its end.
    pub(crate) fn parse(text: &str) -> read::Result<Self> {
        let mut reader = Reader::new(text);
        let value = Self::read(&mut reader)?;
        reader.end().map(|()| value)
    }

    /// The value of JSON that comes next.
    pub(crate) fn read(json: &mut Reader<'_>) -> read::Result<Self> {
        value(json, DEPTH_MAX)
    }
}

/// `depth`: of how many containers it may be made.
fn value(json: &mut Reader<'_>, depth: u32) -> read::Result<Value> {
    Ok(match json.peek() {
        Some(b'{') => {
            let depth = inside(json, depth)?;
            Value::Object(fields(json, depth)?)
        }
        Some(b'[') => {
            let depth = inside(json, depth)?;
            Value::List(items(json, depth)?)
        }
        Some(b'"') => {
            let mut text = String::new();
            json.string(Some(&mut text))?;
            Value::Text(text)
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = number(json.number()?);
            number.ok_or_else(|| json.fault("number out of range"))?
        }
        // Words; and what is no value.
        first => match json.skip().map(|_| first)? {
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            _ => Value::Null,
        },
    })
}

/// Opens a container; how many may be inside.
fn inside(json: &mut Reader<'_>, depth: u32) -> read::Result<u32> {
    if depth == 0 {
        return Err(json.fault_next("recursion limit exceeded"));
    }
    json.open();
    Ok(depth - 1)
}

fn items(json: &mut Reader<'_>, depth: u32) -> read::Result<Vec<Value>> {
    let mut items = Vec::new();
    while json.more(ARRAY, items.is_empty())? {
        items.push(value(json, depth)?);
    }
    Ok(items)
}

fn fields(json: &mut Reader<'_>, depth: u32) -> read::Result<Fields> {
    let mut fields = Fields::default();
    let mut key = String::new();
    while json.more(OBJECT, fields.len() == 0)? {
        json.key(Some(&mut key))?;
        let value = value(json, depth)?;
        fields.insert(std::mem::take(&mut key), value).map_err(|key| {
            // Behind the object, if that ends here.
            if json.peek() == Some(b'}') {
                json.open();
            }
            json.fault(&format!("the key {} stands twice", shown(&key)))
        })?;
    }
    Ok(fields)
}

/// A number as JSON has it; `None` when it is beyond what a double holds. The parser of the standard library is 20 KB.
/// Up to 19 digits and to 10^22 it is the nearest double, beyond that it may be the one beside it.
fn number(text: &str) -> Option<Value> {
    let end = text.bytes().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let (mantissa, power) = text.split_at_checked(end)?;
    let (mut significand, mut exponent) = (0u64, signed(power));
    let (mut behind_point, mut is_full) = (0, false);
    for byte in mantissa.bytes() {
        match byte {
            b'-' => {}
            b'.' => behind_point = 1,
            digit => {
                let next = significand.checked_mul(10).and_then(|more| more.checked_add(u64::from(digit - b'0')));
                // Digits that there is no room for count as zeros.
                is_full |= next.is_none();
                significand = next.filter(|_| !is_full).unwrap_or(significand);
                exponent = exponent.saturating_add(i32::from(is_full) - behind_point);
            }
        }
    }
    let is_negative = text.starts_with('-');
    if behind_point == 0 && power.is_empty() && !is_full {
        let whole = if is_negative { 0i64.checked_sub_unsigned(significand) } else { i64::try_from(significand).ok() };
        if let Some(whole) = whole {
            return Some(Value::Number(Number::Whole(whole)));
        }
    }
    let mut number = significand as f64;
    while exponent != 0 && number != 0.0 && number.is_finite() {
        let step = exponent.clamp(-EXACT_POWER, EXACT_POWER);
        let power = (0..step.unsigned_abs()).fold(1.0, |power, _| power * 10.0);
        number = if step > 0 { number * power } else { number / power };
        exponent -= step;
    }
    Value::number(if is_negative { -number } else { number })
}

/// The exponent of a number: `e-3`. One beyond an integer is far beyond a double too.
fn signed(power: &str) -> i32 {
    let digits = power.bytes().filter(u8::is_ascii_digit);
    let exponent =
        digits.fold(0i32, |exponent, digit| exponent.saturating_mul(10).saturating_add((digit - b'0').into()));
    if power.contains('-') { -exponent } else { exponent }
}

/// Containers within each other, as many as serde_json takes.
const DEPTH_MAX: u32 = 127;

/// Of all powers of ten up to this one each is a double.
const EXACT_POWER: i32 = 22;
