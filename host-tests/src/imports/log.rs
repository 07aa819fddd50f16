//! Logging.

use std::time::Duration;

use wasmtime::{Caller, Linker, Result};

use super::define;
use crate::abi::Status;
use crate::guest::Guest;
use crate::memory::{HostCall, enter};
use crate::trace::What;
use crate::world::Thread;

/// What Envoy logs at by default, and what the filter is told.
const LEVEL: Level = Level::Info;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

impl Level {
    fn from_code(code: u32) -> Option<Self> {
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical]
            .into_iter()
            .find(|level| *level as u32 == code)
    }
}

/// A line the filter logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Virtual time since the start of the process.
    pub at: Duration,
    /// The thread of the VM that logged it.
    pub thread: Thread,
    /// How grave it is.
    pub level: Level,
    /// The text.
    pub message: String,
}

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
    log(&mut call, level, message);
    Ok(Status::Ok.code())
}

/// Adds a line.
pub(crate) fn log(call: &mut HostCall<'_>, level: Level, message: String) {
    let thread = call.guest().thread;
    let world = call.world();
    let at = world.clock.elapsed();
    world.note(thread, What::Logged { message: message.clone() });
    world.log.push(LogLine { at, thread, level, message });
}

fn proxy_get_log_level(caller: Caller<'_, Guest>, level_at: u32) -> Result<u32> {
    let mut call = enter!(caller, "proxy_get_log_level");
    call.put_u32(level_at, LEVEL as u32)?;
    Ok(Status::Ok.code())
}
