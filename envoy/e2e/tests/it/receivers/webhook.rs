//! A webhook as the sender makes it, signed with code that shares nothing with the filter and the receivers.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use gatepost_e2e::client::send_raw;
use hmac_sha256::HMAC;

use super::running::Running;

/// What all receivers are started with.
pub const SECRET: &str = "0f9c4a7d2b8e61350f9c4a7d2b8e6135";

/// Header for header what a gateway sends, until a test changes it.
#[derive(Clone)]
pub struct Webhook {
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Webhook {
    /// One of now; the number makes its id.
    pub fn new(number: u32, body: &[u8]) -> Self {
        Self::aged(number, body, 0, SECRET)
    }

    /// One signed so many milliseconds ago.
    pub fn aged(number: u32, body: &[u8], age_ms: i64, secret: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let timestamp = (i64::try_from(now).unwrap() - age_ms).to_string();
        let headers = vec![
            ("X-Webhook-Signature", signature(secret, &timestamp, body)),
            ("X-Webhook-Timestamp", timestamp),
            ("X-Webhook-Id", id(number)),
            ("X-Webhook-Event", "payment_verified".to_owned()),
            ("X-Webhook-Attempt", "1".to_owned()),
            ("Content-Type", "application/json".to_owned()),
        ];
        Self { headers, body: body.to_vec() }
    }

    pub fn value(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str()).unwrap()
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub fn replacing(self, name: &'static str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// Its status and the whole answer.
    pub fn send(&self, to: &Running) -> Result<(u16, String)> {
        request(to, "POST", "/webhooks", &self.headers, &self.body)
    }
}

pub fn request(
    to: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> Result<(u16, String)> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", to.address);
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    write!(head, "Content-Length: {}\r\n\r\n", body.len())?;
    let answer = send_raw(&to.address, &[head.as_bytes(), body].concat())
        .with_context(|| format!("{:?}: {method} {path}", to.language))?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    Ok((status.with_context(|| format!("{:?} answered {answer:?}", to.language))?, answer))
}

pub fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mac = HMAC::mac([timestamp.as_bytes(), b".", body].concat(), secret);
    mac.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}
