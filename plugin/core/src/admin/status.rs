//! How the gateway stands.

use super::{Outcome, Result, Surface, begin, end};
use crate::about::{About, AboutEndpoint};
use crate::answer::Answer;
use crate::breaker::Admission;
use crate::control::{Control, State};
use crate::dead_letter;
use crate::endpoint::Keys;
use crate::json::write::{NONE, Writer};
use crate::ledger::Partition;
use crate::time::Instant;

/// What waits.
#[derive(Default)]
struct Waiting {
    workers: u32,
    pending: Vec<u64>,
    /// Of endpoints that are gone from the config.
    others: u64,
    oldest: Option<Instant>,
}

impl Surface<'_, '_> {
    pub(super) fn status(&mut self, about: &About) -> Result<Outcome> {
        Ok(Outcome::Answer(self.standing(about)?))
    }

    pub(super) fn standing(&mut self, about: &About) -> Result<Answer> {
        let now = self.world.now;
        let control = Control::read(self.world.store, self.prefix)?;
        let waiting = self.waiting(about)?;
        let (total, letters) = self.letters_by_endpoint(about)?;
        let mut body = begin(about);
        body.text("version", &about.version);
        body.text("now", &now.wall.to_string());
        // So that a page need not offer what will be refused.
        body.text("role", self.role.label());
        body.text("state", control.state(about.enabled).label());
        if let Some(by_operator) = control.override_of(about.enabled) {
            body.text("configured", State::configured(about.enabled).label());
            body.text("reason", &by_operator.reason);
            body.text("since", &by_operator.at.to_string());
        }
        body.boolean("draining", control.draining);
        body.number("workers", waiting.workers.into());
        body.number("pending", waiting.pending.iter().sum::<u64>() + waiting.others);
        body.optional("oldest_pending_seconds", waiting.oldest.map(|oldest| now.mono.since(oldest).as_secs()));
        body.number("dead_letters", total);
        self.process_counters(&mut body, about)?;
        body.array("endpoints");
        for (at, endpoint) in about.endpoints.iter().enumerate() {
            body.object(NONE);
            self.endpoint_status(&mut body, endpoint)?;
            self.rollout_status(&mut body, about, endpoint)?;
            body.number("pending", waiting.pending.get(at).copied().unwrap_or_default());
            body.number("dead_letters", letters.get(at).copied().unwrap_or_default());
            body.end_object();
        }
        body.end_array();
        Ok(end(body))
    }

    fn endpoint_status(&mut self, body: &mut Writer, endpoint: &AboutEndpoint) -> Result<()> {
        let shared = Keys::new(self.prefix, &endpoint.name).shared(self.world.store)?;
        let by_itself = match (endpoint.disabled, shared.is_gone(endpoint.digest)) {
            (true, _) => Some("config"),
            (false, true) => Some("gone"),
            (false, false) => None,
        };
        let by = match shared.disabled_override(endpoint.disabled) {
            Some(disabled) => disabled.then_some("operator"),
            None => by_itself,
        };
        body.text("name", &endpoint.name);
        body.boolean("disabled", by.is_some());
        if let Some(by) = by {
            body.text("disabled_by", by);
        }
        body.object("breaker");
        body.text("state", shared.breaker.position().label());
        let now = self.world.now.mono;
        if let Admission::Wait { until } = shared.breaker.admission(now) {
            body.number("seconds_left", until.since(now).as_secs());
        }
        body.end_object();
        Ok(())
    }

    /// Counts what every worker holds, in flight and on its way to a sink included.
    fn waiting(&mut self, about: &About) -> Result<Waiting> {
        let mut waiting = Waiting { pending: vec![0; about.endpoints.len()], ..Waiting::default() };
        let (mut others, mut oldest) = (0, None::<Instant>);
        let pending = &mut waiting.pending;
        let now = self.world.now.mono;
        waiting.workers = Partition::survey(self.world.store, self.prefix, now, &mut |event| {
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

    /// How many there are, and how many of each endpoint of the config.
    fn letters_by_endpoint(&mut self, about: &About) -> Result<(u64, Vec<u64>)> {
        let (mut total, mut counts) = (0, vec![0; about.endpoints.len()]);
        for listed in dead_letter::list(self.world.store, self.prefix)? {
            total += 1;
            let name = dead_letter::open(self.world.store, self.prefix, listed)?.map(|(letter, _)| letter.endpoint);
            let place = about.endpoints.iter().position(|endpoint| Some(&endpoint.name) == name.as_ref());
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        Ok((total, counts))
    }
}
