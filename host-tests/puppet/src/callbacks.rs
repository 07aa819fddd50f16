//! The callbacks, each an event of its own name without `proxy_on_`; the two of a start are `vm_start` and `configure`.

#![allow(unsafe_code, reason = "exporting under the ABI's names is unsafe by its form")]

use crate::abi;
use crate::commands::run;
use crate::script;

/// The buffer of the plugin's configuration.
const CONFIGURATION: u32 = 7;
/// The map of a request's headers.
const REQUEST_HEADERS: u32 = 0;

#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if script::with(|state| std::mem::take(&mut state.allocation_calls)) {
        abi::set_tick_period(1);
    }
    Box::into_raw(vec![0_u8; size].into_boxed_slice()).cast()
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    script::with(|state| state.roots.insert(context, if root == 0 { context } else { root }));
    run(context, "context_create", &[context, root], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(root: u32, size: u32) -> u32 {
    // The configuration comes later, so this event has no commands: it says itself that it was.
    abi::log(2, &format!("vm_start {:?}", [root, size]));
    1
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_configure(root: u32, size: u32) -> u32 {
    let text = abi::buffer(CONFIGURATION).unwrap_or_default();
    script::with(|state| state.configure(root, &String::from_utf8_lossy(&text)));
    run(root, "configure", &[root, size], 1)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_tick(root: u32) {
    run(root, "tick", &[root], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_queue_ready(root: u32, queue: u32) {
    run(root, "queue_ready", &[root, queue], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(context: u32, count: u32, end: u32) -> u32 {
    let path = abi::header(REQUEST_HEADERS, ":path").unwrap_or_default();
    script::with(|state| state.paths.insert(context, String::from_utf8_lossy(&path).into_owned()));
    run(context, "request_headers", &[count, end], 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_body(context: u32, size: u32, end: u32) -> u32 {
    run(context, "request_body", &[size, end], 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_trailers(context: u32, count: u32) -> u32 {
    run(context, "request_trailers", &[count], 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(context: u32, count: u32, end: u32) -> u32 {
    run(context, "response_headers", &[count, end], 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_body(context: u32, size: u32, end: u32) -> u32 {
    run(context, "response_body", &[size, end], 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_trailers(context: u32, count: u32) -> u32 {
    run(context, "response_trailers", &[count], 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_http_call_response(context: u32, token: u32, headers: u32, body: u32, trailers: u32) {
    run(context, "http_call_response", &[context, token, headers, body, trailers], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_receive_initial_metadata(context: u32, token: u32, count: u32) {
    run(context, "grpc_receive_initial_metadata", &[context, token, count], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_receive(context: u32, token: u32, size: u32) {
    run(context, "grpc_receive", &[context, token, size], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_receive_trailing_metadata(context: u32, token: u32, count: u32) {
    run(context, "grpc_receive_trailing_metadata", &[context, token, count], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_close(context: u32, token: u32, status: u32) {
    run(context, "grpc_close", &[context, token, status], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(context: u32) {
    run(context, "log", &[], 0);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_done(context: u32) -> u32 {
    run(context, "done", &[], 1)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(context: u32) {
    run(context, "delete", &[], 0);
    script::with(|state| {
        state.roots.remove(&context);
        state.paths.remove(&context);
    });
}
