//! Is a request what its sender signed, when it signed it? Scheme `timestamped`, from the receiver's side; the others are in
//! [`schemes`](super::schemes).

use std::fmt;
use std::time::Duration;

use axum::http::HeaderMap;
use gatepost_core::secret::Secret;
use gatepost_core::signature::Signature;
use gatepost_core::signature::timestamped::{Timestamped, sign};
use gatepost_core::time::WallTime;
use subtle::ConstantTimeEq;

/// A signature older than this is refused: whoever has recorded a request cannot send it again later.
pub const PAST: Duration = Duration::from_secs(300);
/// Clocks differ; by more than this they are wrong.
pub const FUTURE: Duration = Duration::from_secs(30);

/// A check that can be left out, to see who notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReceiverCheck {
    /// The signature matches the body, the timestamp and a secret
    Signature,
    /// The timestamp is recent
    Timestamp,
    /// Every id is new
    Replay,
}

/// What a receiver knows.
#[derive(Debug)]
pub struct Verifier {
    /// The names of the headers.
    pub scheme: Timestamped,
    /// The secrets that are good; while one is being changed, two.
    pub secrets: Vec<Secret>,
    /// What is verified instead, in another scheme.
    pub other: Option<Signature>,
    /// The checks that are left out.
    pub without: Vec<ReceiverCheck>,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It lacks this header, or the header is empty.
    Missing(String),
    /// It has this header more than once.
    Repeated(String),
    /// The timestamp is not a number of milliseconds.
    NotMillis(String),
    /// The timestamp is a number of seconds.
    Seconds(String),
    /// The timestamp is this old.
    Stale(Duration),
    /// The timestamp is this far ahead.
    Future(Duration),
    /// The signature is not 64 lower-case hex digits.
    NotHex(String),
    /// No secret gives this signature.
    Mismatch(String),
    /// What the filter's own code says of another scheme.
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name}: missing or empty"),
            Self::Repeated(name) => write!(f, "{name}: came more than once"),
            Self::NotMillis(name) => write!(f, "{name}: not Unix milliseconds"),
            Self::Seconds(name) => write!(f, "{name}: these are seconds, expected Unix milliseconds"),
            Self::Stale(age) => {
                write!(f, "too old: signed {} s ago, at most {} s allowed", seconds(*age), PAST.as_secs())
            }
            Self::Future(lead) => {
                write!(f, "from the future: signed {} s ahead, at most {} s allowed", seconds(*lead), FUTURE.as_secs())
            }
            Self::NotHex(name) => write!(f, "{name}: not 64 lower-case hex digits"),
            Self::Mismatch(name) => {
                write!(f, "{name}: does not match; the secret, the body or the timestamp is not what was signed")
            }
            Self::Other(says) => f.write_str(says),
        }
    }
}

/// To a tenth: what matters is by how much a limit was missed.
fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

impl Verifier {
    /// Looks at everything a receiver must look at, except whether it is new; gives what it would be known by, should it
    /// come again.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: WallTime) -> Result<Vec<String>, Refusal> {
        if let Some(signature) = &self.other {
            return self.verify_other(signature, headers, body, now);
        }
        single(headers, &self.scheme.event)?;
        let id = if self.checks(ReceiverCheck::Replay) { Some(single(headers, &self.scheme.id)?) } else { None };
        if self.checks(ReceiverCheck::Timestamp) {
            fresh(self.timestamp(headers)?, now)?;
        }
        if self.checks(ReceiverCheck::Signature) {
            self.signed(headers, body)?;
        }
        Ok(id.map(str::to_owned).into_iter().collect())
    }

    /// Is this check made?
    pub fn checks(&self, check: ReceiverCheck) -> bool {
        !self.without.contains(&check)
    }

    fn signed(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        let (signature, timestamp) = (single(headers, &self.scheme.signature)?, self.timestamp(headers)?);
        if !is_signature(signature) {
            return Err(Refusal::NotHex(self.scheme.signature.clone()));
        }
        // While the sender's secret is being changed, ours may be any of those it signs with.
        let also = headers.get_all(&self.scheme.signature_also).iter().filter_map(|value| value.to_str().ok());
        let signatures: Vec<&str> = also.flat_map(|value| value.split(',')).map(str::trim).chain([signature]).collect();
        let is_ours = |secret| {
            let expected = sign(secret, timestamp, body);
            // Every one is compared, in a time that does not tell how far it agrees.
            signatures.iter().fold(false, |found, one| found | bool::from(one.as_bytes().ct_eq(expected.as_bytes())))
        };
        if self.secrets.iter().any(is_ours) { Ok(()) } else { Err(Refusal::Mismatch(self.scheme.signature.clone())) }
    }

    fn timestamp(&self, headers: &HeaderMap) -> Result<WallTime, Refusal> {
        let name = &self.scheme.timestamp;
        let text = single(headers, name)?;
        let digits = text.len();
        let millis = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match millis.and_then(|text| text.parse().ok()) {
            // Ten digits are milliseconds until April 1970, and seconds until the year 2286.
            Some(_) if digits == 10 => Err(Refusal::Seconds(name.clone())),
            Some(millis) => Ok(WallTime::from_millis(millis)),
            None => Err(Refusal::NotMillis(name.clone())),
        }
    }
}

/// The only value of a header.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (Some(Ok(value)), None) if !value.trim().is_empty() => Ok(value.trim()),
        (Some(_), Some(_)) => Err(Refusal::Repeated(name.to_owned())),
        _ => Err(Refusal::Missing(name.to_owned())),
    }
}

fn fresh(timestamp: WallTime, now: WallTime) -> Result<(), Refusal> {
    let (age, lead) = (now.since(timestamp), timestamp.since(now));
    if age > PAST {
        return Err(Refusal::Stale(age));
    }
    if lead > FUTURE { Err(Refusal::Future(lead)) } else { Ok(()) }
}

fn is_signature(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_764_000_000_000;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec()).unwrap()
    }

    fn verifier() -> Verifier {
        Verifier { scheme: Timestamped::default(), secrets: vec![secret("good")], other: None, without: vec![] }
    }

    fn signed(with: &str, millis: u64, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let signature = sign(&secret(with), WallTime::from_millis(millis), body);
        headers.insert("x-webhook-signature", signature.parse().unwrap());
        headers.insert("x-webhook-timestamp", millis.into());
        headers.insert("x-webhook-id", "1".parse().unwrap());
        headers.insert("x-webhook-event", "payment_verified".parse().unwrap());
        headers
    }

    fn said(verifier: &Verifier, headers: &HeaderMap, body: &[u8]) -> String {
        let result = verifier.verify(headers, body, WallTime::from_millis(NOW));
        result.map_or_else(|problem| problem.to_string(), |_| "good".to_owned())
    }

    /// What is signed with our secret is good from 300 s ago to 30 s ahead.
    #[test]
    fn signature_is_valid_from_300_s_old_to_30_s_ahead() {
        for (millis, expected) in [
            (NOW - 300_000, "good"),
            (NOW - 300_500, "too old: signed 300.5 s ago, at most 300 s allowed"),
            (NOW + 30_000, "good"),
            (NOW + 600_000, "from the future: signed 600.0 s ahead, at most 30 s allowed"),
        ] {
            assert_eq!(said(&verifier(), &signed("good", millis, b"{}"), b"{}"), expected);
        }
    }

    #[test]
    fn another_body_secret_or_timestamp_does_not_match() {
        const SAID: &str =
            "x-webhook-signature: does not match; the secret, the body or the timestamp is not what was signed";
        assert_eq!(said(&verifier(), &signed("good", NOW, b"{}"), b"{ }"), SAID);
        assert_eq!(said(&verifier(), &signed("evil", NOW, b"{}"), b"{}"), SAID);
        let mut headers = signed("good", NOW, b"{}");
        headers.insert("x-webhook-timestamp", (NOW + 1).into());
        assert_eq!(said(&verifier(), &headers, b"{}"), SAID);
    }

    /// While the senders secret is changed a further signature is good too.
    #[test]
    fn extra_signature_is_accepted_during_sender_rotation() {
        let mut headers = signed("new", NOW, b"{}");
        let also = sign(&secret("good"), WallTime::from_millis(NOW), b"{}");
        headers.insert("x-webhook-signature-also", format!("{}, {also}", "0".repeat(64)).parse().unwrap());
        assert_eq!(said(&verifier(), &headers, b"{}"), "good");
    }

    #[test]
    fn any_of_our_secrets_will_do() {
        let verifier = Verifier { secrets: vec![secret("next"), secret("good")], ..verifier() };
        assert_eq!(said(&verifier, &signed("next", NOW, b"{}"), b"{}"), "good");
        assert_eq!(said(&verifier, &signed("good", NOW, b"{}"), b"{}"), "good");
    }

    /// A header that is missing empty repeated or malformed is named.
    #[test]
    fn missing_empty_repeated_or_malformed_header_is_named() {
        for name in ["x-webhook-signature", "x-webhook-timestamp", "x-webhook-id", "x-webhook-event"] {
            let mut headers = signed("good", NOW, b"{}");
            headers.append(name, "1".parse().unwrap());
            assert_eq!(said(&verifier(), &headers, b"{}"), format!("{name}: came more than once"));
            headers.insert(name, " ".parse().unwrap());
            assert_eq!(said(&verifier(), &headers, b"{}"), format!("{name}: missing or empty"));
            headers.remove(name);
            assert_eq!(said(&verifier(), &headers, b"{}"), format!("{name}: missing or empty"));
        }
        for (name, value, expected) in [
            ("x-webhook-timestamp", "1764000000", "these are seconds, expected Unix milliseconds"),
            ("x-webhook-timestamp", "2026-11-25", "not Unix milliseconds"),
            ("x-webhook-timestamp", "99999999999999999999999", "not Unix milliseconds"),
            ("x-webhook-signature", "sha256=ab", "not 64 lower-case hex digits"),
        ] {
            let mut headers = signed("good", NOW, b"{}");
            headers.insert(name, value.parse().unwrap());
            assert_eq!(said(&verifier(), &headers, b"{}"), format!("{name}: {expected}"));
        }
    }

    #[test]
    fn a_check_that_is_left_out_lets_pass_what_it_alone_would_find() {
        let without = |check| Verifier { without: vec![check], ..verifier() };
        let stale = signed("good", NOW - 600_000, b"{}");
        assert_eq!(said(&without(ReceiverCheck::Timestamp), &stale, b"{}"), "good");
        assert_ne!(said(&without(ReceiverCheck::Timestamp), &stale, b"{ }"), "good");
        assert_eq!(said(&without(ReceiverCheck::Signature), &signed("evil", NOW, b"{}"), b"{}"), "good");
        assert_ne!(said(&without(ReceiverCheck::Signature), &stale, b"{}"), "good");
        let mut bare = HeaderMap::new();
        bare.insert("x-webhook-event", "a".parse().unwrap());
        let careless = Verifier {
            without: vec![ReceiverCheck::Signature, ReceiverCheck::Timestamp, ReceiverCheck::Replay],
            ..verifier()
        };
        assert_eq!(said(&careless, &bare, b"{}"), "good");
    }
}
