//! A host call's view of the VM that makes it: the guest's memory, its context, and the world lent to it. Every import
//! starts with `enter!`, where rules may act, and so that a fault can name the last host call.

use std::mem;
use std::time::Duration;

use wasmtime::{AsContext, AsContextMut, Caller, Result, bail, format_err};

use crate::abi::{self, Status};
use crate::guest::{Context, Guest};
use crate::headers::Headers;
use crate::phase::Phase;
use crate::rules::{Effect, Place};
use crate::world::World;
use crate::world::log::{Level, LogLine};
use crate::world::trace::What;

/// One host call under way.
pub(crate) struct HostCall<'a> {
    caller: Caller<'a, Guest>,
}

/// Begins a host call; returns from the import where a rule answers in its place.
macro_rules! enter {
    ($caller:expr, $name:literal) => {
        match $crate::host_call::HostCall::enter($caller, $name)? {
            std::result::Result::Ok(call) => call,
            std::result::Result::Err(status) => return Ok(status),
        }
    };
}
pub(crate) use enter;

/// Makes host functions importable under their own names.
macro_rules! define {
    ($linker:expr, $module:literal, [$($function:ident),+ $(,)?]) => {
        $($linker.func_wrap($module, stringify!($function), $function)?;)+
    };
}
pub(crate) use define;

impl<'a> HostCall<'a> {
    /// The call, or the status that a rule answers in its place.
    pub(crate) fn enter(mut caller: Caller<'a, Guest>, name: &'static str) -> Result<std::result::Result<Self, u32>> {
        let guest = caller.data_mut();
        if let Some(reason) = guest.phase.forbids(name) {
            // The call that the memory is for is the last one made; this one is where it went wrong.
            let outer = guest.host_call.replace(name).map(|outer| format!(" for {outer}")).unwrap_or_default();
            bail!("{name} cannot be called {reason}{outer}: Envoy ends the VM");
        }
        guest.host_call = Some(name);
        guest.world.crossings.host_call(name);
        let effect = guest.world.rules.decide(guest.thread, Place::HostCall(name));
        Self { caller }.obey(effect)
    }

    /// Does what a rule says of this call: it goes on, or the status that is answered in its place.
    pub(crate) fn obey(mut self, effect: Effect) -> Result<std::result::Result<Self, u32>> {
        let status = match effect {
            Effect::Pass => return Ok(Ok(self)),
            Effect::Delay(wait) => return self.wait(wait).map(|()| Ok(self)),
            Effect::Trap => return self.trap(),
            Effect::Fail(status) => status,
            Effect::Drop => Status::Ok.code(),
        };
        let guest = self.guest();
        let host_call = guest.host_call.unwrap_or_default();
        guest.world.note(guest.thread, What::Failed { host_call, status });
        Ok(Err(status))
    }

    /// Lets the VM wait in this call; the rest of the process, where it was lent, goes on meanwhile.
    fn wait(&mut self, wait: Duration) -> Result<()> {
        let guest = self.guest();
        guest.has_waited = true;
        let Some(rest) = &mut guest.rest else {
            let until = guest.world.clock.elapsed() + wait;
            guest.world.clock.move_to(until);
            return Ok(());
        };
        rest.pass(&mut guest.world, guest.thread, wait).map_err(|fault| format_err!("while it waited: {fault}"))
    }

    /// Ends the VM, as a rule wants it.
    pub(crate) fn trap<T>(&mut self) -> Result<T> {
        let guest = self.guest();
        guest.killed = true;
        bail!("a rule ends the VM in {}", guest.host_call.unwrap_or_default())
    }

    pub(crate) fn guest(&mut self) -> &mut Guest {
        self.caller.data_mut()
    }

    pub(crate) fn world(&mut self) -> &mut World {
        &mut self.caller.data_mut().world
    }

    /// How far the wall clock of this thread is off.
    pub(crate) fn skew_nanos(&mut self) -> i64 {
        let thread = self.guest().thread;
        self.world().skews.get(&thread).copied().unwrap_or_default()
    }

    /// The context the call acts upon: the effective one, where it was set, else the one the callback is for.
    pub(crate) fn context(&mut self) -> (u32, Context) {
        let guest = self.guest();
        let id = guest.effective.unwrap_or(guest.current);
        (id, guest.contexts.get(&id).copied().unwrap_or(Context::Root))
    }

    /// The root context the call belongs to: its own, or that of its stream.
    pub(crate) fn root(&mut self) -> u32 {
        match self.context() {
            (id, Context::Root) => id,
            (_, Context::Stream(stream)) => self.world().streams.get(&stream).map_or(0, |stream| stream.root),
        }
    }

    /// Adds a line to the log.
    pub(crate) fn log(&mut self, level: Level, message: String) {
        let thread = self.guest().thread;
        let world = self.world();
        let at = world.clock.elapsed();
        world.note(thread, What::Logged { message: message.clone() });
        world.log.push(LogLine { at, thread, level, message });
    }

    /// Bytes of the guest.
    pub(crate) fn bytes(&self, at: u32, size: u32) -> Result<Vec<u8>> {
        let end = u64::from(at) + u64::from(size);
        let range = usize::try_from(at)?..usize::try_from(end)?;
        let memory = self.caller.data().memory()?;
        match memory.data(self.caller.as_context()).get(range) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => bail!("{size} bytes at {at:#x} are outside the guest's memory"),
        }
    }

    pub(crate) fn get_u32(&self, at: u32) -> Result<u32> {
        let bytes = self.bytes(at, 4)?;
        Ok(u32::from_le_bytes(bytes.as_slice().try_into()?))
    }

    /// Bytes of the guest that Envoy takes for text.
    pub(crate) fn text(&self, at: u32, size: u32) -> Result<String> {
        String::from_utf8(self.bytes(at, size)?).map_err(|error| format_err!("not UTF-8: {error}"))
    }

    /// A header map of the guest.
    pub(crate) fn pairs(&self, at: u32, size: u32) -> Result<Headers> {
        abi::decode_pairs(&self.bytes(at, size)?).ok_or_else(|| format_err!("a malformed header map"))
    }

    pub(crate) fn put(&mut self, at: u32, bytes: &[u8]) -> Result<()> {
        let memory = self.caller.data().memory()?;
        Ok(memory.write(self.caller.as_context_mut(), usize::try_from(at)?, bytes)?)
    }

    pub(crate) fn put_u32(&mut self, at: u32, value: u32) -> Result<()> {
        self.put(at, &value.to_le_bytes())
    }

    pub(crate) fn put_u64(&mut self, at: u32, value: u64) -> Result<()> {
        self.put(at, &value.to_le_bytes())
    }

    /// Hands bytes over in memory the guest allocates, as a pointer and a size. No bytes are a null pointer.
    pub(crate) fn give(&mut self, bytes: &[u8], pointer_at: u32, size_at: u32) -> Result<u32> {
        let size = u32::try_from(bytes.len())?;
        let pointer = if bytes.is_empty() {
            0
        } else {
            self.world().crossings.allocation();
            let allocate = self.caller.data().allocate()?;
            let outer = self.guest().host_call;
            let phase = mem::replace(&mut self.guest().phase, Phase::Allocating);
            let pointer = allocate.call(self.caller.as_context_mut(), size)?;
            (self.guest().phase, self.guest().host_call) = (phase, outer);
            pointer
        };
        self.put(pointer, bytes)?;
        self.put_u32(pointer_at, pointer)?;
        self.put_u32(size_at, size)?;
        Ok(Status::Ok.code())
    }
}
