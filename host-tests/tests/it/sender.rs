//! Senders of webhooks and the gateway that verifies them: each scheme signed as its sender does, with code that shares
//! nothing with the filter's.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_compact::{KeyPair, Seed};
use host_tests::{Answer, Application, Builder, Forwarded, Process, Reply, Request, StreamId};
use serde_json::{Value, json};

use crate::support::{advance, body, gateway, hex};

/// Every scheme; `standard` also signs with Ed25519.
pub const SCHEMES: [&str; 5] = ["timestamped", "standard", "github", "stripe", "slack"];

/// A secret that is one in every scheme.
pub const SECRET: &str = "whsec_b2YgdGhlIHNlbmRlciwgYW5kIG91cnM=";
/// Another one.
pub const OTHER_SECRET: &str = "whsec_b2YgdGhlIHNlbmRlciwgYW5kIG5ldw==";

/// A message, before it is signed.
#[derive(Clone, Debug)]
pub struct Message {
    pub scheme: &'static str,
    pub id: String,
    /// When it is signed.
    pub millis: u64,
    pub body: Vec<u8>,
}

impl Message {
    /// A message of this id, signed now; its body holds the id too, where Stripe and Slack have it.
    pub fn new(process: &Process, scheme: &'static str, id: &str) -> Self {
        let body = json!({"object": "event", "type": "event_callback", "id": id, "event_id": id, "amount": 42})
            .to_string()
            .into_bytes();
        Self { scheme, id: id.to_owned(), millis: process.clock().wall_nanos() / 1_000_000, body }
    }

    /// The same, signed this much later.
    pub fn later(mut self, millis: i64) -> Self {
        self.millis = self.millis.saturating_add_signed(millis);
        self
    }

    /// The same with another body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same under another id, which is only in the headers.
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// What is signed.
    pub fn signed(&self) -> Vec<u8> {
        let (millis, seconds) = (self.millis.to_string(), (self.millis / 1000).to_string());
        let before = match self.scheme {
            "timestamped" => format!("{millis}."),
            "standard" => format!("{}.{seconds}.", self.id),
            "stripe" => format!("{seconds}."),
            "slack" => format!("v0:{seconds}:"),
            _ => String::new(),
        };
        [before.as_bytes(), &self.body].concat()
    }

    /// The headers that carry this signature.
    pub fn headers(&self, tag: &[u8]) -> Vec<(&'static str, String)> {
        let seconds = (self.millis / 1000).to_string();
        let hex = || hex(tag);
        match self.scheme {
            "timestamped" => vec![
                ("x-webhook-signature", hex()),
                ("x-webhook-timestamp", self.millis.to_string()),
                ("x-webhook-id", self.id.clone()),
            ],
            "standard" => vec![
                ("webhook-signature", format!("{},{}", version(tag), BASE64.encode(tag))),
                ("webhook-timestamp", seconds),
                ("webhook-id", self.id.clone()),
            ],
            "github" => {
                vec![("x-hub-signature-256", format!("sha256={}", hex())), ("x-github-delivery", self.id.clone())]
            }
            "stripe" => vec![("stripe-signature", format!("t={seconds},v1={}", hex()))],
            _ => vec![("x-slack-signature", format!("v0={}", hex())), ("x-slack-request-timestamp", seconds)],
        }
    }

    /// The headers that sign it under this secret.
    pub fn headers_under(&self, secret: &str) -> Vec<(&'static str, String)> {
        let key = match secret.strip_prefix("whsec_") {
            Some(base64) if self.scheme == "standard" => BASE64.decode(base64).expect("base64"),
            _ => secret.as_bytes().to_vec(),
        };
        self.headers(&hmac_sha256::HMAC::mac(self.signed(), key))
    }

    /// The headers that sign it under this private key.
    pub fn headers_by(&self, pair: &KeyPair) -> Vec<(&'static str, String)> {
        self.headers(pair.sk.sign(self.signed(), None).as_slice())
    }

    /// The request that carries it with these headers.
    pub fn with(&self, headers: &[(&'static str, String)]) -> Request {
        let request = Request::post(&path(self.scheme)).header("content-type", "application/json");
        headers.iter().fold(request, |request, (name, value)| request.header(name, value)).body(self.body.clone())
    }

    /// The request that carries it, signed under [`SECRET`].
    pub fn request(&self) -> Request {
        self.with(&self.headers_under(SECRET))
    }

    /// The same, signed under this secret.
    pub fn request_under(&self, secret: &str) -> Request {
        self.with(&self.headers_under(secret))
    }
}

fn version(tag: &[u8]) -> &'static str {
    if tag.len() == 64 { "v1a" } else { "v1" }
}

/// A key pair of scheme `standard`, and its public key as the config has it.
pub fn key_pair(number: u8) -> (KeyPair, String) {
    let pair = KeyPair::from_seed(Seed::new([number; 32]));
    let public = format!("whpk_{}", BASE64.encode(pair.pk.as_slice()));
    (pair, public)
}

/// The path on which this scheme is verified.
pub fn path(scheme: &str) -> String {
    format!("/webhooks/{scheme}")
}

/// The rule that verifies this scheme under [`SECRET`].
pub fn rule(scheme: &str) -> Value {
    json!({
        "name": format!("from-{scheme}"),
        "match": {"path": path(scheme)},
        "secrets": [{"value": SECRET}],
        "signature": {"scheme": scheme},
    })
}

/// A configuration of these rules alone.
pub fn verifying<const N: usize>(rules: [Value; N]) -> Value {
    json!({"inbound": rules.to_vec()})
}

/// Two workers that verify every scheme.
pub fn receiver() -> Process {
    gateway(&verifying(SCHEMES.map(rule))).start().expect("it starts")
}

/// Two workers with one rule, in front of an application that answers so, and then 200.
pub fn before<const N: usize>(rule: Value, replies: [Reply; N]) -> Builder {
    gateway(&verifying([rule])).application(Application::replies(replies))
}

/// Lets time pass until this long after the start, when the wall clock stands at a whole second.
pub fn advance_to(process: &mut Process, elapsed: Duration) {
    let left = elapsed.checked_sub(process.clock().elapsed()).expect("a time to come");
    advance(process, left);
}

/// Makes a request.
pub fn send(process: &mut Process, worker: usize, request: Request) -> StreamId {
    process.request(worker, request).unwrap_or_else(|fault| panic!("{fault}\n{}", process.trace()))
}

/// Makes a request, which must reach the application at once, and returns what reached it.
pub fn passes(process: &mut Process, request: Request) -> Forwarded {
    let stream = send(process, 0, request);
    process.forwarded(stream).unwrap_or_else(|| panic!("it did not go on: {:?}", process.answer(stream))).clone()
}

/// Makes a request on a worker, which must not reach the application, and returns its answer.
pub fn stopped_on(process: &mut Process, worker: usize, request: Request) -> Answer {
    let stream = send(process, worker, request);
    assert_eq!(process.forwarded(stream), None, "it went on");
    process.answer(stream).expect("an answer at once").clone()
}

/// The same, on the first worker.
pub fn stopped(process: &mut Process, request: Request) -> Answer {
    stopped_on(process, 0, request)
}

/// What is wrong, as an answer says it; it must say it as RFC 9457 has it.
pub fn detail(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let problem = body(answer);
    assert_eq!(problem["status"], answer.status(), "{problem}");
    problem["detail"].as_str().expect("a detail").to_owned()
}

/// How many requests of a scheme's rule had this result.
pub fn counted(process: &Process, scheme: &str, result: &str) -> u64 {
    let name = format!("route=.=from-{scheme};.;result=.={result};.;gatepost_inbound_total");
    process.metric(&name).unwrap_or_default()
}
