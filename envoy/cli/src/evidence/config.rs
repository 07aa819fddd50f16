//! Which config it was: its digest, with every value that may be a secret taken out first, so that the digest tells
//! nothing of a secret, and stays the same when one is rotated.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::given;

/// A config, by its digest.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Config {
    pub file: String,
    /// Of the canonical JSON (keys in order, no white space) without the values that were taken out.
    pub sha256: String,
    /// How many values were taken out.
    pub taken_out: u64,
    /// Is there a `payload_guard` in it?
    pub has_payload_guard: bool,
}

/// Reads a filter's config or a whole Envoy's, YAML or JSON.
///
/// # Errors
/// When it cannot be read; the error does not quote it.
pub(super) fn read(path: &Path) -> Result<Config> {
    let text = given::text_file("--config", path)?;
    let value = serde_saphyr::from_str(&text).map_err(|_| anyhow::anyhow!("not YAML or JSON"));
    let mut value: Value = value.with_context(|| given::named("--config", path))?;
    let mut taken_out = 0;
    take_out(&mut value, &mut taken_out);
    Ok(Config {
        file: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        // The keys of serde_json's maps are in order.
        sha256: hex::encode(Sha256::digest(value.to_string())),
        taken_out,
        has_payload_guard: has_key(&value, "payload_guard"),
    })
}

/// Replaces what may be a secret: literal values and inline data wherever they stand, whole maps of variables and of
/// headers. A filter's config may be a string that holds JSON.
fn take_out(value: &mut Value, taken_out: &mut u64) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| take_out(value, taken_out)),
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let nested = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
                if let Some(mut nested) = nested.filter(Value::is_object) {
                    take_out(&mut nested, taken_out);
                    *value = nested;
                } else if SECRET_MAPS.contains(&key.as_str()) && value.is_object() {
                    value.as_object_mut().into_iter().flat_map(|map| map.values_mut()).for_each(|value| {
                        // `{env: NAME}` is a name.
                        if value.is_object() { take_out(value, taken_out) } else { replace(value, taken_out) }
                    });
                } else if value.is_string() && is_secret(key) {
                    replace(value, taken_out);
                } else {
                    take_out(value, taken_out);
                }
            }
        }
        _ => {}
    }
}

fn replace(value: &mut Value, taken_out: &mut u64) {
    *taken_out += 1;
    *value = Value::from("(taken out)");
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_KEYS.contains(&key.as_str()) || SECRET_PARTS.iter().any(|part| key.contains(part))
}

fn has_key(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|value| has_key(value, wanted)),
        Value::Object(map) => map.iter().any(|(key, value)| key == wanted || has_key(value, wanted)),
        _ => false,
    }
}

/// `value` is how a literal secret or token is written, and a header's value.
const SECRET_KEYS: [&str; 4] = ["value", "inline_string", "inline_bytes", "key_values"];
const SECRET_PARTS: [&str; 5] = ["password", "private_key", "token", "credential", "secret"];
const SECRET_MAPS: [&str; 2] = ["key_values", "headers"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn digest(text: &str) -> Config {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path()).unwrap()
    }

    /// A rotated secret leaves the digest as it was and any other change does not.
    #[test]
    fn secret_rotation_leaves_the_config_digest_unchanged() {
        let config = "endpoints: [{name: a, secrets: [{value: one}], headers: {x-api-key: key, x-other: {env: A}}}]\n\
                      environment_variables: {key_values: {B: two}}\npayload_guard: {}\n";
        let first = digest(config);
        assert_eq!((first.taken_out, first.has_payload_guard), (3, true));
        let rotated = config.replace("one", "three").replace("two", "four").replace("key, ", "other, ");
        assert_eq!(digest(&rotated).sha256, first.sha256);
        assert_ne!(digest(&config.replace("env: A", "env: C")).sha256, first.sha256);
        assert_ne!(digest(&config.replace("name: a", "name: b")).sha256, first.sha256);
    }

    #[test]
    fn json_within_a_string_is_a_config_too() {
        let whole = |secret: &str| {
            let plugin = format!(r#"{{"endpoints": [{{"secrets": [{{"value": "{secret}"}}]}}]}}"#);
            serde_json::json!({"configuration": {"@type": "google.protobuf.StringValue", "value": plugin}}).to_string()
        };
        assert_eq!(digest(&whole("one")).sha256, digest(&whole("two")).sha256);
    }

    #[test]
    fn what_cannot_be_read_is_said_without_quoting_it() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"secrets: [\"s3cret").unwrap();
        let error = format!("{:#}", read(file.path()).unwrap_err());
        assert!(error.ends_with("not YAML or JSON") && !error.contains("s3cret"), "{error}");
    }
}
