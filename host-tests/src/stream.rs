//! One HTTP request: what the client sends, what the filter sees of it, and what becomes of it.

use std::fmt;

use crate::headers::Headers;
use crate::world::{Thread, VmId};

/// A request that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

/// A request to make. HTTP/1.1 unless [`http2`](Self::http2) says otherwise: there the end of a body comes as a
/// callback of its own, after the last byte.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) headers: Headers,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Headers,
    pub(crate) protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Request {
    /// A request without a body, which ends at its headers.
    pub fn new(method: &str, path: &str) -> Self {
        let headers = Headers::from([
            (":method", method),
            (":path", path),
            (":authority", "gateway.example"),
            (":scheme", "http"),
        ]);
        Self { headers, chunks: Vec::new(), trailers: Headers::default(), protocol: Protocol::Http1 }
    }

    /// A POST, so far without a body.
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// With a header more; one that is there already stays.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// With this body, in one piece and with its `content-length`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self.headers.set("content-length", body.len().to_string());
        self.chunks = if body.is_empty() { Vec::new() } else { vec![body] };
        self
    }

    /// With a body in several pieces, its length not told beforehand.
    #[must_use]
    pub fn chunks<C: Into<Vec<u8>>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.headers.remove("content-length");
        self.chunks = chunks.into_iter().map(Into::into).collect();
        self
    }

    /// The headers and the whole body, as they are sent.
    pub fn sent(&self) -> (&Headers, Vec<u8>) {
        (&self.headers, self.chunks.concat())
    }

    /// Over HTTP/2, where the last piece of the body says that it is the last.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// Over HTTP/2 and with trailers after the body, so that no piece of the body is the end.
    #[must_use]
    pub fn trailers<const N: usize>(mut self, trailers: [(&str, &str); N]) -> Self {
        self.trailers = Headers::from(trailers);
        self.http2()
    }
}

/// What a client was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The headers, `:status` among them.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status; 0 when the filter spoilt it.
    pub fn status(&self) -> u16 {
        self.headers.get(":status").and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// The first value of a header (name in lower case); empty when it is absent or not UTF-8.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_default()
    }

    /// An answer of the gateway's, completed as Envoy does.
    pub(crate) fn local(status: u16, headers: &Headers, body: Vec<u8>) -> Self {
        let mut all = Headers::default();
        all.add(":status", status.to_string());
        if !body.is_empty() {
            all.add("content-length", body.len().to_string());
            if headers.first("content-type").is_none() {
                all.add("content-type", "text/plain");
            }
        }
        headers.iter().for_each(|(name, value)| all.add(name, value));
        Self { headers: all, body }
    }
}

/// What went on to the application behind the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The request's headers, as the filter left them.
    pub headers: Headers,
    /// Its body, as the filter left it.
    pub body: Vec<u8>,
}

/// What follows a request's headers.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Headers,
    pub(crate) protocol: Protocol,
}

/// A stream as the host keeps it.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) thread: Thread,
    pub(crate) vm: VmId,
    pub(crate) root: u32,
    pub(crate) context: u32,
    /// Process-wide and increasing, as `connection.id` is: each request here has a connection of its own.
    pub(crate) connection: u64,
    pub(crate) request_headers: Headers,
    pub(crate) request_trailers: Headers,
    /// What of the body has arrived and not gone on.
    pub(crate) buffered: Vec<u8>,
    /// The whole request has arrived.
    pub(crate) arrived: bool,
    pub(crate) forwarded: Option<Forwarded>,
    /// What the filter is not shown while its pause in the headers stands.
    pub(crate) held: Option<Rest>,
    /// The answer on its way; the client has it once the stream is closed.
    pub(crate) response: Option<Answer>,
    pub(crate) open: bool,
}

impl Stream {
    /// Lets what has arrived go on to the application.
    pub(crate) fn forward(&mut self) {
        let headers = &self.request_headers;
        let forwarded = self.forwarded.get_or_insert_with(|| Forwarded { headers: headers.clone(), body: Vec::new() });
        forwarded.body.append(&mut self.buffered);
    }
}
