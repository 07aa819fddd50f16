//! An endpoint as it is configured.

use std::time::Duration;

use crate::egress::breaker::BreakerPolicy;
use crate::egress::operational::NewsKinds;
use crate::egress::rate::Rate;
use crate::egress::retry::RetryPolicy;
use crate::signature::Signature;

/// A place that wants events.
#[derive(Debug)]
pub struct Endpoint {
    /// The label in metrics, and the name records know it by.
    pub name: String,
    /// The Envoy cluster to call.
    pub cluster: String,
    /// Where the request goes.
    pub url: Url,
    /// How its deliveries are signed: in one scheme, or in two while its receivers move from one to the other.
    pub signatures: Vec<Signature>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// When an attempt is made again.
    pub retry: RetryPolicy,
    /// When the endpoint is left alone.
    pub breaker: BreakerPolicy,
    /// At most this many attempts a second, over all workers.
    pub rate: Option<Rate>,
    /// Attempts under way at once in one worker.
    pub max_in_flight: u32,
    /// An older delivery becomes a dead letter; longer than the delays together.
    pub max_age: Duration,
    /// Deliveries that may wait in one worker.
    pub pending: u32,
    /// What happens to the next one.
    pub overflow: Overflow,
    /// What a 410 does.
    pub on_gone: OnGone,
    /// Headers added to each attempt; names in lower case. Their values may be secrets: never print them.
    pub headers: Vec<(String, HeaderValue)>,
    /// Its deliveries wait.
    pub disabled: bool,
    /// Where dead letters are sent.
    pub dead_letter: Option<Sink>,
    /// The events of the gateway's own that it wants.
    pub operational: NewsKinds,
    /// Changes whenever this entry of the config does; a 410's disabling lasts as long as it stays the same.
    pub digest: u64,
}

/// The value of a configured header, kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(pub String);

impl std::fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An absolute URL, split as Envoy wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and, when given, port.
    pub authority: String,
    /// Path and query; `/` when the URL has none.
    pub path: String,
}

/// Where dead letters are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The Envoy cluster to call.
    pub cluster: String,
    /// Where the request goes.
    pub url: Url,
}

/// What happens to a delivery when its endpoint's share of the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// 503 to the producer, for the whole event.
    Reject,
    /// That delivery becomes a dead letter; the others go on.
    DeadLetter,
}

/// What a 410 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGone {
    /// The endpoint is disabled.
    Disable,
    /// Only the delivery fails.
    Fail,
}
