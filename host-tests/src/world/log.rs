//! What the filter logs.

use std::time::Duration;

use crate::ids::Thread;

/// The level of a log line.
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
    /// The level of this number; `None` when the ABI has no such one.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
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
    /// Its level.
    pub level: Level,
    /// The text.
    pub message: String,
}
