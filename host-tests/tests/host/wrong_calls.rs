//! What a filter must not do is an error that names the call.

use std::error::Error;

use host_tests::{Fault, Filter, Process, Request, StartError, Thread};

use crate::support::{said, scripted, seconds};

const VERSION: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const ALLOCATE: &str = r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))"#;
const LOG: &str = r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))"#;

/// A module of these parts; imports come first.
fn module(parts: &[&str]) -> Result<Filter, String> {
    let text = format!("(module {})", parts.concat());
    Filter::compile(&wat::parse_str(text).expect("a module")).map_err(|error| format!("{error:#}"))
}

/// What goes wrong when the module starts.
fn fault(parts: &[&str]) -> Fault {
    let filter = module(parts).expect("a filter");
    match Process::builder(&filter).start() {
        Err(StartError::Fault(fault)) => fault,
        Err(refused) => panic!("{refused}"),
        Ok(_) => panic!("it started"),
    }
}

/// A module that does this when it is configured.
fn configuring(imports: &str, body: &str) -> Fault {
    let configure =
        format!(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) {body} (i32.const 1))"#);
    fault(&[imports, VERSION, MEMORY, ALLOCATE, &configure])
}

#[test]
fn a_trap_is_a_fault_that_names_the_callback() {
    let fault = configuring("", "unreachable");
    assert_eq!((fault.thread, fault.callback, fault.host_call), (Thread::Main, "proxy_on_configure", None));
}

/// A pointer outside the memory is a fault that names the host call.
#[test]
fn a_pointer_outside_the_memory_is_a_fault() {
    let fault = configuring(LOG, "(drop (call $log (i32.const 2) (i32.const 65530) (i32.const 7)))");
    assert_eq!(fault.host_call, Some("proxy_log"));
    assert_eq!(fault.reason, "7 bytes at 0xfffa are outside the guest's memory");
}

#[test]
fn a_loop_without_end_is_a_fault() {
    assert!(configuring("", "(loop br 0)").reason.contains("fuel"));
}

#[test]
fn an_import_that_envoy_does_not_have_is_refused_by_name() {
    let refused = module(&[r#"(import "env" "proxy_no_such_call" (func))"#, VERSION, MEMORY, ALLOCATE]).err();
    assert!(refused.is_some_and(|text| text.contains("proxy_no_such_call")));
}

/// An import that is given other numbers than Envoy gives is refused by name.
#[test]
fn an_import_of_another_signature_is_refused() {
    let refused = module(&[r#"(import "env" "proxy_log" (func (param i32)))"#, VERSION, MEMORY, ALLOCATE]).err();
    assert!(refused.is_some_and(|text| text.contains("proxy_log")));
}

#[test]
fn a_filter_without_what_envoy_looks_for_is_refused_by_name() {
    let cases = [
        (vec![MEMORY, ALLOCATE], "proxy_abi_version_0_2_1 or proxy_abi_version_0_2_0"),
        (vec![VERSION, ALLOCATE], "the filter exports no memory"),
        (vec![VERSION, MEMORY], "malloc or proxy_on_memory_allocate"),
        (
            vec![VERSION, MEMORY, ALLOCATE, r#"(func (export "proxy_on_tick") (param i32 i32))"#],
            "proxy_on_tick has a bad signature: (type (func (param i32 i32))), and not 1 numbers with no answer",
        ),
    ];
    for (parts, expected) in cases {
        let refused = module(&parts).err().expect("it is refused");
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_callback_that_is_not_there_is_passed_by() -> Result<(), Box<dyn Error>> {
    let filter = module(&[VERSION, MEMORY, ALLOCATE])?;
    let mut process = Process::builder(&filter).start()?;
    let stream = process.request(0, Request::post("/").body("one"))?;
    assert_eq!(process.forwarded(stream).map(|forwarded| forwarded.body.as_slice()), Some(b"one".as_slice()));
    assert_eq!(process.answer(stream).map(|answer| answer.status()), Some(200));
    Ok(())
}

/// A host call from inside the allocator is a fault that names both.
#[test]
fn a_host_call_inside_the_allocator_is_a_fault() -> Result<(), Box<dyn Error>> {
    let mut process = scripted("request_headers: allocate-badly; get 0 :path").start()?;
    let fault = process.request(0, Request::new("GET", "/")).expect_err("Envoy traps");
    assert_eq!(
        (fault.callback, fault.host_call),
        ("proxy_on_request_headers", Some("proxy_set_tick_period_milliseconds"))
    );
    assert!(
        fault.reason.starts_with(
            "proxy_set_tick_period_milliseconds cannot be called while memory is allocated for \
             proxy_get_header_map_value: Envoy ends the VM"
        ),
        "{fault}"
    );
    assert!(!process.has_vm(Thread::Worker(0)));
    Ok(())
}

/// Before the VM has started a filter may log and do little else.
#[test]
fn a_starting_vm_may_log_and_do_little_else() {
    let initialize = |body: &str| format!(r#"(func (export "_initialize") {body})"#);
    let log = initialize("(drop (call $log (i32.const 2) (i32.const 0) (i32.const 0)))");
    let filter = module(&[LOG, VERSION, MEMORY, ALLOCATE, &log]).expect("a filter");
    assert!(Process::builder(&filter).start().is_ok());
    let done = r#"(import "env" "proxy_done" (func $done (result i32)))"#;
    let fault = fault(&[done, VERSION, MEMORY, ALLOCATE, &initialize("(drop (call $done))")]);
    assert_eq!(
        fault.to_string(),
        "main in _initialize, last host call proxy_done: proxy_done cannot be called before the VM has started: Envoy ends the VM"
    );
}

#[test]
fn a_command_and_a_main_are_run_as_envoy_runs_them() {
    let says = |name: &str, signature: &str, answer: &str| {
        let length = name.len();
        format!(
            r#"(func (export "{name}") {signature} (drop (call $log (i32.const 2) (i32.const 0) (i32.const {length}))) {answer})
            (data (i32.const 0) "{name}")"#
        )
    };
    let run = |parts: &[&str]| {
        let filter = module(&[&[LOG, VERSION, MEMORY, ALLOCATE], parts].concat()).expect("a filter");
        let process = Process::builder(&filter).start().expect("it starts");
        said(&process).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(run(&[&says("_start", "", "")]), ["_start"]);
    let main = says("main", "(param i32 i32) (result i32)", "(i32.const 0)");
    assert_eq!(run(&[r#"(func (export "_initialize"))"#, &main]), ["main"]);
    assert_eq!(run(&[&main]), Vec::<String>::new());
}

/// A call about a stream in a root context is a fault where Envoy would do nothing.
#[test]
fn a_stream_call_in_a_root_context_is_a_fault() -> Result<(), Box<dyn Error>> {
    for (command, reason) in [
        ("reply 200 x", "a root context has no stream to answer"),
        ("continue 0", "a root context has no stream to continue"),
        ("close 0", "a root context has no stream to close"),
    ] {
        let mut process = scripted(&format!("configure: tick 10\ntick: {command}")).start()?;
        let fault = process.advance(seconds(1)).expect_err("there is none");
        assert_eq!((fault.callback, fault.reason.as_str()), ("proxy_on_tick", reason));
    }
    Ok(())
}

#[test]
fn a_number_the_abi_does_not_have_is_a_bad_argument() -> Result<(), Box<dyn Error>> {
    let script = "request_headers: get 9 :path; pairs 9; body 9; put 9 0 0 x; add 9 a b; continue 4; close 4; \
                  continue 3; close 3; continue 2";
    let mut process = scripted(script).start()?;
    process.request(0, Request::new("GET", "/"))?;
    let statuses: Vec<&str> =
        said(&process).into_iter().filter_map(|line| line.split_once(" -> ").map(|(_, status)| status)).collect();
    let bad = "status 2";
    assert_eq!(statuses, [bad, bad, bad, bad, bad, bad, bad, "status 12", "ok", "ok"]);
    Ok(())
}

#[test]
fn an_answer_with_a_status_that_is_no_final_one_is_a_fault() -> Result<(), Box<dyn Error>> {
    for status in [42, 199, 600] {
        let mut process = scripted(&format!("request_headers: reply {status} x; pause")).start()?;
        let fault = process.request(0, Request::new("GET", "/")).expect_err("no client understands it");
        assert_eq!(fault.reason, format!("{status} is not a final HTTP status"));
    }
    Ok(())
}

#[test]
fn what_a_filter_writes_to_its_output_is_logged() -> Result<(), Box<dyn Error>> {
    let mut process = scripted("request_headers: print one").start()?;
    process.request(0, Request::new("GET", "/"))?;
    assert_eq!(said(&process), ["one"]);
    Ok(())
}
