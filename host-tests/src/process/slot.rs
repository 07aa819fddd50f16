//! One thread of the process.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{BuildId, PluginId, VmId};
use crate::vm::Vm;

/// The VMs of a thread, and until when it stalls.
#[derive(Default)]
pub(super) struct Slot {
    /// One for each build that is in use; more than one only while an old build drains.
    pub(super) vms: Vec<Vm>,
    /// When each plugin was last started here; the back-off counts from there.
    pub(super) loaded: BTreeMap<PluginId, Duration>,
    /// The thread does nothing before.
    pub(super) stalled_until: Duration,
}

impl Slot {
    pub(super) fn vm(&mut self, id: VmId) -> Option<&mut Vm> {
        self.vms.iter_mut().find(|vm| vm.id() == id)
    }

    /// The VM that runs this build.
    pub(super) fn vm_of(&mut self, build: BuildId) -> Option<&mut Vm> {
        self.vms.iter_mut().find(|vm| vm.build() == build)
    }

    /// Takes a VM out.
    pub(super) fn take(&mut self, id: VmId) -> Option<Vm> {
        let number = self.vms.iter().position(|vm| vm.id() == id)?;
        Some(self.vms.remove(number))
    }
}
