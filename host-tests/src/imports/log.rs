//! Logging.

use wasmtime::{Caller, Linker, Result};

use crate::abi::Status;
use crate::guest::Guest;
use crate::host_call::{define, enter};
use crate::world::log::Level;

/// What Envoy logs at by default, and what the filter is told.
const LEVEL: Level = Level::Info;

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_log, proxy_get_log_level]);
    Ok(())
}

fn proxy_log(caller: Caller<'_, Guest>, level: u32, message_at: u32, message_size: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_log");
    let Some(level) = Level::from_code(level) else { return Ok(Status::BadArgument.code()) };
    let message = String::from_utf8_lossy(&call.bytes(message_at, message_size)?).into_owned();
    if level == Level::Critical {
        // A panic comes this way: it belongs into the fault that follows.
        call.guest().stderr.push_str(&message);
    }
    call.log(level, message);
    Ok(Status::Ok.code())
}

fn proxy_get_log_level(caller: Caller<'_, Guest>, level_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_log_level");
    call.put_u32(level_at, LEVEL as u32)?;
    Ok(Status::Ok.code())
}
