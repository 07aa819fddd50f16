//! The simulated Envoy itself, with a filter that holds every request until its body is complete.

use std::error::Error;
use std::time::Duration;

use host_tests::{Process, Request, StartError, StreamId, Thread};

use crate::support::noop;

type Result = std::result::Result<(), Box<dyn Error>>;

fn start() -> std::result::Result<Process, StartError> {
    Process::builder(noop()).workers(2).start()
}

fn body(process: &Process, stream: StreamId) -> Option<&[u8]> {
    process.forwarded(stream).map(|forwarded| forwarded.body.as_slice())
}

fn status(process: &Process, stream: StreamId) -> Option<u16> {
    process.answer(stream).map(|answer| answer.status())
}

#[test]
fn a_body_arrives_whole_whatever_its_framing() -> Result {
    let mut process = start()?;
    for request in [
        Request::post("/").body("one two"),
        Request::post("/").chunks(["one", " ", "two"]),
        Request::post("/").chunks(["one", " ", "two"]).http2(),
    ] {
        let stream = process.request(0, request)?;
        assert_eq!(body(&process, stream), Some(b"one two".as_slice()));
        assert_eq!(status(&process, stream), Some(200));
    }
    Ok(())
}

#[test]
fn a_request_without_a_body_ends_at_its_headers() -> Result {
    let mut process = start()?;
    let stream = process.request(1, Request::post("/"))?;
    assert_eq!(body(&process, stream), Some(b"".as_slice()));
    assert_eq!(status(&process, stream), Some(200));
    Ok(())
}

#[test]
fn trailers_end_a_request_whose_body_never_said_that_it_ended() -> Result {
    let mut process = start()?;
    let stream = process.request(0, Request::post("/").body("one").trailers([("x-checksum", "1")]))?;
    assert_eq!(body(&process, stream), Some(b"one".as_slice()));
    assert_eq!(status(&process, stream), Some(200));
    Ok(())
}

/// Envoy refuses more than a mebibyte of a held HTTP/1.1 body but not of an HTTP/2 one.
#[test]
fn a_held_http1_body_has_a_limit() -> Result {
    let mut process = start()?;
    let large = vec![b'x'; (1 << 20) + 1];
    let stream = process.request(0, Request::post("/").body(large.clone()))?;
    assert_eq!(status(&process, stream), Some(413));
    assert_eq!(body(&process, stream), None);
    let stream = process.request(0, Request::post("/").body(large).http2())?;
    assert_eq!(status(&process, stream), Some(200));
    Ok(())
}

/// A lost VM answers 503 until a new stream after the back off rebuilds it.
#[test]
fn a_lost_vm_comes_back_after_the_back_off() -> Result {
    let mut process = start()?;
    process.kill_vm(Thread::Worker(0));
    let early = process.request(0, Request::post("/"))?;
    assert_eq!(status(&process, early), Some(503));
    let elsewhere = process.request(1, Request::post("/"))?;
    assert_eq!(status(&process, elsewhere), Some(200));
    process.advance(Duration::from_secs(1))?;
    let late = process.request(0, Request::post("/"))?;
    assert_eq!(status(&process, late), Some(200));
    Ok(())
}

#[test]
fn a_worker_that_does_not_exist_is_a_fault_that_says_so() -> Result {
    let fault = start()?.request(2, Request::post("/")).expect_err("there are two workers");
    assert_eq!(fault.to_string(), "worker 2 in request: the process has no such worker");
    Ok(())
}
