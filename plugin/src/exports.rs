//! What Envoy calls: the callbacks of proxy-wasm 0.2.1 that the filter has a use for, each handed to the root or the
//! stream it is for. Envoy skips a callback that is not exported, so what is left out costs a request nothing: of the
//! three that come at its end there is one here, without `proxy_on_log` and `proxy_on_delete`.
//!
//! Written by hand instead of by the SDK: its dispatcher panics, which is a trap here, where a context or a token is
//! not one it knows, and takes 42 KB of the 400 that the filter may have.

#![allow(unsafe_code, reason = "the host finds the callbacks by their unmangled names; no memory is touched")]
#![allow(missing_docs, reason = "the names and what they mean are the ABI's")]

use std::cell::RefCell;

use crate::root::Root;
use crate::stream::{self, Action, Stream};

/// What a context id stands for.
enum Context {
    Root(Root),
    Stream(Stream),
}

thread_local! {
    /// By id. Envoy counts ids up, so a new one stands at the end, and thousands are found quickly enough. A context is
    /// out of its place while a callback of it runs.
    static CONTEXTS: RefCell<Vec<(u32, Option<Box<Context>>)>> = const { RefCell::new(Vec::new()) };
}

/// Runs a callback of a context; `None` for one that is not known, or is running: no callback comes back into another.
fn of<T>(id: u32, run: impl FnOnce(&mut Context) -> Option<T>) -> Option<T> {
    let mut context = CONTEXTS.with_borrow_mut(|all| place(all, id)?.take())?;
    let result = run(&mut context);
    CONTEXTS.with_borrow_mut(|all| {
        if let Some(place) = place(all, id) {
            *place = Some(context);
        }
    });
    result
}

fn place(all: &mut [(u32, Option<Box<Context>>)], id: u32) -> Option<&mut Option<Box<Context>>> {
    let at = all.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    all.get_mut(at).map(|(_, context)| context)
}

fn of_root<T>(id: u32, run: impl FnOnce(&mut Root) -> T) -> Option<T> {
    of(id, |context| match context {
        Context::Root(root) => Some(run(root)),
        Context::Stream(_) => None,
    })
}

fn of_stream<T>(id: u32, run: impl FnOnce(&mut Stream) -> T) -> Option<T> {
    of(id, |context| match context {
        Context::Stream(stream) => Some(run(stream)),
        Context::Root(_) => None,
    })
}

unsafe extern "C" {
    /// Made by the linker: what must run before anything else.
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: called once, by the host, before any other export.
    unsafe { __wasm_call_ctors() }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// The host's answers are put into memory from here, which [`crate::host`] takes over as vectors.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    // It is given back as bytes once the host has written all of it.
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, root: u32) {
    let context = if root == 0 {
        Context::Root(Root::new(id))
    } else {
        Context::Stream(Stream::new(id, of_root(root, |root| root.worker()).flatten()))
    };
    CONTEXTS.with_borrow_mut(|all| {
        let at = all.partition_point(|(other, _)| *other < id);
        all.insert(at, (id, Some(Box::new(context))));
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, _size: usize) -> bool {
    of_root(id, Root::configure).unwrap_or(false)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(id: u32) {
    if of_root(id, Root::tick).unwrap_or(false) {
        forget(id);
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(id: u32, queue: u32) {
    of_root(id, |root| root.queue_ready(queue));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(id: u32, token: u32, headers: usize, body: usize, _trailers: usize) {
    if of_root(id, |root| root.call_ended(token, headers, body)).unwrap_or(false) {
        forget(id);
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, _headers: usize, end_of_stream: bool) -> Action {
    of_stream(id, |stream| stream.request_headers(end_of_stream)).unwrap_or_else(stream::refuse)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end_of_stream: bool) -> Action {
    of_stream(id, |stream| stream.request_body(size, end_of_stream)).unwrap_or_else(stream::refuse)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _trailers: usize) -> Action {
    of_stream(id, Stream::request_trailers).unwrap_or_else(stream::refuse)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, _headers: usize, _end_of_stream: bool) -> Action {
    of_stream(id, Stream::response_headers);
    Action::Continue
}

/// A request is over, or a configuration is: may it end now? Only a configuration may have something left to do.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(id: u32) -> bool {
    let is_over = of(id, |context| {
        Some(match context {
            Context::Root(root) => root.done(),
            Context::Stream(stream) => {
                stream.over();
                true
            }
        })
    });
    let is_over = is_over.unwrap_or(true);
    if is_over {
        forget(id);
    }
    is_over
}

fn forget(id: u32) {
    CONTEXTS.with_borrow_mut(|all| {
        if let Ok(at) = all.binary_search_by_key(&id, |(id, _)| *id) {
            all.remove(at);
        }
    });
}
