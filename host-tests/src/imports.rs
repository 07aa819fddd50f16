//! The host calls of the proxy-wasm ABI, one family a file. Each behaves as Envoy 1.40's does, its oddities included.

use wasmtime::{Linker, Result};

use crate::guest::Guest;

pub mod log;

pub(crate) mod buffers;
pub(crate) mod context;
pub(crate) mod foreign;
pub(crate) mod grpc;
pub(crate) mod headers;
pub(crate) mod http_call;
pub(crate) mod metrics;
pub(crate) mod property;
pub(crate) mod queue;
pub(crate) mod shared_data;
pub(crate) mod stream;
pub(crate) mod timer;

/// Makes functions importable under their own names.
macro_rules! define {
    ($linker:expr, $module:literal, [$($function:ident),+ $(,)?]) => {
        $($linker.func_wrap($module, stringify!($function), $function)?;)+
    };
}
pub(crate) use define;

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
    // What Emscripten's and the C++ SDK's modules ask for; both do nothing to speak of.
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    linker.func_wrap("env", "pthread_equal", |left: u32, right: u32| u32::from(left == right))?;
    Ok(())
}
