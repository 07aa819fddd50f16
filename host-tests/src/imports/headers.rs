//! Header maps: of the stream's request and answer, and of the HTTP call whose callback runs.

use wasmtime::{Caller, Linker, Result, bail, format_err};

use super::define;
use crate::abi::{MapKind, Status, encode_pairs};
use crate::headers::Headers;
use crate::memory::{HostCall, enter};
use crate::vm::{Context, Guest};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(
        linker,
        "env",
        [
            proxy_get_header_map_pairs,
            proxy_set_header_map_pairs,
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
    // A map that is not there is an empty one here, though not where one value of it is asked for.
    let bytes = map(&mut call, kind)?.map(|map| encode_pairs(map)).unwrap_or_default();
    call.give(&bytes, map_at, map_size_at)
}

fn proxy_set_header_map_pairs(caller: Caller<'_, Guest>, kind: u32, map_at: u32, map_size: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_header_map_pairs");
    let pairs = call.pairs(map_at, map_size)?;
    change(&mut call, kind, |map| *map = pairs)
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
    let Some(map) = map(&mut call, kind)? else { return Ok(Status::BadArgument.code()) };
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

/// The map the number names; `None` where there is no such map at the moment.
fn map<'a>(call: &'a mut HostCall<'_>, kind: u32) -> Result<Option<&'a mut Headers>> {
    let kind = MapKind::from_code(kind).ok_or_else(|| format_err!("no simulated header map has the number {kind}"))?;
    let (_, context) = call.context();
    if matches!(kind, MapKind::CallHeaders | MapKind::CallTrailers) {
        let Some(end) = call.guest().call_end.as_mut() else { return Ok(None) };
        return Ok(Some(if kind == MapKind::CallHeaders { &mut end.headers } else { &mut end.trailers }));
    }
    let Context::Stream(stream) = context else { return Ok(None) };
    let Some(stream) = call.world().streams.get_mut(&stream) else { return Ok(None) };
    Ok(match kind {
        MapKind::RequestHeaders => Some(&mut stream.request_headers),
        MapKind::RequestTrailers => Some(&mut stream.request_trailers),
        MapKind::ResponseHeaders => stream.response.as_mut().map(|answer| &mut answer.headers),
        MapKind::ResponseTrailers | MapKind::CallHeaders | MapKind::CallTrailers => None,
    })
}

fn change(call: &mut HostCall<'_>, kind: u32, change: impl FnOnce(&mut Headers)) -> Result<u32> {
    if matches!(MapKind::from_code(kind), Some(MapKind::CallHeaders | MapKind::CallTrailers)) {
        bail!("the headers of an HTTP call's answer cannot be changed");
    }
    if let (_, Context::Stream(stream)) = call.context()
        && MapKind::from_code(kind) == Some(MapKind::RequestHeaders)
        && call.world().streams.get(&stream).is_some_and(|stream| stream.forwarded.is_some())
    {
        bail!("the request's headers have gone on and cannot be changed any more");
    }
    let Some(map) = map(call, kind)? else { return Ok(Status::BadArgument.code()) };
    change(map);
    Ok(Status::Ok.code())
}
