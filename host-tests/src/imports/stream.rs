//! What a filter does to its stream: answer it, let it go on, or break it off. Envoy does each once the callback has
//! returned.

use wasmtime::{Caller, Linker, Result, bail};

use super::define;
use crate::abi::Status;
use crate::memory::enter;
use crate::stream::Answer;
use crate::vm::{Context, Deferred, Guest};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_send_local_response, proxy_continue_stream, proxy_close_stream]);
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn proxy_send_local_response(
    caller: Caller<'_, Guest>,
    status: u32,
    _details_at: u32,
    _details_size: u32,
    body_at: u32,
    body_size: u32,
    headers_at: u32,
    headers_size: u32,
    _grpc_status: i32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_send_local_response");
    let Ok(status @ 200..=599) = u16::try_from(status) else { bail!("{status} is not a final HTTP status") };
    let body = call.bytes(body_at, body_size)?;
    let headers = call.pairs(headers_at, headers_size)?;
    let (_, Context::Stream(stream)) = call.context() else { bail!("a root context has no stream to answer") };
    call.guest().deferred.push(Deferred::Reply(stream, Answer::local(status, &headers, body)));
    Ok(Status::Ok.code())
}

fn proxy_continue_stream(caller: Caller<'_, Guest>, kind: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_continue_stream");
    let (_, Context::Stream(stream)) = call.context() else { bail!("a root context has no stream to continue") };
    match kind {
        0 => call.guest().deferred.push(Deferred::Continue(stream)),
        _ => bail!("only a request can be continued here"),
    }
    Ok(Status::Ok.code())
}

fn proxy_close_stream(caller: Caller<'_, Guest>, _kind: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_close_stream");
    let (_, Context::Stream(stream)) = call.context() else { bail!("a root context has no stream to close") };
    call.guest().deferred.push(Deferred::Close(stream));
    Ok(Status::Ok.code())
}
