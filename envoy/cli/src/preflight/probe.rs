//! The requests: a good one, as the gateway sends it, and forged ones; and their answers.

use std::error::Error;
use std::time::{Duration, Instant};

use gatepost_core::egress::endpoint::Endpoint;
use gatepost_core::ids::EventId;
use gatepost_core::time::WallTime;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use uuid::Uuid;

use super::forge::{Forgery, forge};
use crate::clock::now;
use crate::signing::{self, USER_AGENT};

/// Sends requests to a receiver.
pub struct Probe {
    /// The client.
    pub http: ureq::Agent,
    /// The receiver.
    pub url: Uri,
    /// Signs as the gateway would, with the secret both sides should have.
    pub endpoint: Endpoint,
    /// Signs with another one, which is nobody's.
    pub stranger: Endpoint,
    /// Sent with each request.
    pub headers: Vec<(String, String)>,
    /// The event type.
    pub event: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A request, to be sent once or twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
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
    pub fn request(&self, forgery: Forgery) -> ProbeRequest {
        self.request_at(forgery, EventId(Uuid::new_v4().into_bytes()), now())
    }

    fn request_at(&self, forgery: Forgery, id: EventId, now: WallTime) -> ProbeRequest {
        let at = match forgery {
            Forgery::Stale => WallTime::from_millis(now.as_millis() - AWAY_MS),
            Forgery::Future => now.plus(Duration::from_millis(AWAY_MS)),
            _ => now,
        };
        let attempt = signing::attempt(id, at, &self.event, Some(b"application/json"), &self.body);
        let signs = if forgery == Forgery::Secret { &self.stranger } else { &self.endpoint };
        let headers = signing::headers(signs, &attempt);
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let mut headers: Vec<(String, String)> = headers.map(|(name, value)| (name.to_owned(), text(&value))).collect();
        self.endpoint.signatures.iter().for_each(|signature| forge(signature, forgery, &mut headers));
        let body = if forgery == Forgery::Body { tampered(&self.body) } else { self.body.clone() };
        ProbeRequest { id: id.to_string(), headers, body }
    }

    /// Sends it.
    pub fn send(&self, request: &ProbeRequest) -> Outcome {
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
        .user_agent(USER_AGENT)
        .tls_config(tls.build())
        .build()
        .into()
}

/// As long as the gateway waits by default.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Twice what a receiver should allow.
const AWAY_MS: u64 = 600_000;

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use gatepost_core::signature::Scheme;
    use gatepost_core::signature::timestamped::Timestamped;
    use zeroize::Zeroizing;

    use super::super::forge::untried;
    use super::*;
    use crate::receive::verify::Verifier;
    use crate::signing::Secrets;

    const NOW: WallTime = WallTime::from_millis(1_764_000_000_000);

    fn secret(text: &str) -> Secrets {
        vec![Zeroizing::new(text.to_owned())]
    }

    fn said(scheme: Scheme, forgery: Forgery) -> String {
        let endpoint = |text| signing::endpoint(scheme, "X-Webhook-", &secret(text)).unwrap();
        let probe = Probe {
            http: agent(None),
            url: Uri::from_static("http://127.0.0.1:1/"),
            endpoint: endpoint("secrets="),
            stranger: endpoint("stranger"),
            headers: vec![],
            event: "gatepost.ping".to_owned(),
            body: br#"{"a":1,"webhookTimestamp":1764000000000}"#.to_vec(),
        };
        let request = probe.request_at(forgery, EventId([7; 16]), NOW);
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            headers.insert(name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let other = signing::verifier(scheme, "X-Webhook-", &secret("secrets=")).unwrap();
        let own = gatepost_core::secret::Secret::new(b"secrets=".to_vec()).unwrap();
        let other = (scheme != Scheme::Timestamped).then_some(other);
        let verifier = Verifier { scheme: Timestamped::default(), secrets: vec![own], other, without: vec![] };
        verifier.verify(&headers, &request.body, NOW).map_or_else(|problem| problem.to_string(), |_| "good".to_owned())
    }

    /// Each forgery is refused for what it forges and only a good request is good.
    #[test]
    fn each_forgery_is_refused_for_its_own_reason() {
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
            let said = said(Scheme::Timestamped, forgery);
            assert!(said.starts_with(expected), "{forgery:?}: {said}");
        }
    }

    #[test]
    fn the_same_holds_in_every_scheme_for_what_can_be_tried_in_it() {
        for (_, scheme) in Scheme::ALL.into_iter().skip(1) {
            let endpoint = signing::endpoint(scheme, "X-Webhook-", &secret("secrets=")).unwrap();
            for (forgery, expected) in [
                (Forgery::None, "good"),
                (Forgery::Stale, "the timestamp is more than 300s in the past"),
                (Forgery::Future, "the timestamp is more than 30s in the future"),
                (Forgery::Body, "no signature fits"),
                (Forgery::Timestamp, "no signature fits"),
                (Forgery::Secret, "no signature fits"),
                (Forgery::Unsigned, "the request is not signed"),
                (Forgery::NoTimestamp, "the header "),
            ] {
                let said = said(scheme, forgery);
                let is_tried = untried(&endpoint.signatures[0], forgery, "").is_none();
                assert_eq!(said.starts_with(expected), is_tried, "{scheme:?} {forgery:?}: {said}");
            }
        }
        assert!(said(Scheme::Standard, Forgery::NoId).starts_with("the header webhook-id"));
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
