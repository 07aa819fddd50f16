//! Header maps: of the stream's request and answer, and of the HTTP or gRPC call whose callback runs.
//!
//! A map can be read while the filter is shown it: in the callback, and afterwards for as long as the callback's pause
//! stands. `proxy_on_log` reads everything. What has gone on cannot be written any more.

use wasmtime::{Caller, Linker, Result, bail};

use crate::abi::{MapKind, Status, encode_pairs};
use crate::guest::{Context, Guest};
use crate::half::Half;
use crate::headers::Headers;
use crate::host_call::{HostCall, define, enter};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(
        linker,
        "env",
        [
            proxy_get_header_map_pairs,
            proxy_set_header_map_pairs,
            proxy_get_header_map_size,
            proxy_get_header_map_value,
            proxy_add_header_map_value,
            proxy_replace_header_map_value,
            proxy_remove_header_map_value,
        ]
    );
    Ok(())
}

fn proxy_get_header_map_pairs(caller: Caller<'_, Guest>, kind: u32, map_at: u32, map_size_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_header_map_pairs");
    let Some(kind) = MapKind::from_code(kind) else { return Ok(Status::BadArgument.code()) };
    // A map that is not there is an empty one here, though not where one value of it is asked for.
    let bytes = read(&mut call, kind).map(encode_pairs).unwrap_or_default();
    call.give(&bytes, map_at, map_size_at)
}

fn proxy_set_header_map_pairs(caller: Caller<'_, Guest>, kind: u32, map_at: u32, map_size: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_header_map_pairs");
    let pairs = call.pairs(map_at, map_size)?;
    change(&mut call, kind, |map| *map = pairs)
}

/// The bytes of all names and values.
fn proxy_get_header_map_size(caller: Caller<'_, Guest>, kind: u32, size_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_header_map_size");
    let Some(map) = MapKind::from_code(kind).and_then(|kind| read(&mut call, kind)) else {
        return Ok(Status::BadArgument.code());
    };
    let size: usize = map.iter().map(|(name, value)| name.len() + value.len()).sum();
    call.put_u32(size_at, u32::try_from(size)?)?;
    Ok(Status::Ok.code())
}

fn proxy_get_header_map_value(
    caller: Caller<'_, Guest>,
    kind: u32,
    name_at: u32,
    name_size: u32,
    value_at: u32,
    value_size_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_header_map_value");
    let name = call.text(name_at, name_size)?.to_ascii_lowercase();
    let Some(kind) = MapKind::from_code(kind) else { return Ok(Status::BadArgument.code()) };
    let Some(map) = read(&mut call, kind) else {
        let is_logging = is_logging(&mut call);
        return Ok(if is_logging { Status::NotFound } else { Status::BadArgument }.code());
    };
    let Some(value) = map.first(&name).map(<[u8]>::to_vec) else { return Ok(Status::NotFound.code()) };
    call.give(&value, value_at, value_size_at)
}

fn proxy_add_header_map_value(
    caller: Caller<'_, Guest>,
    kind: u32,
    name_at: u32,
    name_size: u32,
    value_at: u32,
    value_size: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_add_header_map_value");
    let (name, value) = (call.text(name_at, name_size)?, call.bytes(value_at, value_size)?);
    change(&mut call, kind, |map| map.add(&name, value))
}

fn proxy_replace_header_map_value(
    caller: Caller<'_, Guest>,
    kind: u32,
    name_at: u32,
    name_size: u32,
    value_at: u32,
    value_size: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_replace_header_map_value");
    let (name, value) = (call.text(name_at, name_size)?, call.bytes(value_at, value_size)?);
    change(&mut call, kind, |map| map.set(&name, value))
}

fn proxy_remove_header_map_value(caller: Caller<'_, Guest>, kind: u32, name_at: u32, name_size: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_remove_header_map_value");
    let name = call.text(name_at, name_size)?;
    change(&mut call, kind, |map| map.remove(&name))
}

fn is_logging(call: &mut HostCall<'_>) -> bool {
    let (_, Context::Stream(stream)) = call.context() else { return false };
    call.world().streams.get(&stream).is_some_and(|stream| stream.is_logging)
}

/// The map, where the filter may read it at the moment.
fn read<'a>(call: &'a mut HostCall<'_>, kind: MapKind) -> Option<&'a Headers> {
    let (_, context) = call.context();
    match kind {
        MapKind::CallHeaders => return call.guest().call_end.as_ref().map(|end| &end.headers),
        // An answer without trailers has no such map.
        MapKind::CallTrailers => {
            let end = call.guest().call_end.as_ref();
            return end.map(|end| &end.trailers).filter(|trailers| !trailers.is_empty());
        }
        MapKind::GrpcInitial => return call.guest().shown_grpc.initial.as_ref(),
        MapKind::GrpcTrailing => return call.guest().shown_grpc.trailing.as_ref(),
        _ => {}
    }
    let Context::Stream(stream) = context else { return None };
    let stream = call.world().streams.get(&stream)?;
    let logs = |half: &Half| stream.is_logging && half.has_begun;
    let (request, response) = (&stream.request, &stream.response);
    match kind {
        MapKind::RequestHeaders => (request.shows_headers || logs(request)).then_some(&request.headers),
        MapKind::RequestTrailers => (request.shows_trailers && !stream.is_logging).then_some(&request.trailers),
        MapKind::ResponseHeaders => (response.shows_headers || logs(response)).then_some(&response.headers),
        MapKind::ResponseTrailers => {
            let logged = logs(response) && !response.trailers.is_empty();
            (response.shows_trailers || logged).then_some(&response.trailers)
        }
        MapKind::GrpcInitial | MapKind::GrpcTrailing | MapKind::CallHeaders | MapKind::CallTrailers => None,
    }
}

/// Changes a map. One that is not there at the moment is a bad argument; one that has gone on is a fault, where Envoy
/// answers the same or lets the change come to nothing.
fn change(call: &mut HostCall<'_>, kind: u32, change: impl FnOnce(&mut Headers)) -> Result<u32> {
    let Some(kind) = MapKind::from_code(kind) else { return Ok(Status::BadArgument.code()) };
    let (_, context) = call.context();
    let (Context::Stream(id), Some(direction)) = (context, kind.direction()) else {
        return Ok(Status::BadArgument.code());
    };
    let Some(stream) = call.world().streams.get_mut(&id) else { return Ok(Status::BadArgument.code()) };
    let half = stream.half(direction);
    if kind.is_trailers() {
        if half.at_last_piece {
            // There are none yet: they are added.
            half.shows_trailers = true;
        }
        if !half.shows_trailers {
            return Ok(Status::BadArgument.code());
        }
        change(&mut half.trailers);
        return Ok(Status::Ok.code());
    }
    if half.headers_gone {
        bail!("the {} headers have gone on and cannot be changed any more", kind.of());
    }
    if !half.shows_headers {
        return Ok(Status::BadArgument.code());
    }
    change(&mut half.headers);
    Ok(Status::Ok.code())
}
