//! One VM: an instance of the filter in a store of its own.

use std::mem;

use wasmtime::{Instance, Result, Store, Trap, WasmParams, WasmResults};

use crate::fault::Fault;
use crate::filter::{ALLOCATORS, Filter};
use crate::guest::Guest;
use crate::ids::{BuildId, VmId};
use crate::phase::Phase;
use crate::world::World;

/// More than any callback needs (about a second of real work): a callback that burns it loops for ever.
const FUEL_PER_CALLBACK: u64 = 2_000_000_000;

/// A VM that runs.
pub(crate) struct Vm {
    store: Store<Guest>,
    instance: Instance,
    /// Fuel burnt so far by all callbacks.
    pub(crate) fuel: u64,
}

impl Vm {
    /// Instantiates the filter and starts it.
    pub(crate) fn new(filter: &Filter, guest: Guest, world: &mut Box<World>) -> Result<Self, Fault> {
        let thread = guest.thread;
        let mut store = Store::new(filter.engine(), guest);
        let instance =
            filter.instantiate(&mut store).map_err(|error| Fault::new(thread, "instantiate", format!("{error:#}")))?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocators = ALLOCATORS.iter();
        let allocate = allocators.filter_map(|name| instance.get_typed_func(&mut store, name).ok()).next();
        let guest = store.data_mut();
        (guest.memory, guest.allocate) = (memory, allocate);
        let mut vm = Self { store, instance, fuel: 0 };
        vm.guest().phase = Phase::Starting;
        vm.initialize(world)?;
        vm.guest().phase = Phase::Running;
        Ok(vm)
    }

    /// Runs what the filter has for its start: as a WASI reactor, with its `main` after that, or as a command.
    fn initialize(&mut self, world: &mut Box<World>) -> Result<(), Fault> {
        if self.call::<(), ()>(world, "_initialize", 0, ())?.is_none() {
            self.call::<(), ()>(world, "_start", 0, ())?;
        } else if self.call::<_, u32>(world, "main", 0, (0_u32, 0_u32))?.is_none() {
            self.call::<(), u32>(world, "__main_void", 0, ())?;
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> VmId {
        self.store.data().vm
    }

    pub(crate) fn build(&self) -> BuildId {
        self.store.data().build
    }

    pub(crate) fn guest(&mut self) -> &mut Guest {
        self.store.data_mut()
    }

    /// Runs one callback; `None` when the filter does not export it.
    ///
    /// # Errors
    ///
    /// The VM trapped, or made a host call no Envoy would bear. It must not be called again.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        world: &mut Box<World>,
        callback: &'static str,
        context: u32,
        params: P,
    ) -> Result<Option<R>, Fault> {
        let Some(function) = self.instance.get_func(&mut self.store, callback) else { return Ok(None) };
        world.crossings.callback(callback);
        let guest = self.guest();
        (guest.current, guest.effective, guest.host_call, guest.has_waited) = (context, None, None, false);
        mem::swap(&mut guest.world, world);
        let result = self.run(&function, params);
        mem::swap(&mut self.guest().world, world);
        result.map(Some).map_err(|error| self.fault(callback, &error))
    }

    fn run<P: WasmParams, R: WasmResults>(&mut self, function: &wasmtime::Func, params: P) -> Result<R> {
        let function = function.typed::<P, R>(&self.store)?;
        self.store.set_fuel(FUEL_PER_CALLBACK)?;
        let result = function.call(&mut self.store, params);
        self.fuel += FUEL_PER_CALLBACK - self.store.get_fuel()?;
        result
    }

    fn fault(&mut self, callback: &'static str, error: &wasmtime::Error) -> Fault {
        let guest = self.store.data();
        let reason = format!("{} {}", error.root_cause(), guest.stderr.trim()).trim_end().to_owned();
        // What a panic and an abort come to; a loop without end or a wrong host call is a defect all the same.
        let aborted = error.downcast_ref::<Trap>() == Some(&Trap::UnreachableCodeReached);
        let killed = guest.killed || (guest.identity.may_trap && aborted);
        Fault { thread: guest.thread, callback, host_call: guest.host_call, reason, killed }
    }
}
