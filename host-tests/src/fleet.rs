//! Several processes side by side, under one time.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::time::Duration;

use crate::fault::{Fault, StartError};
use crate::process::builder::Builder;
use crate::process::{Others, Process};

/// Processes that run side by side, each as on a machine of its own: what happens next in any of them happens next, and
/// what they have in common are only the servers that a test puts behind their clusters.
///
/// Each has clocks of its own. Its time since the start begins as it starts, and its monotonic clock with it; its wall
/// clock shows the one time of all, but for what [`Builder::wall_clock_off_by`] says.
///
/// ```
/// use std::time::Duration;
///
/// use host_tests::{Filter, Fleet, Process, Request};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let filter = Filter::compile(&wat::parse_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/filter.wat")))?)?;
/// let mut fleet = Fleet::default();
/// fleet.start("one", Process::builder(&filter).seed(1))?;
/// fleet.start("two", Process::builder(&filter).seed(2).wall_clock_off_by(-300))?;
/// let request = fleet.with("two", |process| process.request(0, Request::post("/"))).ok_or("it runs")??;
/// fleet.advance(Duration::from_secs(10))?;
/// assert!(fleet.get("two").is_some_and(|process| process.answer(request).is_some()));
///
/// // It is gone at once, and another one comes in its place three seconds later.
/// fleet.kill("two");
/// fleet.advance(Duration::from_secs(3))?;
/// fleet.start("two", Process::builder(&filter).seed(3))?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Fleet {
    now: Duration,
    members: BTreeMap<String, Member>,
}

struct Member {
    /// When it started, by the time of all.
    start: Duration,
    /// Not there while it runs and the others are lent to it.
    process: Option<Process>,
}

/// A process went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetFault {
    /// Its name.
    pub process: String,
    /// What went wrong in it.
    pub fault: Fault,
}

impl fmt::Display for FleetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.process, self.fault)
    }
}

impl std::error::Error for FleetFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.fault)
    }
}

impl Fleet {
    /// The time of all: how long ago the fleet was made.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Starts a process under this name, now. One that has the name already is [killed](Self::kill) before.
    ///
    /// It takes its VMs a moment to start: it is that moment ahead of the others, until time has gone on for them, too.
    ///
    /// # Errors
    ///
    /// It does not start, and there is none of this name.
    pub fn start(&mut self, name: &str, builder: Builder) -> Result<(), StartError> {
        self.kill(name);
        let start = self.now;
        let process = builder.starting_after(start).start()?;
        self.members.insert(name.to_owned(), Member { start, process: Some(process) });
        Ok(())
    }

    /// Ends a process at once: nothing more runs in it, no callback tells it, and what its calls have begun goes on at the
    /// servers. Gives it back as it was, to look at.
    pub fn kill(&mut self, name: &str) -> Option<Process> {
        self.members.remove(name)?.process
    }

    /// The names of the processes that run, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// A process, to look at; `None` where none has this name.
    pub fn get(&self, name: &str) -> Option<&Process> {
        self.members.get(name)?.process.as_ref()
    }

    /// When a process started, by the time of all: add it to a time of the process.
    pub fn started(&self, name: &str) -> Option<Duration> {
        self.members.get(name).map(|member| member.start)
    }

    /// Does something to a process: a request, a fault. Where time passes for it meanwhile, it passes for the others, too.
    /// `None` where none has this name.
    pub fn with<T>(&mut self, name: &str, work: impl FnOnce(&mut Process) -> T) -> Option<T> {
        let member = self.members.get_mut(name)?;
        let (start, mut process) = (member.start, member.process.take()?);
        let others = Box::new(Beside { fleet: mem::take(self), start });
        let (result, others) = process.beside(others, work);
        if let Some(beside) = others.and_then(|others| (others as Box<dyn Any>).downcast::<Beside>().ok()) {
            *self = beside.fleet;
        }
        if let Some(member) = self.members.get_mut(name) {
            member.process = Some(process);
        }
        Some(result)
    }

    /// Lets this much time pass for all.
    ///
    /// # Errors
    ///
    /// A filter went wrong; time stands where it did.
    pub fn advance(&mut self, duration: Duration) -> Result<(), FleetFault> {
        self.run_until(|_| false, duration).map(|_| ())
    }

    /// Lets time pass for all until `done` holds or `limit` has passed; says whether it holds. Asked before the first event
    /// of any process and after each one.
    ///
    /// # Errors
    ///
    /// A filter went wrong; time stands where it did.
    #[must_use = "false: the limit passed first"]
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool, limit: Duration) -> Result<bool, FleetFault> {
        let until = self.now + limit;
        loop {
            if done(self) {
                return Ok(true);
            }
            let Some((due, name)) = self.next().filter(|(due, _)| *due <= until) else {
                self.idle_to(until);
                return Ok(done(self));
            };
            self.idle_to(due);
            self.step(name)?;
        }
    }

    /// What happens next: when, and in which process.
    fn next(&self) -> Option<(Duration, String)> {
        let due = self.members.iter().filter_map(|(name, member)| {
            let due = member.process.as_ref()?.next_due()?;
            Some((member.start + due, name))
        });
        due.min().map(|(due, name)| (due, name.clone()))
    }

    /// Lets the next thing happen in a process.
    fn step(&mut self, process: String) -> Result<(), FleetFault> {
        match self.with(&process, Process::next) {
            Some(Err(fault)) => Err(FleetFault { process, fault }),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Brings all clocks to a time up to which nothing is due.
    fn idle_to(&mut self, now: Duration) {
        self.now = self.now.max(now);
        for member in self.members.values_mut() {
            if let Some(process) = &mut member.process {
                process.idle_to(now.saturating_sub(member.start));
            }
        }
    }
}

/// The processes beside one that runs, and when that one started.
struct Beside {
    fleet: Fleet,
    start: Duration,
}

impl Others for Beside {
    fn reach(&mut self, elapsed: Duration) -> Result<(), Fault> {
        let until = self.start + elapsed;
        while let Some((due, name)) = self.fleet.next().filter(|(due, _)| *due < until) {
            self.fleet.idle_to(due);
            self.fleet.step(name).map_err(|FleetFault { process, fault }| {
                let reason = format!("in the process {process}: {}", fault.reason);
                Fault { reason, ..fault }
            })?;
        }
        self.fleet.idle_to(until);
        Ok(())
    }
}
