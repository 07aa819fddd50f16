//! The rollout of each endpoint: which events the endpoint gets, and what follows from the counts.
//!
//! A worker's copy of an endpoint's progress is at most [`REREAD`] old when the worker takes an event or starts an
//! attempt. Once a second the worker writes its [counts](super::count) and, if it delivers, judges the endpoints that
//! it has counts of: a threshold is only ever breached by attempts, and some worker has counted them. Any worker may
//! promote; each promotion is made once, by compare-and-swap.

use super::Engine;
use super::count::WRITES_MAX;
use super::endpoint::{EndpointState, SeenProgress};
use crate::admin::control::{Control, REREAD};
use crate::egress::breaker::Position;
use crate::egress::operational::{Facts, NewsKind};
use crate::ids::EndpointId;
use crate::rollout::Progress;
use crate::rollout::guard::{self, FleetCounts, Trigger};
use crate::store::{StoreError, World, Write, read, update};
use crate::telemetry::backlog::Backlog;
use crate::telemetry::notice::{Gauge, Notice};
use crate::time::Now;

impl Engine {
    /// The endpoints among `wanted` whose rollout selects the event with this key.
    pub(super) fn select(&mut self, world: &mut World<'_>, wanted: &[EndpointId], key: &[u8]) -> Vec<EndpointId> {
        wanted.iter().for_each(|id| self.refresh(world, *id));
        wanted.iter().copied().filter(|id| self.selects(*id, world.now, key)).collect()
    }

    fn selects(&self, id: EndpointId, now: Now, key: &[u8]) -> bool {
        let Some(SeenProgress { progress, .. }) = self.endpoints.get(id.0).map(|state| &state.rollout) else {
            return false;
        };
        let keeps = self.config.rollout.guard.as_ref().is_none_or(|guard| guard.keeps);
        (keeps || progress.rolled_back.is_none()) && progress.selected(&self.config.rollout.plan, now.wall).admits(key)
    }

    /// Says whether the endpoint is rolled back: its deliveries wait then.
    pub(super) fn is_rolled_back(&mut self, world: &mut World<'_>, id: EndpointId) -> bool {
        self.progress(world, id).is_some_and(|progress| progress.rolled_back.is_some())
    }

    /// The progress of the endpoint's rollout.
    pub(super) fn progress(&mut self, world: &mut World<'_>, id: EndpointId) -> Option<&Progress> {
        self.refresh(world, id);
        self.endpoints.get(id.0).map(|state| &state.rollout.progress)
    }

    /// Reads an endpoint's progress again if the copy is [`REREAD`] old. If the store fails, the copy stays.
    fn refresh(&mut self, world: &mut World<'_>, id: EndpointId) {
        let Some(EndpointState { rollout: seen, .. }) = self.endpoints.get_mut(id.0) else { return };
        let Some(endpoint) = self.config.endpoints.get(id.0) else { return };
        if seen.read.is_some_and(|read| world.now.mono.since(read) < REREAD) {
            return;
        }
        match read::<Progress>(world.store, &self.keys.of(&endpoint.name)) {
            Ok(kept) => {
                seen.is_kept = kept.as_ref().is_some_and(|kept| kept.is_of(&self.config.rollout.plan));
                let plan = &self.config.rollout.plan;
                let leads = self.leadership.generation.is_newest();
                let view = if leads { Progress::under } else { Progress::to_older };
                seen.progress = view(kept, plan, world.now);
                seen.read = Some(world.now.mono);
            }
            Err(error) => self.output.note(Notice::Store { doing: "asking how far a rollout has come", error }),
        }
    }

    /// Counts an opening of the endpoint's breaker, and rolls the endpoint back if there were too many.
    pub(super) fn count_opening(&mut self, world: &mut World<'_>, id: EndpointId) {
        if let Some(state) = self.endpoints.get_mut(id.0) {
            state.hours.now(world.now.wall).breaker_opens += 1;
        }
        let now = world.now.mono;
        self.change_progress(world, id, &mut |progress| {
            progress.opened(now);
            true
        });
        self.judge_openings(world, id);
    }

    /// Rolls the endpoint back if its breaker has opened too often.
    fn judge_openings(&mut self, world: &mut World<'_>, id: EndpointId) {
        let (opens, gateways) = self.opens(world, id);
        if self.config.rollout.guard.as_ref().is_some_and(|guard| guard.has_opened_too_often(opens)) {
            let detail = [itoa::Buffer::new().format(opens), " openings in 24 hours"].concat();
            self.roll_back(world, id, Trigger::BreakerOpens, &over(detail, gateways));
        }
    }

    /// Rolls back the endpoints that want an event with personal data, if the guard says so.
    pub(super) fn found_personal_data(&mut self, world: &mut World<'_>, wanted: &[EndpointId], detail: &str) {
        if self.config.rollout.guard.as_ref().is_some_and(|guard| guard.personal_data) {
            wanted.iter().for_each(|id| self.roll_back(world, *id, Trigger::PersonalData, detail));
        }
    }

    /// Writes the counts, judges them, and promotes rollouts. Called once a second.
    pub(super) fn watch(&mut self, world: &mut World<'_>) {
        self.write_counts(world, WRITES_MAX);
        self.exchange_counts(world);
        if !self.leadership.leads() {
            return;
        }
        for number in 0..self.endpoints.len() {
            let id = EndpointId(number);
            self.look(world, id);
            let is_sent = self.delivers() && self.endpoints.get(number).is_some_and(|state| !state.is_disabled);
            self.keep_time(world, id, is_sent);
            self.judge(world, id);
            if is_sent {
                self.judge_silence(world, id);
                self.tell_waiting(world, id);
                self.promote(world, id);
            }
            self.tell_percent(world, id);
        }
    }

    /// Reads from the endpoint's record whether the endpoint is disabled, and its breaker's position. If the store
    /// fails, the values read before stay.
    fn look(&mut self, world: &mut World<'_>, id: EndpointId) {
        let Some((endpoint, keys)) = self.endpoint(id) else { return };
        match keys.shared(world.store) {
            Ok(shared) => {
                let is_disabled = shared.is_disabled(endpoint);
                let position = endpoint.breaker.as_ref().map_or(Position::Closed, |_| shared.breaker.position());
                if let Some(state) = self.endpoints.get_mut(id.0) {
                    (state.is_disabled, state.position) = (is_disabled, position);
                }
            }
            Err(error) => self.output.note(Notice::Store { doing: "asking a circuit breaker", error }),
        }
    }

    /// Writes to shared data when the first phase began, which is when events are first sent, and stops the clock of
    /// the phases while no events are sent.
    fn keep_time(&mut self, world: &mut World<'_>, id: EndpointId, is_sent: bool) {
        self.refresh(world, id);
        let (config, now) = (std::rc::Rc::clone(&self.config), world.now);
        let plan = &config.rollout.plan;
        let Some(state) = self.endpoints.get(id.0).filter(|_| !plan.phases.is_empty()) else { return };
        let seen = &state.rollout;
        if !seen.is_kept && is_sent {
            self.change_progress(world, id, &mut |_| true);
        } else if seen.is_kept && seen.progress.is_out_of_time(plan, is_sent) {
            self.change_progress(world, id, &mut |progress| progress.keep_time(plan, is_sent, now));
        }
    }

    /// Forgets the overrides that operators have put over other values than the config has now: they are not to be in
    /// force again when the config returns to such a value.
    pub(super) fn forget_lapsed(&mut self, world: &mut World<'_>) -> Result<(), StoreError> {
        let config = std::rc::Rc::clone(&self.config);
        Control::change(world.store, &self.keys, &mut |control| control.forget_lapsed(config.enabled))?;
        for (number, endpoint) in config.endpoints.iter().enumerate() {
            if let Some((_, keys)) = self.endpoint(EndpointId(number)) {
                keys.forget_lapsed(world.store, endpoint.disabled)?;
            }
            let kept = read::<Progress>(world.store, &self.keys.of(&endpoint.name))?;
            if kept.is_some_and(|kept| !kept.is_of(&config.rollout.plan)) {
                self.change_progress(world, EndpointId(number), &mut |_| true);
            }
        }
        Ok(())
    }

    /// Rolls the endpoint back if a threshold of the guard is breached for long enough.
    fn judge(&mut self, world: &mut World<'_>, id: EndpointId) {
        let Some(from) = self.progress(world, id).filter(|progress| progress.rolled_back.is_none()) else { return };
        let from = from.counted_from;
        let config = std::rc::Rc::clone(&self.config);
        let Some(guard) = &config.rollout.guard else { return };
        if self.endpoints.get(id.0).is_none_or(|state| state.counted.ring.is_empty()) {
            return;
        }
        let Some(FleetCounts { ring, gateways, opens_elsewhere }) = self.counted(world, id) else { return };
        if let Some((trigger, detail)) = ring.judge(guard, world.now.mono, from) {
            self.roll_back(world, id, trigger, &over(detail, gateways));
        } else if opens_elsewhere > 0 {
            // This gateway's openings were judged as they came, but perhaps without others' of the same second.
            self.judge_openings(world, id);
        }
    }

    /// Rolls back an endpoint whose breaker has not closed for as long as the guard looks back. While the breaker is
    /// open next to no delivery ends, so the share of deliveries that succeed says nothing; the deliveries that wait
    /// count toward `min_events`, too. Breakers are each gateway's own: while the others deliver well, with all that
    /// waits here, this is the trouble of this gateway alone.
    fn judge_silence(&mut self, world: &mut World<'_>, id: EndpointId) {
        let (config, now) = (std::rc::Rc::clone(&self.config), world.now.mono);
        let Some(guard) = config.rollout.guard.as_ref().filter(|guard| guard.min_success.is_some()) else { return };
        let Some(state) = self.endpoints.get_mut(id.0) else { return };
        if state.position == Position::Closed || state.rollout.progress.rolled_back.is_some() {
            state.silent_since = None;
            return;
        }
        let since = (*state.silent_since.get_or_insert(now)).max(state.rollout.progress.counted_from);
        if now.since(since) < guard.window {
            return;
        }
        let Some((endpoint, counts)) = config.endpoints.get(id.0).zip(self.counted(world, id)) else { return };
        let Ok(backlog) = Backlog::of_all(world.store, &self.keys, now) else { return };
        let (ended, waiting) = (counts.ring.total(now, since), backlog.of(&endpoint.name));
        if counts.gateways > 1 && guard.bears(&ended, waiting) {
            return;
        }
        if ended.ended().saturating_add(waiting) >= guard.min_events {
            let seconds = itoa::Buffer::new().format(now.since(since).as_secs()).to_owned();
            let waiting = itoa::Buffer::new().format(waiting).to_owned();
            let detail = ["the breaker has not closed for ", &seconds, " s; ", &waiting, " deliveries wait"].concat();
            self.roll_back(world, id, Trigger::Success, &over(detail, counts.gateways));
        }
    }

    /// Begins the next phase if the time of the current one is over and no threshold is breached.
    fn promote(&mut self, world: &mut World<'_>, id: EndpointId) {
        let (config, now) = (std::rc::Rc::clone(&self.config), world.now);
        let (plan, guard) = (&config.rollout.plan, &config.rollout.guard);
        let Some(progress) = self.progress(world, id).filter(|progress| progress.is_due(plan, now.wall)) else {
            return;
        };
        let (from, before) = (progress.counted_from, progress.breached);
        let breached = match guard {
            None => None,
            // While the breaker is open next to no delivery ends, so there is nothing to judge.
            Some(_) if !self.endpoints.get(id.0).is_some_and(|state| state.position == Position::Closed) => {
                Some(Trigger::BreakerOpens)
            }
            Some(guard) => {
                let (opens, _) = self.opens(world, id);
                let Some(counts) = self.counted(world, id) else { return };
                guard.holds(&counts.ring.total(now.mono, from), opens, before)
            }
        };
        if let Some(trigger) = breached {
            let hold = &mut |progress: &mut Progress| std::mem::replace(&mut progress.breached, breached) != breached;
            if before != breached && self.change_progress(world, id, hold) {
                self.output.note(Notice::PromotionHeld { endpoint: id, trigger });
            }
            return;
        }
        let promote = &mut |progress: &mut Progress| {
            let is_due = progress.is_due(plan, now.wall);
            if is_due {
                progress.promote_by_itself(plan, now);
            }
            is_due
        };
        if self.change_progress(world, id, promote)
            && let Some(SeenProgress { progress, .. }) = self.endpoints.get(id.0).map(|state| &state.rollout)
        {
            let (phase, percent) = (progress.phase, progress.selected(plan, now.wall));
            self.output.note(Notice::Promoted { endpoint: id, phase, percent });
            self.tell(world, NewsKind::Promoted, id, "schedule", Some(Facts::phase(phase, percent)));
        }
    }

    /// Notes that a phase has come to wait for an operator.
    fn tell_waiting(&mut self, world: &mut World<'_>, id: EndpointId) {
        let (config, now) = (std::rc::Rc::clone(&self.config), world.now.wall);
        let plan = &config.rollout.plan;
        let Some(progress) = self.progress(world, id).filter(|progress| progress.waits_untold(plan, now)) else {
            return;
        };
        let phase = progress.phase;
        if self.change_progress(world, id, &mut |progress| progress.tell_that_it_waits(plan, now)) {
            self.output.note(Notice::PhaseWaits { endpoint: id, phase });
        }
    }

    /// Rolls an endpoint back: its share is 0 from now on. Notes and tells why.
    fn roll_back(&mut self, world: &mut World<'_>, id: EndpointId, trigger: Trigger, detail: &str) {
        let at = world.now.wall;
        if self.change_progress(world, id, &mut |progress| progress.roll_back(trigger, detail, at)) {
            self.output.note(Notice::RolledBack { endpoint: id, trigger, detail: detail.to_owned() });
            let facts = Facts::RolledBack { detail: detail.to_owned() };
            self.tell(world, NewsKind::RolledBack, id, trigger.label(), Some(facts));
        }
    }

    /// Changes an endpoint's progress in shared data, and this worker's copy. Returns what `change` returns: whether
    /// the progress has changed. If the store fails, nothing is changed and the result is `false`.
    fn change_progress(
        &mut self,
        world: &mut World<'_>,
        id: EndpointId,
        change: &mut dyn FnMut(&mut Progress) -> bool,
    ) -> bool {
        let (plan, now) = (&self.config.rollout.plan, world.now);
        let Some(endpoint) = self.config.endpoints.get(id.0) else { return false };
        let leads = self.leadership.generation.is_newest();
        let changed = update(world.store, &self.keys.of(&endpoint.name), |kept: &mut Progress| {
            // A worker whose configuration was replaced adds to the progress under the configuration that replaced it.
            if leads || *kept == Progress::default() {
                *kept = Progress::under(Some(std::mem::take(kept)), plan, now);
            }
            let is_changed = change(kept);
            let after = if leads { kept.clone() } else { Progress::to_older(Some(kept.clone()), plan, now) };
            (if is_changed { Write::Yes } else { Write::No }, (is_changed, after))
        });
        match changed {
            Ok((is_changed, after)) => {
                if let Some(state) = self.endpoints.get_mut(id.0) {
                    state.rollout = SeenProgress { progress: after, read: Some(now.mono), is_kept: true };
                }
                if is_changed {
                    self.publish_changes(world);
                }
                is_changed
            }
            Err(error) => {
                self.output.note(Notice::Store { doing: "writing how far a rollout has come", error });
                false
            }
        }
    }

    fn tell_percent(&mut self, world: &mut World<'_>, id: EndpointId) {
        let (config, now) = (std::rc::Rc::clone(&self.config), world.now.wall);
        let Some(percent) = self.progress(world, id).map(|progress| progress.percent(&config.rollout.plan, now)) else {
            return;
        };
        // A gauge of Envoy's is a whole number. The share is rounded up: half a percent is more than none.
        self.tell_gauge(Some(id), Gauge::RolloutPercent, u64::from(percent.0).div_ceil(100));
    }

    pub(super) fn window(&self) -> std::time::Duration {
        guard::window(self.config.rollout.guard.as_ref())
    }
}

/// What was observed, with the number of gateways that it was observed at, if there are several.
fn over(detail: String, gateways: u32) -> String {
    if gateways > 1 { [&detail, ", over ", itoa::Buffer::new().format(gateways), " gateways"].concat() } else { detail }
}
