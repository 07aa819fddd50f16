//! Messages that a sender signed, each for itself, for the case that verifies.

use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use gatepost_core::secret::Secret;
use gatepost_core::signature::timestamped::sign;
use gatepost_core::time::WallTime;
use tempfile::NamedTempFile;

use crate::clock::now;

/// Messages of 1 KiB, no two of them alike.
pub struct Messages {
    /// A line for each: timestamp, id and signature.
    file: NamedTempFile,
}

/// What stands before the id in each body, and behind.
fn around_id() -> (&'static str, String) {
    (r#"{"id":""#, format!(r#"","filler":"{:x<981}"}}"#, ""))
}

impl Messages {
    /// So many of them, up to a hundred million, signed now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sign(secret: &str, count: u32) -> Result<Self> {
        let now = now().as_millis();
        let secret = Secret::new(secret.as_bytes().to_vec()).context("a secret")?;
        let (before, behind) = around_id();
        let mut file = BufWriter::new(NamedTempFile::new()?);
        for number in 0..count {
            let id = format!("{now}-{number:08}");
            let body = [before, &id, &behind].concat();
            let signature = sign(&secret, WallTime::from_millis(now), body.as_bytes());
            writeln!(file, "{now} {id} {signature}")?;
        }
        Ok(Self { file: file.into_inner()? })
    }

    /// What has wrk send them, each once.
    pub fn script(&self) -> String {
        let ((before, behind), path) = (around_id(), self.file.path().to_string_lossy());
        [&*format!("before, behind = '{before}', '{behind}'\nmessages = io.lines('{path}')\n"), NEXT].concat()
    }
}

const NEXT: &str = r#"
local headers = {["content-type"] = "application/json"}
function request()
  local line = assert(messages(), "more was sent than was signed: raise MESSAGES_A_SECOND in bench.rs")
  local timestamp, id, signature = line:match("(%S+) (%S+) (%S+)")
  headers["x-webhook-timestamp"], headers["x-webhook-id"], headers["x-webhook-signature"] = timestamp, id, signature
  return wrk.format(nil, nil, headers, before .. id .. behind)
end
"#;
