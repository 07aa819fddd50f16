//! Foreign functions: what a host offers beyond the ABI.

use wasmtime::{Caller, Linker, Result};

use crate::abi::Status;
use crate::guest::Guest;
use crate::host_call::{define, enter};

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_call_foreign_function]);
    Ok(())
}

/// A function that fails gives no results; null pointers want none.
fn proxy_call_foreign_function(
    caller: Caller<'_, Guest>,
    name_at: u32,
    name_size: u32,
    argument_at: u32,
    argument_size: u32,
    results_at: u32,
    results_size_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "proxy_call_foreign_function");
    let (name, argument) = (call.text(name_at, name_size)?, call.bytes(argument_at, argument_size)?);
    let Some(function) = call.world().foreign_functions.get_mut(&name) else { return Ok(Status::NotFound.code()) };
    let (results, status) = match function(&argument) {
        Ok(results) => (results, Status::Ok),
        Err(status) => (Vec::new(), status),
    };
    if results_at != 0 && results_size_at != 0 {
        call.give(&results, results_at, results_size_at)?;
    }
    Ok(status.code())
}
