//! What the tests share: two filters, built and compiled once, and what became of a request.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use host_tests::{Application, Builder, Filter, Process, Reply, StreamId, Thread};

/// The filter that lets every request pass, built and compiled once.
pub fn noop() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| compiled("gatepost-noop"))
}

/// The filter that does what its configuration says, built and compiled once.
pub fn puppet() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| compiled("gatepost-puppet"))
}

/// Another build of the same filter, built and compiled once: the same code, and a section that says nothing.
pub fn another_puppet() -> &'static Filter {
    static FILTER: OnceLock<Filter> = OnceLock::new();
    FILTER.get_or_init(|| {
        let mut wasm = std::fs::read(wasm("gatepost-puppet")).expect("it is there");
        wasm.extend(b"\0\x06\x05build");
        Filter::compile(&wasm).expect("it compiles")
    })
}

fn wasm(package: &str) -> PathBuf {
    gatepost_kit::artifact::wasm(package).expect("the filter builds")
}

fn compiled(package: &str) -> Filter {
    Filter::load(&wasm(package)).expect("the filter compiles")
}

/// A process with one worker whose filter follows this script; see `host-tests/puppet`.
pub fn scripted(script: &str) -> Builder {
    Process::builder(puppet()).config(script)
}

/// What the filter logged on one thread.
pub fn said_on(process: &Process, thread: Thread) -> Vec<&str> {
    let lines = process.log().iter().filter(|line| line.thread == thread && !line.message.starts_with("vm_start"));
    lines.map(|line| line.message.as_str()).collect()
}

/// What the filter logged on the first worker.
pub fn said(process: &Process) -> Vec<&str> {
    said_on(process, Thread::Worker(0))
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A script for the filter, and an application that answers in three pieces, 100 ms apart.
pub fn in_pieces(script: &str) -> Builder {
    let reply = Reply::status(200).header("x-app", "1").chunks(["hello ", "big ", "world"]);
    scripted(script).application(Application::always(reply.spaced(millis(100))))
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
