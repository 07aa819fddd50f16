//! Host calls of proxy-wasm that the SDK cannot make for us, each with its reason. A status other than success is
//! returned as an error.
//!
//! The SDK (0.2.5) panics on a status that it does not expect, and a panic is a trap: the worker's VM is lost with all
//! that its requests and deliveries were doing. The statuses here are numbers, because one that the SDK's `Status` does
//! not name would be undefined behaviour as its value. Which calls of the SDK are safe without this file, and why, is
//! what `host-tests/tests/it/host_statuses.rs` shows.

#![allow(
    unsafe_code,
    reason = "host calls are foreign functions; each block passes live buffers with their own lengths"
)]

use std::ptr::null_mut;

use proxy_wasm::types::MapType;

/// A status of the proxy-wasm ABI, other than 0 for success.
pub type Status = u32;

/// There is no such key.
const NOT_FOUND: Status = 1;
/// The key was written by another VM since it was read.
pub const CAS_MISMATCH: Status = 8;

/// WASI's number of the wall clock, which can be set back and forth.
pub const REALTIME: u32 = 0;
/// WASI's number of the clock that only advances.
pub const MONOTONIC: u32 = 1;

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
    fn proxy_replace_header_map_value(
        map: MapType,
        name: *const u8,
        name_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_len: usize) -> Status;
    fn proxy_continue_stream(stream_type: u32) -> Status;
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
    fn proxy_grpc_send(token: u32, message: *const u8, message_len: usize, ends: u32) -> Status;
    fn proxy_grpc_cancel(token: u32) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, nanos: *mut u64) -> u32;
}

/// The value of a key with its CAS number; `None`: the key was never set.
///
/// Reason: the SDK panics on every status but success and "not found". An event whose record cannot be read is a 503 or
/// waits, as the engine says.
pub fn get_shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, Status> {
    let (mut value, mut len, mut cas) = (null_mut(), 0, 0);
    // SAFETY: see the top of the file.
    let status = unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &mut value, &mut len, &mut cas) };
    match status {
        0 if value.is_null() => Ok(Some((Vec::new(), cas))),
        // SAFETY: the SDK's `proxy_on_memory_allocate` made this buffer as a boxed slice of `len` bytes, the host has
        // filled it, and nobody else owns it.
        0 => Ok(Some((unsafe { Vec::from_raw_parts(value, len, len) }, cas))),
        NOT_FOUND => Ok(None),
        status => Err(status),
    }
}

/// Sets a key; `cas` 0 is unconditional.
///
/// Reason: the SDK panics on every status but success and "CAS mismatch". An event that cannot be kept is a 503.
pub fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

/// Sets a header of the current request.
///
/// Reason: the SDK panics where Envoy answers "bad argument", which it does when there are no headers (any more). The
/// header tells the application that the request was verified: a request on which it cannot be set is refused, and its
/// replay claim given back.
pub fn set_request_header(name: &str, value: &str) -> Result<(), Status> {
    let map = MapType::HttpRequestHeaders;
    // SAFETY: see the top of the file.
    done(unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Removes every header or trailer of this name from the current request.
///
/// Reason: as for [`set_request_header`]. A request that claims that it was verified must not go on with the claim.
pub fn remove(map: MapType, name: &str) -> Result<(), Status> {
    // SAFETY: see the top of the file.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Lets the current request go on, which is paused.
///
/// Reason: the SDK panics on every status but success.
pub fn continue_request() -> Result<(), Status> {
    const REQUEST: u32 = 0;
    // SAFETY: no memory is passed.
    done(unsafe { proxy_continue_stream(REQUEST) })
}

/// Answers the current request. `headers` is a header map as [`serialise`] writes it.
///
/// Reason: the SDK passes no response code details, which tell in Envoy's access log who answered
/// (`%RESPONSE_CODE_DETAILS%`), and panics on every status but success.
pub fn send_local_response(
    status: u16,
    details: &str,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> Result<(), Status> {
    const NO_GRPC_STATUS: i32 = -1;
    let headers = serialise(headers);
    // SAFETY: see the top of the file.
    done(unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

/// Sends a message on a stream of gRPC, which stays open.
///
/// Reason: the SDK panics on every status but success, "not found" and "bad argument", such as where a capability
/// restriction lets the stream be opened and leaves out this. Documents are read without a stream, too.
pub fn send_on_stream(token: u32, message: &[u8]) -> Result<(), Status> {
    const GOES_ON: u32 = 0;
    // SAFETY: see the top of the file.
    done(unsafe { proxy_grpc_send(token, message.as_ptr(), message.len(), GOES_ON) })
}

/// Ends a stream of gRPC at once: nothing more is told of it.
///
/// Reason: the SDK panics on every status but success and "not found"; see [`send_on_stream`].
pub fn cancel_stream(token: u32) -> Result<(), Status> {
    // SAFETY: no memory is passed.
    done(unsafe { proxy_grpc_cancel(token) })
}

/// A clock, in nanoseconds: [`REALTIME`] since the Unix epoch, [`MONOTONIC`] since some moment that is the same for all
/// VMs of the process.
///
/// Reason: the SDK has no monotonic clock, and the numbers inside std's `Instant`, which VMs have to compare, cannot be
/// read.
pub fn clock_nanos(clock: u32) -> u64 {
    let mut nanos = 0;
    // SAFETY: a pointer to a live number is passed. Envoy has both clocks, so the call cannot fail.
    let _ = unsafe { clock_time_get(clock, 1, &mut nanos) };
    nanos
}

/// A header map as the ABI has it: the number of headers, the lengths of each name and value, then each name and value
/// with a zero byte behind it; numbers are 32 bits, little endian. (The SDK's own is private.)
fn serialise(headers: &[(&'static str, String)]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut map = number(headers.len()).to_vec();
    map.extend(headers.iter().flat_map(|(name, value)| [number(name.len()), number(value.len())]).flatten());
    for text in headers.iter().flat_map(|(name, value)| [*name, value]) {
        map.extend_from_slice(text.as_bytes());
        map.push(0);
    }
    map
}

fn done(status: Status) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(status) }
}
