//! Properties: what the filter may ask about its plugin, its stream and the connection.

use wasmtime::{Caller, Linker, Result, bail};

use super::define;
use crate::abi::Status;
use crate::memory::{HostCall, enter};
use crate::vm::{Context, Guest};

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
        Some(value) => call.give(&value, value_at, value_size_at),
        None => Ok(Status::NotFound.code()),
    }
}

fn proxy_set_property(caller: Caller<'_, Guest>, _: u32, _: u32, _: u32, _: u32) -> Result<u32> {
    let _ = enter!(caller, "proxy_set_property");
    bail!("setting properties is not simulated")
}

/// The value at a path, whose segments a zero byte parts. Numbers are eight bytes, little-endian.
fn property(call: &mut HostCall<'_>, path: &str) -> Option<Vec<u8>> {
    match path {
        "plugin_name" => {
            let root = call.root();
            return call.guest().roots.get(&root).map(|root| root.key.name.as_bytes().to_vec());
        }
        "plugin_root_id" => return Some(Vec::new()),
        "plugin_vm_id" => return Some(call.guest().identity.vm_id.clone().into_bytes()),
        _ => {}
    }
    let (_, Context::Stream(stream)) = call.context() else { return None };
    let stream = call.world().streams.get(&stream)?;
    let header = |name| stream.request.headers.first(name).map(<[u8]>::to_vec);
    match path {
        "connection\0id" => Some(stream.connection.to_le_bytes().to_vec()),
        "source\0address" => Some(b"127.0.0.1:40000".to_vec()),
        "request\0method" => header(":method"),
        "request\0path" => header(":path"),
        "request\0host" => header(":authority"),
        "request\0id" => header("x-request-id"),
        _ => None,
    }
}
