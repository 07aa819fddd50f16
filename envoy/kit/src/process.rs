//! A child process that never outlives its parent: not on a failure, not on Ctrl-C, not on SIGTERM; and the memory of one.

use std::fs;
use std::process::{Child, ChildStdout, Command, ExitStatus, exit};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use anyhow::{Context, Result, ensure};

/// A child process. It is killed when this is dropped, or when a signal ends this process.
pub struct Process {
    child: Arc<Mutex<Child>>,
    id: u32,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        static SIGNALS: Once = Once::new();
        // Where there is a handler already, that one ends the process.
        SIGNALS.call_once(|| drop(ctrlc::set_handler(kill_all)));
        // The lock is held over the start, so that no signal falls between the start and the entry in the list.
        let mut running = lock(&RUNNING);
        let child = command.spawn()?;
        let id = child.id();
        let child = Arc::new(Mutex::new(child));
        running.retain(|other| other.strong_count() > 0);
        running.push(Arc::downgrade(&child));
        Ok(Self { child, id })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends it a signal, by its name: `TERM`, `STOP`, `CONT`.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn signal(&self, name: &str) -> Result<()> {
        let told = Command::new("kill").args([&format!("-{name}"), &self.id.to_string()]).status()?;
        ensure!(told.success(), "kill -{name} ended with {told}");
        Ok(())
    }

    /// Kills it with SIGKILL, unless it has ended, and waits until it is gone.
    pub fn kill(&self) {
        kill(&self.child);
    }

    /// Its output, once, when it was started with a pipe for it.
    pub fn stdout(&self) -> Option<ChildStdout> {
        lock(&self.child).stdout.take()
    }

    /// Its exit status, once it has ended.
    ///
    /// # Errors
    /// When the operating system will not say.
    pub fn exited(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

/// The memory of a process, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// Reads that of a process, by Linux's /proc.
    ///
    /// # Errors
    /// When there is no such process, or no /proc.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("this needs Linux's /proc")?;
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
            line.trim_end_matches("kB").trim().parse::<u64>().with_context(|| format!("{key}{line}"))
        };
        Ok(Self { resident: kib("VmRSS:")?, peak: kib("VmHWM:")? })
    }
}

static RUNNING: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(Vec::new());

fn kill_all() {
    for child in lock(&RUNNING).iter().filter_map(Weak::upgrade) {
        kill(&child);
    }
    exit(EXIT_SIGNALLED);
}

fn kill(child: &Mutex<Child>) {
    let mut child = lock(child);
    // It may have ended by itself; either way there is nothing left to do about it.
    let _ = child.kill();
    let _ = child.wait();
}

/// What is behind these locks stays whole when a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What shells give for Ctrl-C: 128 and the number of SIGINT.
const EXIT_SIGNALLED: i32 = 130;
