//! gRPC servers behind clusters, as scripts, and the calls they received.

use std::time::Duration;

use crate::headers::Headers;
use crate::ids::Thread;
use crate::reply::{Ending, Reply};

/// How long a server takes unless its script says otherwise.
const LATENCY: Duration = Duration::from_millis(1);
/// How an answer of the server's own came about, as Envoy says it.
const VIA_UPSTREAM: &str = "via_upstream";

/// `UNKNOWN`.
const UNKNOWN: u32 = 2;
/// `INTERNAL`.
const INTERNAL: u32 = 13;
/// `UNAVAILABLE`.
const UNAVAILABLE: u32 = 14;

/// A gRPC call or stream as its server sees it.
#[derive(Clone, Debug)]
pub struct GrpcCall {
    /// Virtual time since the start of the process.
    pub at: Duration,
    /// The thread whose VM made it.
    pub thread: Thread,
    /// The cluster that was named.
    pub cluster: String,
    /// The service, such as `billing.v1.Invoices`.
    pub service: String,
    /// The method.
    pub method: String,
    /// The metadata it began with.
    pub metadata: Headers,
    /// The messages so far: a call has one, a stream any number.
    pub messages: Vec<Vec<u8>>,
    /// No more messages come.
    pub has_ended: bool,
    /// It is a stream.
    pub is_stream: bool,
    /// How long the filter is ready to wait; zero for a stream, which has no limit.
    pub timeout: Duration,
    /// Its number among all that the process has made, from 0.
    pub number: usize,
    /// When its server is asked: virtual time since the start of the process.
    pub asked_at: Duration,
}

/// What a gRPC server does next about a call or stream.
///
/// ```
/// use host_tests::{GrpcReply, Upstream};
///
/// // Sends each message back, and ends when the other side does.
/// let echo = Upstream::grpc(|call| {
///     let reply = if call.has_ended { GrpcReply::ok() } else { GrpcReply::open() };
///     call.messages.last().map_or(reply.clone(), |message| reply.message(message.clone()))
/// });
/// ```
#[derive(Clone, Debug)]
pub struct GrpcReply {
    metadata: Headers,
    messages: Vec<Vec<u8>>,
    trailers: Headers,
    end: Option<End>,
    pub(crate) latency: Duration,
    pub(crate) is_refused: bool,
    /// The server is asked again, so long after it was asked.
    pub(crate) again: Option<Duration>,
}

#[derive(Clone, Debug)]
struct End {
    code: u32,
    message: String,
    details: &'static str,
}

impl GrpcReply {
    /// Nothing more, so far: the call or stream stays open.
    pub fn open() -> Self {
        Self {
            metadata: Headers::default(),
            messages: Vec::new(),
            trailers: Headers::default(),
            end: None,
            latency: LATENCY,
            is_refused: false,
            again: None,
        }
    }

    /// The end, with the status `OK`.
    pub fn ok() -> Self {
        Self::status(0, "")
    }

    /// The end, with this gRPC status and message.
    pub fn status(code: u32, message: &str) -> Self {
        Self::local(code, message, VIA_UPSTREAM)
    }

    /// Envoy does not send at all, for want of a healthy host: the host call itself fails. Of a stream Envoy 1.40 tells the
    /// end all the same: its metadata in the midst of the host call, which here come behind it.
    pub fn refused() -> Self {
        Self { is_refused: true, ..Self::open() }
    }

    /// With a message more, before the end.
    #[must_use]
    pub fn message(mut self, message: impl Into<Vec<u8>>) -> Self {
        self.messages.push(message.into());
        self
    }

    /// With metadata in front of the first message; too late once there was one.
    #[must_use]
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        self.metadata.add(name, value);
        self
    }

    /// With metadata beside the status.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.add(name, value);
        self
    }

    /// The same, this long after it was asked for.
    #[must_use]
    pub fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// The same, and of a stream the server is asked again this long after, whatever the other side says meanwhile: it may
    /// have something to say by then. It is not asked any more once it has ended the stream, or the other side is gone.
    #[must_use]
    pub fn again(mut self, wait: Duration) -> Self {
        self.again = Some(wait);
        self
    }

    fn local(code: u32, message: &str, details: &'static str) -> Self {
        Self { end: Some(End { code, message: message.to_owned(), details }), ..Self::open() }
    }

    /// Does the server say nothing more after it?
    pub(crate) fn is_last(&self) -> bool {
        self.end.is_some()
    }

    /// Envoy's answer where no host can be reached.
    pub(crate) fn no_host() -> Self {
        Self::local(UNAVAILABLE, "no healthy upstream", "no_healthy_upstream").after(Duration::ZERO)
    }

    /// Envoy's answer to a call that took too long.
    pub(crate) fn timed_out() -> Self {
        Self::local(UNAVAILABLE, "upstream request timeout", "response_timeout")
    }

    /// What Envoy makes of an answer that knows nothing of gRPC.
    pub(crate) fn of_http(reply: Reply) -> Self {
        let latency = reply.latency;
        let reply = match reply.ending {
            Ending::Refused => Self::refused(),
            Ending::Never => Self::open(),
            Ending::Local { status, text } => {
                Self::local(of_status(status), text, "upstream_reset_before_response_started")
            }
            Ending::Answer(answer) if answer.is_cut => Self::local(UNAVAILABLE, "", "upstream_reset"),
            Ending::Answer(answer) => {
                let status = answer.headers.get(":status").and_then(|status| status.parse().ok());
                Self::status(status.map_or(UNKNOWN, of_status), "")
            }
        };
        reply.after(latency)
    }

    /// A server's answer of this HTTP status.
    pub(crate) fn of_http_status(status: u16) -> Self {
        Self::status(of_status(status), "")
    }

    /// What a stream is told, in order. `has_begun`: it had initial metadata before.
    pub(crate) fn stream_parts(self, has_begun: bool) -> Vec<GrpcPart> {
        let says_something = !self.messages.is_empty() || !self.metadata.is_empty();
        if !says_something && self.end.is_none() {
            return Vec::new();
        }
        let http = || Headers::from([(":status", "200"), ("content-type", "application/grpc")]);
        let mut parts = Vec::new();
        let mut trailing = Headers::default();
        if !has_begun && says_something {
            let mut initial = http();
            self.metadata.iter().for_each(|(name, value)| initial.add(name, value));
            parts.push(GrpcPart::Initial(initial));
        } else if !has_begun {
            // Nothing but the end: all the headers are trailers.
            parts.push(GrpcPart::Initial(Headers::default()));
            trailing = http();
        }
        parts.extend(self.messages.into_iter().map(GrpcPart::Message));
        if let Some(end) = self.end {
            trailing.add("grpc-status", end.code.to_string());
            if !end.message.is_empty() {
                trailing.add("grpc-message", &end.message);
            }
            self.trailers.iter().for_each(|(name, value)| trailing.add(name, value));
            parts.push(GrpcPart::Trailing(trailing));
            parts.push(end.close());
        }
        parts
    }

    /// What a call is told: its message, or how it failed; `None` while it stays open.
    pub(crate) fn call_part(mut self) -> Option<GrpcPart> {
        let end = self.end?;
        let message = self.messages.pop();
        Some(match (end.code, message) {
            (0, Some(message)) => GrpcPart::Message(message),
            (0, None) => GrpcPart::Close { code: INTERNAL, message: String::new() },
            _ => end.close(),
        })
    }
}

impl End {
    fn close(self) -> GrpcPart {
        let message = if self.message.is_empty() {
            self.details.to_owned()
        } else {
            format!("{}{{{}}}", self.message, self.details)
        };
        GrpcPart::Close { code: self.code, message }
    }
}

/// One callback's worth of a gRPC call or stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GrpcPart {
    Initial(Headers),
    Message(Vec<u8>),
    Trailing(Headers),
    Close { code: u32, message: String },
}

/// The gRPC status that stands for an HTTP one.
pub(crate) fn of_status(status: u16) -> u32 {
    match status {
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// What a server's reply makes happen: so many parts come, and it is asked again.
#[derive(Debug)]
pub(crate) struct GrpcComing {
    pub(crate) due: Duration,
    pub(crate) count: usize,
    pub(crate) again: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(code: u32, message: &str) -> GrpcPart {
        GrpcPart::Close { code, message: message.to_owned() }
    }

    #[test]
    fn a_call_is_told_its_message_or_how_it_failed() {
        let cases = [
            (GrpcReply::ok().message("pong"), Some(GrpcPart::Message(b"pong".to_vec()))),
            (GrpcReply::ok(), Some(close(13, ""))),
            (GrpcReply::status(5, "no such").message("pong"), Some(close(5, "no such{via_upstream}"))),
            (GrpcReply::timed_out(), Some(close(14, "upstream request timeout{response_timeout}"))),
            (GrpcReply::of_http(Reply::status(429)), Some(close(14, "via_upstream"))),
            (GrpcReply::of_http(Reply::status(200)), Some(close(2, "via_upstream"))),
            (GrpcReply::open().message("pong"), None),
        ];
        for (reply, part) in cases {
            assert_eq!(reply.clone().call_part(), part, "{reply:?}");
        }
    }

    #[test]
    fn a_stream_that_only_ends_has_all_its_headers_as_trailers() {
        let parts = GrpcReply::status(5, "no").stream_parts(false);
        let trailing = Headers::from([
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "5"),
            ("grpc-message", "no"),
        ]);
        let expected =
            [GrpcPart::Initial(Headers::default()), GrpcPart::Trailing(trailing), close(5, "no{via_upstream}")];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_stream_begins_once() {
        let initial = Headers::from([(":status", "200"), ("content-type", "application/grpc"), ("x-a", "1")]);
        let parts = GrpcReply::open().metadata("x-a", "1").message("one").stream_parts(false);
        assert_eq!(parts, [GrpcPart::Initial(initial), GrpcPart::Message(b"one".to_vec())]);
        let trailing = Headers::from([("grpc-status", "0"), ("x-sum", "1")]);
        let parts = GrpcReply::ok().trailer("x-sum", "1").stream_parts(true);
        assert_eq!(parts, [GrpcPart::Trailing(trailing), close(0, "via_upstream")]);
        assert!(GrpcReply::open().stream_parts(false).is_empty());
    }
}
