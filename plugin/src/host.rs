//! The host calls, which no other file makes: those of the SDK, and in [`careful`] those that the SDK cannot make for
//! us. A status of the host becomes a `bool`, an `Option` or a `Result` here.

use std::time::Duration;

use gatepost_core::answer::Answer;
use gatepost_core::engine::{Call, StoreRequest};
use gatepost_core::headers::Headers;
use gatepost_core::ingress::request::Changes;
use gatepost_core::journal::operation::{StoreReply, StoreStream};
use gatepost_core::outcome::CallEnd;
use gatepost_core::store::{Cas, SharedStore, StoreError};
use gatepost_core::telemetry::metrics::MetricKind;
use gatepost_core::time::{Instant, Now, WallTime};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

mod careful;

/// The response code details of every answer that the filter gives, for Envoy's access log.
const RESPONSE_CODE_DETAILS: &str = "gatepost";

/// Reads the host's two clocks.
pub fn now() -> Now {
    Now {
        mono: Instant::from_nanos(careful::clock_nanos(careful::MONOTONIC)),
        wall: WallTime::from_nanos(careful::clock_nanos(careful::REALTIME)),
    }
}

/// Checks that the host gives randomness (WASI's `random_get`), which a capability restriction may leave out.
///
/// # Errors
/// The error of `getrandom`, if the host gives none.
pub fn check_randomness() -> Result<(), getrandom::Error> {
    getrandom::fill(&mut [0; 1])
}

/// The host's randomness, fetched a block at a time: a call costs more than the bytes.
#[derive(Default)]
pub struct Randomness {
    block: Vec<[u8; 16]>,
}

impl Randomness {
    /// Draws sixteen random bytes, which no earlier draw has given.
    pub fn draw(&mut self) -> [u8; 16] {
        const BLOCK: usize = 64;
        if self.block.is_empty() {
            let mut block = vec![[0; 16]; BLOCK];
            // Randomness was there when the filter was configured, and Envoy's source (BoringSSL) does not fail.
            if let Err(error) = getrandom::fill(block.as_flattened_mut()) {
                log::error!("the host gives no randomness: {error}");
            }
            self.block = block;
        }
        self.block.pop().unwrap_or_default()
    }
}

/// Envoy's shared data: the key-value store of all VMs of the process.
pub struct SharedData;

impl SharedStore for SharedData {
    fn get(&mut self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, StoreError> {
        match careful::get_shared_data(key) {
            Ok(found) => Ok(found.map(|(value, cas)| (value, Cas(cas)))),
            Err(status) => Err(StoreError::Host(status)),
        }
    }

    fn set(&mut self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<(), StoreError> {
        match careful::set_shared_data(key, value, cas.map_or(0, |cas| cas.0)) {
            Ok(()) => Ok(()),
            Err(careful::CAS_MISMATCH) => Err(StoreError::CasMismatch),
            Err(status) => Err(StoreError::Host(status)),
        }
    }
}

/// A shared queue of proxy-wasm: each value in it wakes the worker that registered the queue.
#[derive(Clone, Copy, Debug)]
pub struct Queue(u32);

impl Queue {
    /// Registers the queue `name`, which from then on wakes the calling root; `None` if the host refuses.
    pub fn register(name: &str) -> Option<Self> {
        match hostcalls::register_shared_queue(name) {
            Ok(id) => Some(Self(id)),
            Err(status) => {
                log::error!("no queue, deliveries wait for the next tick: host status {status:?}");
                None
            }
        }
    }

    /// Enqueues an empty value, which wakes the worker, and for which the host needs no memory of ours. Returns whether
    /// the host took the value.
    pub fn wake(self) -> bool {
        hostcalls::enqueue_shared_queue(self.0, None).is_ok()
    }

    /// Dequeues the value that woke the worker: Envoy makes one callback for each value.
    pub fn take(id: u32) {
        let _ = hostcalls::dequeue_shared_queue(id);
    }
}

/// The name of the plugin in Envoy's config; it begins every key in shared data.
pub fn plugin_name() -> String {
    // Envoy takes no config with a string in it that is not UTF-8.
    let name = property(vec!["plugin_name"]).and_then(|name| String::from_utf8(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "gatepost".to_owned())
}

/// The id of the current stream's downstream connection. Ids grow with every connection of the process.
pub fn connection_id() -> Option<u64> {
    property(vec!["connection", "id"])?.try_into().ok().map(u64::from_le_bytes)
}

fn property(path: Vec<&str>) -> Option<Vec<u8>> {
    hostcalls::get_property(path).ok().flatten()
}

/// Tells Envoy that a root whose `on_done` answered false is done now.
pub fn done() {
    if let Err(status) = hostcalls::done() {
        log::error!("cannot say that a configuration is done: host status {status:?}");
    }
}

/// The configuration of the plugin, as Envoy hands it over.
pub fn configuration() -> Vec<u8> {
    buffer(BufferType::PluginConfiguration, usize::MAX).unwrap_or_default()
}

fn buffer(buffer: BufferType, max_len: usize) -> Option<Vec<u8>> {
    hostcalls::get_buffer(buffer, 0, max_len).ok().flatten()
}

/// A variable of the environment, as far as `host_env_keys` and `key_values` let it through.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The headers of the request of the current context.
pub fn request_headers() -> Headers {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default().into()
}

/// The trailers of the request of the current context.
pub fn request_trailers() -> Headers {
    hostcalls::get_map_bytes(MapType::HttpRequestTrailers).unwrap_or_default().into()
}

/// Removes trailers of the request of the current context; returns whether all were removed.
pub fn remove_request_trailers(names: &[String]) -> bool {
    names.iter().all(|name| careful::remove(MapType::HttpRequestTrailers, name).is_ok())
}

/// The first `len` bytes of the body of the request of the current context, if it can be read.
pub fn request_body(len: usize) -> Option<Vec<u8>> {
    let body = if len == 0 { Vec::new() } else { buffer(BufferType::HttpRequestBody, len)? };
    (body.len() == len).then_some(body)
}

/// Changes the headers of the request of the current context; returns whether every change was made.
pub fn change_request(changes: &Changes) -> bool {
    changes.remove.iter().all(|name| careful::remove(MapType::HttpRequestHeaders, name).is_ok())
        && changes.set.iter().all(|(name, value)| careful::set_request_header(name, value).is_ok())
}

/// The status of the response to the request of the current context.
pub fn response_status() -> Option<u16> {
    status(MapType::HttpResponseHeaders)
}

fn status(map: MapType) -> Option<u16> {
    std::str::from_utf8(&header(map, ":status")?).ok()?.parse().ok()
}

/// One header's value, as the bytes that came: they need not be UTF-8.
fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(map, name).ok().flatten()
}

/// Answers the request of the current context; returns whether the host took the answer.
pub fn answer(answer: &Answer) -> bool {
    careful::send_local_response(answer.status, RESPONSE_CODE_DETAILS, &answer.headers, &answer.body).is_ok()
}

/// Answers the paused request of the context `stream` from the root context `root`; returns whether the client was
/// still there.
pub fn answer_stream(root: u32, stream: u32, with: &Answer) -> bool {
    in_stream(root, stream, || answer(with)) == Some(true)
}

/// Lets the paused request of the context `stream` go on with these changes, from the root context `root`; if they cannot
/// be made it is answered. Returns whether they were made; `None`: the client was gone.
pub fn pass_stream(root: u32, stream: u32, changes: &Changes) -> Option<bool> {
    in_stream(root, stream, || {
        let is_changed = change_request(changes) && careful::continue_request().is_ok();
        if !is_changed {
            answer(&gatepost_core::inbound::unavailable());
        }
        is_changed
    })
}

/// Does something in the context `stream`, from the root context `root`; `None`: the client was gone.
fn in_stream(root: u32, stream: u32, work: impl FnOnce() -> bool) -> Option<bool> {
    let done = hostcalls::set_effective_context(stream).is_ok().then(work);
    if let Err(status) = hostcalls::set_effective_context(root) {
        log::error!("cannot return to the root context: host status {status:?}");
    }
    done
}

/// Sends an attempt as an HTTP call; returns the token of the call. `None`: the call was not sent.
pub fn call(call: &Call) -> Option<u32> {
    let (cluster, headers) = (call.cluster()?, call.headers()?);
    // All values are UTF-8: the config's are text, and an event keeps no other. So no header is left out here.
    let text = |(name, value)| std::str::from_utf8(value).ok().map(|value| (name, value));
    let headers = headers.iter().filter_map(|(name, value)| text((*name, value.as_ref()))).collect();
    hostcalls::dispatch_http_call(cluster, headers, Some(&call.body), Vec::new(), call.timeout()).ok()
}

/// Sends a call to the store of the journal; returns its token. `None`: the call was not sent.
pub fn store_call(request: &StoreRequest) -> Option<u32> {
    let (headers, body) = (request.headers(), Some(request.call.body.as_slice()));
    hostcalls::dispatch_http_call(request.cluster(), headers, body, Vec::new(), request.timeout()).ok()
}

/// Opens a stream of gRPC to a cluster and sends its message; returns its token. `None`: it could not be opened.
pub fn open_stream(cluster: &str, stream: &StoreStream) -> Option<u32> {
    let metadata = stream.metadata.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let token = hostcalls::open_grpc_stream(&grpc_service(cluster)?, stream.service, stream.method, metadata).ok()?;
    if careful::send_on_stream(token, &stream.message).is_ok() {
        return Some(token);
    }
    cancel_stream(token);
    None
}

/// The target of a stream of gRPC: `GrpcService{envoy_grpc{cluster_name}}` of Envoy's API, serialised. Envoy takes the bare
/// name of a cluster, too, but first tries to read any target as that message, and aborts where a name happens to be a
/// message without a cluster, such as `etcd1`. `None`: the name is so long that its message is no text, which the SDK wants.
fn grpc_service(cluster: &str) -> Option<String> {
    const CLUSTER_MAX: usize = 125;
    let inner = u8::try_from(cluster.len()).ok().filter(|len| usize::from(*len) <= CLUSTER_MAX)?;
    Some(format!("\n{}\n{}{cluster}", char::from(inner + 2), char::from(inner)))
}

/// Ends a stream of gRPC; one that Envoy does not know any more has ended.
pub fn cancel_stream(token: u32) {
    let _ = careful::cancel_stream(token);
}

/// The message of `size` bytes that the current callback brings on a stream of gRPC, cut off where it is long.
pub fn stream_message(size: usize) -> Vec<u8> {
    const MESSAGE_MAX: usize = 64 << 10;
    buffer(BufferType::GrpcReceiveBuffer, size.min(MESSAGE_MAX)).unwrap_or_default()
}

/// What came back of a call to the store: unary gRPC, whose status is in the trailers or, of an error, in the headers.
/// The arguments are those of the callback.
pub fn store_reply(headers: usize, body: usize, trailers: usize) -> StoreReply {
    // The SDK panics where it is asked for a header of a map that is not there.
    if headers == 0 {
        return StoreReply::Lost;
    }
    let Some(status) = status(MapType::HttpCallResponseHeaders) else { return StoreReply::Lost };
    let value = |name| {
        let trailer = if trailers > 0 { header(MapType::HttpCallResponseTrailers, name) } else { None };
        let value = trailer.or_else(|| header(MapType::HttpCallResponseHeaders, name));
        value.and_then(|value| String::from_utf8(value).ok())
    };
    StoreReply::Answer {
        status,
        grpc_status: value("grpc-status").and_then(|status| status.parse().ok()),
        grpc_message: value("grpc-message").unwrap_or_default(),
        body: buffer(BufferType::HttpCallResponseBody, body).unwrap_or_default(),
    }
}

/// The end of the call whose response the current callback brings, and the `retry-after` of an error. `headers` is the
/// number of the response's headers, `body` the size of its body in bytes.
pub fn call_end(headers: usize, body: usize) -> (CallEnd, Option<Vec<u8>>) {
    if headers == 0 {
        return (CallEnd::of(None, false, b""), None);
    }
    let header = |name| header(MapType::HttpCallResponseHeaders, name);
    let status = status(MapType::HttpCallResponseHeaders);
    if status.is_some_and(|status| status < 400) {
        // Envoy's own answers are all errors, and `retry-after` counts only with an error.
        return (CallEnd::of(status, true, b""), None);
    }
    let from_upstream = header("x-envoy-upstream-service-time").is_some();
    // Only Envoy's own answers are told apart by their text.
    let text = if from_upstream { Vec::new() } else { response_text(body) };
    (CallEnd::of(status, from_upstream, &text), header("retry-after"))
}

fn response_text(len: usize) -> Vec<u8> {
    const TEXT_MAX: usize = 512;
    buffer(BufferType::HttpCallResponseBody, len.min(TEXT_MAX)).unwrap_or_default()
}

/// Sets the tick period of the current root.
pub fn set_tick(period: Duration) {
    // Envoy knows no other status than success here.
    let _ = hostcalls::set_tick_period(period);
}

/// Defines a metric; returns its id, or `None` if the host refuses.
pub fn define_metric(kind: MetricKind, name: &str) -> Option<u32> {
    let kind = match kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Histogram => MetricType::Histogram,
    };
    hostcalls::define_metric(kind, name).ok()
}

/// Adds `by` to a counter. Zero is left out: Envoy would refuse it.
pub fn count(metric: u32, by: u32) {
    if by > 0 {
        let _: Result<(), Status> = hostcalls::increment_metric(metric, i64::from(by));
    }
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record(metric: u32, value: u64) {
    let _ = hostcalls::record_metric(metric, value);
}
