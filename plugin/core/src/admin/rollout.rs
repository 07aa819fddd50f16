//! The rollout of one endpoint, or of all of them: shown, and changed by operators.

use super::{Outcome, Result, Surface, bad_request, parameter};
use crate::about::{About, AboutEndpoint};
use crate::answer::Answer;
use crate::config;
use crate::guard::{Counts, Ring, Trigger};
use crate::json::write::{NONE, Writer};
use crate::ledger::Partition;
use crate::rollout::{Progress, key};
use crate::store::{Write, read, update};

impl Surface<'_, '_> {
    pub(super) fn set_percent(&mut self) -> Result<Outcome> {
        let percent = config::rollout_command(self.request.body).map_err(bad_request)?;
        let now = self.world.now;
        self.change_rollouts(&format!("percent={percent}"), |progress, _| {
            progress.set_percent(percent, now);
            Ok(())
        })
    }

    /// `promote`, `hold`, `resume` or `rollback`.
    pub(super) fn move_rollout(&mut self, word: &str) -> Result<Outcome> {
        let now = self.world.now;
        self.change_rollouts(word, |progress, about| match word {
            "promote" if progress.promote(&about.plan, now) => Ok(()),
            "promote" if progress.rolled_back.is_some() => Err("it is rolled back: resume it first"),
            "promote" => Err("no phase follows the one it is in"),
            "hold" if about.plan.phases.is_empty() => Err("the config has no phases, so nothing is promoted"),
            "hold" => {
                progress.is_held = true;
                Ok(())
            }
            "resume" => {
                progress.resume(now);
                Ok(())
            }
            _ => {
                progress.roll_back(Trigger::Operator, "by an operator", now.wall);
                Ok(())
            }
        })
    }

    /// Changes the rollout of the endpoint that the query names, or of all; refused for one, nothing is changed for it
    /// or those after it.
    fn change_rollouts(
        &mut self,
        line: &str,
        change: impl Fn(&mut Progress, &About) -> std::result::Result<(), &'static str>,
    ) -> Result<Outcome> {
        let about = self.about()?;
        let named = parameter(self.request.query, "endpoint");
        let endpoints = match named {
            Some(name) => vec![self.endpoint(&about, name)?],
            None => about.endpoints.clone(),
        };
        for endpoint in &endpoints {
            let changed = self.change_rollout(&about, endpoint, &change)?;
            if let Err(detail) = changed {
                let detail = ["endpoint ", &endpoint.name, ": ", detail].concat();
                return Err(Answer::problem(409, "Conflict", &detail));
            }
        }
        self.changed(["rollout=", line, " endpoint=", named.unwrap_or("all")].concat())
    }

    fn change_rollout(
        &mut self,
        about: &About,
        endpoint: &AboutEndpoint,
        change: &dyn Fn(&mut Progress, &About) -> std::result::Result<(), &'static str>,
    ) -> Result<std::result::Result<(), &'static str>> {
        let now = self.world.now;
        Ok(update(self.world.store, &key(self.prefix, &endpoint.name), |kept: &mut Progress| {
            let mut progress = Progress::under(Some(kept.clone()), &about.plan, now);
            let changed = change(&mut progress, about);
            let write = changed.is_ok() && progress != *kept;
            *kept = progress;
            (if write { Write::Yes } else { Write::No }, changed)
        })?)
    }

    pub(super) fn delete_rollout_overrides(&mut self, about: &About) -> Result<()> {
        let now = self.world.now;
        for endpoint in &about.endpoints {
            let change = |progress: &mut Progress, _: &About| {
                progress.delete_overrides(now);
                Ok(())
            };
            let _ = self.change_rollout(about, endpoint, &change)?;
        }
        Ok(())
    }

    /// How an endpoint's rollout stands, and what was counted of it within the guard's `for`.
    pub(super) fn rollout_status(&mut self, body: &mut Writer, about: &About, endpoint: &AboutEndpoint) -> Result<()> {
        let (now, plan) = (self.world.now, &about.plan);
        let kept = read::<Progress>(self.world.store, &key(self.prefix, &endpoint.name))?;
        let progress = Progress::under(kept, plan, now);
        body.object("rollout");
        body.literal("percent", &progress.percent(plan, now.wall).to_string());
        body.text("state", progress.stage(plan, now.wall).label());
        if !plan.phases.is_empty() {
            body.number("phase", u64::from(progress.phase) + 1);
            body.number("phases", plan.phases.len() as u64);
            body.text("phase_since", &progress.since.to_string());
            if let Some(end) = progress.end(plan) {
                body.text("phase_until", &end.to_string());
            }
        }
        if let Some(trigger) = progress.breached {
            body.text("breached", trigger.label());
        }
        if let Some(rolled_back) = &progress.rolled_back {
            body.text("reason", rolled_back.trigger.label());
            body.text("detail", &rolled_back.detail);
            body.text("since", &rolled_back.at.to_string());
        }
        body.end_object();
        body.number("breaker_opens_24h", progress.opens(now.mono).into());
        let ring = Partition::count_all(self.world.store, self.prefix, &endpoint.name, about.window)?;
        self.window_status(body, &ring, about);
        Ok(())
    }

    fn window_status(&self, body: &mut Writer, ring: &Ring, about: &About) {
        let now = self.world.now.mono;
        body.object("window");
        body.number("seconds", about.window.as_secs());
        show(body, &ring.total(now, crate::time::Instant::default()));
        body.end_object();
        // Oldest first: what a small chart needs.
        body.array("series");
        for counts in ring.series(now) {
            body.object(NONE);
            body.number("delivered", counts.delivered.into());
            body.number("failed", counts.failed.into());
            body.optional("p95_ms", millis(&counts, 0.95));
            body.end_object();
        }
        body.end_array();
    }
}

fn show(body: &mut Writer, counts: &Counts) {
    body.number("delivered", counts.delivered.into());
    body.number("failed", counts.failed.into());
    body.number("attempts", counts.attempts.into());
    body.number("unauthorized", counts.unauthorized.into());
    // In hundredths of a percent, as shares are everywhere here: whole numbers need no printer of their own.
    let success = counts.success().map(|share| crate::rollout::Percent((share * 10_000.0) as u32).to_string());
    body.literal("success_percent", success.as_deref().unwrap_or("null"));
    body.optional("p50_ms", millis(counts, 0.5));
    body.optional("p95_ms", millis(counts, 0.95));
}

fn millis(counts: &Counts, share: f64) -> Option<u64> {
    counts.percentile(share).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
