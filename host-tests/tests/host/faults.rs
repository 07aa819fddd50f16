//! Faults that a test puts in, and calls whose answers break off.

use std::error::Error;

use host_tests::{Effect, Filter, Point, Process, Reply, Request, Rule, Thread, Upstream};

use crate::support::{noop, said_on, scripted, seconds};

type Result = std::result::Result<(), Box<dyn Error>>;

#[test]
fn with_fail_closed_a_vm_that_is_lost_is_never_rebuilt() -> Result {
    let mut process = Process::builder(noop()).fail_closed().start()?;
    process.kill_vm(Thread::Worker(0));
    process.advance(seconds(3600))?;
    let stream = process.request(0, Request::post("/"))?;
    assert_eq!(process.answer(stream).map(|answer| answer.status()), Some(503));
    Ok(())
}

#[test]
fn a_rules_trap_loses_the_vm_and_is_no_fault_of_the_filter() -> Result {
    let mut process = Process::builder(noop()).workers(2).start()?;
    process.add_rule(Rule::new(Point::AnyHostCall, Effect::Trap).on(Thread::Worker(1)).times(1));
    let spared = process.request(0, Request::post("/").body("one"))?;
    let hit = process.request(1, Request::post("/").body("one"))?;
    assert_eq!(process.answer(spared).map(|answer| answer.status()), Some(200));
    assert_eq!(process.answer(hit).map(|answer| answer.status()), Some(503));
    assert!(!process.has_vm(Thread::Worker(1)));
    Ok(())
}

/// A rule whose answer is no HTTP status is a fault that says so.
#[test]
fn a_rule_with_no_http_status_is_a_fault() -> Result {
    let mut process = scripted("configure: tick 10\ntick: call billing / 1000")
        .cluster("billing", Upstream::always(Reply::status(200)))
        .start()?;
    process.add_rule(Rule::new(Point::Upstream("billing"), Effect::Fail(1000)));
    let fault = process.advance(seconds(1)).expect_err("no such status");
    assert_eq!((fault.host_call, fault.reason.as_str()), (Some("proxy_http_call"), "a rule's 1000 is no HTTP status"));
    Ok(())
}

/// A call ends with the headers the body and the trailers of its answer.
#[test]
fn a_call_ends_with_the_whole_answer() -> Result {
    let reply = Reply::status(201).header("x-a", "1").chunks(["po", "ng"]).trailers([("x-sum", "4")]);
    let mut process = scripted(
        "configure: tick 10
        tick: tick 0; call billing /hooks 1000
        http_call_response: show; pairs 6; body 4; pairs 7",
    )
    .cluster("billing", Upstream::always(reply))
    .start()?;
    process.advance(seconds(1))?;
    let call = process.calls("billing")[0];
    assert_eq!((call.header(":path"), call.body.as_slice()), ("/hooks", b"ping".as_slice()));
    let said = said_on(&process, Thread::Worker(0));
    let expected = [
        "http_call_response [1, 4, 3, 4, 1]",
        "pairs 6 -> :status 201 x-a 1 x-envoy-upstream-service-time 1",
        "body 4 -> pong",
        "pairs 7 -> x-sum 4",
    ];
    assert_eq!(said[said.len() - 4..], expected);
    Ok(())
}

/// Of an answer that breaks off the filter sees no headers and no body.
#[test]
fn a_broken_answer_has_no_headers_and_no_body() -> Result {
    let mut process = scripted(
        "configure: tick 10
        tick: tick 0; call billing / 1000
        http_call_response: show; pairs 6; body 4",
    )
    .cluster("billing", Upstream::always(Reply::status(200).chunks(["half of it"]).cut()))
    .start()?;
    process.advance(seconds(1))?;
    let said = said_on(&process, Thread::Worker(0));
    assert_eq!(said[said.len() - 3..], ["http_call_response [1, 4, 0, 0, 0]", "pairs 6 -> ", "body 4 -> status 1"]);
    Ok(())
}

#[test]
fn a_filter_that_aborts_is_a_fault_unless_it_may_trap() -> Result {
    let trapping = Filter::compile(&wat::parse_str(
        r#"(module
            (func (export "proxy_abi_version_0_2_1"))
            (memory (export "memory") 1)
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#,
    )?)?;
    let mut strict = Process::builder(&trapping).start()?;
    assert!(strict.request(0, Request::post("/")).is_err());
    let mut process = Process::builder(&trapping).may_trap().start()?;
    let stream = process.request(0, Request::post("/"))?;
    assert_eq!(process.answer(stream).map(|answer| answer.status()), Some(503));
    assert!(!process.has_vm(Thread::Worker(0)));
    Ok(())
}
