//! A filter, compiled once and run by any number of processes.

use std::path::Path;
use std::sync::Arc;

use wasmtime::{Config, Engine, Instance, InstancePre, Linker, Module, Result, Store};

use crate::imports;
use crate::vm::Guest;
use crate::wasi;

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
    /// It cannot be read, is not WebAssembly, or imports what Envoy does not have.
    pub fn load(path: &Path) -> Result<Self> {
        Self::compile(&std::fs::read(path)?)
    }

    /// Compiles the bytes of a `.wasm` file.
    ///
    /// # Errors
    ///
    /// They are not WebAssembly, or import what Envoy does not have.
    pub fn compile(wasm: &[u8]) -> Result<Self> {
        let mut config = Config::new();
        // Work is counted in fuel, so that a regression in speed shows without a clock.
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let module = Module::from_binary(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker)?;
        wasi::link(&mut linker)?;
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
