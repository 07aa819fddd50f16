//! Faults as rules: what happens to host calls and to callbacks instead of what should.
//!
//! ```
//! use std::time::Duration;
//!
//! use host_tests::{Effect, Filter, Point, Process, Request, Rule, Thread};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let filter = Filter::load(&gatepost_kit::artifact::wasm("gatepost-noop")?)?;
//! let mut envoy = Process::builder(&filter).workers(2).start()?;
//! // The third host call of worker 0 from now on ends its VM.
//! let rule = envoy.add_rule(Rule::new(Point::AnyHostCall, Effect::Trap).on(Thread::Worker(0)).after(2).times(1));
//! envoy.request(0, Request::post("/").body("an order"))?;
//! envoy.remove_rule(rule);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use crate::world::Thread;

/// Where a rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Every host call, those of WASI included.
    AnyHostCall,
    /// The host call of this name, such as `proxy_set_shared_data`.
    HostCall(&'static str),
    /// Every read of a key of shared data that begins so. [`Effect::Drop`] answers what the thread last read or wrote there.
    Read(&'static str),
    /// Every write of such a key.
    Write(&'static str),
    /// The callback that tells how an HTTP call ended.
    CallEnd,
    /// The callback that tells of a queue's item.
    QueueReady,
    /// The callback of a root's timer.
    Tick,
    /// Every call to a cluster that exists.
    AnyUpstream,
    /// The calls to the cluster of this name. The upstream receives them in any case; what a rule changes is the answer.
    Upstream(&'static str),
}

impl Point {
    fn covers(self, place: Place<'_>) -> bool {
        match (self, place) {
            (Self::AnyHostCall, Place::HostCall(_))
            | (Self::CallEnd, Place::CallEnd)
            | (Self::QueueReady, Place::QueueReady)
            | (Self::Tick, Place::Tick)
            | (Self::AnyUpstream, Place::Upstream(_)) => true,
            (Self::HostCall(own), Place::HostCall(name)) | (Self::Upstream(own), Place::Upstream(name)) => own == name,
            (Self::Read(prefix), Place::Read(key)) | (Self::Write(prefix), Place::Write(key)) => {
                key.starts_with(prefix)
            }
            _ => false,
        }
    }
}

/// Where the process is when it asks its rules.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    HostCall(&'a str),
    Read(&'a str),
    Write(&'a str),
    CallEnd,
    QueueReady,
    Tick,
    Upstream(&'a str),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: what it matches is safe from the rules behind it.
    Pass,
    /// The host call is not made and answers this status; a callback is lost as by [`Drop`](Self::Drop). An upstream's
    /// script is not asked: the call is answered with this HTTP status.
    Fail(u32),
    /// The host call is not made but says that it was; a callback never comes. An upstream's script is not asked, and no
    /// answer ever comes: the call's timeout ends it.
    Drop,
    /// It happens that much later. A host call is made when its VM has waited in it so long, and what happens elsewhere
    /// happens meanwhile; an upstream takes that much longer than its script says.
    Delay(Duration),
    /// The VM traps instead. For a callback: as it begins; for an upstream: as the call is made.
    Trap,
}

/// One rule. The first of all that matches is the one that acts.
#[derive(Clone, Debug)]
pub struct Rule {
    point: Point,
    effect: Effect,
    thread: Option<Thread>,
    skip: u64,
    left: u64,
}

impl Rule {
    /// A rule for all threads that acts every time.
    pub fn new(point: Point, effect: Effect) -> Self {
        Self { point, effect, thread: None, skip: 0, left: u64::MAX }
    }

    /// Only on this thread.
    #[must_use]
    pub fn on(mut self, thread: Thread) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Not the first `times` times that it matches.
    #[must_use]
    pub fn after(mut self, times: u64) -> Self {
        self.skip = times;
        self
    }

    /// At most so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.left = times;
        self
    }

    fn matches(&self, thread: Thread, place: Place<'_>) -> bool {
        self.point.covers(place) && self.left > 0 && self.thread.is_none_or(|own| own == thread)
    }
}

/// Names a rule, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

/// The rules of a process, in the order they were added.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<(RuleId, Rule)>,
    added: u64,
}

impl Rules {
    pub(crate) fn add(&mut self, rule: Rule) -> RuleId {
        self.added += 1;
        self.rules.push((RuleId(self.added), rule));
        RuleId(self.added)
    }

    pub(crate) fn remove(&mut self, id: RuleId) {
        self.rules.retain(|(other, _)| *other != id);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// May a VM have to wait in a host call?
    pub(crate) fn may_wait(&self) -> bool {
        let waits = |rule: &Rule| {
            let is_host_call =
                matches!(rule.point, Point::AnyHostCall | Point::HostCall(_) | Point::Read(_) | Point::Write(_));
            is_host_call && rule.left > 0 && matches!(rule.effect, Effect::Delay(_))
        };
        self.rules.iter().any(|(_, rule)| waits(rule))
    }

    /// What happens here now.
    pub(crate) fn decide(&mut self, thread: Thread, place: Place<'_>) -> Effect {
        for (_, rule) in self.rules.iter_mut().filter(|(_, rule)| rule.matches(thread, place)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left -= 1;
            return rule.effect;
        }
        Effect::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: Point = Point::HostCall("proxy_set_shared_data");
    const SETTING: Place<'_> = Place::HostCall("proxy_set_shared_data");

    #[test]
    fn the_first_rule_that_matches_acts_as_often_as_it_may() {
        let mut rules = Rules::default();
        rules.add(Rule::new(SET, Effect::Fail(10)).on(Thread::Main));
        rules.add(Rule::new(SET, Effect::Fail(8)).after(1).times(1));
        rules.add(Rule::new(Point::AnyHostCall, Effect::Trap).after(2));
        let worker = Thread::Worker(0);
        assert_eq!(rules.decide(Thread::Main, SETTING), Effect::Fail(10));
        let decided = [(); 5].map(|()| rules.decide(worker, SETTING));
        assert_eq!(decided, [Effect::Pass, Effect::Fail(8), Effect::Pass, Effect::Trap, Effect::Trap]);
        assert_eq!(rules.decide(worker, Place::Tick), Effect::Pass);
    }

    #[test]
    fn a_rule_that_was_removed_acts_no_more() {
        let mut rules = Rules::default();
        let id = rules.add(Rule::new(SET, Effect::Drop));
        rules.remove(id);
        assert_eq!(rules.decide(Thread::Main, SETTING), Effect::Pass);
    }

    #[test]
    fn a_rule_for_one_upstream_leaves_the_others_and_one_for_any_takes_what_is_left() {
        let mut rules = Rules::default();
        rules.add(Rule::new(Point::Upstream("billing"), Effect::Drop).times(1));
        rules.add(Rule::new(Point::AnyUpstream, Effect::Fail(503)));
        let decided = ["audit", "billing", "billing"].map(|name| rules.decide(Thread::Main, Place::Upstream(name)));
        assert_eq!(decided, [Effect::Fail(503), Effect::Drop, Effect::Fail(503)]);
        assert_eq!(rules.decide(Thread::Main, SETTING), Effect::Pass);
    }
}
