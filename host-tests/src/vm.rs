//! One VM: an instance of the filter in a store of its own, and what the host remembers about it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Instance, Memory, Result, Store, Trap, TypedFunc, WasmParams, WasmResults, format_err};

use crate::fault::Fault;
use crate::filter::Filter;
use crate::stream::{Answer, StreamId};
use crate::upstream::Response;
use crate::world::{Thread, VmId, World};

/// More than any callback needs (about a second of real work): a callback that burns it loops for ever.
const FUEL_PER_CALLBACK: u64 = 2_000_000_000;

/// What every VM of a process is told about it.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) plugin_name: String,
    pub(crate) vm_id: String,
    pub(crate) environment: Vec<(String, String)>,
    /// A trap of the filter's own is what a test wants.
    pub(crate) may_trap: bool,
}

/// What a context id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Root,
    Stream(StreamId),
}

/// A root context: one configuration of the filter in this VM.
#[derive(Debug, Default)]
pub(crate) struct Root {
    pub(crate) config: Arc<[u8]>,
    pub(crate) tick_period: Duration,
    /// Counts how often the timer was set: only the last setting fires.
    pub(crate) armed: u64,
    /// It answered false to `on_done`, and Envoy waits for `proxy_done`.
    pub(crate) is_ending: bool,
}

/// An HTTP call under way.
#[derive(Debug)]
pub(crate) struct PendingCall {
    pub(crate) context: u32,
    pub(crate) response: Option<Response>,
}

/// What a host call asks for that Envoy does only after the callback has returned.
#[derive(Debug)]
pub(crate) enum Deferred {
    Reply(StreamId, Answer),
    Continue(StreamId),
    Close(StreamId),
    /// A root is done.
    Delete(u32),
}

/// The state in a VM's store.
pub(crate) struct Guest {
    /// Lent by the process while a callback runs.
    pub(crate) world: Box<World>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) thread: Thread,
    pub(crate) vm: VmId,
    pub(crate) contexts: BTreeMap<u32, Context>,
    pub(crate) roots: BTreeMap<u32, Root>,
    pub(crate) calls: BTreeMap<u32, PendingCall>,
    pub(crate) deferred: Vec<Deferred>,
    /// The context of the callback, and the one `proxy_set_effective_context` put in its place.
    pub(crate) current: u32,
    pub(crate) effective: Option<u32>,
    /// Of the call whose callback runs.
    pub(crate) call_response: Option<Response>,
    pub(crate) host_call: Option<&'static str>,
    /// A rule ended the VM.
    pub(crate) killed: bool,
    /// What the filter wrote to standard output and error, where a panic without a hook goes.
    pub(crate) stderr: String,
    /// The root that serves new connections.
    pub(crate) serving: u32,
    next_context: u32,
    next_token: u32,
    memory: Option<Memory>,
    allocate: Option<TypedFunc<u32, u32>>,
}

impl Guest {
    pub(crate) fn new(identity: Arc<Identity>, thread: Thread, vm: VmId) -> Self {
        Self {
            world: Box::default(),
            identity,
            thread,
            vm,
            contexts: BTreeMap::new(),
            roots: BTreeMap::new(),
            calls: BTreeMap::new(),
            deferred: Vec::new(),
            current: 0,
            effective: None,
            call_response: None,
            host_call: None,
            killed: false,
            stderr: String::new(),
            serving: 0,
            next_context: 0,
            next_token: 0,
            memory: None,
            allocate: None,
        }
    }

    pub(crate) fn add_root(&mut self, config: Arc<[u8]>) -> u32 {
        let id = self.add_context(Context::Root);
        self.roots.insert(id, Root { config, ..Root::default() });
        self.serving = id;
        id
    }

    pub(crate) fn add_context(&mut self, context: Context) -> u32 {
        self.next_context += 1;
        self.contexts.insert(self.next_context, context);
        self.next_context
    }

    /// Forgets a stream's context and, as Envoy does, the calls it made.
    pub(crate) fn remove_context(&mut self, id: u32) {
        self.contexts.remove(&id);
        self.calls.retain(|_, call| call.context != id);
    }

    pub(crate) fn add_call(&mut self, call: PendingCall) -> u32 {
        self.next_token += 1;
        self.calls.insert(self.next_token, call);
        self.next_token
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        self.memory.ok_or_else(|| format_err!("the filter exports no memory"))
    }

    pub(crate) fn allocate(&self) -> Result<TypedFunc<u32, u32>> {
        self.allocate.clone().ok_or_else(|| format_err!("the filter exports no proxy_on_memory_allocate"))
    }
}

/// A VM that runs.
pub(crate) struct Vm {
    store: Store<Guest>,
    instance: Instance,
    /// Fuel burnt so far by all callbacks.
    pub(crate) fuel: u64,
}

impl Vm {
    /// Instantiates the filter and runs its `_initialize`.
    pub(crate) fn new(filter: &Filter, guest: Guest, world: &mut Box<World>) -> Result<Self, Fault> {
        let thread = guest.thread;
        let mut store = Store::new(filter.engine(), guest);
        let instance = filter.instantiate(&mut store).map_err(|error| Fault {
            thread,
            callback: "instantiate",
            host_call: None,
            reason: format!("{error:#}"),
            killed: false,
        })?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = instance.get_typed_func(&mut store, "proxy_on_memory_allocate").ok();
        let guest = store.data_mut();
        (guest.memory, guest.allocate) = (memory, allocate);
        let mut vm = Self { store, instance, fuel: 0 };
        vm.call::<(), ()>(world, "_initialize", 0, ())?;
        Ok(vm)
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
        let guest = self.guest();
        (guest.current, guest.effective, guest.host_call) = (context, None, None);
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
