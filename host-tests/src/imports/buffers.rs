//! Buffers: bodies and configurations.

use wasmtime::{Caller, Linker, Result, bail, format_err};

use super::define;
use crate::abi::{BufferKind, Status};
use crate::memory::{HostCall, enter};
use crate::vm::{Context, Guest};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_get_buffer_bytes, proxy_set_buffer_bytes]);
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
    let Some(bytes) = buffer(&mut call, kind)? else { return Ok(Status::NotFound.code()) };
    let start = usize::try_from(start)?.min(bytes.len());
    let end = start.saturating_add(usize::try_from(size)?).min(bytes.len());
    let bytes = bytes.get(start..end).unwrap_or_default();
    call.give(bytes, data_at, data_size_at)
}

/// Replaces `size` bytes from `start` on; past the end it appends.
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
    let (_, context) = call.context();
    let Context::Stream(stream) = context else { return Ok(Status::NotFound.code()) };
    let Some(stream) = call.world().streams.get_mut(&stream) else { return Ok(Status::NotFound.code()) };
    let body = match BufferKind::from_code(kind) {
        Some(BufferKind::RequestBody) => &mut stream.buffered,
        Some(BufferKind::ResponseBody) => match &mut stream.response {
            Some(answer) => &mut answer.body,
            None => return Ok(Status::NotFound.code()),
        },
        _ => bail!("buffer {kind} cannot be changed"),
    };
    let start = usize::try_from(start)?.min(body.len());
    let end = start.saturating_add(usize::try_from(size)?).min(body.len());
    body.splice(start..end, data);
    Ok(Status::Ok.code())
}

/// The buffer the number names; `None` where there is no such buffer at the moment.
fn buffer(call: &mut HostCall<'_>, kind: u32) -> Result<Option<Vec<u8>>> {
    let kind = BufferKind::from_code(kind).ok_or_else(|| format_err!("no simulated buffer has the number {kind}"))?;
    let (id, context) = call.context();
    Ok(match (kind, context) {
        (BufferKind::VmConfig, _) => Some(Vec::new()),
        (BufferKind::PluginConfig, _) => call.guest().roots.get(&id).map(|root| root.config.to_vec()),
        (BufferKind::CallBody, _) => call.guest().call_end.as_ref().map(|end| end.body.clone()),
        (_, Context::Root) => None,
        (BufferKind::RequestBody, Context::Stream(stream)) => {
            call.world().streams.get(&stream).map(|stream| stream.buffered.clone())
        }
        (BufferKind::ResponseBody, Context::Stream(stream)) => {
            call.world().streams.get(&stream).and_then(|stream| Some(stream.response.as_ref()?.body.clone()))
        }
    })
}
