//! A producer: sends events over connections that the test holds.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gatepost_cli::example::AUTHORIZATION;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// What a producer sends.
#[derive(Clone, Debug)]
pub struct Event {
    /// `POST`, unless a test sets another.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// Headers besides `authorization`, in order, repetitions allowed.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Trailers after the body.
    pub trailers: Vec<(String, String)>,
}

impl Event {
    /// An event of this type, posted to `/events/<event>`.
    pub fn new(event: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST".to_owned(),
            path: format!("/events/{event}"),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into(),
            trailers: Vec::new(),
        }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn request(&self, authority: &str, protocol: Protocol) -> Result<Request<Body>> {
        let uri = match protocol {
            Protocol::Http1 => self.path.clone(),
            Protocol::Http2 => format!("http://{authority}{}", self.path),
        };
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        if protocol == Protocol::Http1 {
            request = request.header("host", authority);
        }
        request = request.header("authorization", AUTHORIZATION);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut trailers = HeaderMap::new();
        for (name, value) in &self.trailers {
            trailers.append(name.parse::<hyper::header::HeaderName>()?, value.parse()?);
        }
        let body = Full::new(Bytes::from(self.body.clone()));
        let body = if trailers.is_empty() {
            BodyExt::boxed(body)
        } else {
            BodyExt::boxed(body.with_trailers(async move { Some(Ok(trailers)) }))
        };
        Ok(request.body(body)?)
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
}

/// A connection, for use inside the runtime.
pub(crate) struct Sender {
    address: String,
    inner: Inner,
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
        let inner = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Inner::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Inner::Http2(sender)
            }
        };
        Ok(Self { address: address.to_owned(), inner })
    }

    pub(crate) async fn send(&mut self, event: &Event) -> Result<Answer> {
        tokio::time::timeout(ANSWER, self.exchange(event)).await.context("no answer within a minute")?
    }

    async fn exchange(&mut self, event: &Event) -> Result<Answer> {
        let response = match &mut self.inner {
            Inner::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(event.request(&self.address, Protocol::Http1)?).await?
            }
            Inner::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(event.request(&self.address, Protocol::Http2)?).await?
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
