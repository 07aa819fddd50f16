//! The VMs of the process: running a callback in one, and losing one.

use std::any::Any;
use std::mem;
use std::time::Duration;

use wasmtime::{WasmParams, WasmResults};

use super::Process;
use crate::fault::Fault;
use crate::guest::{Guest, Rest};
use crate::ids::{At, Thread};
use crate::vm::Vm;
use crate::world::World;
use crate::world::trace::What;

impl Process {
    /// Runs a callback in a VM; `None` when it is gone or has no such callback. A VM that goes wrong is lost.
    pub(super) fn enter<P: WasmParams, R: WasmResults>(
        &mut self,
        at: At,
        callback: &'static str,
        context: u32,
        params: P,
    ) -> Result<Option<R>, Fault> {
        let Some(slot) = self.slots.get_mut(&at.thread) else { return Ok(None) };
        let result = if self.world.rules.may_wait() {
            let Some(vm) = slot.take(at.vm) else { return Ok(None) };
            self.lend(at.thread, vm, |vm, world| vm.call(world, callback, context, params))
        } else {
            let Some(vm) = slot.vm(at.vm) else { return Ok(None) };
            vm.call(&mut self.world, callback, context, params)
        };
        if result.is_err() {
            self.lose(at);
        }
        match result {
            Err(fault) if fault.killed => Ok(None),
            result => result,
        }
    }

    /// Runs a VM that was taken out of its slot, which it goes back to, and lends it all the rest meanwhile.
    fn lend<T>(&mut self, thread: Thread, mut vm: Vm, call: impl FnOnce(&mut Vm, &mut Box<World>) -> T) -> T {
        let mut world = mem::take(&mut self.world);
        vm.guest().rest = Some(Box::new(mem::take(self)));
        let result = call(&mut vm, &mut world);
        let rest = vm.guest().rest.take().and_then(|rest| (rest as Box<dyn Any>).downcast().ok());
        if let Some(rest) = rest {
            *self = *rest;
        }
        self.world = world;
        self.slots.entry(thread).or_default().vms.push(vm);
        result
    }

    /// Is this VM still there?
    pub(super) fn is_alive(&mut self, at: At) -> bool {
        self.guest(at).is_some()
    }

    pub(super) fn guest(&mut self, at: At) -> Option<&mut Guest> {
        Some(self.slots.get_mut(&at.thread)?.vm(at.vm)?.guest())
    }

    /// All VMs, thread by thread.
    pub(super) fn vms(&self) -> Vec<At> {
        let slots = self.slots.iter();
        slots.flat_map(|(thread, slot)| slot.vms.iter().map(|vm| At { thread: *thread, vm: vm.id() })).collect()
    }

    /// A VM went wrong and is gone.
    pub(super) fn lose(&mut self, at: At) {
        if self.remove(at) {
            self.world.note(at.thread, What::Lost);
        }
    }

    /// Takes a VM out; says whether it was there.
    pub(super) fn remove(&mut self, at: At) -> bool {
        let Some(slot) = self.slots.get_mut(&at.thread) else { return false };
        let Some(vm) = slot.take(at.vm) else { return false };
        self.fuel_of_the_lost += vm.fuel;
        true
    }
}

impl Rest for Process {
    fn pass(&mut self, world: &mut Box<World>, waiting: Thread, wait: Duration) -> Result<(), Fault> {
        mem::swap(&mut self.world, world);
        // What is due as the wait ends is the next thing that the thread does.
        self.stall(waiting, wait + Duration::from_nanos(1));
        let passed = self.advance(wait);
        mem::swap(&mut self.world, world);
        passed
    }
}
