//! The Gatepost filter: what Envoy loads. It turns callbacks into calls of the engine in `gatepost-core`.
//!
//! `exports` is where Envoy enters; `root` and `stream` are what it enters for; `host` is the way out again.

mod exports;
mod host;
mod metrics;
mod root;
mod stream;
mod worker;

use rlsf::{GlobalTlsf, GlobalTlsfOptions};

/// Where what is kept stands, and what it is kept in.
#[global_allocator]
static HEAP: GlobalTlsf<Heap> = GlobalTlsf::new();

struct Heap;

impl GlobalTlsfOptions for Heap {
    /// A vector that grows moves in any case.
    const ENABLE_REALLOCATION: bool = false;
    /// What the host gives in pieces is one piece: large bodies come, grow and go.
    const COALESCE_POOLS: bool = true;
}
