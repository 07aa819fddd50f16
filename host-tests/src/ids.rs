//! What threads, VMs, requests, queues and plugins are called: the names by which everything else refers to them.

use std::fmt;
use std::sync::Arc;

/// A thread of the process; each runs a VM of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thread {
    /// The main thread: timers and calls, but no requests.
    Main,
    /// A worker, numbered from 0.
    Worker(usize),
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main"),
            Self::Worker(number) => write!(f, "worker {number}"),
        }
    }
}

/// One life of a VM; the one rebuilt after a trap has another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VmId(pub(crate) u64);

/// A VM and the thread it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) thread: Thread,
    pub(crate) vm: VmId,
}

/// A request that was made, as [`Process::request`](crate::Process::request) returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

/// A shared queue, as the filter names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueId(pub(crate) u32);

/// A build of the filter, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildId(pub(crate) usize);

/// A version of a listener's plugin, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PluginId(pub(crate) usize);

/// What makes two plugins of one VM the same: they share a root context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PluginKey {
    pub(crate) name: Arc<str>,
    pub(crate) config: Arc<[u8]>,
}
