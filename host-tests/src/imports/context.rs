//! Which context a host call acts upon.

use wasmtime::{Caller, Linker, Result};

use super::define;
use crate::abi::Status;
use crate::memory::enter;
use crate::vm::{Deferred, Guest};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_set_effective_context, proxy_done]);
    Ok(())
}

/// A context that is gone, such as a stream whose client left, is a bad argument.
fn proxy_set_effective_context(caller: Caller<'_, Guest>, id: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_effective_context");
    let guest = call.guest();
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
