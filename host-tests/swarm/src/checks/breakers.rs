//! The checks of breakers: every write moves a breaker along its arrows, for a reason; no attempt leaves through an
//! open breaker.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_core::egress::breaker::{PROBE_GRACE, Position};
use gatepost_core::egress::state::EndpointRecord;
use gatepost_core::store::Record;
use host_tests::Write;

use super::invariant::{Broken, Invariant, broken};
use crate::plan::{Endpoint, Plan};
use crate::receivers::{End, Received};

/// The breaker of an endpoint, as its record said last.
#[derive(Debug)]
struct Watched {
    position: Position,
    epoch: u32,
    /// When the breaker moved to the position.
    since: Duration,
    /// The ends of the attempts that were admitted in this epoch, in the order of their times.
    ends: Vec<End>,
    /// When the claim of the last probe lapses.
    probe: Option<Duration>,
}

impl Default for Watched {
    fn default() -> Self {
        Self { position: Position::Closed, epoch: 0, since: Duration::ZERO, ends: Vec::new(), probe: None }
    }
}

impl Watched {
    /// The ends of the attempts that had ended by this time.
    fn ended(&self, by: Duration) -> impl Iterator<Item = &End> {
        self.ends.iter().take_while(move |end| end.at <= by)
    }

    /// When the failures ended that came in a row, without a success between them. The breaker counts at least as many,
    /// since a success takes back only one failure. Of the ends at one time a success counts last.
    fn row(&self, before: Duration) -> Vec<Duration> {
        let mut row = Vec::new();
        for end in self.ends.iter().take_while(|end| end.at < before) {
            if end.is_success() {
                row.clear();
            } else if end.is_failure() {
                row.push(end.at);
            }
        }
        row
    }
}

/// The checks of breakers.
#[derive(Debug, Default)]
pub struct Breakers {
    watched: BTreeMap<String, Watched>,
}

impl Breakers {
    /// Checks a write of an endpoint's record. `is_forced`: an operator's request is under way.
    pub fn write(&mut self, plan: &Plan, endpoint: &Endpoint, write: &Write, is_forced: bool) -> Result<(), Broken> {
        let Ok((EndpointRecord { breaker, .. }, _)) = EndpointRecord::decode(&write.value) else {
            return broken(Invariant::BreakerMoves, format!("{} is no record", write.key));
        };
        let watched = self.watched.entry(endpoint.name.clone()).or_default();
        let (from, to) = (watched.position, breaker.position());
        let place =
            format!("{} from {from:?} {} to {to:?} {} at {:?}", write.key, watched.epoch, breaker.epoch(), write.at);
        if watched.epoch == breaker.epoch() {
            return if from == to { Ok(()) } else { broken(Invariant::BreakerMoves, place) };
        }
        if watched.epoch.wrapping_add(1) != breaker.epoch() {
            return broken(Invariant::BreakerMoves, place);
        }
        match (from, to) {
            (_, Position::Open) if is_forced => {}
            (Position::Open | Position::HalfOpen, Position::Closed) if is_forced => {}
            (Position::Closed, Position::Open) => opens(plan, endpoint, watched, write.at, &place)?,
            (Position::Open, Position::HalfOpen) => {
                if write.at < watched.since + endpoint.open {
                    return broken(Invariant::BreakerStaysOpen, format!("{place}, open since {:?}", watched.since));
                }
            }
            (Position::HalfOpen, Position::Open | Position::Closed) => decides(plan, watched, write.at, to, &place)?,
            _ => return broken(Invariant::BreakerMoves, place),
        }
        *watched = Watched { position: to, epoch: breaker.epoch(), since: write.at, ends: Vec::new(), probe: None };
        Ok(())
    }

    /// Checks an attempt: none may leave while the breaker is open, and one each time it is half-open.
    pub fn attempt(&mut self, endpoint: &Endpoint, got: &Received) -> Result<(), Broken> {
        let key = format!("gatepost/breaker/{}", endpoint.name);
        let call = &got.call;
        let record = call.shared.iter().find(|(other, _)| *other == key).map(|(_, value)| value);
        let breaker = match record.map(|record| EndpointRecord::decode(record)) {
            // There is no record yet: the breaker is closed.
            None => None,
            Some(Ok((EndpointRecord { breaker, .. }, _))) => Some(breaker),
            Some(Err(_)) => return broken(Invariant::BreakerMoves, format!("{key} is no record")),
        };
        let place = format!("{} at {:?}", endpoint.name, call.at);
        let position = breaker.as_ref().map_or(Position::Closed, gatepost_core::egress::breaker::Breaker::position);
        let watched = self.watched.entry(endpoint.name.clone()).or_default();
        match position {
            Position::Open => return broken(Invariant::WhileOpen, place),
            Position::HalfOpen => {
                if watched.probe.is_some_and(|until| call.at < until) {
                    return broken(Invariant::OneProbe, place);
                }
                watched.probe = Some(call.at + endpoint.timeout + PROBE_GRACE);
            }
            Position::Closed => {}
        }
        if breaker.map_or(0, |breaker| breaker.epoch()) == watched.epoch {
            let place =
                watched.ends.partition_point(|end| (end.at, end.is_success()) <= (got.end.at, got.end.is_success()));
            watched.ends.insert(place, got.end);
        }
        Ok(())
    }

    /// Checks that by this time a breaker is open if enough failures came in a row within its window. Only for runs in
    /// which nothing goes wrong.
    pub fn passed(&self, plan: &Plan, now: Duration) -> Result<(), Broken> {
        for endpoint in plan.endpoints.iter().filter(|endpoint| !endpoint.counts_deliveries) {
            let Some(watched) = self.watched.get(&endpoint.name) else { continue };
            if watched.position != Position::Closed || watched.ends.len() < endpoint.failures {
                continue;
            }
            let row = watched.row(now);
            let is_over = row.windows(endpoint.failures).any(|failures| {
                let (first, last) = (failures.first(), failures.last());
                first.zip(last).is_some_and(|(first, last)| *last < *first + endpoint.window)
            });
            if is_over {
                let seen = format!("{} is closed at {now:?} after failures at {row:?}", endpoint.name);
                return broken(Invariant::BreakerOpens, seen);
            }
        }
        Ok(())
    }

    /// The position of an endpoint's breaker.
    pub fn position(&self, endpoint: &str) -> Position {
        self.watched.get(endpoint).map_or(Position::Closed, |watched| watched.position)
    }
}

/// Checks that a breaker opens by as many failures as its policy says, which ended since it was closed and are not too
/// old.
fn opens(plan: &Plan, endpoint: &Endpoint, watched: &Watched, at: Duration, place: &str) -> Result<(), Broken> {
    let calm = plan.is_calm();
    // Where ends are lost or late, an attempt that succeeded may be taken for failed, and later than it ended.
    let counts = |end: &&End| !calm || (end.is_failure() && end.at + endpoint.window > at);
    let failures = watched.ended(at).filter(counts).count();
    if failures < endpoint.failures {
        return broken(Invariant::BreakerOpens, format!("{place}, after {failures} of {}", endpoint.failures));
    }
    Ok(())
}

/// Checks that half-open ends by the probe and, where nothing goes wrong, as the probe did.
fn decides(plan: &Plan, watched: &Watched, at: Duration, to: Position, place: &str) -> Result<(), Broken> {
    let Some(probe) = watched.ends.last() else {
        return broken(Invariant::BreakerMoves, format!("{place}, without a probe"));
    };
    let expected = if probe.is_failure() { Position::Open } else { Position::Closed };
    if plan.is_calm() && (to != expected || at < probe.at) {
        return broken(Invariant::BreakerMoves, format!("{place}, and its probe ended {probe:?}"));
    }
    Ok(())
}
