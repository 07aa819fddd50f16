//! The simulated Envoy itself, with a filter that holds every request until its body is complete.

use std::error::Error;
use std::time::Duration;

use host_tests::{Fault, Filter, Process, Request, StartError, StreamId, Thread};

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

#[test]
fn envoy_refuses_more_than_a_mebibyte_of_a_held_http1_body_but_not_of_an_http2_one() -> Result {
    let mut process = start()?;
    let large = vec![b'x'; (1 << 20) + 1];
    let stream = process.request(0, Request::post("/").body(large.clone()))?;
    assert_eq!(status(&process, stream), Some(413));
    assert_eq!(body(&process, stream), None);
    let stream = process.request(0, Request::post("/").body(large).http2())?;
    assert_eq!(status(&process, stream), Some(200));
    Ok(())
}

#[test]
fn a_vm_that_is_lost_soon_after_it_was_made_answers_503_until_the_back_off_is_over() -> Result {
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
fn a_vm_that_ran_for_longer_than_the_back_off_is_rebuilt_by_the_next_stream() -> Result {
    let mut process = start()?;
    process.advance(Duration::from_secs(1))?;
    for expected in [200, 503] {
        process.kill_vm(Thread::Worker(0));
        let next = process.request(0, Request::post("/"))?;
        assert_eq!(status(&process, next), Some(expected));
    }
    Ok(())
}

#[test]
fn another_configuration_gives_every_thread_a_vm_again() -> Result {
    let mut process = Process::builder(noop()).workers(2).fail_closed().start()?;
    let threads = [Thread::Main, Thread::Worker(0), Thread::Worker(1)];
    threads.into_iter().for_each(|thread| process.kill_vm(thread));
    process.update_config("another")?;
    assert!(threads.into_iter().all(|thread| process.has_vm(thread)));
    let stream = process.request(0, Request::post("/"))?;
    assert_eq!(status(&process, stream), Some(200));
    Ok(())
}

#[test]
fn a_worker_that_does_not_exist_is_a_fault_that_says_so() -> Result {
    let fault = start()?.request(2, Request::post("/")).expect_err("there are two workers");
    assert_eq!(fault.to_string(), "worker 2 in request: the process has no such worker");
    Ok(())
}

/// What a filter does wrong while it is configured; `body` is what `proxy_on_configure` does.
fn fault(imports: &str, body: &str) -> Fault {
    let text = format!(
        r#"(module
            {imports}
            (memory (export "memory") 1)
            (func (export "proxy_on_configure") (param i32 i32) (result i32) {body} (i32.const 1)))"#
    );
    let filter = Filter::compile(&wat::parse_str(text).expect("a module")).expect("a filter");
    match Process::builder(&filter).start() {
        Err(StartError::Fault(fault)) => fault,
        Err(refused) => panic!("{refused}"),
        Ok(_) => panic!("it started"),
    }
}

const LOG: &str = r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))"#;

#[test]
fn a_trap_is_a_fault_that_names_the_callback() {
    let fault = fault("", "unreachable");
    assert_eq!((fault.thread, fault.callback, fault.host_call), (Thread::Main, "proxy_on_configure", None));
}

#[test]
fn a_pointer_outside_the_memory_is_a_fault_that_names_the_host_call() {
    let fault = fault(LOG, "(drop (call $log (i32.const 2) (i32.const 65530) (i32.const 7)))");
    assert_eq!(fault.host_call, Some("proxy_log"));
    assert_eq!(fault.reason, "7 bytes at 0xfffa are outside the guest's memory");
}

#[test]
fn a_loop_without_end_is_a_fault() {
    assert!(fault("", "(loop br 0)").reason.contains("fuel"));
}

#[test]
fn an_import_that_is_not_simulated_is_a_fault_when_it_is_called() {
    let import = r#"(import "env" "proxy_grpc_cancel" (func $cancel (param i32) (result i32)))"#;
    assert_eq!(fault(import, "(drop (call $cancel (i32.const 1)))").reason, "proxy_grpc_cancel is not simulated");
}

#[test]
fn an_import_that_envoy_does_not_have_is_refused_by_name() {
    let module = r#"(module (import "env" "proxy_no_such_call" (func)))"#;
    let refused = Filter::compile(&wat::parse_str(module).expect("a module")).err().expect("it is refused");
    assert!(format!("{refused:#}").contains("proxy_no_such_call"), "{refused:#}");
}
