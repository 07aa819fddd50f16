//! What a test may do to a process: end VMs, put faults in, let threads stall and clocks go wrong.

use std::time::Duration;

use super::Process;
use crate::ids::{At, Thread};
use crate::rules::{Rule, RuleId};
use crate::world::trace::What;

impl Process {
    /// Ends the VM that serves a thread's new connections, as a trap does: its ticks and calls stop, shared data stays.
    /// Under `FAIL_RELOAD` a worker's is rebuilt by the next new stream, if it was started a second ago or longer; the
    /// main thread's is not. A new configuration or build replaces either. Its streams are answered 503 as soon as
    /// anything more of them arrives; those that are paused wait until they are given up as idle.
    ///
    /// While an old build drains, its VM stays: see [`kill_old_vms`](Self::kill_old_vms).
    pub fn kill_vm(&mut self, thread: Thread) {
        let build = self.deployment.current_build();
        let vm = self.slots.get_mut(&thread).and_then(|slot| slot.vm_of(build)).map(|vm| vm.id());
        if let Some(vm) = vm {
            self.lose(At { thread, vm });
        }
    }

    /// Ends the VMs that drain on a thread, as traps do.
    pub fn kill_old_vms(&mut self, thread: Thread) {
        let build = self.deployment.current_build();
        let Some(slot) = self.slots.get(&thread) else { return };
        let old: Vec<_> = slot.vms.iter().filter(|vm| vm.build() != build).map(|vm| vm.id()).collect();
        old.into_iter().for_each(|vm| self.lose(At { thread, vm }));
    }

    /// Adds a fault. See [`Rule`].
    pub fn add_rule(&mut self, rule: Rule) -> RuleId {
        self.world.rules.add(rule)
    }

    /// Takes a fault away.
    pub fn remove_rule(&mut self, rule: RuleId) {
        self.world.rules.remove(rule);
    }

    /// Takes all faults away.
    pub fn clear_rules(&mut self) {
        self.world.rules.clear();
    }

    /// Lets a thread do nothing for a while, as when the machine gives it no time: its ticks, wake-ups, ends of calls
    /// and answers come late, in their order. A request made meanwhile is one that found the thread awake for a moment.
    pub fn stall(&mut self, thread: Thread, wait: Duration) {
        let until = self.world.clock.elapsed() + wait;
        if let Some(slot) = self.slots.get_mut(&thread) {
            slot.stalled_until = slot.stalled_until.max(until);
            self.world.note(thread, What::Stalled { wait });
        }
    }

    /// Until when a thread stalls, as time since the start; in the past when it does not.
    pub fn stalled_until(&self, thread: Thread) -> Duration {
        self.slots.get(&thread).map_or(Duration::ZERO, |slot| slot.stalled_until)
    }

    /// Has this thread a VM that serves new connections?
    pub fn has_vm(&self, thread: Thread) -> bool {
        let build = self.deployment.current_build();
        self.slots.get(&thread).is_some_and(|slot| slot.vms.iter().any(|vm| vm.build() == build))
    }

    /// The number of VMs a thread has: more than one while an old build drains.
    pub fn vm_count(&self, thread: Thread) -> usize {
        self.slots.get(&thread).map_or(0, |slot| slot.vms.len())
    }

    /// Steps the wall clock forward or back; the monotonic one goes on as ever.
    pub fn step_wall_clock(&mut self, millis: i64) {
        self.world.clock.step_wall(millis);
        self.world.note(Thread::Main, What::Stepped { millis });
    }

    /// Lets one thread's wall clock be off by so much, as if it had not noticed a step yet.
    pub fn skew_wall_clock(&mut self, thread: Thread, millis: i64) {
        self.world.skews.insert(thread, millis.saturating_mul(1_000_000));
    }
}
