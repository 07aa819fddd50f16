//! The host calls as they are, without an SDK between: a status is a number, and nothing panics about it.

#![allow(unsafe_code, reason = "this is the border to the host, as the ABI has it")]

use std::ptr::null_mut;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, size: usize, data: *mut *mut u8, data_size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: *const u8, data_size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(map: u32, name: *const u8, size: usize, data: *mut *mut u8, end: *mut usize) -> u32;
    fn proxy_add_header_map_value(map: u32, name: *const u8, size: usize, value: *const u8, end: usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, name: *const u8, size: usize, value: *const u8, end: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, size: usize) -> u32;
    fn proxy_get_property(path: *const u8, size: usize, data: *mut *mut u8, end: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, size: usize, value: *const u8, end: usize) -> u32;
    fn proxy_get_shared_data(key: *const u8, size: usize, data: *mut *mut u8, end: *mut usize, cas: *mut u32) -> u32;
    fn proxy_set_shared_data(key: *const u8, size: usize, value: *const u8, end: usize, cas: u32) -> u32;
    fn proxy_register_shared_queue(name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(id: u32, value: *const u8, size: usize) -> u32;
    fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        data_size: *mut usize,
    ) -> u32;
    fn proxy_get_status(code: *mut u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_call(
        cluster: *const u8,
        cluster_size: usize,
        service: *const u8,
        service_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        message: *const u8,
        message_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_stream(
        cluster: *const u8,
        cluster_size: usize,
        service: *const u8,
        service_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_send(token: u32, message: *const u8, size: usize, end: u32) -> u32;
    pub safe fn proxy_grpc_cancel(token: u32) -> u32;
    pub safe fn proxy_grpc_close(token: u32) -> u32;
    pub safe fn proxy_continue_stream(kind: u32) -> u32;
    pub safe fn proxy_close_stream(kind: u32) -> u32;
    pub safe fn proxy_set_effective_context(context: u32) -> u32;
    pub safe fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    pub safe fn proxy_done() -> u32;
}

pub use self::{
    proxy_close_stream as close_stream, proxy_continue_stream as continue_stream, proxy_done as done,
    proxy_grpc_cancel as grpc_cancel, proxy_grpc_close as grpc_close,
    proxy_set_effective_context as set_effective_context, proxy_set_tick_period_milliseconds as set_tick_period,
};

/// What a host call hands over, or its status.
pub type Given = Result<Vec<u8>, u32>;

/// Memory the host wrote into, taken over; a null pointer is nothing.
fn given(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Given {
    let (mut data, mut size) = (null_mut(), 0);
    match call(&raw mut data, &raw mut size) {
        0 if data.is_null() => Ok(Vec::new()),
        // SAFETY: the host got it from `proxy_on_memory_allocate`, with this size, and gives it away.
        0 => Ok(unsafe { Vec::from_raw_parts(data, size, size) }),
        status => Err(status),
    }
}

// SAFETY, for all that follow: the pointers and sizes are those of live slices and variables.

pub fn log(level: u32, message: &str) {
    unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

pub fn buffer(kind: u32) -> Given {
    given(|data, size| unsafe { proxy_get_buffer_bytes(kind, 0, 1 << 30, data, size) })
}

pub fn set_buffer(kind: u32, start: usize, size: usize, data: &str) -> u32 {
    unsafe { proxy_set_buffer_bytes(kind, start, size, data.as_ptr(), data.len()) }
}

pub fn pairs(map: u32) -> Given {
    given(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })
}

pub fn header(map: u32, name: &str) -> Given {
    given(|data, size| unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) })
}

pub fn add_header(map: u32, name: &str, value: &str) -> u32 {
    unsafe { proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub fn replace_header(map: u32, name: &str, value: &str) -> u32 {
    unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub fn remove_header(map: u32, name: &str) -> u32 {
    unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) }
}

pub fn property(path: &str) -> Given {
    given(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

pub fn set_property(path: &str, value: &str) -> u32 {
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) }
}

pub fn shared_data(key: &str) -> Given {
    let mut cas = 0;
    given(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas) })
}

pub fn set_shared_data(key: &str, value: &str) -> u32 {
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), 0) }
}

pub fn register_queue(name: &str) -> Result<u32, u32> {
    with_number(|id| unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), id) })
}

pub fn enqueue(queue: u32, value: &str) -> u32 {
    unsafe { proxy_enqueue_shared_queue(queue, value.as_ptr(), value.len()) }
}

pub fn dequeue(queue: u32) -> Given {
    given(|data, size| unsafe { proxy_dequeue_shared_queue(queue, data, size) })
}

pub fn foreign_function(name: &str, argument: &str) -> Given {
    given(|data, size| unsafe {
        proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), data, size)
    })
}

pub fn status() -> Result<(u32, Vec<u8>), u32> {
    let mut code = 0;
    let message = given(|data, size| unsafe { proxy_get_status(&raw mut code, data, size) })?;
    Ok((code, message))
}

pub fn reply(status: u32, body: &str) -> u32 {
    let (body, size) = (body.as_ptr(), body.len());
    unsafe { proxy_send_local_response(status, null_mut(), 0, body, size, null_mut(), 0, -1) }
}

pub fn http_call(cluster: &str, headers: &[(&str, &str)], body: &[u8], timeout_ms: u32) -> Result<u32, u32> {
    let headers = encoded(headers);
    with_number(|token| unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            null_mut(),
            0,
            timeout_ms,
            token,
        )
    })
}

/// A unary call of `puppet.Service`.
pub fn grpc_call(cluster: &str, method: &str, message: &str, timeout_ms: u32) -> Result<u32, u32> {
    let metadata = encoded(&[("x-puppet", "call")]);
    with_number(|token| unsafe {
        proxy_grpc_call(
            cluster.as_ptr(),
            cluster.len(),
            SERVICE.as_ptr(),
            SERVICE.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            message.as_ptr(),
            message.len(),
            timeout_ms,
            token,
        )
    })
}

/// A stream of `puppet.Service`, or of the service that stands before the method.
pub fn grpc_stream(cluster: &str, method: &str) -> Result<u32, u32> {
    let (service, method) = method.split_once('/').unwrap_or((SERVICE, method));
    let metadata = encoded(&[("x-puppet", "stream")]);
    with_number(|token| unsafe {
        proxy_grpc_stream(
            cluster.as_ptr(),
            cluster.len(),
            service.as_ptr(),
            service.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            token,
        )
    })
}

pub fn grpc_send(token: u32, message: &[u8], end: bool) -> u32 {
    unsafe { proxy_grpc_send(token, message.as_ptr(), message.len(), u32::from(end)) }
}

const SERVICE: &str = "puppet.Service";

fn with_number(call: impl FnOnce(*mut u32) -> u32) -> Result<u32, u32> {
    let mut number = 0;
    match call(&raw mut number) {
        0 => Ok(number),
        status => Err(status),
    }
}

/// A header map as the ABI writes it.
fn encoded(pairs: &[(&str, &str)]) -> Vec<u8> {
    let length = |value: usize| (value as u32).to_le_bytes();
    let mut bytes = length(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    bytes
}
