//! The rollout of one endpoint, or of all of them: shown, and changed by operators.

use super::{Outcome, Result, Surface, bad_request, problem};
use crate::about::{About, AboutEndpoint};
use crate::config;
use crate::guard::{Counts, PROCESS, Ring, Totals, Trigger};
use crate::json::write::{NONE, Writer, quoted};
use crate::ledger::Partition;
use crate::operational::{self, Kind, News};
use crate::rollout::{Progress, key};
use crate::store::{Write, read, update};

/// What is to be told of a change, if anything; or why it is refused.
type Change = std::result::Result<Option<(Kind, Vec<(&'static str, String)>)>, &'static str>;

impl Surface<'_, '_> {
    pub(super) fn set_percent(&mut self, about: &About) -> Result<Outcome> {
        let percent = config::rollout_command(self.request.body).map_err(bad_request)?;
        let now = self.world.now;
        self.change_rollouts(about, &percent.to_string(), &|progress, _| {
            progress.set_percent(percent, now);
            Ok(None)
        })
    }

    /// `promote`, `hold`, `resume` or `rollback`.
    pub(super) fn move_rollout(&mut self, about: &About, word: &str) -> Result<Outcome> {
        let now = self.world.now;
        self.change_rollouts(about, word, &|progress, about| match word {
            "promote" if progress.promote(&about.plan, now) => {
                let percent = progress.selected(&about.plan, now.wall);
                Ok(Some((Kind::Promoted, operational::phase(progress.phase, percent).to_vec())))
            }
            "promote" if progress.rolled_back.is_some() => Err("it is rolled back: resume it first"),
            "promote" => Err("no phase follows the one it is in"),
            "hold" if about.plan.phases.is_empty() => Err("the config has no phases, so nothing is promoted"),
            "hold" => {
                progress.is_held = true;
                Ok(None)
            }
            "resume" => {
                progress.resume(now);
                Ok(None)
            }
            _ => {
                let detail = "by an operator";
                let is_news = progress.roll_back(Trigger::Operator, detail, now.wall);
                Ok(is_news.then(|| (Kind::RolledBack, vec![("detail", quoted(detail))])))
            }
        })
    }

    /// Changes the rollout of the endpoint that the query names, or of all; refused for one, nothing is changed for any.
    fn change_rollouts(
        &mut self,
        about: &About,
        line: &str,
        change: &dyn Fn(&mut Progress, &About) -> Change,
    ) -> Result<Outcome> {
        let named = self.named_endpoint(about)?;
        let is_meant = |endpoint: &&AboutEndpoint| named.as_ref().is_none_or(|name| *name == endpoint.name);
        let endpoints: Vec<&AboutEndpoint> = about.endpoints.iter().filter(is_meant).collect();
        let mut told = Vec::new();
        for is_rehearsal in [true, false] {
            for endpoint in &endpoints {
                match self.change_rollout(about, endpoint, is_rehearsal, change)? {
                    Ok(Some(news)) if !is_rehearsal => told.push((&endpoint.name, news)),
                    Ok(_) => {}
                    Err(detail) => {
                        let detail = ["endpoint ", &endpoint.name, ": ", detail].concat();
                        return Err(problem(409, "Conflict", &detail));
                    }
                }
            }
        }
        let news = told.iter().map(|(endpoint, (kind, more))| News { kind: *kind, endpoint, reason: "operator", more });
        let news: Vec<News<'_>> = news.collect();
        let rolled_back = news.iter().filter(|news| news.kind == Kind::RolledBack);
        self.rolled_back = rolled_back.map(|news| news.endpoint.to_owned()).collect();
        self.tell(about, &news);
        self.changed(about, ["rollout=", line, " endpoint=", named.as_deref().unwrap_or("all")].concat())
    }

    fn change_rollout(
        &mut self,
        about: &About,
        endpoint: &AboutEndpoint,
        is_rehearsal: bool,
        change: &dyn Fn(&mut Progress, &About) -> Change,
    ) -> Result<Change> {
        let now = self.world.now;
        Ok(update(self.world.store, &key(self.prefix, &endpoint.name), |kept: &mut Progress| {
            let mut progress = Progress::under(Some(kept.clone()), &about.plan, now);
            let changed = change(&mut progress, about);
            let write = changed.is_ok() && progress != *kept && !is_rehearsal;
            *kept = progress;
            (if write { Write::Yes } else { Write::No }, changed)
        })?)
    }

    pub(super) fn delete_rollout_overrides(&mut self, about: &About) -> Result<()> {
        let now = self.world.now;
        for endpoint in &about.endpoints {
            let change = |progress: &mut Progress, _: &About| {
                progress.delete_overrides(now);
                Ok(None)
            };
            let _ = self.change_rollout(about, endpoint, false, &change)?;
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
        counters(body, &ring.totals);
        let last = ring.totals.last_attempt.map(|at| quoted(&at.to_string()));
        body.literal("last_attempt_at", last.as_deref().unwrap_or("null"));
        self.window_status(body, &ring, about);
        Ok(())
    }

    /// What was counted of the process.
    pub(super) fn process_counters(&mut self, body: &mut Writer, about: &About) -> Result<()> {
        let ring = Partition::count_all(self.world.store, self.prefix, PROCESS, about.window)?;
        counters(body, &ring.totals);
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

fn counters(body: &mut Writer, totals: &Totals) {
    body.object("counters");
    body.number("accepted", totals.accepted);
    body.number("attempts", totals.attempts);
    body.number("delivered", totals.delivered);
    body.number("failed", totals.failed);
    body.number("expired", totals.expired);
    body.end_object();
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

/// The time that this share of the attempts stayed below, in milliseconds.
pub(super) fn millis(counts: &Counts, share: f64) -> Option<u64> {
    counts.percentile(share).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
