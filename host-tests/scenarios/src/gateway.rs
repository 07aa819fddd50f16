//! The interface between scenarios and gateways: what a scenario may do with a gateway, and what it observes.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use serde_json::Value;

/// A build of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Build {
    /// The released build.
    Released,
    /// The build whose VM traps at a request with the header `x-gatepost-trap`.
    Trapping,
}

/// The setup that a gateway is started with, or updated to.
#[derive(Clone, Debug)]
pub struct Start {
    /// The filter's configuration.
    pub config: Value,
    /// The build of the filter.
    pub build: Build,
    /// Envoy's failure policy for the filter is `FAIL_CLOSED` instead of `FAIL_RELOAD`.
    pub fail_closed: bool,
    /// A configuration that an update replaces drains in a second, instead of ten minutes. An update cannot change
    /// this.
    pub drains_at_once: bool,
    /// The cluster `gateway` is another gateway with the same configuration, in front of the same application. An
    /// update cannot change this.
    pub is_behind_itself: bool,
}

impl Start {
    /// The setup of the released build with this configuration.
    pub fn new(config: Value) -> Self {
        Self { config, build: Build::Released, fail_closed: false, drains_at_once: false, is_behind_itself: false }
    }

    /// This setup with these keys of the configuration replaced.
    #[must_use]
    pub fn with(mut self, more: Value) -> Self {
        crate::merge(&mut self.config, more);
        self
    }

    /// This setup with another gateway of the same configuration as the cluster `gateway`.
    #[must_use]
    pub fn behind_itself(mut self) -> Self {
        self.is_behind_itself = true;
        self
    }

    /// This setup with the build that traps.
    #[must_use]
    pub fn trapping(mut self) -> Self {
        self.build = Build::Trapping;
        self
    }
}

/// How a receiver answers one attempt.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// With this status.
    Status(u16),
    /// With this status and `Retry-After` in seconds.
    RetryAfter(u16, u32),
    /// With this status and `Retry-After` as a date, here in seconds since the Unix epoch.
    RetryAt(u16, u64),
    /// With 200, after this time.
    Slow(Duration),
    /// Never.
    Hang,
    /// The connection breaks before the answer.
    Reset,
    /// The connection breaks in the middle of the answer.
    Drop,
    /// With what is no HTTP.
    NoHttp,
}

/// A request to the gateway.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) chunk: Option<usize>,
    pub(crate) trailer: Option<(String, String)>,
    pub(crate) is_http2: bool,
    pub(crate) over: Option<usize>,
}

impl Request {
    /// A request without headers and body, over HTTP/1.1 on a connection of its own.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunk: None,
            trailer: None,
            is_http2: false,
            over: None,
        }
    }

    /// A request with an event in JSON.
    pub fn event(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path).header("content-type", "application/json").body(body)
    }

    /// This request with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// This request with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// This request with its body in chunks of so many bytes, and without the length of the body.
    #[must_use]
    pub fn in_chunks(mut self, bytes: usize) -> Self {
        self.chunk = Some(bytes);
        self
    }

    /// This request over HTTP/2.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.is_http2 = true;
        self
    }

    /// This request over HTTP/2 and with a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailer = Some((name.to_owned(), value.to_owned()));
        self.http2()
    }

    /// This request over a connection that is kept alive between requests: connections with even numbers are to one
    /// worker, those with odd numbers to the other.
    #[must_use]
    pub fn over(mut self, connection: usize) -> Self {
        self.over = Some(connection);
        self
    }
}

/// A request whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) usize);

/// The answer that a client got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, if it is JSON.
    pub json: Value,
}

impl Answer {
    /// The answer as a line: the status code, and the body's `title`, or else its `status`.
    pub fn line(&self) -> String {
        let replayed = if self.header("idempotent-replayed") == "true" { ", replayed" } else { "" };
        let word = if self.json.get("title").is_some() { self.text("title") } else { self.text("status") };
        format!("answered {} {word}{replayed}", self.status)
    }

    /// The answer as lines: its [line](Self::line), and one for each delivery in the body.
    pub fn lines(&self) -> Vec<String> {
        let deliveries = self.json.get("deliveries").and_then(Value::as_array).into_iter().flatten();
        let deliveries = deliveries.map(|delivery| {
            let part = |key: &str| delivery.get(key).map_or("-".to_owned(), plain);
            let (attempts, status) = (part("attempts"), part("response_status"));
            format!("{} {}, {attempts} attempts, last answer {status}", part("endpoint"), part("status"))
        });
        std::iter::once(self.line()).chain(deliveries).collect()
    }

    /// A value of the body, as text; `-` when there is none.
    pub fn text(&self, key: &str) -> String {
        self.json.get(key).map_or("-".to_owned(), plain)
    }

    /// The first value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    /// The event's id.
    pub fn id(&self) -> String {
        self.text("id")
    }
}

/// An attempt as its receiver saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When the attempt began, since some moment before the first attempt.
    pub at: Duration,
    /// When the attempt arrived, since the Unix epoch.
    pub wall: Duration,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// A signature of the attempt verifies with the secret that the receiver knows.
    pub verified: bool,
}

impl Seen {
    /// The first value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    /// The header `x-webhook-id`.
    pub fn id(&self) -> &str {
        self.header("x-webhook-id")
    }

    /// The header `x-webhook-attempt`.
    pub fn attempt(&self) -> &str {
        self.header("x-webhook-attempt")
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// A JSON value, text without its quotes.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A running gateway with two workers, and its receivers.
pub trait Gateway {
    /// Says whether time passes only where a scenario says so. On any other gateway what is due may come late.
    fn is_exact(&self) -> bool;
    /// Makes a request and does not wait for the answer.
    ///
    /// # Errors
    /// When the request cannot be made.
    fn begin(&mut self, request: &Request) -> Result<Ticket>;
    /// Waits for an answer.
    ///
    /// # Errors
    /// When there is no answer, or no such request waits.
    fn finish(&mut self, ticket: Ticket) -> Result<Answer>;
    /// Says whether a request has been answered.
    ///
    /// # Errors
    /// When no such request waits.
    fn is_answered(&mut self, ticket: Ticket) -> Result<bool>;
    /// Breaks the connection of a request, as a client does that waits no longer.
    ///
    /// # Errors
    /// When no such request waits.
    fn leave(&mut self, ticket: Ticket) -> Result<()>;
    /// Sets how an endpoint answers its next attempts; afterwards it answers 200.
    ///
    /// # Errors
    /// When there is no such endpoint.
    fn script(&mut self, endpoint: &str, replies: &[Reply]) -> Result<()>;
    /// How many attempts an endpoint has seen.
    ///
    /// # Errors
    /// When there is no such endpoint.
    fn arrived(&mut self, endpoint: &str) -> Result<usize>;
    /// The attempts that an endpoint has seen, in order.
    ///
    /// # Errors
    /// When there is no such endpoint.
    fn seen(&mut self, endpoint: &str) -> Result<Vec<Seen>>;
    /// Ends all receivers: nobody listens at their ports any more.
    ///
    /// # Errors
    /// When the receivers cannot be ended.
    fn shut(&mut self) -> Result<()>;
    /// Starts the receivers again; they answer 200.
    ///
    /// # Errors
    /// When the receivers do not come up.
    fn reopen(&mut self) -> Result<()>;
    /// The time of day, since the Unix epoch.
    fn now(&self) -> Duration;
    /// Lets time pass.
    ///
    /// # Errors
    /// When the gateway breaks down.
    fn pass(&mut self, time: Duration) -> Result<()>;
    /// Loads another configuration or build; says whether the gateway takes it. If so, new connections are served by
    /// the new configuration from now on.
    ///
    /// # Errors
    /// When the gateway neither takes nor refuses the update.
    fn update(&mut self, to: &Start) -> Result<bool>;
    /// Waits until the configurations that updates replaced have drained, if they [drain at
    /// once](Start::drains_at_once).
    ///
    /// # Errors
    /// When a configuration does not drain.
    fn drain(&mut self) -> Result<()>;
}

/// The HTTP date (RFC 9110) of a moment, in seconds since the Unix epoch.
pub(crate) fn http_date(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}
