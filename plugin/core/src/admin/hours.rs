//! The counts of an endpoint by the hour, for an answer.

use super::answers::{self, Outcomes};
use super::query::bad;
use super::rollout::millis;
use super::{Outcome, Result, Surface, success};
use crate::admin::about::About;
use crate::telemetry::hours::{self, HOURS, Hour, REJECTED};

impl Surface<'_, '_> {
    pub(super) fn list_hours(&mut self, about: &About) -> Result<Outcome> {
        let name = self.named_endpoint(about)?.ok_or_else(|| bad("endpoint", "the name of an endpoint"))?;
        let hours = match self.parameter("hours").map(|text| text.parse()) {
            None => HOURS,
            Some(Ok(hours @ 1..=HOURS)) => hours,
            Some(_) => return Err(bad("hours", "a number from 1 to 168")),
        };
        let listed = hours::list(self.world.store, self.keys, &name, self.world.now.wall, hours)?;
        let hours = listed.iter().map(shown).collect();
        Ok(Outcome::Answer(success(&answers::HoursView { process: about.process(), endpoint: name, hours })))
    }
}

fn shown(hour: &Hour) -> answers::HourView {
    let count =
        |label: &str| hour.outcomes().find(|(outcome, _)| *outcome == label).map_or(0, |(_, count)| count.into());
    answers::HourView {
        hour: hour.start(),
        accepted: hour.accepted.into(),
        attempts: Outcomes {
            success: count("2xx"),
            redirection: count("3xx"),
            client_error: count("4xx"),
            server_error: count("5xx"),
            timeout: count("timeout"),
            reset: count("reset"),
            connect: count("connect"),
            rejected: count(REJECTED),
        },
        unauthorized: hour.counts.unauthorized.into(),
        retries: hour.retries.into(),
        delivered: hour.counts.delivered.into(),
        failed: hour.counts.failed.into(),
        expired: hour.expired.into(),
        breaker_opens: hour.breaker_opens.into(),
        p50_ms: millis(&hour.counts, 0.5),
        p95_ms: millis(&hour.counts, 0.95),
    }
}
