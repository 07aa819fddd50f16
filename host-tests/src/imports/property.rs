//! Properties: what the filter may ask about its plugin, its stream and the connection, and set for its stream.
//!
//! | path | value |
//! |---|---|
//! | `plugin_name`, `plugin_root_id`, `plugin_vm_id` | text |
//! | `request.path`, `.url_path`, `.query`, `.host`, `.scheme`, `.method`, `.useragent`, `.referer`, `.id` | text |
//! | `request.headers`, `request.headers.<name>` | a header map, or text |
//! | `request.protocol`, `.size`, `.time`, `.duration` | text, bytes, nanoseconds since the Unix epoch, nanoseconds |
//! | `response.code`, `.size`, `.headers`, `.headers.<name>`, `.trailers` | as above |
//! | `connection.id` (also `connection_id`), `.mtls`, `.requested_server_name` | a number, a boolean, text |
//! | `source.address`, `.port`, `destination.address`, `.port` | text, numbers |
//! | `xds.cluster_name`, `.route_name`, `.virtual_host_name`, `.filter_chain_name`, `.listener_direction` | text, a number |
//! | `<key>`, `filter_state.wasm.<key>` | what the filter has set under `<key>` |
//!
//! Numbers are eight bytes, little-endian, and a boolean is one. What is about the request's headers is there only while
//! the filter is shown them, as for a header map.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result};

use crate::abi::{Status, encode_pairs};
use crate::guest::{Context, Guest};
use crate::headers::Headers;
use crate::host_call::{HostCall, define, enter};
use crate::stream::{Protocol, Stream};
use crate::world::clock::Clock;

/// The port of the first listener; each further one has the next.
const FIRST_PORT: usize = 10_000;

type Value = std::result::Result<Vec<u8>, Status>;

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_get_property, proxy_set_property]);
    Ok(())
}

fn proxy_get_property(
    caller: Caller<'_, Guest>,
    path_at: u32,
    path_size: u32,
    value_at: u32,
    value_size_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_property");
    let path = call.text(path_at, path_size)?;
    match property(&mut call, &path) {
        Ok(value) => call.give(&value, value_at, value_size_at),
        Err(status) => Ok(status.code()),
    }
}

/// Sets a property of the stream. What Envoy has under the same name still hides it.
fn proxy_set_property(
    caller: Caller<'_, Guest>,
    path_at: u32,
    path_size: u32,
    value_at: u32,
    value_size: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_property");
    let (path, value) = (call.text(path_at, path_size)?, call.bytes(value_at, value_size)?);
    let (_, Context::Stream(stream)) = call.context() else { return Ok(Status::NotFound.code()) };
    let Some(stream) = call.world().streams.get_mut(&stream) else { return Ok(Status::NotFound.code()) };
    stream.state.insert(path, value);
    Ok(Status::Ok.code())
}

/// The value at a path, whose segments a zero byte parts.
fn property(call: &mut HostCall<'_>, path: &str) -> Value {
    let mut segments = path.split_terminator('\0');
    let (Some(first), second, third) = (segments.next(), segments.next(), segments.next()) else {
        return Err(Status::SerializationFailure);
    };
    let guest_root = call.root();
    match (first, second) {
        ("plugin_name", None) => {
            let root = call.guest().roots.get(&guest_root).ok_or(Status::NotFound)?;
            return Ok(root.key.name.as_bytes().to_vec());
        }
        ("plugin_root_id", None) => return Ok(Vec::new()),
        ("plugin_vm_id", None) => return Ok(call.guest().identity.vm_id.clone().into_bytes()),
        _ => {}
    }
    let (_, Context::Stream(id)) = call.context() else { return Err(Status::NotFound) };
    let world = call.world();
    let stream = world.streams.get(&id).ok_or(Status::NotFound)?;
    if third.is_some() && second != Some("headers") {
        // There is nothing below a value.
        return Err(Status::NotFound);
    }
    // A map as a whole cannot be written as bytes.
    let name = || second.ok_or(Status::SerializationFailure);
    match first {
        "request" => request(stream, world.clock, name()?, third),
        "response" => response(stream, name()?, third),
        "connection" => connection(stream, name()?),
        "source" => address(&stream.client.to_string(), stream.client.port(), name()?),
        "destination" => {
            let port = u16::try_from(FIRST_PORT + stream.listener).unwrap_or(u16::MAX);
            address(&format!("127.0.0.1:{port}"), port, name()?)
        }
        "xds" => xds(name()?),
        "connection_id" if second.is_none() => Ok(number(stream.connection)),
        "filter_state" => {
            let key = name()?.strip_prefix("wasm.");
            key.and_then(|key| stream.state.get(key)).cloned().ok_or(Status::NotFound)
        }
        _ => {
            stream.state.get(path.trim_end_matches('\0')).filter(|_| second.is_none()).cloned().ok_or(Status::NotFound)
        }
    }
}

fn request(stream: &Stream, clock: Clock, name: &str, header: Option<&str>) -> Value {
    let half = &stream.request;
    let headers = (half.shows_headers || stream.is_logging).then_some(&half.headers);
    let of = |name: &str| headers.and_then(|headers| headers.first(name)).map(<[u8]>::to_vec).ok_or(Status::NotFound);
    if let ("headers", header) = (name, header) {
        return header.map_or_else(|| Ok(map(headers)), of);
    }
    let path = || String::from_utf8_lossy(&of(":path").unwrap_or_default()).into_owned();
    let taken = stream.forwarded.as_ref().map_or(0, |forwarded| forwarded.body.len()) + half.buffered.len();
    match name {
        "path" => of(":path"),
        "host" => of(":authority"),
        "scheme" => of(":scheme"),
        "method" => of(":method"),
        "useragent" => of("user-agent"),
        "referer" => of("referer"),
        "id" => of("x-request-id"),
        "url_path" => of(":path").map(|_| path().split('?').next().unwrap_or_default().into()),
        "query" => of(":path").map(|_| path().split_once('?').map(|(_, query)| query).unwrap_or_default().into()),
        "protocol" => Ok(if stream.protocol == Protocol::Http1 { "HTTP/1.1" } else { "HTTP/2" }.into()),
        "size" => {
            let told = headers.and_then(|headers| headers.get("content-length")?.parse().ok());
            Ok(number(told.unwrap_or(taken as u64)))
        }
        "time" => {
            let ago = clock.elapsed() - stream.began_at;
            Ok(number(clock.wall_nanos().saturating_sub(nanos(ago))))
        }
        "duration" if stream.is_logging => Ok(number(nanos(clock.elapsed() - stream.began_at))),
        _ => Err(Status::NotFound),
    }
}

fn response(stream: &Stream, name: &str, header: Option<&str>) -> Value {
    let half = &stream.response;
    let headers = (half.shows_headers || stream.is_logging && half.has_begun).then_some(&half.headers);
    match (name, header) {
        ("headers", None) => Ok(map(headers)),
        ("headers", Some(name)) => {
            let value = headers.and_then(|headers| headers.first(&name.to_ascii_lowercase()));
            value.map(<[u8]>::to_vec).ok_or(Status::NotFound)
        }
        ("trailers", None) => Ok(map((half.shows_trailers || stream.is_logging).then_some(&half.trailers))),
        ("code", None) if half.has_begun => {
            let code = half.headers.get(":status").and_then(|status| status.parse().ok());
            code.map(number).ok_or(Status::NotFound)
        }
        ("size", None) => Ok(number(stream.received.as_ref().map_or(0, |answer| answer.body.len() as u64))),
        _ => Err(Status::NotFound),
    }
}

fn connection(stream: &Stream, name: &str) -> Value {
    match name {
        "id" => Ok(number(stream.connection)),
        "mtls" => Ok(vec![0]),
        "requested_server_name" => Ok(Vec::new()),
        _ => Err(Status::NotFound),
    }
}

fn address(address: &str, port: u16, name: &str) -> Value {
    match name {
        "address" => Ok(address.into()),
        "port" => Ok(number(u64::from(port))),
        _ => Err(Status::NotFound),
    }
}

/// The route's. The one application has a cluster of its own; route, virtual host and filter chain have no names.
fn xds(name: &str) -> Value {
    match name {
        "cluster_name" => Ok("application".into()),
        "route_name" | "virtual_host_name" | "filter_chain_name" => Ok(Vec::new()),
        "listener_direction" => Ok(number(0)),
        _ => Err(Status::NotFound),
    }
}

/// A header map; unlike the host calls about headers, Envoy writes an empty one as its count.
fn map(headers: Option<&Headers>) -> Vec<u8> {
    headers.filter(|headers| !headers.is_empty()).map_or_else(|| vec![0; 4], encode_pairs)
}

fn number(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
