//! The status of the gateway, put together for an answer.

use super::answers::{self, BreakerView, NO_BREAKER};
use super::{Outcome, Result, Surface, success};
use crate::admin::about::{About, AboutEndpoint};
use crate::admin::control::{Control, FilterState};
use crate::answer::Answer;
use crate::egress::breaker::Admission;
use crate::egress::dead_letter;
use crate::egress::state::EndpointKeys;
use crate::ledger::Partition;
use crate::time::Instant;

/// The deliveries that wait, and the number of live workers.
#[derive(Default)]
struct Waiting {
    workers: u32,
    pending: Vec<u64>,
    /// Pending deliveries of endpoints that are gone from the config.
    others: u64,
    oldest: Option<Instant>,
}

impl Surface<'_, '_> {
    pub(super) fn status(&mut self, about: &About) -> Result<Outcome> {
        Ok(Outcome::Answer(self.standing(about)?))
    }

    pub(super) fn standing(&mut self, about: &About) -> Result<Answer> {
        let now = self.world.now;
        let control = Control::read(self.world.store, self.keys)?;
        let over = control.override_of(about.enabled);
        let waiting = self.waiting(about)?;
        let (dead_letters, letters) = self.letters_by_endpoint(about)?;
        let counters = self.process_counters(about)?;
        let journal = self.journal()?;
        let mut endpoints = Vec::with_capacity(about.endpoints.len());
        for (at, endpoint) in about.endpoints.iter().enumerate() {
            let pending = waiting.pending.get(at).copied().unwrap_or_default();
            let dead_letters = letters.get(at).copied().unwrap_or_default();
            endpoints.push(answers::EndpointView { pending, dead_letters, ..self.endpoint_status(about, endpoint)? });
        }
        Ok(success(&answers::Status {
            process: about.process(),
            version: about.version.clone(),
            now: now.wall,
            role: self.role.label().into(),
            state: control.state(about.enabled).label().into(),
            configured: over.map(|_| FilterState::configured(about.enabled).label().into()),
            reason: over.map(|over| over.reason.clone()),
            since: over.map(|over| over.at),
            draining: control.draining,
            workers: waiting.workers.into(),
            pending: waiting.pending.iter().sum::<u64>() + waiting.others,
            oldest_pending_seconds: waiting.oldest.map(|oldest| now.mono.since(oldest).as_secs()),
            dead_letters,
            counters,
            journal,
            endpoints,
        }))
    }

    /// The status of an endpoint, but for its pending deliveries and its dead letters.
    fn endpoint_status(&mut self, about: &About, endpoint: &AboutEndpoint) -> Result<answers::EndpointView> {
        let now = self.world.now.mono;
        let shared = EndpointKeys::new(self.keys, &endpoint.name).shared(self.world.store)?;
        let by_itself = match (endpoint.disabled, shared.is_gone(endpoint.digest)) {
            (true, _) => Some("config"),
            (false, true) => Some("gone"),
            (false, false) => None,
        };
        let by = match shared.disabled_override(endpoint.disabled) {
            Some(disabled) => disabled.then_some("operator"),
            None => by_itself,
        };
        let seconds_left = match shared.admission(endpoint.has_breaker(), now) {
            Admission::Wait { until } => Some(until.since(now).as_secs()),
            _ => None,
        };
        let state = if endpoint.has_breaker() { shared.breaker.position().label() } else { NO_BREAKER };
        let breaker = BreakerView { state: state.into(), seconds_left };
        let (disabled, disabled_by) = (by.is_some(), by.map(Into::into));
        let name = endpoint.name.clone();
        Ok(answers::EndpointView { name, disabled, disabled_by, breaker, ..self.rollout_status(about, endpoint)? })
    }

    /// Counts the deliveries that all workers hold, those in flight and on their way to a sink included.
    fn waiting(&mut self, about: &About) -> Result<Waiting> {
        let mut waiting = Waiting { pending: vec![0; about.endpoints.len()], ..Waiting::default() };
        let (mut others, mut oldest) = (0, None::<Instant>);
        let pending = &mut waiting.pending;
        let now = self.world.now.mono;
        waiting.workers = Partition::survey(self.world.store, self.keys, now, &mut |event| {
            for delivery in event.deliveries.iter().filter(|delivery| !delivery.stage.is_settled()) {
                oldest = Some(oldest.map_or(event.accepted, |oldest| oldest.min(event.accepted)));
                let place = about.endpoints.iter().position(|endpoint| endpoint.name == delivery.endpoint);
                match place.and_then(|place| pending.get_mut(place)) {
                    Some(count) => *count += 1,
                    None => others += 1,
                }
            }
        })?;
        (waiting.others, waiting.oldest) = (others, oldest);
        Ok(waiting)
    }

    /// The number of dead letters, in all and of each endpoint of the config.
    fn letters_by_endpoint(&mut self, about: &About) -> Result<(u64, Vec<u64>)> {
        let (mut total, mut counts) = (0, vec![0; about.endpoints.len()]);
        for listed in dead_letter::list(self.world.store, self.keys)? {
            total += 1;
            let name = dead_letter::open(self.world.store, self.keys, listed)?.map(|(letter, _)| letter.endpoint);
            let place = about.endpoints.iter().position(|endpoint| Some(&endpoint.name) == name.as_ref());
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        Ok((total, counts))
    }
}
