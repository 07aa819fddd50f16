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
//! An event is in or out by a hash of its key, so one key always falls alike, and whoever is in at 5 % is in at 25 %.
//!
//! `<name>/rollout/<endpoint>` holds how far an endpoint has come: one truth for all workers, as long as the process
//! lives. What a new process knows is the config: with `start` the phase follows from the date (but no phase behind one
//! that waits for approval is reached without it), without it the first phase begins anew. Overrides, approvals, and
//! rollbacks do not outlive the process: what is to stay off says so in the config.

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

    /// In percent: 12.34 for 1234 hundredths.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Is the event with this key in? Whoever is in at one share is in at every larger one.
    pub fn admits(self, key: &[u8]) -> bool {
        if self >= Self::ALL || self == Self::NONE {
            return self >= Self::ALL;
        }
        let hash = Sha256::digest(key);
        let place = hash.iter().take(4).fold(0u64, |place, byte| place << 8 | u64::from(*byte));
        (place * u64::from(Self::ALL.0)) >> 32 < u64::from(self.0)
    }
}

/// As a config writes it: `25`, `12.5`.
impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}"),
        }
    }
}

/// Writes a share, or that there is none; a whole one as the config does, without a fraction: `25`, `12.5`.
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

/// What the config says of the rollout, the same for every endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The share where there are no phases.
    pub percent: Percent,
    /// When the first phase begins; `None`: when the configuration does.
    pub start: Option<WallTime>,
    /// The shares one after another; only the last one may last for ever.
    pub phases: Vec<Phase>,
    /// Changes with the plan: an override of an older one is in force no more.
    pub digest: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { percent: Percent::ALL, start: None, phases: Vec::new(), digest: 0 }
    }
}

/// A share for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// The share.
    pub percent: Percent,
    /// How long; `None`: for ever.
    pub length: Option<Duration>,
    /// An operator decides when it ends, its time once over.
    pub is_manual: bool,
}

/// How far an endpoint's rollout has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The plan's.
    digest: u64,
    /// The number of the phase.
    pub phase: u32,
    /// When it began.
    pub since: WallTime,
    /// What the guard counted before says nothing of it.
    pub counted_from: Instant,
    /// The share that an operator put over the plan's.
    pub by_operator: Option<Percent>,
    /// An operator lets no phase end by itself.
    pub is_held: bool,
    /// Its time is over, and this threshold of `hold` is breached.
    pub breached: Option<Trigger>,
    /// Why it is rolled back, if it is.
    pub rolled_back: Option<RolledBack>,
    /// When its breaker last opened, oldest first.
    opens: Vec<Instant>,
    /// Since when nothing is sent, by the config or an operator.
    off_since: Option<WallTime>,
    /// It was told that the phase waits for an operator.
    is_told: bool,
}

impl Stored for Progress {
    const NAME: &'static str = "rollout";
}

impl Record for Progress {
    const VERSION: u8 = 1;
}

/// A rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// What caused it.
    pub trigger: Trigger,
    /// What was seen, in words.
    pub detail: String,
    /// When.
    pub at: WallTime,
}

/// How a rollout stands, in a word of the admin surface.
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
    /// The guard or an operator has put it to 0.
    RolledBack,
}

impl RolloutStage {
    /// Its word.
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

/// A phase is on time when it ends this close to its end: the next one is then counted from there, so that all gateways
/// with the same `start` agree.
const ON_TIME: Duration = Duration::from_secs(10);

/// How long an opening of the breaker is counted.
pub const OPENS_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Openings that are remembered: one more than a config may allow.
pub const OPENS_MAX: usize = 1001;

impl Progress {
    /// The progress under this plan: the one that was kept, or, if that is of another plan, a new one, which is rolled
    /// back as long as the old one was.
    pub fn under(kept: Option<Self>, plan: &Plan, now: Now) -> Self {
        match kept.filter(|kept| *kept != Self::default()) {
            Some(progress) if progress.digest == plan.digest => progress,
            Some(Self { rolled_back, opens, .. }) => {
                Self { rolled_back, opens, counted_from: now.mono, ..Self::begun(plan, now) }
            }
            None => Self::begun(plan, now),
        }
    }

    /// The progress to a worker whose configuration has been replaced, and whose plan this is: what an operator has
    /// said since holds for what it still takes, too.
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

    /// Is it of this plan?
    pub fn is_of(&self, plan: &Plan) -> bool {
        self.digest == plan.digest
    }

    /// The share of events that is selected; what is rolled back selects them all the same, and holds or discards them.
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

    /// The share that is sent.
    pub fn percent(&self, plan: &Plan, now: WallTime) -> Percent {
        if self.rolled_back.is_some() { Percent::NONE } else { self.selected(plan, now) }
    }

    /// How it stands.
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

    /// When the phase ends at the earliest; `None`: never, it is the last.
    pub fn end(&self, plan: &Plan) -> Option<WallTime> {
        plan.phases.get(self.phase as usize + 1)?;
        plan.phases.get(self.phase as usize)?.length.map(|length| self.since.plus(length))
    }

    /// The clock of the phases stands still while nothing is sent, unless the plan has dates: is it to be stopped, or to
    /// go on? Then [`keep_time`](Self::keep_time).
    pub fn is_out_of_time(&self, plan: &Plan, is_sent: bool) -> bool {
        !plan.phases.is_empty() && plan.start.is_none() && is_sent != self.off_since.is_none()
    }

    /// Stops the clock of the phases, or lets it go on; says whether that is news.
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

    /// Is the time of a phase over that ends by itself? Then [`promote_by_itself`](Self::promote_by_itself), unless a
    /// threshold is breached.
    pub fn is_due(&self, plan: &Plan, now: WallTime) -> bool {
        let by_itself = self.by_operator.is_none() && !self.is_held && self.rolled_back.is_none();
        by_itself
            && self.end(plan).is_some_and(|end| now >= end)
            && plan.phases.get(self.phase as usize).is_some_and(|phase| !phase.is_manual)
    }

    /// Has it come to wait for an operator, and nobody was told?
    pub fn waits_untold(&self, plan: &Plan, now: WallTime) -> bool {
        !self.is_told && self.stage(plan, now) == RolloutStage::Waiting
    }

    /// It is told that it waits; says whether that was to be told.
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

    /// An operator begins the next phase; says whether there is one, and nothing to resume first.
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

    /// Puts it to 0; says whether that is news.
    pub fn roll_back(&mut self, trigger: Trigger, detail: &str, at: WallTime) -> bool {
        if self.rolled_back.is_some() {
            return false;
        }
        self.rolled_back = Some(RolledBack { trigger, detail: detail.to_owned(), at });
        true
    }

    /// An operator lets it go on: in the phase it was in, and, if it was rolled back, from that phase's beginning.
    pub fn resume(&mut self, now: Now) {
        self.is_held = false;
        if self.rolled_back.take().is_none() {
            return;
        }
        // One that has not begun yet begins when it was to.
        self.enter(self.phase, self.since.max(now.wall), now);
        self.opens.clear();
    }

    /// An operator's share.
    pub fn set_percent(&mut self, percent: Percent, now: Now) {
        (self.by_operator, self.counted_from) = (Some(percent), now.mono);
    }

    /// The plan decides again: in the phase it was in, from its beginning where another share was in force.
    pub fn delete_overrides(&mut self, now: Now) {
        self.is_held = false;
        if self.by_operator.take().is_some() {
            self.enter(self.phase, self.since.max(now.wall), now);
        }
    }

    /// Its breaker has opened.
    pub fn opened(&mut self, now: Instant) {
        self.opens.retain(|open| now.since(*open) < OPENS_WINDOW);
        if self.opens.len() >= OPENS_MAX {
            self.opens.remove(0);
        }
        self.opens.push(now);
    }

    /// How often its breaker has opened within 24 hours.
    pub fn opens(&self, now: Instant) -> u32 {
        self.opens.iter().filter(|open| now.since(**open) < OPENS_WINDOW).count() as u32
    }
}

#[cfg(test)]
mod tests;
