//! The bytes of a configuration as one tree, whether they are JSON or a serialised `google.protobuf.Struct`.
//!
//! Envoy hands over either of the two, and does not say which. The first bytes do not tell: a Struct begins with a line
//! feed and a length, which may be the code of `{`. So the bytes are decoded to their end as JSON before they are tried
//! as a Struct.

use super::error::ConfigProblem;
use super::protobuf::{self, StructFault};
use super::tree::Value;

/// The shortest configuration that sends. Problems show it as an example.
pub(super) const MINIMAL: &str = r#"{"enabled":true,"routes":[{"name":"ingest","match":{"path":"/events/{event}"},"event":"{event}"}],"endpoints":[{"name":"billing","cluster":"billing","url":"https://api.example.com/webhooks","secrets":[{"env":"WEBHOOK_SECRET"}]}]}"#;

/// The path of a problem that concerns the whole configuration.
pub(super) const WHOLE: &str = "configuration";

/// Decodes the bytes as JSON and, if they are not JSON to their end, as a Struct.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, ConfigProblem> {
    if bytes.trim_ascii().is_empty() {
        return Err(whole("is empty"));
    }
    let json_error = match std::str::from_utf8(bytes).map(serde_json::from_str) {
        Ok(Ok(tree)) => return Ok(tree),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it is not UTF-8".to_owned(),
    };
    let struct_error = match protobuf::decode(bytes) {
        Ok(tree) => return Ok(tree),
        Err(StructFault::NotFinite(problem)) => return Err(problem),
        Err(StructFault::NotStruct(reason)) => reason,
    };
    Err(if bytes.trim_ascii_start().starts_with(b"{") {
        whole(&format!("is not valid JSON: {json_error}"))
    } else {
        whole(&format!("is neither JSON ({json_error}) nor a google.protobuf.Struct ({struct_error})"))
    })
}

fn whole(what: &str) -> ConfigProblem {
    ConfigProblem::new(WHOLE.to_owned(), what, &format!("JSON or a google.protobuf.Struct, such as {MINIMAL}"))
}
