//! Which host calls a VM may make when: as it starts, and inside its memory allocator, Envoy allows only some.

/// What a VM is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A callback, or nothing.
    #[default]
    Running,
    /// `_initialize`, `main` or `_start`.
    Starting,
    /// The memory allocator, for the result of a host call.
    Allocating,
}

/// The WASI calls that a VM may not make before it has started.
const NOT_AT_START: [&str; 9] = [
    "fd_close",
    "fd_filestat_get",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "path_open",
    "proc_exit",
    "sched_yield",
];

impl Phase {
    /// Why the host call of this name is not allowed now; `None` if it is.
    pub(crate) fn forbids(self, name: &str) -> Option<&'static str> {
        match self {
            Self::Running => None,
            Self::Starting if name == "proxy_log" => None,
            Self::Starting if !name.starts_with("proxy_") && !NOT_AT_START.contains(&name) => None,
            Self::Starting => Some("before the VM has started"),
            Self::Allocating if matches!(name, "proxy_log" | "fd_write" | "clock_time_get" | "poll_oneoff") => None,
            Self::Allocating => Some("while memory is allocated"),
        }
    }
}
