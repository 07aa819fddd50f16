//! Faults as rules: what happens to host calls, callbacks and calls to clusters instead of what should.

use std::time::Duration;

use crate::ids::Thread;

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

/// A fault: at this point, this happens instead. The first of all rules that match is the one that acts.
///
/// ```
/// use host_tests::{Effect, Filter, Point, Process, Request, Rule, Thread};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let filter = Filter::compile(&wat::parse_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/filter.wat")))?)?;
/// let mut envoy = Process::builder(&filter).workers(2).start()?;
/// // The third host call of worker 0 from now on ends its VM.
/// let rule = envoy.add_rule(Rule::new(Point::AnyHostCall, Effect::Trap).on(Thread::Worker(0)).after(2).times(1));
/// envoy.request(0, Request::post("/"))?;
/// assert!(envoy.has_vm(Thread::Worker(0)), "the filter makes two host calls a request");
/// envoy.request(0, Request::post("/"))?;
/// assert!(!envoy.has_vm(Thread::Worker(0)));
/// envoy.remove_rule(rule);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    point: Point,
    effect: Effect,
    thread: Option<Thread>,
    turns: Turns,
}

impl Rule {
    /// A rule for all threads that acts every time.
    pub fn new(point: Point, effect: Effect) -> Self {
        Self { point, effect, thread: None, turns: Turns::default() }
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
        self.turns.skip = times;
        self
    }

    /// At most so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.turns.left = times;
        self
    }

    fn matches(&self, thread: Thread, place: Place<'_>) -> bool {
        self.point.covers(place) && self.turns.are_left() && self.thread.is_none_or(|own| own == thread)
    }
}

/// How often a rule acts: by default each time that it matches.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// Not the first so many times.
    pub skip: u64,
    /// So many times at most.
    pub left: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self { skip: 0, left: u64::MAX }
    }
}

impl Turns {
    /// Is there any left?
    pub fn are_left(&self) -> bool {
        self.left > 0
    }

    /// Takes one, for a rule that matches; says whether the rule acts.
    pub fn take(&mut self) -> bool {
        let acts = self.skip == 0;
        if acts {
            self.left -= 1
        } else {
            self.skip -= 1
        }
        acts
    }
}

/// Names a rule, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

/// Rules in the order they were added, the first of which that matches is the one that acts.
#[derive(Debug)]
pub struct RuleList<R> {
    rules: Vec<(RuleId, R)>,
    added: u64,
}

impl<R> Default for RuleList<R> {
    fn default() -> Self {
        Self { rules: Vec::new(), added: 0 }
    }
}

impl<R> RuleList<R> {
    /// Adds a rule behind all others.
    pub fn add(&mut self, rule: R) -> RuleId {
        self.added += 1;
        self.rules.push((RuleId(self.added), rule));
        RuleId(self.added)
    }

    /// Removes a rule, if it is there.
    pub fn remove(&mut self, id: RuleId) {
        self.rules.retain(|(other, _)| *other != id);
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.rules.clear();
    }

    /// The rules.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.rules.iter().map(|(_, rule)| rule)
    }

    /// The rules, whose turns may be taken.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.rules.iter_mut().map(|(_, rule)| rule)
    }
}

/// The rules of a process.
pub(crate) type Rules = RuleList<Rule>;

impl Rules {
    /// May a VM have to wait in a host call?
    pub(crate) fn may_wait(&self) -> bool {
        let waits = |rule: &Rule| {
            let is_host_call =
                matches!(rule.point, Point::AnyHostCall | Point::HostCall(_) | Point::Read(_) | Point::Write(_));
            is_host_call && rule.turns.are_left() && matches!(rule.effect, Effect::Delay(_))
        };
        self.iter().any(waits)
    }

    /// What happens here now.
    pub(crate) fn decide(&mut self, thread: Thread, place: Place<'_>) -> Effect {
        let mut matching = self.iter_mut().filter(|rule| rule.matches(thread, place));
        matching.find_map(|rule| rule.turns.take().then_some(rule.effect)).unwrap_or(Effect::Pass)
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

    /// A rule for one upstream leaves the others and one for any takes what is left.
    #[test]
    fn a_rule_for_one_upstream_leaves_the_others() {
        let mut rules = Rules::default();
        rules.add(Rule::new(Point::Upstream("billing"), Effect::Drop).times(1));
        rules.add(Rule::new(Point::AnyUpstream, Effect::Fail(503)));
        let decided = ["audit", "billing", "billing"].map(|name| rules.decide(Thread::Main, Place::Upstream(name)));
        assert_eq!(decided, [Effect::Fail(503), Effect::Drop, Effect::Fail(503)]);
        assert_eq!(rules.decide(Thread::Main, SETTING), Effect::Pass);
    }
}
