//! Shared data.

use wasmtime::{Caller, Linker, Result};

use crate::abi::Status;
use crate::guest::Guest;
use crate::host_call::{define, enter};
use crate::rules::{Effect, Place};
use crate::world::shared_data::Write;

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_get_shared_data, proxy_set_shared_data]);
    Ok(())
}

fn proxy_get_shared_data(
    caller: Caller<'_, Guest>,
    key_at: u32,
    key_size: u32,
    value_at: u32,
    value_size_at: u32,
    cas_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_shared_data");
    let key = call.text(key_at, key_size)?;
    let thread = call.guest().thread;
    let found = match call.world().rules.decide(thread, Place::Read(&key)) {
        Effect::Drop => call.world().shared_data.remembered(thread, &key),
        effect => {
            call = match call.obey(effect)? {
                Ok(call) => call,
                Err(status) => return Ok(status),
            };
            call.world().shared_data.get(&key).map(|(value, cas)| (value.to_vec(), cas))
        }
    };
    let Some((value, cas)) = found else { return Ok(Status::NotFound.code()) };
    call.put_u32(cas_at, cas)?;
    call.give(&value, value_at, value_size_at)
}

fn proxy_set_shared_data(
    caller: Caller<'_, Guest>,
    key_at: u32,
    key_size: u32,
    value_at: u32,
    value_size: u32,
    cas: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_shared_data");
    let key = call.text(key_at, key_size)?;
    let value = call.bytes(value_at, value_size)?;
    let thread = call.guest().thread;
    let effect = call.world().rules.decide(thread, Place::Write(&key));
    let mut call = match call.obey(effect)? {
        Ok(call) => call,
        Err(status) => return Ok(status),
    };
    let has_waited = call.guest().has_waited;
    let world = call.world();
    let recorded = world.writes.as_ref().map(|_| Write {
        at: world.clock.elapsed(),
        thread,
        key: key.clone(),
        value: value.clone(),
        has_waited,
    });
    let status = world.shared_data.set(thread, key, value, cas);
    if let (Status::Ok, Some(writes)) = (status, &mut world.writes) {
        writes.extend(recorded);
    }
    Ok(status.code())
}
