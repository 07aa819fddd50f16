//! A receiver that only counts: so quick that it is never what is measured.

use std::io::{BufRead, BufReader, Read, Write, copy, sink};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

/// Answers every request with 200, a thread a connection, until the process ends.
pub struct Sink {
    address: String,
    received: Arc<AtomicU64>,
}

impl Sink {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                // A connection that breaks is Envoy's to report; what had arrived on it is counted.
                thread::spawn(move || serve(&stream, &counter));
            }
        });
        Ok(Self { address, received })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Requests received whole.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// Reads requests with a content-length, as Envoy sends them, and answers each.
fn serve(stream: &TcpStream, received: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let mut length = 0;
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some(value) = line.strip_prefix(b"content-length: ") {
            length = String::from_utf8_lossy(value).trim().parse()?;
        }
        if line == b"\r\n" {
            copy(&mut reader.by_ref().take(length), &mut sink())?;
            received.fetch_add(1, Ordering::Relaxed);
            (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            length = 0;
        }
        line.clear();
    }
    Ok(())
}
