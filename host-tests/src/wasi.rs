//! The part of WASI preview 1 that Rust's standard library needs on `wasm32-wasip1`: environment, both clocks,
//! randomness, standard output and error, exit. Nothing of it touches the machine.

use wasmtime::{Caller, Linker, Result, bail};

use crate::imports::define;
use crate::memory::{HostCall, enter};
use crate::vm::Guest;

const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
const INVALID: u32 = 28;

pub(crate) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(
        linker,
        "wasi_snapshot_preview1",
        [environ_get, environ_sizes_get, clock_time_get, random_get, fd_write, sched_yield, proc_exit]
    );
    Ok(())
}

fn environ_sizes_get(caller: Caller<'_, Guest>, count_at: u32, size_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "environ_sizes_get");
    let entries = environment(&mut call);
    call.put_u32(count_at, u32::try_from(entries.len())?)?;
    call.put_u32(size_at, u32::try_from(entries.iter().map(Vec::len).sum::<usize>())?)?;
    Ok(SUCCESS)
}

fn environ_get(caller: Caller<'_, Guest>, mut pointers_at: u32, mut entries_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "environ_get");
    for entry in environment(&mut call) {
        call.put_u32(pointers_at, entries_at)?;
        call.put(entries_at, &entry)?;
        pointers_at += 4;
        entries_at += u32::try_from(entry.len())?;
    }
    Ok(SUCCESS)
}

/// `NAME=value` entries, each ended by a zero byte.
fn environment(call: &mut HostCall<'_>) -> Vec<Vec<u8>> {
    let entries = &call.guest().identity.environment;
    entries.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn clock_time_get(caller: Caller<'_, Guest>, clock: u32, _precision: u64, time_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "clock_time_get");
    let now = call.world().clock;
    let nanos = match clock {
        0 => now.wall_nanos().saturating_add_signed(call.skew_nanos()),
        1 => now.monotonic_nanos(),
        _ => return Ok(INVALID),
    };
    call.put_u64(time_at, nanos)?;
    Ok(SUCCESS)
}

fn random_get(caller: Caller<'_, Guest>, at: u32, size: u32) -> Result<u32> {
    let mut call = enter!(caller, "random_get");
    let mut bytes = vec![0; usize::try_from(size)?];
    call.world().entropy.fill(&mut bytes);
    call.put(at, &bytes)?;
    Ok(SUCCESS)
}

/// Keeps what is written to standard output and error; there is nothing else to write to.
fn fd_write(caller: Caller<'_, Guest>, descriptor: u32, parts_at: u32, parts: u32, written_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "fd_write");
    if !matches!(descriptor, 1 | 2) {
        return Ok(BAD_DESCRIPTOR);
    }
    let mut written = Vec::new();
    for part in 0..parts {
        let at = parts_at + part * 8;
        let (start, size) = (call.get_u32(at)?, call.get_u32(at + 4)?);
        written.extend(call.bytes(start, size)?);
    }
    call.put_u32(written_at, u32::try_from(written.len())?)?;
    call.guest().stderr.push_str(&String::from_utf8_lossy(&written));
    Ok(SUCCESS)
}

fn sched_yield(caller: Caller<'_, Guest>) -> Result<u32> {
    let _ = enter!(caller, "sched_yield");
    Ok(SUCCESS)
}

fn proc_exit(caller: Caller<'_, Guest>, code: u32) -> Result<()> {
    let _ = HostCall::enter(caller, "proc_exit")?;
    bail!("the filter exited with code {code}")
}
