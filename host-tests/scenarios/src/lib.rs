//! Behaviours of Gatepost, written once and played on two gateways: the simulated Envoy and a real one.
//!
//! A [`Scenario`] has a configuration, a play and what must be observed. Both gateways must show the same, line by line:
//! then what millions of simulated moments show can be believed of the real one. Where they differ the simulation is
//! wrong.
//!
//! `cargo run -p gatepost-scenarios` plays all of them on both and prints a table. `ENVOY_VERSION=1.36.4` takes another
//! Envoy.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

mod real;
mod scenarios;
mod simulated;

pub use real::Real;
pub use scenarios::all;
pub use simulated::Simulated;

/// How a receiver answers one attempt.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// With this status.
    Status(u16),
    /// With this status and `Retry-After` in seconds.
    RetryAfter(u16, u32),
    /// Never.
    Hang,
    /// The connection breaks in the middle of the answer.
    Drop,
}

/// What a producer was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, if it is JSON.
    pub json: Value,
    /// `idempotent-replayed`.
    pub replayed: bool,
}

impl Answer {
    /// The status, and what the body says of the event.
    pub fn line(&self) -> String {
        let text = |key: &str| self.json.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        let replayed = if self.replayed { ", replayed" } else { "" };
        match self.status {
            200..=299 | 502 => format!("answered {} {}{replayed}", self.status, text("status")),
            status => format!("answered {status} {}", text("title")),
        }
    }

    /// The event's id.
    pub fn id(&self) -> String {
        self.json.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// An attempt as its receiver saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When, since some moment before the first.
    pub at: Duration,
    /// `x-webhook-id`.
    pub id: String,
    /// `x-webhook-attempt`.
    pub attempt: String,
    /// `x-webhook-event`.
    pub event: String,
    /// `user-agent`.
    pub agent: String,
    /// The body.
    pub body: Vec<u8>,
    /// The signature is that of the endpoint's secret.
    pub verified: bool,
}

/// A running gateway with receivers.
pub trait Gateway {
    /// Posts a body and waits for the answer.
    ///
    /// # Errors
    /// When there is none.
    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer>;
    /// Says how an endpoint answers its next attempts; 200 afterwards.
    ///
    /// # Errors
    /// When there is no such endpoint.
    fn script(&mut self, endpoint: &str, replies: &[Reply]) -> Result<()>;
    /// Waits until an endpoint has seen so many attempts; all of them.
    ///
    /// # Errors
    /// When they do not come within 30 s.
    fn wait_for(&mut self, endpoint: &str, attempts: usize) -> Result<Vec<Seen>>;
    /// Lets time pass.
    ///
    /// # Errors
    /// When the gateway breaks down.
    fn pass(&mut self, time: Duration) -> Result<()>;
    /// Loads another configuration, and waits until it serves.
    ///
    /// # Errors
    /// When it is refused.
    fn update(&mut self, config: &Value) -> Result<()>;
}

/// A behaviour.
pub struct Scenario {
    /// A sentence.
    pub name: &'static str,
    /// The configuration to start with.
    pub config: fn() -> Value,
    /// What is done, and what was observed.
    pub play: fn(&mut dyn Gateway) -> Result<Vec<String>>,
    /// What must be observed.
    pub expected: &'static [&'static str],
}

/// The names of the endpoints that scenarios may use.
pub const ENDPOINTS: [&str; 2] = ["billing", "audit"];

/// The secret of an endpoint.
pub fn secret(endpoint: &str) -> String {
    format!("secret-of-{endpoint}")
}

/// An endpoint's entry, with more keys.
pub fn endpoint(name: &str, more: Value) -> Value {
    let mut entry = json!({
        "name": name, "cluster": name, "url": format!("http://receiver.test/{name}"),
        "secrets": [{"value": secret(name)}],
    });
    merge(&mut entry, more);
    entry
}

/// A configuration that is on, with one route and these endpoints.
pub fn config(endpoints: &[Value]) -> Value {
    json!({
        "enabled": true,
        "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": endpoints,
    })
}

/// Sets keys of an object.
pub fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend(more);
    }
}

/// Attempts as lines: what differs from one to the next, and how long after it, to half a second.
pub fn lines(seen: &[Seen]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before: Option<&Seen> = None;
    for attempt in seen {
        let verified = if attempt.verified { "verified" } else { "NOT verified" };
        let wait = before.map_or(Duration::ZERO, |before| attempt.at.saturating_sub(before.at));
        let halves = (wait.as_secs_f64() * 2.0).round() / 2.0;
        let id = before.is_none_or(|before| before.id == attempt.id);
        let id = if id { "same id" } else { "another id" };
        lines.push(format!("+{halves:.1} s: attempt {} of {}, {verified}, {id}", attempt.attempt, attempt.event));
        before = Some(attempt);
    }
    lines
}

/// Plays a scenario on a gateway.
///
/// # Errors
/// What broke down; that something else was observed is no error here.
pub fn play(scenario: &Scenario, gateway: &mut dyn Gateway) -> Result<Vec<String>> {
    (scenario.play)(gateway).with_context(|| scenario.name)
}
