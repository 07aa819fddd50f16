//! Events that are kept until they are worked on, and the ids of those that were.
//!
//! The directory is queue and memory in one: `new/<id>` waits for its work, `done/<id>` is an id that had it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::{log, work};

pub struct Inbox {
    part: PathBuf,
    new: PathBuf,
    done: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    woken: bool,
    stopping: bool,
}

/// What became of an event.
pub enum Keep {
    /// It is on disk.
    Kept,
    /// It was before.
    Before,
    /// Another request with this id is just being kept.
    Busy,
    /// Too many wait for their work.
    Full,
}

impl Inbox {
    pub fn open(root: &Path) -> Result<Self> {
        let [part, new, done] = ["part", "new", "done"].map(|name| root.join(name));
        for directory in [&part, &new, &done] {
            fs::create_dir_all(directory)?;
        }
        // What a crash cut off was never promised.
        for entry in fs::read_dir(&part)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Self { part, new, done, state: Mutex::default(), changed: Condvar::new() })
    }

    /// On `Kept` and `Before` the event is on disk.
    pub fn keep(&self, id: &str, event: &str, body: &[u8]) -> Result<Keep> {
        let part = self.part.join(id);
        // Of all who try at once, one creates it.
        let file = match OpenOptions::new().write(true).create_new(true).open(&part) {
            Err(problem) if problem.kind() == ErrorKind::AlreadyExists => return Ok(Keep::Busy),
            file => file?,
        };
        let kept = self.write(file, &part, id, event, body);
        if !matches!(kept, Ok(Keep::Kept)) {
            fs::remove_file(&part)?;
            return kept;
        }
        // A new name in a directory outlives a power cut only after this.
        File::open(&self.new)?.sync_all()?;
        self.change(|state| state.woken = true);
        kept
    }

    fn write(&self, mut file: File, part: &Path, id: &str, event: &str, body: &[u8]) -> Result<Keep> {
        let new = self.new.join(id);
        if new.try_exists()? || self.done.join(id).try_exists()? {
            return Ok(Keep::Before);
        }
        if fs::read_dir(&self.new)?.count() >= WAITING_MAX {
            return Ok(Keep::Full);
        }
        file.write_all(event.as_bytes())?;
        file.write_all(b"\n")?;
        file.write_all(body)?;
        file.sync_all()?;
        fs::rename(part, new)?;
        Ok(Keep::Kept)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Ends [`Inbox::run`], once the event in work is finished.
    pub fn stop(&self) {
        self.change(|state| state.stopping = true);
    }

    /// Works on what waits, until it is told to stop.
    pub fn run(&self) {
        let mut again = HashMap::new();
        let mut next_look = Instant::now();
        while !self.state.lock().unwrap_or_else(PoisonError::into_inner).stopping {
            if let Err(problem) = self.work_on_all(&mut again) {
                log(&format!("cannot read the inbox: {problem}"));
            }
            if Instant::now() >= next_look {
                self.forget();
                next_look += FORGET_EVERY;
            }
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.changed.wait_timeout_while(state, WORK_AGAIN, |state| !state.woken && !state.stopping);
            waited.unwrap_or_else(PoisonError::into_inner).0.woken = false;
        }
    }

    fn work_on_all(&self, again: &mut HashMap<String, Instant>) -> Result<()> {
        for entry in fs::read_dir(&self.new)? {
            if self.state.lock().unwrap_or_else(PoisonError::into_inner).stopping {
                return Ok(());
            }
            let id = entry?.file_name().to_string_lossy().into_owned();
            if again.get(&id).is_some_and(|time| Instant::now() < *time) {
                continue;
            }
            again.remove(&id);
            // One event that fails must not stop the others.
            if let Err(problem) = self.work_on(&id) {
                log(&format!("work failed id={id} again_in={}s problem={problem}", WORK_AGAIN.as_secs()));
                again.insert(id, Instant::now() + WORK_AGAIN);
            }
        }
        Ok(())
    }

    fn work_on(&self, id: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let (new, done) = (self.new.join(id), self.done.join(id));
        let content = fs::read(&new)?;
        let end = content.iter().position(|byte| *byte == b'\n').ok_or("not a file of this inbox")?;
        work(id, std::str::from_utf8(&content[..end])?, &content[end + 1..])?;
        // Only now: an id that was marked before its work would hide that the work failed.
        fs::rename(new, &done)?;
        OpenOptions::new().write(true).open(done)?.set_len(0)?;
        Ok(())
    }

    fn forget(&self) {
        let before = SystemTime::now() - REMEMBERED;
        for entry in fs::read_dir(&self.done).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|time| time < before) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Ids are remembered for longer than the sender keeps trying: its `max_age`, a day, and an hour.
const REMEMBERED: Duration = Duration::from_secs(25 * 3600);
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// Events that wait for their work; above, the sender is asked to come back.
const WAITING_MAX: usize = 10_000;
const WORK_AGAIN: Duration = Duration::from_secs(10);
