//! What happened to an endpoint, hour by hour.

use super::query::bad;
use super::rollout::millis;
use super::{Outcome, Result, Surface, begin, end};
use crate::about::About;
use crate::hours::{self, HOURS, Hour};
use crate::json::write::{NONE, Writer};

impl Surface<'_, '_> {
    pub(super) fn list_hours(&mut self, about: &About) -> Result<Outcome> {
        let name = self.named_endpoint(about)?.ok_or_else(|| bad("endpoint", "the name of an endpoint"))?;
        let hours = match self.parameter("hours").map(|text| text.parse()) {
            None => HOURS,
            Some(Ok(hours @ 1..=HOURS)) => hours,
            Some(_) => return Err(bad("hours", "a number from 1 to 168")),
        };
        let listed = hours::list(self.world.store, self.prefix, &name, self.world.now.wall, hours)?;
        let mut body = begin(about);
        body.text("endpoint", &name);
        body.array("hours");
        listed.iter().for_each(|hour| show(&mut body, hour));
        body.end_array();
        Ok(Outcome::Answer(end(body)))
    }
}

fn show(body: &mut Writer, hour: &Hour) {
    body.object(NONE);
    body.text("hour", &hour.start().to_string());
    body.number("accepted", hour.accepted.into());
    body.object("attempts");
    hour.outcomes().for_each(|(outcome, count)| body.number(outcome, count.into()));
    body.end_object();
    body.number("unauthorized", hour.counts.unauthorized.into());
    body.number("retries", hour.retries.into());
    body.number("delivered", hour.counts.delivered.into());
    body.number("failed", hour.counts.failed.into());
    body.number("expired", hour.expired.into());
    body.number("breaker_opens", hour.breaker_opens.into());
    body.optional("p50_ms", millis(&hour.counts, 0.5));
    body.optional("p95_ms", millis(&hour.counts, 0.95));
    body.end_object();
}
