//! A receiver that only counts: so quick that it is never what is measured.

use std::io::{BufRead, BufReader, Read, Write, copy, sink};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

/// Answers requests, a thread a connection, until the process ends.
pub struct Sink {
    address: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    received: AtomicU64,
    unavailable: AtomicU64,
}

impl Sink {
    /// Listens on a free port. One answer in `unavailable_every` is a 503, the others are 200.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(unavailable_every: Option<u64>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&shared);
                // A connection that breaks is Envoy's to report; what had arrived on it is counted.
                thread::spawn(move || serve(&stream, &counts, unavailable_every));
            }
        });
        Ok(Self { address, counts })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Requests received whole and answered 200.
    pub fn received(&self) -> u64 {
        self.counts.received.load(Ordering::Relaxed)
    }

    /// Requests answered 503.
    pub fn unavailable(&self) -> u64 {
        self.counts.unavailable.load(Ordering::Relaxed)
    }
}

/// Reads requests with a content-length, as Envoy sends them, and answers each.
fn serve(stream: &TcpStream, counts: &Counts, unavailable_every: Option<u64>) -> Result<()> {
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
            let number = counts.requests.fetch_add(1, Ordering::Relaxed) + 1;
            let (count, answer) = match unavailable_every {
                Some(every) if number.is_multiple_of(every) => (&counts.unavailable, UNAVAILABLE),
                _ => (&counts.received, OK),
            };
            count.fetch_add(1, Ordering::Relaxed);
            (&mut &*stream).write_all(answer)?;
            length = 0;
        }
        line.clear();
    }
    Ok(())
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
