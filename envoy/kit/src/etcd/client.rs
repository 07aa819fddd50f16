//! etcd's API as JSON over HTTP/1.1 (its gRPC gateway), as far as tests ask for it.
//!
//! Keys and values are in base64; whole numbers of 64 bits are strings, and those that are 0 are left out.

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A key, and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key; what is not UTF-8 is replaced.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision at which it was created.
    pub create_revision: u64,
    /// The revision at which it was last written.
    pub mod_revision: u64,
    /// The lease it hangs on; 0 when it has none.
    pub lease: i64,
}

/// The database of a member, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The file: what the quota bounds, and what a defragmentation makes smaller.
    pub file: u64,
    /// What of it is in use.
    pub used: u64,
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub member: u64,
    /// 0 when it knows none.
    pub leader: u64,
    pub size: Size,
}

/// Posts a request to a member and gives its answer back.
///
/// # Errors
/// When it does not answer in time, or refuses: etcd's own words.
pub(super) fn ask(http: &ureq::Agent, address: &str, path: &str, body: &Value) -> Result<Value> {
    let mut response = http.post(format!("http://{address}{path}")).send_json(body)?;
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("etcd answers {text:?}"))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => bail!("etcd refuses: {error}"),
        None => Ok(answer),
    }
}

/// What a member says of itself.
pub(super) fn status(http: &ureq::Agent, address: &str) -> Result<Status> {
    let answer = ask(http, address, "/v3/maintenance/status", &json!({}))?;
    Ok(Status {
        member: number(&answer, "/header/member_id")?,
        leader: number(&answer, "/leader")?,
        size: Size { file: number(&answer, "/dbSize")?, used: number(&answer, "/dbSizeInUse")? },
    })
}

/// What an answer to a range holds.
pub(super) fn entries(answer: &Value) -> Result<Vec<Entry>> {
    let entries = answer.get("kvs").and_then(Value::as_array).into_iter().flatten();
    entries
        .map(|entry| {
            Ok(Entry {
                key: String::from_utf8_lossy(&bytes(entry, "/key")?).into_owned(),
                value: bytes(entry, "/value")?,
                create_revision: number(entry, "/create_revision")?,
                mod_revision: number(entry, "/mod_revision")?,
                lease: number(entry, "/lease")?,
            })
        })
        .collect()
}

/// All keys that begin so, as a request names them.
pub(super) fn range(prefix: &str) -> Value {
    // The empty key is refused; the byte 0 is the first that there can be.
    let first = if prefix.is_empty() { &[0] } else { prefix.as_bytes() };
    json!({"key": encoded(first), "range_end": encoded(&behind(prefix))})
}

/// The same, asked for their number only.
pub(super) fn counted(prefix: &str) -> Value {
    let mut range = range(prefix);
    if let Some(range) = range.as_object_mut() {
        range.insert("count_only".to_owned(), json!(true));
    }
    range
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The first key behind those that begin so; of "" it is the byte 0, which to etcd is the end of all.
fn behind(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // No byte of UTF-8 is 255.
    match end.last_mut() {
        Some(last) => *last = last.saturating_add(1),
        None => end.push(0),
    }
    end
}

/// A whole number; 0 when it was left out.
pub(super) fn number<T: std::str::FromStr + Default>(answer: &Value, pointer: &str) -> Result<T> {
    match answer.pointer(pointer) {
        None => Ok(T::default()),
        Some(value) => {
            let parsed = value.as_str().and_then(|text| text.parse().ok());
            parsed.with_context(|| format!("{pointer} of etcd's answer is {value}, expected a number in a string"))
        }
    }
}

fn bytes(entry: &Value, pointer: &str) -> Result<Vec<u8>> {
    let text = entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(text).with_context(|| format!("{pointer} of etcd's answer is not base64"))
}

/// Every event of the largest test at once: 100,000 of 1.2 KiB, in base64.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_a_prefix_ends_behind_its_last_byte() {
        assert_eq!(behind("/a/"), b"/a0");
        assert_eq!(behind(""), [0]);
        assert_eq!(range("a"), json!({"key": "YQ==", "range_end": "Yg=="}));
        assert_eq!(range(""), json!({"key": "AA==", "range_end": "AA=="}));
    }

    /// The words of etcd 3.4: what is 0 is left out, and numbers are strings.
    #[test]
    fn entries_are_read_as_etcd_writes_them() {
        let answer = json!({"kvs": [
            {"key": "YQ==", "create_revision": "2", "mod_revision": "3", "version": "2", "value": "AP8=", "lease": "-7"},
            {"key": "Yg==", "create_revision": "4", "mod_revision": "4", "version": "1"},
        ]});
        let first = Entry { key: "a".into(), value: vec![0, 255], create_revision: 2, mod_revision: 3, lease: -7 };
        let second = Entry { key: "b".into(), value: vec![], create_revision: 4, mod_revision: 4, lease: 0 };
        assert_eq!(entries(&answer).unwrap(), [first, second]);
        assert_eq!(entries(&json!({"header": {}})).unwrap(), []);
        assert!(entries(&json!({"kvs": [{"key": "YQ==", "lease": 7}]})).is_err());
    }
}
