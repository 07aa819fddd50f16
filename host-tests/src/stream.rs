//! One HTTP request and its answer: what the client sends, what the application receives, what the client is answered.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::abi::Direction;
use crate::half::{Half, Part};
use crate::headers::Headers;
use crate::ids::{At, PluginId};

/// Where a client is by default.
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// A request that a client makes. HTTP/1.1 unless [`http2`](Self::http2) says otherwise: there the end of a body comes as a
/// callback of its own, after the last byte.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) headers: Headers,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) trailers: Headers,
    pub(crate) protocol: Protocol,
    pub(crate) listener: Option<String>,
    pub(crate) client: SocketAddr,
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
        Self {
            headers,
            chunks: Vec::new(),
            trailers: Headers::default(),
            protocol: Protocol::Http1,
            listener: None,
            client: CLIENT,
        }
    }

    /// A POST, so far without a body.
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// With another path, whose bytes need not be text.
    #[must_use]
    pub fn path(mut self, path: impl AsRef<[u8]>) -> Self {
        self.headers.set(":path", path);
        self
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

    /// To the listener of this name, instead of the first one.
    #[must_use]
    pub fn listener(mut self, name: &str) -> Self {
        self.listener = Some(name.to_owned());
        self
    }

    /// From a client at this address; 127.0.0.1:40000 by default.
    #[must_use]
    pub fn client(mut self, client: SocketAddr) -> Self {
        self.client = client;
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

/// The answer that a client received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The headers, `:status` among them.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers; over HTTP/1.1 there are none, as a rule.
    pub trailers: Headers,
    /// It came to its end. If not, the stream was reset in the middle of it, or it still comes.
    pub is_complete: bool,
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
        Self { headers: all, body, trailers: Headers::default(), is_complete: true }
    }

    /// The same, of Envoy's own text.
    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::local(status, &Headers::default(), text.into())
    }
}

/// What went on to the application of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// When the last of it went on, as time since the process started.
    pub at: Duration,
    /// The request's headers, as the filter left them.
    pub headers: Headers,
    /// Its body, as the filter left it.
    pub body: Vec<u8>,
    /// Its trailers, as the filter left them.
    pub trailers: Headers,
}

impl Forwarded {
    /// The first value of a header (name in lower case); empty when it is absent or not UTF-8.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_default()
    }
}

/// What is still to come in answer to a request.
#[derive(Debug)]
pub(crate) enum Coming {
    /// Envoy's own answer, in the application's place.
    Local(Answer),
    /// The application's.
    Parts {
        parts: VecDeque<Part>,
        /// Between two of them.
        spacing: Duration,
        /// After the last one the connection breaks.
        is_cut: bool,
    },
}

/// A request and its answer on their way through the filter.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) at: At,
    /// The version of its listener's plugin that serves it.
    pub(crate) plugin: PluginId,
    pub(crate) root: u32,
    pub(crate) context: u32,
    /// Process-wide and increasing, as `connection.id` is: each request here has a connection of its own.
    pub(crate) connection: u64,
    pub(crate) client: SocketAddr,
    /// The number of its listener.
    pub(crate) listener: usize,
    pub(crate) protocol: Protocol,
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// What the filter has set as properties, by their whole path.
    pub(crate) state: BTreeMap<String, Vec<u8>>,
    pub(crate) began_at: Duration,
    pub(crate) forwarded: Option<Forwarded>,
    pub(crate) coming: Option<Coming>,
    /// The details of the first local reply to it, as `%RESPONSE_CODE_DETAILS%` has them in an access log.
    pub(crate) details: Option<String>,
    /// What the client has of its answer.
    pub(crate) received: Option<Answer>,
    /// `proxy_on_log` runs: both sides can be read, neither written.
    pub(crate) is_logging: bool,
    pub(crate) is_open: bool,
    /// When something last went either way.
    pub(crate) active_at: Duration,
}

impl Stream {
    pub(crate) fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// Lets what the filter has let go reach the application or the client; says whether that was all of it.
    pub(crate) fn deliver(&mut self, direction: Direction) -> bool {
        let half = self.half(direction);
        let gone = half.release();
        let headers = gone.headers.then(|| half.headers.clone());
        match direction {
            Direction::Request => {
                let to = self.forwarded.get_or_insert_default();
                to.headers = headers.unwrap_or_else(|| std::mem::take(&mut to.headers));
                to.body.extend(gone.body);
                to.trailers = gone.trailers;
            }
            Direction::Response => {
                if let Some(headers) = headers {
                    let (body, trailers) = (Vec::new(), Headers::default());
                    self.received = Some(Answer { headers, body, trailers, is_complete: false });
                }
                if let Some(to) = &mut self.received {
                    to.body.extend(gone.body);
                    (to.trailers, to.is_complete) = (gone.trailers, gone.end);
                }
            }
        }
        gone.end
    }
}
