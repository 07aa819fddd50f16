//! Deploying: the start, other configurations, other builds, and the end of what they replace.

use std::sync::Arc;
use std::time::Duration;

use super::Process;
use crate::abi::size;
use crate::deployment::Plugin;
use crate::fault::{Fault, StartError};
use crate::filter::Filter;
use crate::guest::Guest;
use crate::ids::{At, BuildId, PluginId, PluginKey, Thread};
use crate::vm::Vm;
use crate::world::World;
use crate::world::trace::What;

/// How long a VM takes to start.
const START: Duration = Duration::from_millis(1);

impl Process {
    /// Starts every listener's plugin: for each a canary and the main thread's root, then those of the workers.
    pub(super) fn start(&mut self) -> Result<(), StartError> {
        let plugins = self.deployment.currents();
        for id in &plugins {
            let Some(Plugin { build, key, .. }) = self.deployment.plugin(*id).cloned() else { continue };
            self.canary(build, &key)?;
            self.load(Thread::Main, *id)?;
        }
        self.deploy_on(|thread| thread != Thread::Main, &plugins)
    }

    /// Ends the process and starts it again with the newest builds and configurations: everything in memory is gone,
    /// shared data included, and the streams are reset. The clusters and what they received stay, as do the
    /// application, the clocks, the trace and the log.
    ///
    /// # Errors
    ///
    /// As when it was started.
    pub fn restart(&mut self) -> Result<(), StartError> {
        for at in self.vms() {
            self.lose(at);
        }
        self.world.forget();
        self.deployment.drain();
        self.deployment.forget_tries();
        self.start()
    }

    /// Pushes another configuration of the first listener's plugin: a canary tries it, then every VM gets a new root
    /// context beside the old ones, which go on ticking; new connections go to the new root. A thread whose VM is lost
    /// gets a new one. A configuration that is still draining comes back without `on_configure`: its root serves again.
    ///
    /// # Errors
    ///
    /// The canary refuses it or goes wrong, and everything stays as it was; or another VM does. What a canary once
    /// refused it refuses again, without a new line in the log.
    pub fn update_config(&mut self, config: impl Into<Vec<u8>>) -> Result<(), StartError> {
        self.replace(0, self.deployment.current_build(), config.into().into())
    }

    /// The same for the plugin of another listener, by the name it was [added](crate::Builder::listener) under.
    ///
    /// # Errors
    ///
    /// As for [`update_config`](Self::update_config), or there is no such listener.
    pub fn update_listener(&mut self, listener: &str, config: impl Into<Vec<u8>>) -> Result<(), StartError> {
        let number = self.listener(listener, "update")?;
        let build = self.deployment.current(number).and_then(|id| self.deployment.plugin(id));
        let build = build.map_or(self.deployment.current_build(), |plugin| plugin.build);
        self.replace(number, build, config.into().into())
    }

    /// Deploys another build of the filter, on every listener: the first gets this configuration, the others keep theirs.
    /// Canaries try it first. Then every thread gets a new VM beside the old one, whose roots go on ticking and serving
    /// their connections until [`end_drain`](Self::end_drain). Shared data, queues and metrics are those of the process:
    /// the new VMs find them as they are. A build that is still draining comes back as it is.
    ///
    /// # Errors
    ///
    /// A canary refuses or goes wrong, and everything stays as it was; or another VM does.
    pub fn update_filter(&mut self, filter: &Filter, config: impl Into<Vec<u8>>) -> Result<(), StartError> {
        let build = self.deployment.build(filter);
        let mut keys: Vec<PluginKey> = Vec::new();
        for id in self.deployment.currents() {
            keys.extend(self.deployment.plugin(id).map(|plugin| plugin.key.clone()));
        }
        if let Some(first) = keys.first_mut() {
            first.config = config.into().into();
        }
        keys.iter().try_for_each(|key| self.canary(build, key))?;
        self.world.note(Thread::Main, What::Upgraded);
        let keys = keys.into_iter().enumerate();
        let plugins: Vec<_> =
            keys.filter_map(|(listener, key)| self.deployment.replace(listener, build, key)).collect();
        self.deploy_on(|_| true, &plugins)
    }

    fn replace(&mut self, listener: usize, build: BuildId, config: Arc<[u8]>) -> Result<(), StartError> {
        let current = self.deployment.current(listener).and_then(|id| self.deployment.plugin(id));
        let Some(name) = current.map(|plugin| Arc::clone(&plugin.key.name)) else { return Ok(()) };
        let key = PluginKey { name, config };
        self.canary(build, &key)?;
        self.world.note(Thread::Main, What::Configured);
        let Some(plugin) = self.deployment.replace(listener, build, key) else { return Ok(()) };
        self.deploy_on(|_| true, &[plugin])
    }

    fn deploy_on(&mut self, wanted: impl Fn(Thread) -> bool, plugins: &[PluginId]) -> Result<(), StartError> {
        let threads: Vec<Thread> = self.slots.keys().copied().filter(|thread| wanted(*thread)).collect();
        threads.into_iter().try_for_each(|thread| plugins.iter().try_for_each(|id| self.load(thread, *id)))
    }

    /// Starts a VM, configures it and throws it away, as Envoy does to try a configuration; once for each build and
    /// configuration, for as long as the build is in use.
    fn canary(&mut self, build: BuildId, key: &PluginKey) -> Result<(), StartError> {
        match self.deployment.tried(build, key) {
            Some(true) => return Ok(()),
            Some(false) => return Err(StartError::Refused { vm: "canary".to_owned(), log: Vec::new() }),
            None => {}
        }
        let mut vm = self.instantiate(Thread::Main, build)?;
        let result = configure(&mut vm, &mut self.world, key, "canary");
        match &result {
            Ok(_) => self.deployment.remember(build, key.clone(), true),
            Err(StartError::Refused { .. }) => self.deployment.remember(build, key.clone(), false),
            Err(StartError::Fault(_)) => {}
        }
        result.map(|_| ())
    }

    /// Gives a thread the root context of a plugin: the one that is there already, or a new one in the VM of its build,
    /// or in a new VM. A VM that a rule ends meanwhile is lost.
    pub(super) fn load(&mut self, thread: Thread, id: PluginId) -> Result<(), StartError> {
        match self.try_load(thread, id) {
            Err(StartError::Fault(fault)) if fault.killed => Ok(()),
            result => result,
        }
    }

    fn try_load(&mut self, thread: Thread, id: PluginId) -> Result<(), StartError> {
        let Some(Plugin { build, key, .. }) = self.deployment.plugin(id).cloned() else { return Ok(()) };
        let now = self.world.clock.elapsed();
        if let Some(slot) = self.slots.get_mut(&thread) {
            slot.loaded.insert(id, now);
        }
        if self.root_of(thread, id).is_some() {
            return Ok(());
        }
        let is_there = self.slots.get_mut(&thread).is_some_and(|slot| slot.vm_of(build).is_some());
        if !is_there {
            let vm = self.instantiate(thread, build)?;
            self.world.note(thread, What::Started);
            if let Some(slot) = self.slots.get_mut(&thread) {
                slot.vms.push(vm);
            }
        }
        let Some(vm) = self.slots.get_mut(&thread).and_then(|slot| slot.vm_of(build)) else { return Ok(()) };
        let at = At { thread, vm: vm.id() };
        let result = configure(vm, &mut self.world, &key, &thread.to_string());
        match &result {
            Ok(_) => self.settle(at)?,
            Err(StartError::Fault(_)) => self.lose(at),
            Err(StartError::Refused { .. }) => {}
        }
        result.map(|_| ())
    }

    /// The VM and root context of a plugin on a thread, where there are any.
    pub(super) fn root_of(&mut self, thread: Thread, id: PluginId) -> Option<(At, u32)> {
        let plugin = self.deployment.plugin(id)?;
        let guest = self.slots.get_mut(&thread)?.vm_of(plugin.build)?.guest();
        let at = At { thread, vm: guest.vm };
        let root = guest.roots.iter().find(|(_, root)| !root.is_ending && root.key == plugin.key);
        root.map(|(root, _)| (at, *root))
    }

    fn instantiate(&mut self, thread: Thread, build: BuildId) -> Result<Vm, Fault> {
        let now = self.world.clock.elapsed();
        self.world.clock.move_to(now + START);
        let guest = Guest::new(Arc::clone(&self.identity), thread, self.world.next_vm(), build);
        let Some(filter) = self.deployment.filter(build) else {
            return Err(Fault::new(thread, "instantiate", "there is no such build"));
        };
        Vm::new(filter, guest, &mut self.world)
    }

    /// Ends the drain of what was replaced: its connections close, and its roots are told that they are done. One that
    /// answers false lives on until it says `proxy_done`, unless its whole VM was replaced: with its last root the VM
    /// goes, and the calls under way are cancelled with no callback.
    ///
    /// # Errors
    ///
    /// The filter went wrong.
    pub fn end_drain(&mut self) -> Result<(), Fault> {
        self.world.note(Thread::Main, What::Drained);
        self.deployment.drain();
        let streams = self.world.streams.iter().filter(|(_, stream)| stream.is_open);
        let drained = streams.filter(|(_, stream)| self.deployment.is_drained(stream.plugin));
        for (id, at) in drained.map(|(id, stream)| (*id, stream.at)).collect::<Vec<_>>() {
            self.close(id)?;
            self.settle(at)?;
        }
        for at in self.vms() {
            self.end_roots(at)?;
            let Some(build) = self.guest(at).map(|guest| guest.build) else { continue };
            if !self.deployment.uses(build) {
                self.remove(at);
                self.world.note(at.thread, What::Ended);
            }
        }
        Ok(())
    }

    fn end_roots(&mut self, at: At) -> Result<(), Fault> {
        let Some(vm) = self.slots.get_mut(&at.thread).and_then(|slot| slot.vm(at.vm)) else { return Ok(()) };
        let guest = vm.guest();
        let roots = guest.roots.iter().filter(|(_, root)| !root.is_ending);
        let unused = roots.filter(|(_, root)| !self.deployment.uses_root(guest.build, &root.key));
        for root in unused.map(|(id, _)| *id).collect::<Vec<u32>>() {
            let done: Option<u32> = self.enter(at, "proxy_on_done", root, root)?;
            if let (Some(0), Some(root)) = (done, self.guest(at).and_then(|guest| guest.roots.get_mut(&root))) {
                root.is_ending = true;
            } else {
                self.delete_root(at, root)?;
            }
            self.settle(at)?;
        }
        Ok(())
    }

    /// Forgets a root with all it had under way.
    pub(super) fn delete_root(&mut self, at: At, root: u32) -> Result<(), Fault> {
        self.enter::<_, ()>(at, "proxy_on_delete", root, root)?;
        if let Some(guest) = self.guest(at) {
            guest.roots.remove(&root);
            guest.remove_context(root);
        }
        Ok(())
    }

    /// The number of a listener.
    pub(super) fn listener(&self, name: &str, doing: &'static str) -> Result<usize, Fault> {
        let number = self.deployment.listener(name);
        number.ok_or_else(|| Fault::new(Thread::Main, doing, format!("the process has no listener {name}")))
    }
}

/// Makes a root context for this plugin.
fn configure(vm: &mut Vm, world: &mut Box<World>, key: &PluginKey, name: &str) -> Result<u32, StartError> {
    let logged = world.log.len();
    let root = vm.guest().add_root(key.clone());
    let vm_config = vm.guest().identity.vm_config.len();
    vm.guest().shown_config = Some(Arc::clone(&key.config));
    vm.call::<_, ()>(world, "proxy_on_context_create", root, (root, 0))?;
    vm.guest().shown_config = None;
    let started: Option<u32> = vm.call(world, "proxy_on_vm_start", root, (root, size(vm_config)))?;
    let configured = match started {
        Some(0) => Some(0),
        _ => {
            vm.guest().shown_config = Some(Arc::clone(&key.config));
            vm.call::<_, u32>(world, "proxy_on_configure", root, (root, size(key.config.len())))?
        }
    };
    vm.guest().shown_config = None;
    if configured == Some(0) {
        vm.guest().roots.remove(&root);
        vm.guest().remove_context(root);
        let log = world.log.iter().skip(logged).cloned().collect();
        return Err(StartError::Refused { vm: name.to_owned(), log });
    }
    Ok(root)
}
