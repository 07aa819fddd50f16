//! What stands behind the gateway: takes everything, verifies nothing, and remembers what it got to the byte.

use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Uri};
use gatepost_kit::wait;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

type Arrivals = Arc<Mutex<Vec<Arrival>>>;

/// A running application; it ends when this is dropped.
pub struct Application {
    address: String,
    arrivals: Arrivals,
    /// Held for its end.
    _runtime: Runtime,
}

/// A request, as the application got it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When it had arrived whole.
    pub at: SystemTime,
    /// The path and query.
    pub path: String,
    /// The headers, repetitions too.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Arrival {
    /// The value of a header that came once; empty when it did not come, or more than once, or is no text.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let (first, second) = (values.next(), values.next());
        first.filter(|_| second.is_none()).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Application {
    /// Starts it at a free port of loopback; it answers 200.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let arrivals = Arrivals::default();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(serve(listener, Arc::clone(&arrivals)));
        Ok(Self { address, arrivals, _runtime: runtime })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What came to this path so far, oldest first.
    pub fn arrivals(&self, path: &str) -> Vec<Arrival> {
        lock(&self.arrivals).iter().filter(|arrival| arrival.path == path).cloned().collect()
    }

    /// Waits until at least so many came to this path, and gives all of them back.
    ///
    /// # Errors
    /// When they do not come within half a minute.
    pub fn wait_for(&self, path: &str, count: usize) -> Result<Vec<Arrival>> {
        wait::until(&format!("{count} requests at {path}"), PATIENCE, || {
            Ok(Some(self.arrivals(path)).filter(|arrivals| arrivals.len() >= count))
        })
    }
}

async fn serve(listener: StdListener, arrivals: Arrivals) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let application = Router::new().fallback(take).layer(DefaultBodyLimit::disable()).with_state(arrivals);
    // It serves until it is dropped.
    let _ = axum::serve(listener, application).await;
}

/// Is called with whole requests only: what broke off has not arrived.
async fn take(State(arrivals): State<Arrivals>, uri: Uri, headers: HeaderMap, body: Bytes) {
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    lock(&arrivals).push(Arrival { at: SystemTime::now(), path, headers, body: body.to_vec() });
}

/// The list is whole between two calls, whoever panicked.
fn lock(arrivals: &Mutex<Vec<Arrival>>) -> MutexGuard<'_, Vec<Arrival>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A machine that compiles at the same time needs its time.
const PATIENCE: Duration = Duration::from_secs(30);
