//! What the tests share: the filter, built and compiled once; a configuration to start from; and deliveries as a
//! receiver sees them, each with its signature verified.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use host_tests::{Answer, Builder, Call, Filter, Process, Reply, Request, StreamId, Upstream};
use serde_json::{Value, json};

/// How late what is due at a time may come: the tick's resolution and the queue's wake-up.
const SLACK: Duration = Duration::from_millis(5);

/// The body of [`event`].
pub const BODY: &str = r#"{"amount": 42}"#;

/// Gatepost, built and compiled once.
pub fn gatepost() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| Filter::load(&wasm()).expect("the filter compiles"))
}

/// Another build of Gatepost, built and compiled once: the same code, and a section that says nothing.
pub fn another_gatepost() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| {
        let mut wasm = std::fs::read(wasm()).expect("it is there");
        wasm.extend(b"\0\x06\x05build");
        Filter::compile(&wasm).expect("it compiles")
    })
}

fn wasm() -> PathBuf {
    gatepost_kit::artifact::wasm("gatepost").expect("the filter builds")
}

/// A configuration that is on, with the route `/events/{event}` and these endpoints.
pub fn config<const N: usize>(endpoints: [Value; N]) -> Value {
    json!({
        "enabled": true,
        "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": endpoints.to_vec(),
    })
}

/// The entry of an endpoint whose cluster has its name and whose secret is [`secret`].
pub fn endpoint(name: &str) -> Value {
    json!({
        "name": name,
        "cluster": name,
        "url": format!("https://{name}.example/hooks?v=1"),
        "secrets": [{"value": secret(name)}],
    })
}

/// The secret of an endpoint of this name.
pub fn secret(name: &str) -> String {
    format!("{name}-secret")
}

/// The same object with these keys set.
pub fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

/// Two workers that run Gatepost; each endpoint's cluster, and its sink's, answers 200.
pub fn gateway(config: &Value) -> Builder {
    let endpoints = config["endpoints"].as_array().into_iter().flatten();
    let clusters = endpoints.flat_map(|endpoint| [&endpoint["cluster"], &endpoint["dead_letter"]["cluster"]]);
    let builder = Process::builder(gatepost()).name("gatepost").vm_id("gatepost").workers(2);
    clusters
        .filter_map(Value::as_str)
        .fold(builder, |builder, cluster| builder.cluster(cluster, Upstream::always(Reply::status(200))))
        .config(config.to_string())
}

/// The same, started.
pub fn start(config: &Value) -> Process {
    gateway(config).start().unwrap_or_else(|error| panic!("{error}"))
}

/// An event of this type for the route of [`config`].
pub fn event(event_type: &str) -> Request {
    Request::post(&format!("/events/{event_type}")).header("content-type", "application/json").body(BODY)
}

/// Makes a request and returns its answer, which must have come at once.
pub fn answer(process: &mut Process, worker: usize, request: Request) -> Answer {
    let stream = process.request(worker, request).unwrap_or_else(|fault| panic!("{fault}\n{}", process.trace()));
    answered(process, stream)
}

/// The answer to a request, which must have come.
pub fn answered(process: &Process, stream: StreamId) -> Answer {
    process.answer(stream).unwrap_or_else(|| panic!("{stream} waits\n{}", process.trace())).clone()
}

/// Makes an event, which must be accepted at once, and returns its id.
pub fn accept(process: &mut Process, worker: usize, request: Request) -> String {
    let answer = answer(process, worker, request);
    assert_eq!(answer.status(), 202, "{answer:?}");
    let body = body(&answer);
    assert_eq!(body["status"], "accepted", "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

/// An answer's body as JSON.
pub fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error} in {answer:?}"))
}

/// Lets time pass; the filter must bear it.
pub fn advance(process: &mut Process, duration: Duration) {
    process.advance(duration).unwrap_or_else(|fault| panic!("{fault}\n{}", process.trace()));
}

/// Lets time pass until `done` holds; it must within `limit`.
pub fn wait(process: &mut Process, limit: Duration, done: impl Fn(&Process) -> bool) {
    let came = process.run_until(done, limit).unwrap_or_else(|fault| panic!("{fault}\n{}", process.trace()));
    assert!(came, "it did not happen within {limit:?}\n{}", process.trace());
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The range of a time that is to be `expected`: never earlier, and hardly later.
pub fn about(expected: Duration) -> Range<Duration> {
    expected..expected + SLACK
}

/// An attempt as its receiver sees it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub at: Duration,
    pub id: String,
    pub number: u32,
    pub event: String,
    pub body: Vec<u8>,
}

/// The attempts an endpoint received. Each must carry a valid signature of its own secret and a fresh timestamp.
pub fn attempts(process: &Process, endpoint: &str) -> Vec<Attempt> {
    process.calls(endpoint).into_iter().map(|call| attempt(call, &secret(endpoint))).collect()
}

fn attempt(call: &Call, secret: &str) -> Attempt {
    assert_eq!(call.header("x-webhook-timestamp"), call.wall_millis.to_string());
    assert_eq!(call.header("x-webhook-signature"), signature(call, secret));
    Attempt {
        at: call.at,
        id: call.header("x-webhook-id").to_owned(),
        number: call.header("x-webhook-attempt").parse().expect("an attempt's number"),
        event: call.header("x-webhook-event").to_owned(),
        body: call.body.clone(),
    }
}

/// What the signature of a call must be under this secret: computed from what was received alone.
pub fn signature(call: &Call, secret: &str) -> String {
    let signed = [call.header("x-webhook-timestamp").as_bytes(), b".", &call.body].concat();
    hex(&hmac_sha256::HMAC::mac(signed, secret))
}

/// In lower-case digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The dead letters in shared data that hold this text.
pub fn letters(process: &Process, text: &str) -> usize {
    let holds = |value: &[u8]| value.windows(text.len()).any(|window| window == text.as_bytes());
    process.shared_data().filter(|(key, value)| key.starts_with("gatepost/dead/") && holds(value)).count()
}

/// The waits between attempts, each from the moment the one before it ended: `latency` after it was made.
pub fn waits(attempts: &[Attempt], latency: Duration) -> Vec<Duration> {
    attempts.windows(2).map(|pair| pair[1].at - pair[0].at - latency).collect()
}

/// What a client has been answered: the status, the body, and whether that is all of it.
pub fn outcome(process: &Process, stream: StreamId) -> Option<(u16, String, bool)> {
    let answer = process.answer(stream)?;
    Some((answer.status(), String::from_utf8_lossy(&answer.body).into_owned(), answer.is_complete))
}

/// The outcome that is a whole answer.
pub fn whole(status: u16, body: &str) -> Option<(u16, String, bool)> {
    Some((status, body.to_owned(), true))
}
