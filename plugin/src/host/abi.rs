//! The host calls of proxy-wasm 0.2.1, each giving its status back as a number: none traps the VM. Memory that the host
//! hands over was allocated by [`crate::exports`] as the buffer of a `Vec<u8>`, and is taken back as one.

#![allow(
    unsafe_code,
    reason = "host calls are foreign functions; each block passes live buffers with their own lengths"
)]

use std::ffi::c_char;
use std::ptr::null_mut;

/// A status of the ABI, as a number.
pub type Status = u32;

/// The call was done.
pub const OK: Status = 0;
/// There is no such key, queue, or header.
pub const NOT_FOUND: Status = 1;
/// The key was written by somebody else.
pub const CAS_MISMATCH: Status = 8;

/// The map of request headers.
pub const REQUEST_HEADERS: u32 = 0;
/// The map of response headers.
pub const RESPONSE_HEADERS: u32 = 2;
/// The map of the response headers of an HTTP call.
pub const CALL_RESPONSE_HEADERS: u32 = 6;

/// The body of the request of the current context.
pub const REQUEST_BODY: u32 = 0;
/// The body of the response of an HTTP call.
pub const CALL_RESPONSE_BODY: u32 = 4;
/// The configuration of the plugin.
pub const PLUGIN_CONFIGURATION: u32 = 7;

/// The clock of the WASI that schedules.
pub const MONOTONIC: u32 = 1;
/// The clock of the WASI that tells the date.
pub const REALTIME: u32 = 0;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_shared_data(
        key: *const u8,
        key_len: usize,
        value: *mut *mut u8,
        value_len: *mut usize,
        cas: *mut u32,
    ) -> Status;
    fn proxy_set_shared_data(key: *const u8, key_len: usize, value: *const u8, value_len: usize, cas: u32) -> Status;
    fn proxy_register_shared_queue(name: *const u8, name_len: usize, id: *mut u32) -> Status;
    fn proxy_dequeue_shared_queue(id: u32, value: *mut *mut u8, value_len: *mut usize) -> Status;
    fn proxy_enqueue_shared_queue(id: u32, value: *const u8, value_len: usize) -> Status;
    fn proxy_define_metric(kind: u32, name: *const u8, name_len: usize, id: *mut u32) -> Status;
    fn proxy_increment_metric(id: u32, offset: i64) -> Status;
    fn proxy_record_metric(id: u32, value: u64) -> Status;
    fn proxy_get_header_map_pairs(map: u32, pairs: *mut *mut u8, pairs_len: *mut usize) -> Status;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_len: usize,
        value: *mut *mut u8,
        value_len: *mut usize,
    ) -> Status;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_len: usize) -> Status;
    fn proxy_get_property(path: *const u8, path_len: usize, value: *mut *mut u8, value_len: *mut usize) -> Status;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_len: usize,
        bytes: *mut *mut u8,
        bytes_len: *mut usize,
    ) -> Status;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_len: usize,
        headers: *const u8,
        headers_len: usize,
        body: *const u8,
        body_len: usize,
        trailers: *const u8,
        trailers_len: usize,
        timeout_millis: u32,
        token: *mut u32,
    ) -> Status;
    fn proxy_set_tick_period_milliseconds(period: u32) -> Status;
    fn proxy_log(level: u32, message: *const u8, message_len: usize) -> Status;
    fn proxy_done() -> Status;
    fn proxy_set_effective_context(id: u32) -> Status;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_len: usize,
        body: *const u8,
        body_len: usize,
        headers: *const u8,
        headers_len: usize,
        grpc_status: i32,
    ) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn random_get(bytes: *mut u8, len: usize) -> u32;
    fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u32;
    fn environ_get(entries: *mut *mut u8, bytes: *mut u8) -> u32;
}

/// In place of libc's `getenv` (build.rs says so to the linker). Only a panic asks, for `RUST_BACKTRACE`: there is none in
/// a VM, and libc's copy of the environment needs an allocator of its own.
#[unsafe(no_mangle)]
extern "C" fn __wrap_getenv(_name: *const c_char) -> *mut c_char {
    null_mut()
}

/// In place of libc's `getcwd`. Only a backtrace asks, to shorten its paths.
#[unsafe(no_mangle)]
extern "C" fn __wrap_getcwd(_path: *mut c_char, _len: usize) -> *mut c_char {
    null_mut()
}

/// Takes back what the host allocated.
///
/// # Safety
/// `data` is null or the buffer of a `Vec<u8>` with this capacity, filled, that nobody else owns.
unsafe fn owned(data: *mut u8, len: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    unsafe { Vec::from_raw_parts(data, len, len) }
}

/// The value of a key with its CAS number.
pub fn get_shared_data(key: &str) -> Result<(Vec<u8>, u32), Status> {
    let (mut data, mut len, mut cas) = (null_mut(), 0, 0);
    // SAFETY: see the top of the file.
    let status = unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &mut data, &mut len, &mut cas) };
    // SAFETY: as above.
    if status == OK { Ok((unsafe { owned(data, len) }, cas)) } else { Err(status) }
}

/// Sets a key; `cas` 0 is unconditional.
pub fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

/// Makes this root the one that a queue wakes.
pub fn register_queue(name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: see the top of the file.
    done(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &mut id) }).map(|()| id)
}

/// Takes the next value off a queue.
pub fn dequeue(id: u32) -> Result<Vec<u8>, Status> {
    let (mut data, mut len) = (null_mut(), 0);
    // SAFETY: see the top of the file.
    let status = unsafe { proxy_dequeue_shared_queue(id, &mut data, &mut len) };
    // SAFETY: as above.
    if status == OK { Ok(unsafe { owned(data, len) }) } else { Err(status) }
}

/// Puts a value on a queue, which wakes its root.
pub fn enqueue(id: u32, value: &[u8]) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_enqueue_shared_queue(id, value.as_ptr(), value.len()) })
}

/// Defines a metric; `kind`: 0 counter, 1 gauge, 2 histogram.
pub fn define_metric(kind: u32, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: see the top of the file.
    done(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) }).map(|()| id)
}

/// Adds to a counter; Envoy refuses less than 1.
pub fn increment_metric(id: u32, by: i64) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_increment_metric(id, by) })
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_record_metric(id, value) })
}

/// A whole header map, serialised.
pub fn header_map(map: u32) -> Result<Vec<u8>, Status> {
    let (mut data, mut len) = (null_mut(), 0);
    // SAFETY: see the top of the file.
    let status = unsafe { proxy_get_header_map_pairs(map, &mut data, &mut len) };
    // SAFETY: as above.
    if status == OK { Ok(unsafe { owned(data, len) }) } else { Err(status) }
}

/// One header's value.
pub fn header(map: u32, name: &str) -> Result<Vec<u8>, Status> {
    let (mut data, mut len) = (null_mut(), 0);
    // SAFETY: see the top of the file.
    let status = unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), &mut data, &mut len) };
    // SAFETY: as above.
    if status == OK { Ok(unsafe { owned(data, len) }) } else { Err(status) }
}

/// Sets a header, in place of what there is under its name.
pub fn set_header(map: u32, name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Removes a header, however often it is there.
pub fn remove_header(map: u32, name: &str) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// A property of the current context; the parts of `path` are separated by zero bytes.
pub fn property(path: &str) -> Result<Vec<u8>, Status> {
    let (mut data, mut len) = (null_mut(), 0);
    // SAFETY: see the top of the file.
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut len) };
    // SAFETY: as above.
    if status == OK { Ok(unsafe { owned(data, len) }) } else { Err(status) }
}

/// The first `max_len` bytes of a buffer.
pub fn buffer(buffer: u32, max_len: usize) -> Result<Vec<u8>, Status> {
    let (mut data, mut len) = (null_mut(), 0);
    // SAFETY: see the top of the file.
    let status = unsafe { proxy_get_buffer_bytes(buffer, 0, max_len, &mut data, &mut len) };
    // SAFETY: as above.
    if status == OK { Ok(unsafe { owned(data, len) }) } else { Err(status) }
}

/// Sends an HTTP request to a cluster; the token that its end is told with. `headers` is a serialised map.
pub fn http_call(cluster: &str, headers: &[u8], body: &[u8], timeout_millis: u32) -> Result<u32, Status> {
    let mut token = 0;
    // SAFETY: see the top of the file; there are no trailers, so their length is 0.
    done(unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            null_mut(),
            0,
            timeout_millis,
            &mut token,
        )
    })
    .map(|()| token)
}

/// Sets the period of the root's timer; 0 stops it.
pub fn set_tick_period(millis: u32) -> Result<(), Status> {
    // SAFETY: a number is passed.
    done(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// Writes a line to the host's log; `level`: 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
pub fn log(level: u32, message: &str) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_log(level, message.as_ptr(), message.len()) })
}

/// The current context, whose `on_done` answered false, is done.
pub fn context_done() -> Result<(), Status> {
    // SAFETY: nothing is passed.
    done(unsafe { proxy_done() })
}

/// Makes the calls that follow act on another context.
pub fn set_effective_context(id: u32) -> Result<(), Status> {
    // SAFETY: a number is passed.
    done(unsafe { proxy_set_effective_context(id) })
}

/// Answers the request of the current context. `headers` is a serialised map.
pub fn send_local_response(status: u32, headers: &[u8], body: &[u8]) -> Result<(), Status> {
    // SAFETY: see the top of the file; no details are given, so their length is 0.
    done(unsafe {
        proxy_send_local_response(status, null_mut(), 0, body.as_ptr(), body.len(), headers.as_ptr(), headers.len(), -1)
    })
}

/// A clock of the WASI, in nanoseconds.
pub fn clock(clock: u32) -> u64 {
    let mut time = 0;
    // SAFETY: a pointer to a live number is passed. Envoy knows both clocks, so the call cannot fail.
    let _ = unsafe { clock_time_get(clock, 1, &mut time) };
    time
}

/// Fills with random bytes.
pub fn random(bytes: &mut [u8]) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })
}

/// The environment: `NAME=value`, each with a zero byte behind it.
pub fn environment() -> Vec<u8> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: pointers to live numbers are passed.
    if unsafe { environ_sizes_get(&mut count, &mut size) } != OK {
        return Vec::new();
    }
    let (mut entries, mut bytes) = (vec![null_mut(); count], vec![0; size]);
    // SAFETY: both have the room that the host has just asked for.
    if unsafe { environ_get(entries.as_mut_ptr(), bytes.as_mut_ptr()) } == OK { bytes } else { Vec::new() }
}

fn done(status: Status) -> Result<(), Status> {
    if status == OK { Ok(()) } else { Err(status) }
}
