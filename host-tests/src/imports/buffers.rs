//! Buffers: bodies and configurations.

use wasmtime::{Caller, Linker, Result};

use crate::abi::{BufferKind, Status};
use crate::guest::{Context, Guest};
use crate::half::Half;
use crate::host_call::{HostCall, define, enter};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_get_buffer_bytes, proxy_get_buffer_status, proxy_set_buffer_bytes]);
    Ok(())
}

fn proxy_get_buffer_bytes(
    caller: Caller<'_, Guest>,
    kind: u32,
    start: u32,
    size: u32,
    data_at: u32,
    data_size_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_buffer_bytes");
    let Some(kind) = BufferKind::from_code(kind) else { return Ok(Status::BadArgument.code()) };
    let Some(bytes) = buffer(&mut call, kind) else { return Ok(Status::NotFound.code()) };
    let start = usize::try_from(start)?.min(bytes.len());
    let end = start.saturating_add(usize::try_from(size)?).min(bytes.len());
    let bytes = bytes.get(start..end).unwrap_or_default().to_vec();
    call.give(&bytes, data_at, data_size_at)
}

fn proxy_get_buffer_status(caller: Caller<'_, Guest>, kind: u32, size_at: u32, flags_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_buffer_status");
    let Some(kind) = BufferKind::from_code(kind) else { return Ok(Status::BadArgument.code()) };
    let Some(size) = buffer(&mut call, kind).map(<[u8]>::len) else { return Ok(Status::NotFound.code()) };
    call.put_u32(size_at, u32::try_from(size)?)?;
    call.put_u32(flags_at, 0)?;
    Ok(Status::Ok.code())
}

/// From the start: replaces `size` bytes. From the end or beyond: appends. Anything in between Envoy refuses.
fn proxy_set_buffer_bytes(
    caller: Caller<'_, Guest>,
    kind: u32,
    start: u32,
    size: u32,
    data_at: u32,
    data_size: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_buffer_bytes");
    let data = call.bytes(data_at, data_size)?;
    let Some(kind) = BufferKind::from_code(kind) else { return Ok(Status::BadArgument.code()) };
    let Some(half) = body(&mut call, kind).filter(|half| half.shows_body) else {
        let is_there = buffer(&mut call, kind).is_some();
        return Ok(if is_there { Status::BadArgument } else { Status::NotFound }.code());
    };
    let (start, size) = (usize::try_from(start)?, usize::try_from(size)?);
    let buffered = &mut half.buffered;
    if start == 0 {
        buffered.splice(..size.min(buffered.len()), data);
    } else if start >= buffered.len() {
        buffered.extend(data);
    } else {
        return Ok(Status::BadArgument.code());
    }
    Ok(Status::Ok.code())
}

/// The side of the stream whose body this is.
fn body<'a>(call: &'a mut HostCall<'_>, kind: BufferKind) -> Option<&'a mut Half> {
    let (_, Context::Stream(stream)) = call.context() else { return None };
    let stream = call.world().streams.get_mut(&stream)?;
    match kind {
        BufferKind::RequestBody => Some(&mut stream.request),
        BufferKind::ResponseBody => Some(&mut stream.response),
        _ => None,
    }
}

/// The buffer; `None` where there is no such buffer at the moment. A body that is not shown is an empty one.
fn buffer<'a>(call: &'a mut HostCall<'_>, kind: BufferKind) -> Option<&'a [u8]> {
    match kind {
        BufferKind::RequestBody | BufferKind::ResponseBody => {
            Some(body(call, kind).filter(|half| half.shows_body).map_or(&[], |half| half.buffered.as_slice()))
        }
        BufferKind::CallBody => call.guest().call_end.as_ref().map(|end| end.body.as_slice()),
        BufferKind::GrpcMessage => Some(call.guest().shown_grpc.message.as_deref().unwrap_or_default()),
        BufferKind::Other => Some(&[]),
        BufferKind::VmConfig => Some(&call.guest().identity.vm_config),
        BufferKind::PluginConfig => call.guest().shown_config.as_deref(),
    }
}
