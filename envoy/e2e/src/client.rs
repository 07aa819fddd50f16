//! A producer: sends events over connections that the test holds.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gatepost_kit::example::AUTHORIZATION;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Frame};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, JoinHandle};

/// What a producer sends.
#[derive(Clone, Debug)]
pub struct Event {
    /// `POST`, unless a test sets another.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// The headers, in order, repetitions allowed.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The bytes of each piece of the body, whose length is not announced then; `None`: it is sent whole.
    pub chunk: Option<usize>,
    /// Trailers after the body.
    pub trailers: Vec<(String, String)>,
}

impl Event {
    /// An event of this type, posted to `/events/<event>` by a producer that is let in.
    pub fn new(event: &str, body: impl Into<Vec<u8>>) -> Self {
        let event = Self { body: body.into(), ..Self::request("POST", &format!("/events/{event}")) };
        event.with_header("content-type", "application/json").with_header("authorization", AUTHORIZATION)
    }

    /// Any request, so far without headers and body.
    pub fn request(method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, headers: Vec::new(), body: Vec::new(), chunk: None, trailers: Vec::new() }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn to_http(&self, authority: &str, protocol: Protocol) -> Result<Request<Body>> {
        let uri = match protocol {
            Protocol::Http1 => self.path.clone(),
            Protocol::Http2 => format!("http://{authority}{}", self.path),
        };
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        if protocol == Protocol::Http1 {
            request = request.header("host", authority);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut trailers = HeaderMap::new();
        for (name, value) in &self.trailers {
            trailers.append(name.parse::<hyper::header::HeaderName>()?, value.parse()?);
        }
        let body = match self.chunk {
            None => BodyExt::boxed(Full::new(Bytes::from(self.body.clone()))),
            Some(bytes) => BodyExt::boxed(Pieces(self.body.chunks(bytes.max(1)).map(Bytes::copy_from_slice).collect())),
        };
        let body = if trailers.is_empty() {
            body
        } else {
            BodyExt::boxed(body.with_trailers(async move { Some(Ok(trailers)) }))
        };
        Ok(request.body(body)?)
    }
}

/// A body of unknown length.
struct Pieces(VecDeque<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// What the gateway answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers; [`Answer::header`] finds one.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{}: {:?}", self.status, self.text()))
    }

    /// The id of an accepted event.
    ///
    /// # Errors
    /// When the answer carries none.
    pub fn id(&self) -> Result<String> {
        let json = self.json()?;
        let id = json.get("id").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| anyhow!("{} without an id: {json}", self.status))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The protocol of a connection; HTTP/2 is spoken from the first byte, without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, kept alive.
    Http1,
    /// HTTP/2.
    Http2,
}

/// One connection to the gateway.
pub struct Connection {
    runtime: Arc<Runtime>,
    sender: Sender,
}

impl Connection {
    pub(crate) fn open(runtime: Arc<Runtime>, address: &str, protocol: Protocol) -> Result<Self> {
        let sender = runtime.block_on(Sender::open(address, protocol))?;
        Ok(Self { runtime, sender })
    }

    /// Sends an event and waits for the answer.
    ///
    /// # Errors
    /// When the connection breaks, or there is no answer within a minute.
    pub fn send(&mut self, event: &Event) -> Result<Answer> {
        self.runtime.block_on(self.sender.send(event))
    }

    /// Sends an event and does not wait for the answer.
    pub fn begin(self, event: Event) -> Pending {
        let Self { runtime, mut sender } = self;
        let connection = sender.connection.clone();
        let task = runtime.spawn(async move {
            let answer = sender.send(&event).await?;
            Ok((answer, sender))
        });
        Pending { runtime, task, connection }
    }

    /// Has the gateway closed it?
    pub fn is_closed(&self) -> bool {
        match &self.sender.inner {
            Inner::Http1(sender) => sender.is_closed(),
            Inner::Http2(sender) => sender.is_closed(),
        }
    }
}

/// A request whose answer is awaited, on a connection of its own.
pub struct Pending {
    runtime: Arc<Runtime>,
    task: JoinHandle<Result<(Answer, Sender)>>,
    connection: AbortHandle,
}

impl Pending {
    /// Waits for the answer.
    ///
    /// # Errors
    /// As for [`Connection::send`].
    pub fn finish(self) -> Result<(Answer, Connection)> {
        let (answer, sender) = self.runtime.block_on(self.task).context("the task of a request")??;
        Ok((answer, Connection { runtime: self.runtime, sender }))
    }

    /// Is there an answer, or a failure?
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Breaks the connection, as a client does that waits no longer.
    pub fn leave(self) {
        self.task.abort();
        self.connection.abort();
    }
}

/// A connection, for use inside the runtime.
pub(crate) struct Sender {
    address: String,
    inner: Inner,
    /// The task that reads and writes.
    connection: AbortHandle,
}

enum Inner {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

type Body = BoxBody<Bytes, Infallible>;

impl Sender {
    pub(crate) async fn open(address: &str, protocol: Protocol) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        // How a connection ends is told to whoever waits for an answer on it; its task has nobody to tell.
        let (inner, connection) = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                (Inner::Http1(sender), tokio::spawn(connection).abort_handle())
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                (Inner::Http2(sender), tokio::spawn(connection).abort_handle())
            }
        };
        Ok(Self { address: address.to_owned(), inner, connection })
    }

    pub(crate) async fn send(&mut self, event: &Event) -> Result<Answer> {
        tokio::time::timeout(ANSWER, self.exchange(event)).await.context("no answer within a minute")?
    }

    async fn exchange(&mut self, event: &Event) -> Result<Answer> {
        let response = match &mut self.inner {
            Inner::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(event.to_http(&self.address, Protocol::Http1)?).await?
            }
            Inner::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(event.to_http(&self.address, Protocol::Http2)?).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// Sends these bytes over a socket of their own and gives back all that is answered until the gateway closes it: for
/// requests no client library would make. They must ask for `connection: close`, or be ones after which Envoy closes.
///
/// # Errors
/// When the gateway does not accept the connection, or does not close it within a minute.
pub fn send_raw(address: &str, bytes: &[u8]) -> Result<String> {
    let mut stream = StdStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Longer than any `ack_timeout` of the tests.
const ANSWER: Duration = Duration::from_secs(60);
