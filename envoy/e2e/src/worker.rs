//! One worker of a running Envoy, paused while the others go on. Linux only.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// A worker of an Envoy that is paused; it goes on when this is dropped, by the thread that paused it.
pub struct PausedWorker {
    thread: Pid,
}

impl PausedWorker {
    /// Pauses the worker with this number of the Envoy with this process id, and waits until it stands still.
    ///
    /// # Errors
    /// When there is no such worker, or it may not be traced.
    pub fn pause(envoy: u32, number: usize) -> Result<Self> {
        let thread = thread(envoy, &format!("wrk:worker_{number}"))?;
        ptrace::seize(thread, ptrace::Options::empty()).context("the worker's thread is to be traced")?;
        let worker = Self { thread };
        ptrace::interrupt(thread)?;
        // A thread of another process is waited for as a clone.
        waitpid(thread, Some(WaitPidFlag::__WALL))?;
        Ok(worker)
    }
}

impl Drop for PausedWorker {
    fn drop(&mut self) {
        // If its Envoy has ended there is nothing to let go.
        let _ = ptrace::detach(self.thread, None);
    }
}

/// The thread of a process with this name.
fn thread(process: u32, name: &str) -> Result<Pid> {
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?;
        if fs::read_to_string(task.path().join("comm"))?.trim_end() == name {
            let id = task.file_name().to_string_lossy().parse()?;
            return Ok(Pid::from_raw(id));
        }
    }
    anyhow::bail!("process {process} has no thread {name}")
}
