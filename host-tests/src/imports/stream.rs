//! What a filter does to its stream: answer it, let it go on, or break it off. Envoy does each once the callback has
//! returned.

use wasmtime::{Caller, Linker, Result, bail};

use crate::abi::{Direction, Status};
use crate::guest::{Context, Deferred, Guest};
use crate::host_call::{HostCall, define, enter};
use crate::ids::StreamId;
use crate::stream::{Answer, Stream};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_send_local_response, proxy_continue_stream, proxy_close_stream]);
    Ok(())
}

/// The stream a call is about. In a root context Envoy does nothing and says that it did: here it is a fault.
fn stream<'a>(call: &'a mut HostCall<'_>, what: &str) -> Result<(StreamId, &'a mut Stream)> {
    let (_, Context::Stream(id)) = call.context() else { bail!("a root context has no stream to {what}") };
    match call.world().streams.get_mut(&id) {
        Some(stream) => Ok((id, stream)),
        None => bail!("there is no stream to {what}"),
    }
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn proxy_send_local_response(
    caller: Caller<'_, Guest>,
    status: u32,
    details_at: u32,
    details_size: u32,
    body_at: u32,
    body_size: u32,
    headers_at: u32,
    headers_size: u32,
    _grpc_status: i32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_send_local_response");
    let Ok(status @ 200..=599) = u16::try_from(status) else { bail!("{status} is not a final HTTP status") };
    let details = call.text(details_at, details_size)?;
    let body = call.bytes(body_at, body_size)?;
    let headers = call.pairs(headers_at, headers_size)?;
    let (id, stream) = stream(&mut call, "answer")?;
    if stream.response.headers_gone && stream.is_open {
        bail!("an answer has gone to the client already: Envoy would reset the stream");
    }
    stream.details.get_or_insert(details);
    // Of several in one callback the first is sent.
    let deferred = &mut call.guest().deferred;
    if !deferred.iter().any(|earlier| matches!(earlier, Deferred::Reply(other, _) if *other == id)) {
        deferred.push(Deferred::Reply(id, Answer::local(status, &headers, body)));
    }
    Ok(Status::Ok.code())
}

fn proxy_continue_stream(caller: Caller<'_, Guest>, kind: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_continue_stream");
    let (direction, name) = match kind {
        0 => (Direction::Request, "request"),
        1 => (Direction::Response, "answer"),
        // TCP: nothing downstream of an HTTP filter, and Envoy has not implemented the other way.
        2 => return Ok(Status::Ok.code()),
        3 => return Ok(Status::Unimplemented.code()),
        _ => return Ok(Status::BadArgument.code()),
    };
    let (id, stream) = stream(&mut call, "continue")?;
    if !stream.half(direction).is_held() {
        bail!("the {name} is not paused: what Envoy does then is undefined");
    }
    // Either way, the request is not shown any more.
    let request = &mut stream.request;
    (request.shows_headers, request.shows_body, request.shows_trailers) = (false, false, false);
    call.guest().deferred.push(Deferred::Continue(id, direction));
    Ok(Status::Ok.code())
}

fn proxy_close_stream(caller: Caller<'_, Guest>, kind: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_close_stream");
    match kind {
        0 | 1 => {}
        2 | 3 => return Ok(Status::Ok.code()),
        _ => return Ok(Status::BadArgument.code()),
    }
    let (id, _) = stream(&mut call, "close")?;
    call.guest().deferred.push(Deferred::Close(id));
    Ok(Status::Ok.code())
}
