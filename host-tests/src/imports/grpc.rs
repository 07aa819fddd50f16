//! gRPC calls and streams. The server's script is asked when one begins, and for each message of a stream.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result, bail};

use target::Target;

use crate::abi::Status;
use crate::grpc::{GrpcCall, GrpcReply};
use crate::guest::{GrpcKind, Guest, PendingGrpc};
use crate::host_call::{HostCall, define, enter};
use crate::ids::At;
use crate::rules::{Effect, Place};
use crate::world::trace::What;

mod target;

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_grpc_call, proxy_grpc_stream, proxy_grpc_send, proxy_grpc_cancel, proxy_grpc_close]);
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn proxy_grpc_call(
    caller: Caller<'_, Guest>,
    cluster_at: u32,
    cluster_size: u32,
    service_at: u32,
    service_size: u32,
    method_at: u32,
    method_size: u32,
    metadata_at: u32,
    metadata_size: u32,
    message_at: u32,
    message_size: u32,
    timeout_ms: u32,
    token_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_grpc_call");
    let message = call.bytes(message_at, message_size)?;
    let target = Target::read(&call.bytes(cluster_at, cluster_size)?)?;
    let request = GrpcCall {
        at: call.world().clock.elapsed(),
        thread: call.guest().thread,
        cluster: target.cluster().to_owned(),
        service: call.text(service_at, service_size)?,
        method: call.text(method_at, method_size)?,
        metadata: call.pairs(metadata_at, metadata_size)?,
        messages: vec![message],
        has_ended: true,
        is_stream: false,
        timeout: Duration::from_millis(u64::from(timeout_ms)),
        number: 0,
        asked_at: call.world().clock.elapsed(),
    };
    begin(&mut call, &target, request, token_at)
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn proxy_grpc_stream(
    caller: Caller<'_, Guest>,
    cluster_at: u32,
    cluster_size: u32,
    service_at: u32,
    service_size: u32,
    method_at: u32,
    method_size: u32,
    metadata_at: u32,
    metadata_size: u32,
    token_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_grpc_stream");
    let target = Target::read(&call.bytes(cluster_at, cluster_size)?)?;
    let request = GrpcCall {
        at: call.world().clock.elapsed(),
        thread: call.guest().thread,
        cluster: target.cluster().to_owned(),
        service: call.text(service_at, service_size)?,
        method: call.text(method_at, method_size)?,
        metadata: call.pairs(metadata_at, metadata_size)?,
        messages: Vec::new(),
        has_ended: false,
        is_stream: true,
        timeout: Duration::ZERO,
        number: 0,
        asked_at: call.world().clock.elapsed(),
    };
    begin(&mut call, &target, request, token_at)
}

/// The number of what no server was asked.
const NO_SERVER: usize = usize::MAX;

fn begin(call: &mut HostCall<'_>, target: &Target, request: GrpcCall, token_at: u32) -> Result<u32> {
    if matches!(target, Target::Bare(cluster) if !call.world().upstreams.knows(cluster)) {
        return Ok(Status::ParseFailure.code());
    }
    let (cluster, thread, timeout) = (request.cluster.clone(), request.thread, request.timeout);
    let rule = call.world().rules.decide(thread, Place::Upstream(&cluster));
    match rule {
        Effect::Trap => return call.trap(),
        Effect::Fail(status) if !(100..=599).contains(&status) => bail!("a rule's {status} is no HTTP status"),
        _ => {}
    }
    let kind = if request.is_stream { GrpcKind::Stream } else { GrpcKind::Call };
    let token = call.guest().next_grpc_token(kind);
    let Some((number, reply)) = call.world().upstreams.begin_grpc(request, rule) else {
        call.world().note(thread, What::Refused { cluster });
        if kind == GrpcKind::Stream {
            // Envoy tells the end of a stream whose token the filter never got.
            let root = call.root();
            call.guest().grpc.insert(token, PendingGrpc::new(kind, root, NO_SERVER));
            answer(call, token, GrpcReply::no_host(), timeout);
        }
        return Ok(Status::InternalFailure.code());
    };
    call.world().note(thread, What::Called { cluster, token });
    let root = call.root();
    call.guest().grpc.insert(token, PendingGrpc::new(kind, root, number));
    answer(call, token, reply, timeout);
    call.put_u32(token_at, token)?;
    Ok(Status::Ok.code())
}

/// Puts in what the server's reply makes happen.
fn answer(call: &mut HostCall<'_>, token: u32, reply: GrpcReply, timeout: Duration) {
    let now = call.world().clock.elapsed();
    let (thread, vm) = (call.guest().thread, call.guest().vm);
    let Some(pending) = call.guest().grpc.get_mut(&token) else { return };
    let coming = pending.take_in(reply, now, timeout);
    call.world().put_grpc(At { thread, vm }, token, coming);
}

fn proxy_grpc_send(caller: Caller<'_, Guest>, token: u32, message_at: u32, message_size: u32, end: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_grpc_send");
    let message = call.bytes(message_at, message_size)?;
    if GrpcKind::of(token) != Some(GrpcKind::Stream) {
        return Ok(Status::BadArgument.code());
    }
    let Some(pending) = call.guest().grpc.get_mut(&token) else { return Ok(Status::NotFound.code()) };
    if pending.is_gone() {
        bail!("{}", gone(token));
    }
    if pending.has_sent_all {
        bail!("stream {token} was ended by this side already: what Envoy does then is undefined");
    }
    pending.has_sent_all = end != 0;
    say(&mut call, token, Some(message));
    Ok(Status::Ok.code())
}

/// Tells the server a message, or that this side has ended, unless it has closed.
fn say(call: &mut HostCall<'_>, token: u32, message: Option<Vec<u8>>) {
    let Some(pending) = call.guest().grpc.get(&token).filter(|pending| !pending.has_closed) else { return };
    let (number, ends) = (pending.number, pending.has_sent_all);
    let now = call.world().clock.elapsed();
    if let Some(reply) = call.world().upstreams.continue_grpc(number, message, ends, now) {
        answer(call, token, reply, Duration::ZERO);
    }
}

fn gone(token: u32) -> String {
    format!("stream {token} was closed by its server already: what Envoy does then is undefined")
}

/// Ends a call, with no callback, or this side of a stream.
fn proxy_grpc_close(caller: Caller<'_, Guest>, token: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_grpc_close");
    let Some(kind) = GrpcKind::of(token) else { return Ok(Status::BadArgument.code()) };
    let Some(pending) = call.guest().grpc.get_mut(&token) else { return Ok(Status::NotFound.code()) };
    if pending.is_gone() {
        bail!("{}", gone(token));
    }
    if kind == GrpcKind::Call || pending.has_closed {
        call.guest().grpc.remove(&token);
        return Ok(Status::Ok.code());
    }
    pending.is_let_go = true;
    if !std::mem::replace(&mut pending.has_sent_all, true) {
        say(&mut call, token, None);
    }
    Ok(Status::Ok.code())
}

/// Ends a call or a stream, with no callback.
fn proxy_grpc_cancel(caller: Caller<'_, Guest>, token: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_grpc_cancel");
    if GrpcKind::of(token).is_none() {
        return Ok(Status::BadArgument.code());
    }
    match call.guest().grpc.get(&token) {
        None => return Ok(Status::NotFound.code()),
        Some(pending) if pending.is_gone() => bail!("{}", gone(token)),
        Some(_) => {}
    }
    call.guest().grpc.remove(&token);
    Ok(Status::Ok.code())
}
