//! The rollout of an endpoint: which share of the events goes to it, and how that share grows.
//!
//! ```text
//!                 its time is over and nothing is breached
//!            ┌──────────────────────────────────────────────┐
//!   start    ▼                                              │            no phase follows
//!  ───────▶ phase n ── a threshold of `hold` is breached ──▶ stays ──┐  ─────────────────▶ complete
//!            │   ▲ ── `approval: manual` ─────────────────▶ waits ───┤ promote
//!            │   └───────────────────────────────────────────────────┘
//!            │ a trigger of the guard, or an operator
//!            ▼
//!         rolled back: 0 %, until an operator resumes it, in the phase it was in, from that phase's beginning
//! ```
//!
//! An event is selected by a hash of its key, so events with one key are always treated alike, and a key that is
//! selected at 5 % is selected at 25 %.
//!
//! `<name>/rollout/<endpoint>` holds the progress of an endpoint: one truth for all workers, as long as the process
//! lives. A new process knows the config only. With `start` the phase follows from the date, but a phase that needs an
//! approval is not passed; without `start` the first phase begins anew. Overrides, approvals, and rollbacks do not
//! outlive the process: an endpoint that is to stay off must be disabled in the config.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::store::Record;
use crate::store::keys::Stored;
use crate::time::{Instant, Now, WallTime};
use guard::Trigger;

pub mod guard;

/// A share of all events, in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Percent(pub u32);

impl Percent {
    /// Every event.
    pub const ALL: Self = Self(10_000);
    /// No event.
    pub const NONE: Self = Self(0);

    /// The share in percent: 12.34 for 1234 hundredths.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Says whether the event with this key is selected. A key that is selected at one share is selected at every
    /// larger share.
    pub fn admits(self, key: &[u8]) -> bool {
        if self >= Self::ALL || self == Self::NONE {
            return self >= Self::ALL;
        }
        let hash = Sha256::digest(key);
        let place = hash.iter().take(4).fold(0u64, |place, byte| place << 8 | u64::from(*byte));
        (place * u64::from(Self::ALL.0)) >> 32 < u64::from(self.0)
    }
}

/// Writes the share as a config does: `25`, `12.5`.
impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}"),
        }
    }
}

/// Writes a share in percent, or `null` for none. A whole share has no fraction, as in a config: `25`, `12.5`.
pub(crate) fn serialize_percent<S: Serializer>(
    share: &(impl Copy + Into<Option<f64>>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match (*share).into() {
        None => serializer.serialize_none(),
        Some(whole) if whole.fract() == 0.0 => serializer.serialize_u64(whole as u64),
        Some(share) => serializer.serialize_f64(share),
    }
}

/// The plan of a rollout, from the config; the same for every endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The share if there are no phases.
    pub percent: Percent,
    /// When the first phase begins; `None`: when events are first sent under this plan.
    pub start: Option<WallTime>,
    /// The phases, one after another; only the last one may last for ever.
    pub phases: Vec<Phase>,
    /// The digest of the plan: an override that was set under a plan with another digest is in force no more.
    pub digest: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { percent: Percent::ALL, start: None, phases: Vec::new(), digest: 0 }
    }
}

/// A phase of a rollout: a share for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// The share.
    pub percent: Percent,
    /// How long the phase lasts; `None`: for ever.
    pub length: Option<Duration>,
    /// An operator decides when the phase ends, once its time is over.
    pub is_manual: bool,
}

/// The progress of an endpoint's rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The digest of the plan.
    digest: u64,
    /// The number of the current phase, counted from 0.
    pub phase: u32,
    /// When the current phase began, or will begin.
    pub since: WallTime,
    /// From when on the guard's counts are about the current share; earlier counts are not.
    pub counted_from: Instant,
    /// The share that an operator put over the plan's.
    pub by_operator: Option<Percent>,
    /// An operator holds the rollout: no phase ends by itself.
    pub is_held: bool,
    /// The threshold of `hold` that is breached, so that the phase does not end though its time is over.
    pub breached: Option<Trigger>,
    /// The rollback, if the endpoint is rolled back.
    pub rolled_back: Option<RolledBack>,
    /// When the endpoint's breaker opened, oldest first: the openings of the last 24 hours, at most [`OPENS_MAX`].
    opens: Vec<Instant>,
    /// Since when nothing is sent, by the config or an operator.
    off_since: Option<WallTime>,
    /// It was noted that the current phase waits for an operator.
    is_told: bool,
}

impl Stored for Progress {
    const NAME: &'static str = "rollout";
}

impl Record for Progress {
    const VERSION: u8 = 1;
}

/// How far a rollout has come, as a fleet's gateways share it: all but what is counted by this gateway's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stand {
    phase: u32,
    since: WallTime,
    by_operator: Option<Percent>,
    is_held: bool,
    breached: Option<Trigger>,
    off_since: Option<WallTime>,
    is_told: bool,
}

/// A rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// What caused the rollback.
    pub trigger: Trigger,
    /// What was observed, in words.
    pub detail: String,
    /// When the endpoint was rolled back.
    pub at: WallTime,
}

/// The stage of a rollout, a word on the admin surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutStage {
    /// The plan has no phases.
    Fixed,
    /// An operator's share is in force.
    Overridden,
    /// The first phase has not begun.
    Scheduled,
    /// A phase that will end.
    Running,
    /// A phase whose time is over, and which an operator ends.
    Waiting,
    /// No phase ends: an operator said so, or a threshold is breached.
    Held,
    /// The last phase.
    Complete,
    /// The guard or an operator has set the share to 0.
    RolledBack,
}

impl RolloutStage {
    /// The word of the stage on the admin surface.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Overridden => "overridden",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Complete => "complete",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// A phase that is ended at most this late is on time: the next phase then begins at the planned end of this one, so
/// that all gateways with the same `start` agree.
const ON_TIME: Duration = Duration::from_secs(10);

/// How long an opening of the breaker is counted.
pub const OPENS_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Openings that are remembered: one more than a config may allow.
pub const OPENS_MAX: usize = 1001;

impl Progress {
    /// The progress under this plan: the kept progress or, if that belongs to another plan, a new one, which stays
    /// rolled back if the kept one was.
    pub fn under(kept: Option<Self>, plan: &Plan, now: Now) -> Self {
        match kept.filter(|kept| *kept != Self::default()) {
            Some(progress) if progress.digest == plan.digest => progress,
            Some(Self { rolled_back, opens, .. }) => {
                Self { rolled_back, opens, counted_from: now.mono, ..Self::begun(plan, now) }
            }
            None => Self::begun(plan, now),
        }
    }

    /// The progress for a worker whose configuration, with this plan, has been replaced: the share that an operator has
    /// set since then holds for the events that this worker still takes, too.
    pub fn to_older(kept: Option<Self>, plan: &Plan, now: Now) -> Self {
        let by_operator = kept.as_ref().and_then(|kept| kept.by_operator);
        let progress = Self::under(kept, plan, now);
        Self { by_operator: progress.by_operator.or(by_operator), ..progress }
    }

    fn begun(plan: &Plan, now: Now) -> Self {
        let (mut phase, mut since) = (0, plan.start.unwrap_or(now.wall));
        while let Some(Phase { length: Some(length), is_manual: false, .. }) = plan.phases.get(phase as usize) {
            let end = since.plus(*length);
            if now.wall < end || phase as usize + 1 >= plan.phases.len() {
                break;
            }
            (phase, since) = (phase + 1, end);
        }
        Self { digest: plan.digest, phase, since, ..Self::default() }
    }

    /// How far the rollout has come, for the fleet, with the digest of its plan.
    pub fn stand(&self) -> (u64, Stand) {
        let Self { phase, since, by_operator, is_held, breached, off_since, is_told, .. } = self.clone();
        (self.digest, Stand { phase, since, by_operator, is_held, breached, off_since, is_told })
    }

    /// Puts what the fleet knows in the place of what is known here. Counts begin anew where the share or the phase is
    /// another one.
    pub fn take_stand(&mut self, stand: Option<Stand>, rolled_back: Option<RolledBack>, now: Now) {
        let before = (self.phase, self.since, self.by_operator, self.rolled_back.is_some());
        if let Some(Stand { phase, since, by_operator, is_held, breached, off_since, is_told }) = stand {
            (self.phase, self.since, self.by_operator, self.is_held) = (phase, since, by_operator, is_held);
            (self.breached, self.off_since, self.is_told) = (breached, off_since, is_told);
        }
        if self.rolled_back.is_some() && rolled_back.is_none() {
            self.opens.clear();
        }
        self.rolled_back = rolled_back;
        if before != (self.phase, self.since, self.by_operator, self.rolled_back.is_some()) {
            self.counted_from = now.mono;
        }
    }

    /// Says whether the progress belongs to this plan.
    pub fn is_of(&self, plan: &Plan) -> bool {
        self.digest == plan.digest
    }

    /// The share of events that is selected. An endpoint that is rolled back selects events all the same, and holds or
    /// discards them.
    pub fn selected(&self, plan: &Plan, now: WallTime) -> Percent {
        if let Some(percent) = self.by_operator {
            return percent;
        }
        match plan.phases.get(self.phase as usize) {
            Some(_) if now < self.since => Percent::NONE,
            Some(phase) => phase.percent,
            None => plan.percent,
        }
    }

    /// The share of events that is sent: 0 while the endpoint is rolled back.
    pub fn percent(&self, plan: &Plan, now: WallTime) -> Percent {
        if self.rolled_back.is_some() { Percent::NONE } else { self.selected(plan, now) }
    }

    /// The stage of the rollout.
    pub fn stage(&self, plan: &Plan, now: WallTime) -> RolloutStage {
        if self.rolled_back.is_some() {
            return RolloutStage::RolledBack;
        }
        if self.by_operator.is_some() {
            return RolloutStage::Overridden;
        }
        let Some(phase) = plan.phases.get(self.phase as usize) else { return RolloutStage::Fixed };
        match self.end(plan) {
            _ if now < self.since => RolloutStage::Scheduled,
            None => RolloutStage::Complete,
            Some(_) if self.is_held => RolloutStage::Held,
            Some(end) if now < end => RolloutStage::Running,
            Some(_) if phase.is_manual => RolloutStage::Waiting,
            Some(_) if self.breached.is_some() => RolloutStage::Held,
            Some(_) => RolloutStage::Running,
        }
    }

    /// When the phase ends at the earliest; `None`: never, the phase is the last.
    pub fn end(&self, plan: &Plan) -> Option<WallTime> {
        plan.phases.get(self.phase as usize + 1)?;
        plan.phases.get(self.phase as usize)?.length.map(|length| self.since.plus(length))
    }

    /// Says whether the clock of the phases is to be stopped or to go on, by [`keep_time`](Self::keep_time): it stands
    /// still while nothing is sent, unless the plan has a `start`.
    pub fn is_out_of_time(&self, plan: &Plan, is_sent: bool) -> bool {
        !plan.phases.is_empty() && plan.start.is_none() && is_sent != self.off_since.is_none()
    }

    /// Stops the clock of the phases, or lets it go on; says whether anything was changed.
    pub fn keep_time(&mut self, plan: &Plan, is_sent: bool, now: Now) -> bool {
        if !self.is_out_of_time(plan, is_sent) {
            return false;
        }
        if let Some(off_since) = self.off_since.take() {
            (self.since, self.counted_from) = (self.since.plus(now.wall.since(off_since)), now.mono);
        } else {
            self.off_since = Some(now.wall);
        }
        true
    }

    /// Says whether the time of a phase that ends by itself is over. Then
    /// [`promote_by_itself`](Self::promote_by_itself) is to be called, unless a threshold is breached.
    pub fn is_due(&self, plan: &Plan, now: WallTime) -> bool {
        let by_itself = self.by_operator.is_none() && !self.is_held && self.rolled_back.is_none();
        by_itself
            && self.end(plan).is_some_and(|end| now >= end)
            && plan.phases.get(self.phase as usize).is_some_and(|phase| !phase.is_manual)
    }

    /// Says whether the phase waits for an operator, and this was not noted yet.
    pub fn waits_untold(&self, plan: &Plan, now: WallTime) -> bool {
        !self.is_told && self.stage(plan, now) == RolloutStage::Waiting
    }

    /// Marks it as noted that the phase waits for an operator; says whether the phase waits and this was not noted
    /// before.
    pub fn tell_that_it_waits(&mut self, plan: &Plan, now: WallTime) -> bool {
        let is_news = self.waits_untold(plan, now);
        self.is_told |= is_news;
        is_news
    }

    /// Begins the next phase, because the time of this one is over.
    pub fn promote_by_itself(&mut self, plan: &Plan, now: Now) {
        let end = self.end(plan).filter(|end| now.wall.since(*end) <= ON_TIME);
        self.enter(self.phase + 1, end.unwrap_or(now.wall), now);
    }

    /// Begins the next phase for an operator; `false`: no phase follows, or the endpoint is rolled back and must be
    /// resumed first.
    pub fn promote(&mut self, plan: &Plan, now: Now) -> bool {
        if self.rolled_back.is_some() || plan.phases.len() <= self.phase as usize + 1 {
            return false;
        }
        (self.by_operator, self.is_held) = (None, false);
        self.enter(self.phase + 1, now.wall, now);
        true
    }

    fn enter(&mut self, phase: u32, since: WallTime, now: Now) {
        (self.phase, self.since, self.counted_from) = (phase, since, now.mono);
        (self.breached, self.is_told) = (None, false);
    }

    /// Rolls the endpoint back; says whether it was not rolled back before.
    pub fn roll_back(&mut self, trigger: Trigger, detail: &str, at: WallTime) -> bool {
        if self.rolled_back.is_some() {
            return false;
        }
        self.rolled_back = Some(RolledBack { trigger, detail: detail.to_owned(), at });
        true
    }

    /// Lets the rollout go on for an operator: in the current phase and, after a rollback, from the beginning of that
    /// phase.
    pub fn resume(&mut self, now: Now) {
        self.is_held = false;
        if self.rolled_back.take().is_none() {
            return;
        }
        // A phase that has not begun yet begins at its planned time.
        self.enter(self.phase, self.since.max(now.wall), now);
        self.opens.clear();
    }

    /// Sets an operator's share, which is in force instead of the plan's.
    pub fn set_percent(&mut self, percent: Percent, now: Now) {
        (self.by_operator, self.counted_from) = (Some(percent), now.mono);
    }

    /// Deletes an operator's overrides, so that the plan decides again: in the current phase and, if another share was
    /// in force, from the beginning of that phase.
    pub fn delete_overrides(&mut self, now: Now) {
        self.is_held = false;
        if self.by_operator.take().is_some() {
            self.enter(self.phase, self.since.max(now.wall), now);
        }
    }

    /// Counts an opening of the endpoint's breaker.
    pub fn opened(&mut self, now: Instant) {
        self.opens.retain(|open| now.since(*open) < OPENS_WINDOW);
        if self.opens.len() >= OPENS_MAX {
            self.opens.remove(0);
        }
        self.opens.push(now);
    }

    /// How often the endpoint's breaker has opened in the last 24 hours.
    pub fn opens(&self, now: Instant) -> u32 {
        self.opens.iter().filter(|open| now.since(**open) < OPENS_WINDOW).count() as u32
    }
}

#[cfg(test)]
mod tests;
