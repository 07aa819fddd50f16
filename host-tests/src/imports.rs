//! The host calls of the proxy-wasm ABI, one family a file, and those of WASI. Each behaves as Envoy 1.40's does, its
//! oddities included.

mod buffers;
mod context;
mod foreign;
mod grpc;
mod headers;
mod http_call;
mod log;
mod metrics;
mod property;
mod queue;
mod shared_data;
mod stream;
mod timer;
mod wasi;

use wasmtime::{Linker, Result};

use crate::guest::Guest;

/// Makes every host call importable.
pub(crate) fn link(linker: &mut Linker<Guest>) -> Result<()> {
    buffers::link(linker)?;
    context::link(linker)?;
    foreign::link(linker)?;
    grpc::link(linker)?;
    headers::link(linker)?;
    http_call::link(linker)?;
    log::link(linker)?;
    metrics::link(linker)?;
    property::link(linker)?;
    queue::link(linker)?;
    shared_data::link(linker)?;
    stream::link(linker)?;
    timer::link(linker)?;
    wasi::link(linker)?;
    // What Emscripten's and the C++ SDK's modules ask for; both do nothing to speak of.
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    linker.func_wrap("env", "pthread_equal", |left: u32, right: u32| u32::from(left == right))?;
    Ok(())
}
