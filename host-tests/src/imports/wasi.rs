//! WASI preview 1, as much of it as Envoy has: environment, both clocks, randomness, standard output and error, which are
//! logs, and exit. Files and sockets there are none. Nothing of it touches the machine.

use wasmtime::{Caller, FuncType, Linker, Result, Val, ValType, bail};

use crate::guest::Guest;
use crate::host_call::{HostCall, define, enter};
use crate::world::log::Level;

const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
const INVALID: u32 = 28;
const NO_ENTRY: u32 = 44;
const NO_SYSTEM: u32 = 52;
const NOT_A_DIRECTORY: u32 = 20;
const NOT_SUPPORTED: u32 = 58;

/// The names Envoy has WASI under.
const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Calls that come to nothing, as there are no files and no sockets: what they are given (`i` four bytes, `I` eight) and
/// what they answer.
const NOTHING: [(&str, &str, u32); 26] = [
    ("args_get", "ii", SUCCESS),
    ("fd_close", "i", SUCCESS),
    ("fd_filestat_get", "ii", BAD_DESCRIPTOR),
    ("fd_fdstat_set_flags", "ii", NO_SYSTEM),
    ("fd_pread", "iiiIi", NO_SYSTEM),
    ("fd_prestat_dir_name", "iii", NO_SYSTEM),
    ("fd_prestat_get", "ii", BAD_DESCRIPTOR),
    ("fd_read", "iiii", NO_SYSTEM),
    ("fd_readdir", "iiiIi", NOT_A_DIRECTORY),
    ("fd_renumber", "ii", NOT_SUPPORTED),
    ("fd_seek", "iIii", SUCCESS),
    ("path_create_directory", "iii", NOT_SUPPORTED),
    ("path_filestat_get", "iiiii", NOT_SUPPORTED),
    ("path_filestat_set_times", "iiiiIIi", NOT_SUPPORTED),
    ("path_link", "iiiiiii", NOT_SUPPORTED),
    ("path_open", "iiiiiIIii", NO_ENTRY),
    ("path_readlink", "iiiiii", NOT_SUPPORTED),
    ("path_remove_directory", "iii", NOT_SUPPORTED),
    ("path_rename", "iiiiii", NOT_SUPPORTED),
    ("path_symlink", "iiiii", NOT_SUPPORTED),
    ("path_unlink_file", "iii", NOT_SUPPORTED),
    ("sock_accept", "iii", NOT_SUPPORTED),
    ("sock_recv", "iiiiii", NOT_SUPPORTED),
    ("sock_send", "iiiii", NOT_SUPPORTED),
    ("sock_shutdown", "ii", NOT_SUPPORTED),
    ("sched_yield", "", SUCCESS),
];

/// The same for calls that succeed for standard output and error alone, where they do nothing.
const OF_OUTPUT: [(&str, &str); 7] = [
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_datasync", "i"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_sync", "i"),
];

pub(super) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    define!(
        linker,
        "wasi_snapshot_preview1",
        [
            args_sizes_get,
            environ_get,
            environ_sizes_get,
            clock_res_get,
            clock_time_get,
            random_get,
            poll_oneoff,
            fd_fdstat_get,
            fd_pwrite,
            fd_tell,
            fd_write,
            proc_exit,
        ]
    );
    for (name, given, answer) in NOTHING {
        link_to(linker, name, given, move |_| answer)?;
    }
    for (name, given) in OF_OUTPUT {
        let answer =
            |given: &[Val]| if matches!(given.first(), Some(Val::I32(1 | 2))) { SUCCESS } else { BAD_DESCRIPTOR };
        link_to(linker, name, given, answer)?;
    }
    linker.alias_module(MODULES[0], MODULES[1])?;
    Ok(())
}

/// Puts in a call that touches nothing.
fn link_to(
    linker: &mut Linker<Guest>,
    name: &'static str,
    given: &str,
    answer: impl Fn(&[Val]) -> u32 + Send + Sync + 'static,
) -> Result<()> {
    let types = given.chars().map(|kind| if kind == 'I' { ValType::I64 } else { ValType::I32 });
    let signature = FuncType::new(linker.engine(), types, [ValType::I32]);
    linker.func_new(MODULES[0], name, signature, move |caller, given, results| {
        let answer = match HostCall::enter(caller, name)? {
            Ok(_) => answer(given),
            Err(status) => status,
        };
        results.iter_mut().for_each(|result| *result = Val::I32(answer.cast_signed()));
        Ok(())
    })?;
    Ok(())
}

fn args_sizes_get(caller: Caller<'_, Guest>, count_at: u32, size_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "args_sizes_get");
    call.put_u32(count_at, 0)?;
    call.put_u32(size_at, 0)?;
    Ok(SUCCESS)
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

/// Nothing can be waited for: it says that nothing has happened.
fn poll_oneoff(caller: Caller<'_, Guest>, _events: u32, _happened: u32, _count: u32, happened_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "poll_oneoff");
    call.put_u32(happened_at, 0)?;
    Ok(SUCCESS)
}

/// Both clocks tell nanoseconds.
fn clock_res_get(caller: Caller<'_, Guest>, clock: u32, resolution_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "clock_res_get");
    if clock > 1 {
        return Ok(INVALID);
    }
    call.put_u64(resolution_at, 1)?;
    Ok(SUCCESS)
}

/// Standard output and error may be written, and nothing else.
fn fd_fdstat_get(caller: Caller<'_, Guest>, descriptor: u32, stat_at: u32) -> Result<u32> {
    const MAY_WRITE: u64 = 64;
    let mut call = enter!(caller, "fd_fdstat_get");
    if !matches!(descriptor, 1 | 2) {
        return Ok(BAD_DESCRIPTOR);
    }
    call.put_u64(stat_at, 0)?;
    call.put_u64(stat_at + 8, MAY_WRITE)?;
    call.put_u64(stat_at + 16, 0)?;
    Ok(SUCCESS)
}

fn fd_tell(caller: Caller<'_, Guest>, descriptor: u32, position_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "fd_tell");
    if !matches!(descriptor, 1 | 2) {
        return Ok(BAD_DESCRIPTOR);
    }
    call.put_u64(position_at, 0)?;
    Ok(SUCCESS)
}

fn fd_write(caller: Caller<'_, Guest>, descriptor: u32, parts_at: u32, parts: u32, written_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "fd_write");
    write(&mut call, descriptor, (parts_at, parts), written_at)
}

/// The same, wherever in the file it is to be.
fn fd_pwrite(
    caller: Caller<'_, Guest>,
    descriptor: u32,
    parts_at: u32,
    parts: u32,
    _at: u64,
    written_at: u32,
) -> Result<u32> {
    let mut call = enter!(caller, "fd_pwrite");
    write(&mut call, descriptor, (parts_at, parts), written_at)
}

/// Logs what is written to standard output and error; there is nothing else to write to.
fn write(call: &mut HostCall<'_>, descriptor: u32, (parts_at, parts): (u32, u32), written_at: u32) -> Result<u32> {
    let level = match descriptor {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Ok(BAD_DESCRIPTOR),
    };
    let mut written = Vec::new();
    for part in 0..parts {
        let at = parts_at + part * 8;
        let (start, size) = (call.get_u32(at)?, call.get_u32(at + 4)?);
        written.extend(call.bytes(start, size)?);
    }
    call.put_u32(written_at, u32::try_from(written.len())?)?;
    let text = String::from_utf8_lossy(&written);
    // A panic without a hook comes this way.
    call.guest().stderr.push_str(&text);
    if !text.is_empty() {
        let line = text.strip_suffix('\n').unwrap_or(&text);
        call.log(level, line.to_owned());
    }
    Ok(SUCCESS)
}

fn proc_exit(caller: Caller<'_, Guest>, code: u32) -> Result<()> {
    let _ = HostCall::enter(caller, "proc_exit")?;
    bail!("the filter exited with code {code}")
}
