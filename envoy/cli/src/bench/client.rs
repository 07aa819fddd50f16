//! A producer with one connection, which it keeps: it blocks until each event is answered, so that it can sleep to the
//! microsecond in between. Head and body leave in one piece, as wrk sends them: in two they would wake Envoy twice.

use std::time::Instant;

use anyhow::Result;
use axum::body::{Body, to_bytes};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// A connected producer.
pub struct Client {
    runtime: Runtime,
    sender: SendRequest<Body>,
    address: String,
}

impl Client {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            // When it breaks, the next request says so.
            tokio::spawn(connection);
            Ok::<_, anyhow::Error>(sender)
        })?;
        Ok(Self { runtime, sender, address: address.to_owned() })
    }

    /// Posts an event; how it was answered, and when.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn post(&mut self, path: &str, body: String) -> Result<(StatusCode, Instant)> {
        let request = Request::post(path)
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))?;
        self.runtime.block_on(async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (status, answered) = (response.status(), Instant::now());
            // Until its answer is read whole, the connection takes no other request.
            to_bytes(Body::new(response.into_body()), usize::MAX).await?;
            Ok((status, answered))
        })
    }
}
