//! The timer of a root context, and the time.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result};

use crate::abi::Status;
use crate::guest::Guest;
use crate::host_call::{define, enter};
use crate::world::schedule::Event;

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(linker, "env", [proxy_set_tick_period_milliseconds, proxy_get_current_time_nanoseconds]);
    Ok(())
}

/// Sets the timer anew: the first tick comes a whole period from now. 0 stops it.
fn proxy_set_tick_period_milliseconds(caller: Caller<'_, Guest>, period_ms: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_set_tick_period_milliseconds");
    let id = call.root();
    let guest = call.guest();
    let (thread, vm) = (guest.thread, guest.vm);
    let Some(root) = guest.roots.get_mut(&id) else { return Ok(Status::BadArgument.code()) };
    root.tick_period = Duration::from_millis(u64::from(period_ms));
    root.armed += 1;
    let (period, armed) = (root.tick_period, root.armed);
    if !period.is_zero() {
        call.world().put_after(period, Event::Tick { thread, vm, root: id, armed });
    }
    Ok(Status::Ok.code())
}

fn proxy_get_current_time_nanoseconds(caller: Caller<'_, Guest>, time_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_current_time_nanoseconds");
    let skew = call.skew_nanos();
    let now = call.world().clock.wall_nanos().saturating_add_signed(skew);
    call.put_u64(time_at, now)?;
    Ok(Status::Ok.code())
}
