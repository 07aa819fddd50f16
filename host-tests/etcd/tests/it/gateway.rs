//! A simulated process that makes the calls that a test names.

use std::sync::OnceLock;
use std::time::Duration;

use etcd_messages::*;
use etcd_model::Etcd;
use host_tests::{Filter, Process, Request};
use prost::Message;

/// A filter that does what its configuration says, built and compiled once.
fn puppet() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| {
        let wasm = gatepost_kit::artifact::wasm("gatepost-puppet").expect("the filter builds");
        Filter::load(&wasm).expect("the filter compiles")
    })
}

/// How long the filter waits for an answer.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// A process, and how its calls end.
pub struct Gateway {
    pub process: Process,
    began: Duration,
    calls: Vec<String>,
}

impl Gateway {
    /// Starts the process of this name, whose requests to `/0`, `/1` and so on make these calls.
    pub fn start(etcd: &Etcd, name: &str, calls: &[(&str, Vec<u8>)]) -> Self {
        Self::scripted(etcd, name, calls, "")
    }

    /// The same, and the filter does also what this says; see `host-tests/puppet`.
    pub fn scripted(etcd: &Etcd, name: &str, calls: &[(&str, Vec<u8>)], script: &str) -> Self {
        let mut script = format!("{script}\nhttp_call_response: show; pairs 6; bytes 4; pairs 7; status\n");
        let mut made = Vec::new();
        for (number, (path, message)) in calls.iter().enumerate() {
            let digits: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
            let call = format!("rpc etcd {path} {} {digits}", TIMEOUT.as_millis());
            script += &format!("request_headers /{number}: {call}\n");
            made.push(call.trim().to_owned());
        }
        let start = etcd.now();
        let builder = Process::builder(puppet()).config(script).cluster("etcd", etcd.upstream(name, start));
        let process = builder.start().expect("it starts");
        Self { began: process.clock().elapsed(), process, calls: made }
    }

    /// When it had started, by its own clock.
    pub fn began(&self) -> Duration {
        self.began
    }

    pub fn request(&mut self, path: &str) {
        self.process.request(0, Request::new("GET", path)).expect("nothing goes wrong");
    }

    /// Makes a call; says whether Envoy took it.
    pub fn call(&mut self, number: usize) -> bool {
        let seen = self.process.log().len();
        self.request(&format!("/{number}"));
        let line = &self.process.log()[seen..].last().expect("it says what it did").message;
        line.strip_prefix(&self.calls[number]).expect("it is this call").starts_with(" -> token")
    }

    pub fn advance(&mut self, time: Duration) {
        self.process.advance(time).expect("nothing goes wrong");
    }

    /// The ends of calls so far: the headers, the body in hexadecimal digits, and the trailers, or how it broke.
    pub fn ends(&self) -> Vec<[String; 4]> {
        let lines: Vec<&str> = self.process.log().iter().map(|line| line.message.as_str()).collect();
        let ends = lines.iter().enumerate().filter(|(_, line)| line.starts_with("http_call_response ["));
        let said =
            |number: usize| lines.get(number).and_then(|line| line.split_once(" -> ")).map(|(_, said)| said.to_owned());
        ends.map(|(at, _)| [1, 2, 3, 4].map(|line| said(at + line).unwrap_or_default())).collect()
    }

    /// Of each end the gRPC status; `None` where no headers came.
    pub fn statuses(&self) -> Vec<Option<u32>> {
        let number = |text: &str| {
            let mut words = text.split(' ').skip_while(|word| *word != "grpc-status").skip(1);
            words.next().and_then(|status| status.parse().ok())
        };
        self.ends().iter().map(|[headers, _, trailers, _]| number(headers).or_else(|| number(trailers))).collect()
    }
}

pub fn put(key: &str, value: &str) -> (&'static str, Vec<u8>) {
    (PUT, PutRequest { key: key.into(), value: value.into(), lease: 0 }.encode_to_vec())
}

pub fn get(key: &str, serializable: bool) -> (&'static str, Vec<u8>) {
    (RANGE, RangeRequest { key: key.into(), serializable, ..RangeRequest::default() }.encode_to_vec())
}

pub fn value(etcd: &Etcd, key: &str) -> Option<String> {
    etcd.get(key).map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
