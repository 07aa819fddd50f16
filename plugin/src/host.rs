//! The only file that names host calls. A status of the host becomes a value here; nothing in it panics.

use std::time::Duration;

use gatepost_core::answer::Answer;
use gatepost_core::config::Config;
use gatepost_core::engine::Call;
use gatepost_core::headers::{self, Headers};
use gatepost_core::log::Level;
use gatepost_core::outcome::CallEnd;
use gatepost_core::store::{Cas, SharedStore, StoreError};
use gatepost_core::time::{Instant, Now, WallTime};

mod abi;

/// What a counter, gauge or histogram is called by the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever grows.
    Counter = 0,
    /// Stands at a value.
    Gauge = 1,
    /// Spreads values over buckets.
    Histogram = 2,
}

/// Both clocks.
pub fn now() -> Now {
    Now { mono: Instant::from_nanos(abi::clock(abi::MONOTONIC)), wall: WallTime::from_nanos(abi::clock(abi::REALTIME)) }
}

/// Does the host give randomness? A capability restriction may forget it.
///
/// # Errors
/// Why not: the status of the host.
pub fn check_randomness() -> Result<(), u32> {
    abi::random(&mut [0; 1])
}

/// The host's randomness, fetched a block at a time: a call costs more than the bytes.
#[derive(Default)]
pub struct Randomness {
    block: Vec<[u8; 16]>,
}

impl Randomness {
    /// Sixteen bytes that were never given out before.
    pub fn draw(&mut self) -> [u8; 16] {
        const BLOCK: usize = 64;
        if self.block.is_empty() {
            let mut block = vec![[0; 16]; BLOCK];
            // It was there when the filter was configured, and Envoy's source (BoringSSL) does not fail.
            if let Err(status) = abi::random(block.as_flattened_mut()) {
                log(Level::Critical, &format!("the host gives no randomness: status {status}"));
            }
            self.block = block;
        }
        self.block.pop().unwrap_or_default()
    }
}

/// The data that all VMs of the process share.
pub struct SharedData;

impl SharedStore for SharedData {
    fn get(&mut self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError> {
        match abi::get_shared_data(key) {
            Ok((value, cas)) => Ok(Some((value, Cas(cas)))),
            Err(abi::NOT_FOUND) => Ok(None),
            Err(status) => Err(StoreError::Host(status)),
        }
    }

    fn set(&mut self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<(), StoreError> {
        match abi::set_shared_data(key, value, cas.map_or(0, |cas| cas.0)) {
            Ok(()) => Ok(()),
            Err(abi::CAS_MISMATCH) => Err(StoreError::CasMismatch),
            Err(status) => Err(StoreError::Host(status)),
        }
    }
}

/// A queue that wakes its worker.
#[derive(Clone, Copy, Debug)]
pub struct Queue(u32);

impl Queue {
    /// Makes the calling root the one that this queue wakes.
    pub fn register(name: &str) -> Option<Self> {
        match abi::register_queue(name) {
            Ok(id) => Some(Self(id)),
            Err(status) => {
                log(Level::Error, &format!("no queue, deliveries wait for the next tick: host status {status}"));
                None
            }
        }
    }

    /// Wakes the worker; says whether it will be.
    pub fn wake(self) -> bool {
        abi::enqueue(self.0, &[1]).is_ok()
    }

    /// Takes off what woke the worker: Envoy calls once for each value.
    pub fn take(id: u32) {
        let _ = abi::dequeue(id);
    }
}

/// The name of the plugin in Envoy's config; it begins every key in shared data.
pub fn plugin_name() -> String {
    // Envoy takes no config with a string in it that is not UTF-8.
    let name = abi::property("plugin_name").ok().and_then(|name| String::from_utf8(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "gatepost".to_owned())
}

/// The id of the connection of the current stream: grows with every connection of the process.
pub fn connection_id() -> Option<u64> {
    abi::property("connection\0id").ok()?.try_into().ok().map(u64::from_le_bytes)
}

/// Tells Envoy that a root whose `on_done` answered false is done now.
pub fn done() {
    if let Err(status) = abi::context_done() {
        log(Level::Error, &format!("cannot say that a configuration is done: host status {status}"));
    }
}

/// The configuration of the plugin, as Envoy hands it over.
pub fn configuration() -> Vec<u8> {
    abi::buffer(abi::PLUGIN_CONFIGURATION, usize::MAX).unwrap_or_default()
}

/// Looks up variables of the environment, as far as `host_env_keys` and `key_values` let them through.
pub fn environment() -> impl Fn(&str) -> Option<String> {
    let entries = abi::environment();
    move |name| {
        let value = |entry: &[u8]| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
        String::from_utf8(entries.split(|byte| *byte == 0).find_map(value)?).ok()
    }
}

/// The headers of the request of the current context.
pub fn request_headers() -> Headers {
    Headers::from_map(abi::header_map(abi::REQUEST_HEADERS).unwrap_or_default())
}

/// The first `len` bytes of the body of the request of the current context, if it can be read.
pub fn request_body(len: usize) -> Option<Vec<u8>> {
    let body = if len == 0 { Vec::new() } else { abi::buffer(abi::REQUEST_BODY, len).ok()? };
    (body.len() == len).then_some(body)
}

/// Sets a header of the request of the current context; says whether that was done.
pub fn set_request_header(name: &str, value: &str) -> bool {
    abi::set_header(abi::REQUEST_HEADERS, name, value.as_bytes()).is_ok()
}

/// Removes a header of the request of the current context; says whether that was done.
pub fn remove_request_header(name: &str) -> bool {
    abi::remove_header(abi::REQUEST_HEADERS, name).is_ok()
}

/// The status of the response to the request of the current context.
pub fn response_status() -> Option<u16> {
    status(abi::RESPONSE_HEADERS)
}

fn status(map: u32) -> Option<u16> {
    std::str::from_utf8(&abi::header(map, ":status").ok()?).ok()?.parse().ok()
}

/// Answers the request of the current context.
pub fn answer(answer: &Answer) -> bool {
    let headers = headers::serialise(answer.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    abi::send_local_response(u32::from(answer.status), &headers, &answer.body).is_ok()
}

/// Answers the paused request of another context, from the root `root`; says whether its client was still there.
pub fn answer_stream(root: u32, stream: u32, with: &Answer) -> bool {
    let answered = abi::set_effective_context(stream).is_ok() && answer(with);
    if let Err(status) = abi::set_effective_context(root) {
        log(Level::Error, &format!("cannot return to the root context: host status {status}"));
    }
    answered
}

/// Sends an attempt; its token. `None`: Envoy would not send it.
pub fn call(call: &Call, config: &Config) -> Option<u32> {
    let (cluster, headers) = (call.cluster(config)?, call.headers(config)?);
    let headers = headers::serialise(headers.iter().map(|(name, value)| (*name, value.as_ref())));
    let timeout = u32::try_from(call.timeout(config).as_millis()).unwrap_or(u32::MAX);
    abi::http_call(cluster, &headers, &call.body, timeout).ok()
}

/// How the call ended whose response the current callback brings.
pub fn call_end(headers: usize, body: usize) -> (CallEnd, Option<Vec<u8>>) {
    if headers == 0 {
        return (CallEnd::of(None, false, b""), None);
    }
    let header = |name| abi::header(abi::CALL_RESPONSE_HEADERS, name).ok();
    let status = status(abi::CALL_RESPONSE_HEADERS);
    if status.is_some_and(|status| status < 400) {
        // Envoy makes up errors only, and nobody is asked to come back later.
        return (CallEnd::of(status, true, b""), None);
    }
    let from_upstream = header("x-envoy-upstream-service-time").is_some();
    // Only Envoy's own answers are told apart by their text.
    let text = if from_upstream { Vec::new() } else { response_text(body) };
    (CallEnd::of(status, from_upstream, &text), header("retry-after"))
}

fn response_text(len: usize) -> Vec<u8> {
    const TEXT_MAX: usize = 512;
    abi::buffer(abi::CALL_RESPONSE_BODY, len.min(TEXT_MAX)).unwrap_or_default()
}

/// Sets when the root's next tick is.
pub fn set_tick(period: Duration) {
    // Envoy knows no other status than success here.
    let _ = abi::set_tick_period(u32::try_from(period.as_millis()).unwrap_or(u32::MAX));
}

/// Defines a metric once and returns its id.
pub fn define_metric(kind: MetricKind, name: &str) -> Option<u32> {
    abi::define_metric(kind as u32, name).ok()
}

/// Adds to a counter; zero is no addition, which Envoy would refuse.
pub fn count(metric: u32, by: u32) {
    if by > 0 {
        let _ = abi::increment_metric(metric, i64::from(by));
    }
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record(metric: u32, value: u64) {
    let _ = abi::record_metric(metric, value);
}

/// Writes a line to Envoy's log.
pub fn log(level: Level, message: &str) {
    let _ = abi::log(level as u32, message);
}
