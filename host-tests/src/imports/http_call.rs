//! HTTP calls to clusters. The upstream's script decides a call's end when it is made.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result, bail};

use crate::abi::Status;
use crate::guest::{Guest, PendingCall};
use crate::host_call::{HostCall, define, enter};
use crate::rules::{Effect, Place};
use crate::upstream::{Call, Ends, Fate};
use crate::world::schedule::Event;
use crate::world::trace::What;

/// Without them Envoy cannot make a request.
const REQUIRED: [&str; 3] = [":method", ":path", ":authority"];

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_http_call]);
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI has them")]
fn proxy_http_call(
    caller: Caller<'_, Guest>,
    cluster_at: u32,
    cluster_size: u32,
    headers_at: u32,
    headers_size: u32,
    body_at: u32,
    body_size: u32,
    trailers_at: u32,
    trailers_size: u32,
    timeout_ms: u32,
    token_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_http_call");
    let headers = call.pairs(headers_at, headers_size)?;
    let trailers = call.pairs(trailers_at, trailers_size)?;
    let (clock, skew) = (call.world().clock, call.skew_nanos());
    let request = Call {
        at: clock.elapsed(),
        wall_millis: clock.wall_nanos().saturating_add_signed(skew) / 1_000_000,
        thread: call.guest().thread,
        cluster: call.text(cluster_at, cluster_size)?,
        body: call.bytes(body_at, body_size)?,
        timeout: Duration::from_millis(u64::from(timeout_ms)),
        headers,
        trailers,
        shared: call.world().watched(),
    };
    if REQUIRED.iter().any(|name| request.headers.first(name).is_none()) {
        return Ok(Status::BadArgument.code());
    }
    match send(&mut call, request)? {
        Ok(token) => {
            call.put_u32(token_at, token)?;
            Ok(Status::Ok.code())
        }
        Err(status) => Ok(status.code()),
    }
}

fn send(call: &mut HostCall<'_>, request: Call) -> Result<std::result::Result<u32, Status>> {
    let root = call.root();
    let (thread, vm) = (call.guest().thread, call.guest().vm);
    let cluster = request.cluster.clone();
    if !call.world().upstreams.knows(&cluster) {
        return Ok(Err(Status::BadArgument));
    }
    let rule = call.world().rules.decide(thread, Place::Upstream(&cluster));
    match rule {
        Effect::Trap => return call.trap(),
        Effect::Fail(status) if !(100..=599).contains(&status) => bail!("a rule's {status} is no HTTP status"),
        _ => {}
    }
    let (wait, end) = match call.world().upstreams.call(request, rule) {
        Fate::UnknownCluster => return Ok(Err(Status::BadArgument)),
        Fate::Refused => {
            call.world().note(thread, What::Refused { cluster });
            return Ok(Err(Status::InternalFailure));
        }
        Fate::Hangs => (None, Ends::Known(None)),
        Fate::Ends { wait, end } => (Some(wait), end),
    };
    let token = call.guest().add_call(PendingCall { root, end });
    if let Some(wait) = wait {
        call.world().put_after(wait, Event::CallEnd { thread, vm, token });
    }
    call.world().note(thread, What::Called { cluster, token });
    Ok(Ok(token))
}
