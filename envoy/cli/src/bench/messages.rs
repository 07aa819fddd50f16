//! Messages that a sender signed, each for itself, for the case that verifies.

use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use gatepost_core::secret::Secret;
use gatepost_core::signature::timestamped::sign;
use gatepost_core::time::WallTime;
use tempfile::NamedTempFile;

/// Messages of 1 KiB, no two of them alike.
pub struct Messages {
    body: String,
    /// A line for each: timestamp, id and signature.
    file: NamedTempFile,
}

impl Messages {
    /// So many of them, one signed in each of the last milliseconds. The body says when, so that those of the next run
    /// are others.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sign(secret: &str, count: u32) -> Result<Self> {
        let now = crate::now().as_millis();
        let body = format!("{{\"filler\":\"{now:x<1011}\"}}");
        let secret = Secret::new(secret.as_bytes().to_vec()).context("a secret")?;
        let mut file = BufWriter::new(NamedTempFile::new()?);
        for number in 0..u64::from(count) {
            let at = now - number;
            let signature = sign(&secret, WallTime::from_millis(at), body.as_bytes());
            writeln!(file, "{at} message-{now}-{number} {signature}")?;
        }
        Ok(Self { body, file: file.into_inner()? })
    }

    /// What has wrk send them, each once.
    pub fn script(&self) -> String {
        let path = self.file.path().to_string_lossy();
        [&*format!("wrk.body = '{}'\nmessages = io.lines('{path}')\n", self.body), NEXT].concat()
    }
}

const NEXT: &str = r#"
local headers = {["content-type"] = "application/json"}
function request()
  local timestamp, id, signature = messages():match("(%S+) (%S+) (%S+)")
  headers["x-webhook-timestamp"], headers["x-webhook-id"], headers["x-webhook-signature"] = timestamp, id, signature
  return wrk.format(nil, nil, headers)
end
"#;
