//! Which context a host call acts upon.

use wasmtime::{Caller, Linker, Result};

use crate::abi::Status;
use crate::guest::{Deferred, Guest};
use crate::host_call::{define, enter};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_set_effective_context, proxy_done, proxy_get_status]);
    Ok(())
}

/// A context that is gone, such as a stream whose client left, is a bad argument.
fn proxy_set_effective_context(caller: Caller<'_, Guest>, id: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_effective_context");
    let guest = call.guest();
    if id == 0 {
        // The VM's own context, which stands for none.
        guest.effective = None;
        return Ok(Status::Ok.code());
    }
    if !guest.contexts.contains_key(&id) {
        return Ok(Status::BadArgument.code());
    }
    guest.effective = Some(id);
    Ok(Status::Ok.code())
}

/// A root whose `on_done` answered false is done now. No other is found.
fn proxy_done(caller: Caller<'_, Guest>) -> Result<u32> {
    let mut call = enter!(caller, "proxy_done");
    let root = call.root();
    let guest = call.guest();
    match guest.roots.get_mut(&root).filter(|root| root.is_ending) {
        Some(ending) => ending.is_ending = false,
        None => return Ok(Status::NotFound.code()),
    }
    guest.deferred.push(Deferred::Delete(root));
    Ok(Status::Ok.code())
}

/// How the call failed whose callback runs. The code is that of the last one; the message is gone with its callback.
fn proxy_get_status(caller: Caller<'_, Guest>, code_at: u32, message_at: u32, message_size_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_status");
    let root = call.root();
    let (code, message) = call.guest().roots.get(&root).map(|root| root.status.clone()).unwrap_or_default();
    call.put_u32(code_at, code)?;
    call.give(message.as_bytes(), message_at, message_size_at)
}
