//! Is it what the sender signed, and just now?

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Refused;

/// The id and type of a verified event.
pub struct Event<'a> {
    pub id: &'a str,
    pub kind: &'a str,
}

pub fn verify<'a>(
    secrets: &[Vec<u8>],
    headers: &'a HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Result<Event<'a>, Refused> {
    let mut signatures = vec![signature("X-Webhook-Signature", required(headers, "X-Webhook-Signature")?)?];
    if let Some(also) = optional(headers, "X-Webhook-Signature-Also")? {
        for one in also.split(',') {
            signatures.push(signature("X-Webhook-Signature-Also", one.trim_start())?);
        }
    }
    // A sender signs with few secrets at once.
    if signatures.len() > 9 {
        return Err(malformed("X-Webhook-Signature-Also", "at most 8 signatures"));
    }
    let timestamp = required(headers, "X-Webhook-Timestamp")?;
    let milliseconds =
        Some(timestamp).filter(|text| text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let milliseconds = milliseconds.and_then(|text| text.parse().ok());
    let signed_at: i64 =
        milliseconds.ok_or_else(|| malformed("X-Webhook-Timestamp", "Unix time in milliseconds, 13 digits"))?;
    let id = required(headers, "X-Webhook-Id")?;
    if !is_uuid(id) {
        return Err(malformed("X-Webhook-Id", "a UUID in lower case"));
    }
    let kind = required(headers, "X-Webhook-Event")?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if kind.is_empty() || kind.len() > 128 || !kind.bytes().all(known) {
        return Err(malformed("X-Webhook-Event", "an event type"));
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    check_age(i64::try_from(now).unwrap_or(i64::MAX) - signed_at)?;
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        // In constant time: `==` tells by its time how much of a guess was right.
        if signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok()) {
            return Ok(Event { id, kind });
        }
    }
    let reason = "X-Webhook-Signature: no secret known here gives it for this timestamp and body";
    Err(Refused::new(StatusCode::UNAUTHORIZED, reason))
}

fn check_age(age_ms: i64) -> Result<(), Refused> {
    let seconds = age_ms.abs() / 1000;
    let reason = if age_ms > PAST_MS {
        format!("X-Webhook-Timestamp: {seconds} s old, at most {} s", PAST_MS / 1000)
    } else if -age_ms > FUTURE_MS {
        format!("X-Webhook-Timestamp: {seconds} s ahead, at most {} s", FUTURE_MS / 1000)
    } else {
        return Ok(());
    };
    Err(Refused::new(StatusCode::UNAUTHORIZED, reason))
}

/// The one value of a header, or none. Two are refused: who knows which of them others believe.
fn optional<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refused> {
    // Not `get`, which takes the first and hides the second.
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed(name, "one value"));
    }
    value.to_str().map(Some).map_err(|_| malformed(name, "visible ASCII"))
}

fn required<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    optional(headers, name)?.ok_or_else(|| malformed(name, "one value"))
}

fn malformed(name: &str, expected: &str) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, format!("{name}: expected {expected}"))
}

fn signature(name: &str, text: &str) -> Result<[u8; 32], Refused> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    let pairs = text.as_bytes().chunks_exact(2);
    let whole = text.len() == 64
        && bytes.iter_mut().zip(pairs).all(|(byte, pair)| match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => {
                *byte = high << 4 | low;
                true
            }
            _ => false,
        });
    whole.then_some(bytes).ok_or_else(|| malformed(name, "64 lower-case hex digits"))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

const PAST_MS: i64 = 300_000;
const FUTURE_MS: i64 = 30_000;
