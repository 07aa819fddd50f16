//! A filter, compiled once and run by any number of processes.

use std::path::Path;
use std::sync::Arc;

use wasmtime::{
    Config, Engine, ExternType, FuncType, Instance, InstancePre, Linker, Module, Result, Store, ValType, bail,
};

use crate::guest::Guest;
use crate::imports;

/// The exports that name the version of the ABI a filter is for, of those that are simulated.
const VERSIONS: [&str; 2] = ["proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0"];
/// The exports that may allocate memory for what the host hands over; the first there is does.
pub(crate) const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// The callbacks: how many numbers each is given, and whether it answers one.
const CALLBACKS: [(&str, usize, bool); 24] = [
    ("proxy_on_memory_allocate", 1, true),
    ("proxy_on_context_create", 2, false),
    ("proxy_on_vm_start", 2, true),
    ("proxy_on_configure", 2, true),
    ("proxy_on_tick", 1, false),
    ("proxy_on_queue_ready", 2, false),
    ("proxy_on_request_headers", 3, true),
    ("proxy_on_request_body", 3, true),
    ("proxy_on_request_trailers", 2, true),
    ("proxy_on_response_headers", 3, true),
    ("proxy_on_response_body", 3, true),
    ("proxy_on_response_trailers", 2, true),
    ("proxy_on_http_call_response", 5, false),
    ("proxy_on_grpc_receive_initial_metadata", 3, false),
    ("proxy_on_grpc_receive", 3, false),
    ("proxy_on_grpc_receive_trailing_metadata", 3, false),
    ("proxy_on_grpc_close", 3, false),
    ("proxy_on_foreign_function", 3, false),
    ("proxy_on_log", 1, false),
    ("proxy_on_done", 1, true),
    ("proxy_on_delete", 1, false),
    ("_initialize", 0, false),
    ("_start", 0, false),
    ("malloc", 1, true),
];

/// A compiled filter; a clone is cheap.
#[derive(Clone)]
pub struct Filter {
    instance: InstancePre<Guest>,
    /// As it was compiled: what tells one build from another.
    code: Arc<[u8]>,
}

impl Filter {
    /// Reads and compiles a `.wasm` file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or Envoy would not load it; see [`compile`](Self::compile).
    pub fn load(path: &Path) -> Result<Self> {
        Self::compile(&std::fs::read(path)?)
    }

    /// Compiles the bytes of a `.wasm` file.
    ///
    /// # Errors
    ///
    /// They are not WebAssembly, import what Envoy does not have, do not say that they are for version 0.2 of the ABI,
    /// export no memory or nothing to allocate it with, or export a callback that takes or gives the wrong numbers. The
    /// error names it. A callback that is not there is none: its event passes the filter by, as in Envoy.
    pub fn compile(wasm: &[u8]) -> Result<Self> {
        let mut config = Config::new();
        // Work is counted in fuel, so that a regression in speed shows without a clock.
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let module = Module::from_binary(&engine, wasm)?;
        check_exports(&module)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker)?;
        Ok(Self { instance: linker.instantiate_pre(&module)?, code: wasm.into() })
    }

    pub(crate) fn is_same_code(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.code, &other.code) || self.code == other.code
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.instance.module().engine()
    }

    pub(crate) fn instantiate(&self, store: &mut Store<Guest>) -> Result<Instance> {
        // Initialisers of data and tables burn fuel too.
        store.set_fuel(u64::MAX)?;
        self.instance.instantiate(store)
    }
}

/// What Envoy looks for in a filter when it loads it.
fn check_exports(module: &Module) -> Result<()> {
    let has = |names: &[&str]| names.iter().any(|name| module.get_export(name).is_some());
    if !has(&VERSIONS) {
        bail!("the filter exports no {}: it is for no version of the ABI that is known here", VERSIONS.join(" or "));
    }
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        bail!("the filter exports no memory");
    }
    if !has(&ALLOCATORS) {
        bail!("the filter exports no {}", ALLOCATORS.join(" or "));
    }
    for (name, given, answers) in CALLBACKS {
        match module.get_export(name) {
            Some(ExternType::Func(function)) if !is_of_numbers(&function, given, answers) => {
                let answer = if answers { "an" } else { "no" };
                bail!("{name} has a bad signature: {function}, and not {given} numbers with {answer} answer");
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_of_numbers(function: &FuncType, given: usize, answers: bool) -> bool {
    let are_numbers =
        |mut types: Box<dyn Iterator<Item = ValType> + '_>| types.all(|kind| matches!(kind, ValType::I32));
    function.params().len() == given
        && function.results().len() == usize::from(answers)
        && are_numbers(Box::new(function.params()))
        && are_numbers(Box::new(function.results()))
}
