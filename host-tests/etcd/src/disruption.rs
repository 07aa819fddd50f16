//! What goes wrong between a process and etcd, as rules; and what goes wrong with etcd as a whole.

use std::time::Duration;

use fastrand::Rng;
use host_tests::{RuleList, Turns};

use crate::status::Status;

/// What becomes of a call instead of what should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing: what it matches is safe from the disruptions behind it.
    Pass,
    /// Envoy does not send it, for want of a healthy host: the host call itself fails.
    NotSent,
    /// No connection can be made: Envoy answers status 14. Nothing is applied.
    Unreachable,
    /// etcd refuses it with this status. Nothing is applied.
    Refused(Status),
    /// No answer comes: the call's timeout ends it.
    Unanswered {
        /// It is applied all the same.
        is_applied: bool,
    },
    /// The connection breaks before an answer begins: Envoy answers status 14.
    Disconnected {
        /// It is applied all the same.
        is_applied: bool,
    },
    /// It is applied, and the connection breaks in the middle of the answer: a callback without headers.
    Reset,
    /// It is applied this much later, after calls that came later, and answered then if its caller still waits.
    Late(Duration),
    /// It is applied at once, and answered this much later.
    Slow(Duration),
}

/// A rule about calls: for those that match, this happens. The first of all that match is the one that acts.
///
/// ```
/// use std::time::Duration;
///
/// use etcd_model::{Disruption, Etcd, Mishap};
/// use etcd_messages::TXN;
///
/// let etcd = Etcd::new(7);
/// // From now on, one transaction of ten of the first gateway is applied, and its caller never hears of it.
/// let silence = Mishap::Unanswered { is_applied: true };
/// let id = etcd.disrupt(Disruption::new(silence).of(TXN).by("gateway 1").chance(0.1));
/// etcd.remove_disruption(id);
/// ```
#[derive(Clone, Debug)]
pub struct Disruption {
    mishap: Mishap,
    path: Option<&'static str>,
    process: Option<String>,
    touching: Option<Vec<u8>>,
    from: Duration,
    until: Duration,
    chance: f64,
    turns: Turns,
}

impl Disruption {
    /// A rule for all calls, that acts every time.
    pub fn new(mishap: Mishap) -> Self {
        Self {
            mishap,
            path: None,
            process: None,
            touching: None,
            from: Duration::ZERO,
            until: Duration::MAX,
            chance: 1.0,
            turns: Turns::default(),
        }
    }

    /// Only calls of this path, such as [`etcd_messages::TXN`].
    #[must_use]
    pub fn of(mut self, path: &'static str) -> Self {
        self.path = Some(path);
        self
    }

    /// Only calls of the process of this name.
    #[must_use]
    pub fn by(mut self, process: &str) -> Self {
        self.process = Some(process.to_owned());
        self
    }

    /// Only calls whose message holds these bytes: keys and values stand in it as they are.
    #[must_use]
    pub fn touching(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.touching = Some(bytes.into()).filter(|bytes| !bytes.is_empty());
        self
    }

    /// Not before this moment, by etcd's clock.
    #[must_use]
    pub fn from(mut self, at: Duration) -> Self {
        self.from = at;
        self
    }

    /// No longer from this moment on, by etcd's clock.
    #[must_use]
    pub fn until(mut self, at: Duration) -> Self {
        self.until = at;
        self
    }

    /// With this probability, from 0 to 1, each time that it matches.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Self {
        self.chance = chance;
        self
    }

    /// Not the first `times` times that it would act.
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

    fn matches(&self, call: &Arriving<'_>) -> bool {
        self.turns.are_left()
            && (self.from..self.until).contains(&call.at)
            && self.path.is_none_or(|path| path == call.path)
            && self.process.as_ref().is_none_or(|process| process == call.process)
            && self.touching.as_ref().is_none_or(|bytes| holds(call.message, bytes))
    }
}

fn holds(message: &[u8], bytes: &[u8]) -> bool {
    message.windows(bytes.len()).any(|window| window == bytes)
}

/// A call as the rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arriving<'a> {
    pub(crate) at: Duration,
    pub(crate) process: &'a str,
    pub(crate) path: &'a str,
    pub(crate) message: &'a [u8],
}

/// What happens to a call, by the first of these rules that matches and acts.
pub(crate) fn decide(rules: &mut RuleList<Disruption>, call: &Arriving<'_>, rng: &mut Rng) -> Mishap {
    let mut matching = rules.iter_mut().filter(|rule| rule.matches(call));
    let acts = |rule: &mut Disruption| {
        let is_meant = rule.chance >= 1.0 || rng.f64() < rule.chance;
        (is_meant && rule.turns.take()).then(|| rule.mishap.clone())
    };
    matching.find_map(acts).unwrap_or(Mishap::Pass)
}

/// What goes wrong with etcd as a whole, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// There is no leader. What needs one is lost, or is refused, or is applied once there is one again: which of them,
    /// etcd's seed decides. No lease expires, and the new leader gives each its whole time again.
    LeaderLost,
    /// All members are down: no connection can be made. They start again with the data that they had, and each lease has
    /// its whole time again.
    Down,
    /// All members are stopped (SIGSTOP): nothing is answered. What came in is applied when they go on, some of what
    /// nobody waits for any more included. The leases' time goes on.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Arriving<'_> =
        Arriving { at: Duration::from_secs(5), process: "one", path: etcd_messages::PUT, message: b"\x0a\x03/a/b" };

    fn decided(rules: Vec<Disruption>, times: usize) -> Vec<Mishap> {
        let mut disruptions = RuleList::default();
        for rule in rules {
            disruptions.add(rule);
        }
        let mut rng = Rng::with_seed(1);
        (0..times).map(|_| decide(&mut disruptions, &PUT, &mut rng)).collect()
    }

    #[test]
    fn the_first_that_matches_acts_as_often_as_it_may() {
        let rules = vec![
            Disruption::new(Mishap::NotSent).after(1).times(1),
            Disruption::new(Mishap::Reset).times(2),
            Disruption::new(Mishap::Unreachable),
        ];
        assert_eq!(decided(rules, 4), [Mishap::Reset, Mishap::NotSent, Mishap::Reset, Mishap::Unreachable]);
    }

    #[test]
    fn a_rule_acts_only_on_what_it_names() {
        let second = Duration::from_secs(1);
        let is_hit = |change: fn(Disruption) -> Disruption| {
            decided(vec![change(Disruption::new(Mishap::Reset))], 1) == [Mishap::Reset]
        };
        assert!(is_hit(|rule| rule.of(etcd_messages::PUT).by("one").touching("/a/")));
        assert!(!is_hit(|rule| rule.of(etcd_messages::TXN)));
        assert!(!is_hit(|rule| rule.by("two")));
        assert!(!is_hit(|rule| rule.touching("/c")));
        assert!(!is_hit(|rule| rule.times(0)));
        let in_time = |from: u32, until: u32| {
            let rule = Disruption::new(Mishap::Reset).from(from * second).until(until * second);
            decided(vec![rule], 1) == [Mishap::Reset]
        };
        assert_eq!([in_time(5, 6), in_time(6, 7), in_time(4, 5)], [true, false, false]);
    }

    #[test]
    fn a_chance_is_met_about_as_often_as_it_says() {
        let hits = decided(vec![Disruption::new(Mishap::Reset).chance(0.2)], 1000);
        let hits = hits.iter().filter(|mishap| **mishap == Mishap::Reset).count();
        assert!((150..250).contains(&hits), "{hits}");
    }

    #[test]
    fn a_call_that_passes_is_safe_from_what_follows() {
        let rules = vec![Disruption::new(Mishap::Pass).times(1), Disruption::new(Mishap::Reset)];
        assert_eq!(decided(rules, 2), [Mishap::Pass, Mishap::Reset]);
    }

    #[test]
    fn what_was_removed_acts_no_more() {
        let mut disruptions = RuleList::default();
        let id = disruptions.add(Disruption::new(Mishap::Reset));
        disruptions.remove(id);
        assert_eq!(decide(&mut disruptions, &PUT, &mut Rng::with_seed(1)), Mishap::Pass);
    }
}
