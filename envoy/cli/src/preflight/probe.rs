//! The requests: a good one, as the gateway sends it, and forged ones.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use gatepost_core::secret::Secret;
use gatepost_core::signature::timestamped::{Timestamped, sign};
use gatepost_core::time::WallTime;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use uuid::Uuid;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// Nothing.
    None,
    /// Signed ten minutes ago.
    Stale,
    /// Signed ten minutes ahead.
    Future,
    /// Another body than was signed.
    Body,
    /// Another timestamp than was signed, a recent one.
    Timestamp,
    /// Signed under another secret.
    Secret,
    /// Without a signature.
    Unsigned,
    /// Without a timestamp.
    NoTimestamp,
    /// Without an id.
    NoId,
}

/// Sends requests to a receiver.
pub struct Probe {
    /// The client.
    pub http: ureq::Agent,
    /// The receiver.
    pub url: Uri,
    /// The names of the headers.
    pub scheme: Timestamped,
    /// The secret both sides should have.
    pub secret: Secret,
    /// Sent with each request.
    pub headers: Vec<(String, String)>,
    /// The event type.
    pub event: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A request, to be sent once or twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The event's id.
    pub id: String,
    /// Besides those of the receiver's own.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered {
        /// Its status.
        status: u16,
        /// Where a redirect points to.
        location: Option<String>,
        /// After this time.
        took: Duration,
    },
    /// Without one.
    NoAnswer {
        /// Why, in words.
        why: String,
    },
}

impl Outcome {
    /// Was it answered 2xx?
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }
}

impl Probe {
    /// A request under an id of its own.
    pub fn request(&self, forgery: Forgery) -> Request {
        self.request_at(forgery, Uuid::new_v4().to_string(), now())
    }

    fn request_at(&self, forgery: Forgery, id: String, now: WallTime) -> Request {
        let (past, future) =
            (WallTime::from_millis(now.as_millis() - AWAY_MS), now.plus(Duration::from_millis(AWAY_MS)));
        let signed_at = match forgery {
            Forgery::Stale => past,
            Forgery::Future => future,
            _ => now,
        };
        let other = Secret::new(OTHER_SECRET.to_vec());
        let secret = other.as_ref().filter(|_| forgery == Forgery::Secret).unwrap_or(&self.secret);
        let signature = sign(secret, signed_at, &self.body);
        // A second later is recent all the same: nothing but the signature tells.
        let sent_at = if forgery == Forgery::Timestamp { signed_at.plus(Duration::from_secs(1)) } else { signed_at };
        let mut headers = vec![
            (self.scheme.event.clone(), self.event.clone()),
            (self.scheme.attempt.clone(), "1".to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        if forgery != Forgery::Unsigned {
            headers.push((self.scheme.signature.clone(), signature));
        }
        if forgery != Forgery::NoTimestamp {
            headers.push((self.scheme.timestamp.clone(), sent_at.as_millis().to_string()));
        }
        if forgery != Forgery::NoId {
            headers.push((self.scheme.id.clone(), id.clone()));
        }
        let body = if forgery == Forgery::Body { tampered(&self.body) } else { self.body.clone() };
        Request { id, headers, body }
    }

    /// Sends it.
    pub fn send(&self, request: &Request) -> Outcome {
        let mut post = self.http.post(&self.url);
        for (name, value) in request.headers.iter().chain(&self.headers) {
            post = post.header(name, value);
        }
        let start = Instant::now();
        outcome(post.send(&request.body[..]), start)
    }

    /// Asks a URL, unsigned.
    pub fn get(&self, url: &str) -> Outcome {
        let start = Instant::now();
        outcome(self.http.get(url).call(), start)
    }
}

fn outcome(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, start: Instant) -> Outcome {
    match answer {
        Ok(response) => {
            let location = response.headers().get("location");
            let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            Outcome::Answered { status: response.status().as_u16(), location, took: start.elapsed() }
        }
        Err(ureq::Error::Timeout(_)) => Outcome::NoAnswer { why: format!("no answer within {} s", PATIENCE.as_secs()) },
        Err(error) => {
            let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            Outcome::NoAnswer { why }
        }
    }
}

/// Another body that says something else: a receiver that signs what it has parsed must notice too.
fn tampered(body: &[u8]) -> Vec<u8> {
    match body.strip_prefix(b"{") {
        Some(b"}") => b"{\"tampered\":true}".to_vec(),
        Some(rest) => [&b"{\"tampered\":true,"[..], rest].concat(),
        None => [body, b" tampered"].concat(),
    }
}

/// A client that follows nothing, and takes these authorities instead of the public ones.
pub fn agent(roots: Option<&[Certificate<'static>]>) -> ureq::Agent {
    let mut tls = TlsConfig::builder();
    if let Some(roots) = roots {
        tls = tls.root_certs(RootCerts::new_with_certs(roots));
    }
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(PATIENCE))
        .user_agent(concat!("Gatepost/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build()
        .into()
}

/// The time by this machine.
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::default().plus(since)
}

/// As long as the gateway waits by default.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Twice what a receiver should allow.
const AWAY_MS: u64 = 600_000;
/// No receiver's.
const OTHER_SECRET: &[u8] = b"a-secret-that-gatepost-preflight-made-up";

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;
    use crate::receive::verify::Verifier;

    const NOW: WallTime = WallTime::from_millis(1_764_000_000_000);

    fn secret() -> Secret {
        Secret::new(b"secret".to_vec()).unwrap()
    }

    fn said(forgery: Forgery) -> String {
        let probe = Probe {
            http: agent(None),
            url: Uri::from_static("http://127.0.0.1:1/"),
            scheme: Timestamped::default(),
            secret: secret(),
            headers: vec![],
            event: "gatepost.ping".to_owned(),
            body: b"{\"a\":1}".to_vec(),
        };
        let request = probe.request_at(forgery, "1".to_owned(), NOW);
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            headers.insert(name.parse::<hyper::header::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let verifier =
            Verifier { scheme: Timestamped::default(), secrets: vec![secret()], other: None, without: vec![] };
        verifier.verify(&headers, &request.body, NOW).map_or_else(|problem| problem.to_string(), |_| "good".to_owned())
    }

    #[test]
    fn each_forgery_is_refused_for_what_it_forges_and_only_a_good_request_is_good() {
        for (forgery, expected) in [
            (Forgery::None, "good"),
            (Forgery::Stale, "too old: signed 600.0 s ago"),
            (Forgery::Future, "from the future: signed 600.0 s ahead"),
            (Forgery::Body, "x-webhook-signature: does not match"),
            (Forgery::Timestamp, "x-webhook-signature: does not match"),
            (Forgery::Secret, "x-webhook-signature: does not match"),
            (Forgery::Unsigned, "x-webhook-signature: missing"),
            (Forgery::NoTimestamp, "x-webhook-timestamp: missing"),
            (Forgery::NoId, "x-webhook-id: missing"),
        ] {
            assert!(said(forgery).starts_with(expected), "{forgery:?}: {}", said(forgery));
        }
    }

    #[test]
    fn a_tampered_body_is_still_json_and_says_something_else() {
        for body in [&b"{}"[..], b"{\"a\":1}"] {
            let value: serde_json::Value = serde_json::from_slice(&tampered(body)).unwrap();
            assert_eq!(value["tampered"], true);
        }
        assert_eq!(tampered(b"text"), b"text tampered");
    }
}
