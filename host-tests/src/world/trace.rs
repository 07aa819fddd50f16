//! The trace of a run, which a failed test prints. The same seed gives the same trace.

use std::fmt;
use std::time::Duration;

use crate::ids::{StreamId, Thread};

/// Everything that happened in a process, a line each, by `Display`. Ticks are left out: they come a thousand times as
/// often as anything else.
#[derive(Debug, Default)]
pub struct Trace {
    moments: Vec<Moment>,
}

impl Trace {
    pub(crate) fn push(&mut self, at: Duration, thread: Thread, what: What) {
        self.moments.push(Moment { at, thread, what });
    }
}

#[derive(Debug)]
struct Moment {
    at: Duration,
    thread: Thread,
    what: What,
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum What {
    Started,
    Lost,
    Request { stream: StreamId, method: String, path: String },
    Answered { stream: StreamId, status: u16 },
    Disconnected { stream: StreamId },
    Reset { stream: StreamId },
    Forwarded { stream: StreamId },
    Called { cluster: String, token: u32 },
    Refused { cluster: String },
    GrpcEnded { token: u32 },
    CallEnded { token: u32, status: Option<u16> },
    Logged { message: String },
    Failed { host_call: &'static str, status: u32 },
    CallbackLost,
    Stalled { wait: Duration },
    Configured,
    Upgraded,
    Ended,
    Drained,
    Stepped { millis: i64 },
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Moment { at, thread, what } in &self.moments {
            writeln!(f, "{:>12.6} {thread}: {what}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("VM started"),
            Self::Lost => f.write_str("VM lost"),
            Self::Request { stream, method, path } => write!(f, "{stream} {method} {path}"),
            Self::Answered { stream, status } => write!(f, "{stream} answered {status}"),
            Self::Disconnected { stream } => write!(f, "{stream} left by its client"),
            Self::Reset { stream } => write!(f, "{stream} reset"),
            Self::Forwarded { stream } => write!(f, "{stream} gone on to the application"),
            Self::Called { cluster, token } => write!(f, "call {token} to {cluster}"),
            Self::Refused { cluster } => write!(f, "call to {cluster} refused"),
            Self::CallEnded { token, status: Some(status) } => write!(f, "call {token} answered {status}"),
            Self::CallEnded { token, status: None } => write!(f, "call {token} reset"),
            Self::GrpcEnded { token } => write!(f, "gRPC call {token} ended"),
            Self::Logged { message } => write!(f, "log: {message}"),
            Self::Failed { host_call, status } => write!(f, "{host_call} is not made and answers {status}"),
            Self::CallbackLost => f.write_str("a callback is lost"),
            Self::Stalled { wait } => write!(f, "stalls for {} s", wait.as_secs_f64()),
            Self::Configured => f.write_str("another configuration"),
            Self::Upgraded => f.write_str("another build"),
            Self::Ended => f.write_str("VM ended, it was replaced"),
            Self::Drained => f.write_str("what was replaced has drained"),
            Self::Stepped { millis } => write!(f, "the wall clock steps by {millis} ms"),
        }
    }
}
