//! The receiver of the benchmark: reads each request whole, answers it, keeps its connection alive, and counts.

use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// A receiver on a thread of its own, until the process ends.
pub struct Sink {
    address: String,
    shared: Arc<SinkState>,
}

#[derive(Default)]
struct SinkState {
    unavailable_every: Option<u64>,
    connections: AtomicU64,
    requests: AtomicU64,
    received: AtomicU64,
    unavailable: AtomicU64,
    arrivals: Mutex<Vec<(u64, Instant)>>,
}

impl Sink {
    /// Listens on a free port. One answer in `unavailable_every` is a 503, the others are 200.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(unavailable_every: Option<u64>) -> Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(SinkState { unavailable_every, ..SinkState::default() });
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let serving = Arc::clone(&shared);
        thread::spawn(move || runtime.block_on(serve(listener, serving)));
        Ok(Self { address, shared })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Requests received whole and answered 200.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Requests answered 503.
    pub fn unavailable(&self) -> u64 {
        self.shared.unavailable.load(Ordering::Relaxed)
    }

    /// When which [numbered](numbered) body had arrived whole, since this was asked last.
    pub fn take_arrivals(&self) -> Vec<(u64, Instant)> {
        std::mem::take(&mut *self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A body of 1 KiB that says which one it is, so that its arrival is noted.
pub fn numbered(number: u64) -> String {
    format!(r#"{BEFORE_NUMBER}{number:0DIGITS$}","filler":"{:x<1$}"}}"#, "", 1024 - NUMBERED_LEN)
}

fn number(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body.strip_prefix(BEFORE_NUMBER.as_bytes())?.get(..DIGITS)?).ok()?.parse().ok()
}

async fn serve(listener: StdListener, shared: Arc<SinkState>) -> Result<()> {
    let connected = Arc::clone(&shared);
    let listener = TcpListener::from_std(listener)?.tap_io(move |stream| {
        connected.connections.fetch_add(1, Ordering::Relaxed);
        // A connection works without it, slowly.
        let _ = stream.set_nodelay(true);
    });
    let answer = move |body: Bytes| async move { shared.answer(&body) };
    axum::serve(listener, Router::new().fallback(answer)).await?;
    Ok(())
}

impl SinkState {
    fn answer(&self, body: &[u8]) -> StatusCode {
        if let Some(number) = number(body) {
            self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push((number, Instant::now()));
        }
        let request = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let (count, status) = match self.unavailable_every {
            Some(every) if request.is_multiple_of(every) => (&self.unavailable, StatusCode::SERVICE_UNAVAILABLE),
            _ => (&self.received, StatusCode::OK),
        };
        count.fetch_add(1, Ordering::Relaxed);
        status
    }
}

const BEFORE_NUMBER: &str = r#"{"number":""#;
const DIGITS: usize = 12;
/// Of what is not filler in a numbered body.
const NUMBERED_LEN: usize = BEFORE_NUMBER.len() + DIGITS + r#"","filler":""}"#.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_body_is_1_kib_of_json_and_says_its_number() {
        let body = numbered(1_234);
        assert_eq!(body.len(), 1024);
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        assert_eq!(number(body.as_bytes()), Some(1_234));
        assert_eq!(number(br#"{"filler":"xxx"}"#), None);
    }
}
