//! What can go wrong with a filter, as errors that say where.

use std::fmt;

use crate::ids::Thread;
use crate::world::log::LogLine;

/// The filter trapped, or made a host call that is wrong. Its VM is gone, as it would be in Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The thread of the VM.
    pub thread: Thread,
    /// The callback that was running.
    pub callback: &'static str,
    /// The last host call it made, which is often the one to blame.
    pub host_call: Option<&'static str>,
    /// What happened, with what the filter wrote to standard error.
    pub reason: String,
    /// A rule ended the VM, or a filter that [may trap](crate::Builder::may_trap) did: no defect.
    pub killed: bool,
}

impl Fault {
    /// A fault outside of any host call.
    pub(crate) fn new(thread: Thread, callback: &'static str, reason: impl Into<String>) -> Self {
        Self { thread, callback, host_call: None, reason: reason.into(), killed: false }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.thread, self.callback)?;
        if let Some(host_call) = self.host_call {
            write!(f, ", last host call {host_call}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Fault {}

/// A process does not start, or a new configuration is not taken.
#[derive(Debug)]
pub enum StartError {
    /// The filter went wrong.
    Fault(Fault),
    /// `on_vm_start` or `on_configure` answered false.
    Refused {
        /// Which VM refused: `canary`, `main`, `worker 0` …
        vm: String,
        /// What the filter logged.
        log: Vec<LogLine>,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Refused { vm, log } => {
                write!(f, "{vm} refused the configuration")?;
                log.iter().try_for_each(|line| write!(f, "\n{}", line.message))
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::Refused { .. } => None,
        }
    }
}

impl From<Fault> for StartError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
