//! The arguments of `gatepost bench`.

use super::case::Beside;

/// The arguments of `gatepost bench`.
#[derive(clap::Args)]
pub struct Options {
    /// What to measure [default: all of it]
    #[arg(value_enum)]
    pub(super) what: Vec<What>,
    /// How long each run sends
    #[arg(long, default_value_t = 5)]
    pub(super) seconds: u32,
    /// Runs of each case
    #[arg(long, default_value_t = 5)]
    pub(super) repetitions: usize,
    /// Connections that send, each with one request under way
    #[arg(long, default_value_t = 32)]
    pub(super) connections: u32,
    /// Another gatepost.wasm to measure in the same run, such as that of an earlier commit; may be repeated
    #[arg(long, value_name = "PATH[=LABEL]")]
    pub(super) beside: Vec<Beside>,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum What {
    /// CPU time an event at full load
    Cost,
    /// How long an event is under way, at 500 events/s and at half load
    Latency,
    /// Time and memory of a start, and of a worker's VM
    StartUp,
    /// What a journal on etcd costs; not measured unless it is named, for it needs etcd and etcdctl
    Journal,
}
