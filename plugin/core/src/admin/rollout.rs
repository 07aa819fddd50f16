//! The rollout of one endpoint, or of all of them: shown, and changed by operators.

use super::answers::{self, Counters, Part, WindowView};
use super::{Outcome, Result, Surface, bad_request, commands, problem};
use crate::admin::about::{About, AboutEndpoint};
use crate::egress::operational::{Facts, News, NewsKind};
use crate::rollout::guard::{self, Counts, PROCESS, Totals, Trigger};
use crate::rollout::{Percent, Progress};
use crate::store::{Write, read, update};
use crate::time::Instant;

/// The operational event about a change, if there is one; the error is why the change is refused.
type ProgressChange = std::result::Result<Option<(NewsKind, Facts)>, &'static str>;

impl Surface<'_, '_> {
    pub(super) fn set_percent(&mut self, about: &About) -> Result<Outcome> {
        let percent = commands::rollout_command(self.request.body).map_err(bad_request)?;
        let now = self.world.now;
        self.change_rollouts(about, &percent.to_string(), &|progress, _| {
            progress.set_percent(percent, now);
            Ok(None)
        })
    }

    /// Carries out the command `promote`, `hold`, `resume` or `rollback`.
    pub(super) fn move_rollout(&mut self, about: &About, word: &str) -> Result<Outcome> {
        let now = self.world.now;
        self.change_rollouts(about, word, &|progress, about| match word {
            "promote" if progress.promote(&about.plan, now) => {
                let percent = progress.selected(&about.plan, now.wall);
                Ok(Some((NewsKind::Promoted, Facts::phase(progress.phase, percent))))
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
                Ok(is_news.then(|| (NewsKind::RolledBack, Facts::RolledBack { detail: detail.to_owned() })))
            }
        })
    }

    /// Changes the rollout of the endpoint that the query names, or of all endpoints. If the change is refused for one
    /// endpoint, nothing is changed for any.
    fn change_rollouts(
        &mut self,
        about: &About,
        line: &str,
        change: &dyn Fn(&mut Progress, &About) -> ProgressChange,
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
                        return Err(problem(409, "Conflict", format!("endpoint {}: {detail}", endpoint.name)));
                    }
                }
            }
        }
        let news = told.into_iter().map(|(endpoint, (kind, facts))| {
            let facts = Some(facts);
            News { kind, endpoint, reason: "operator", facts }
        });
        let news: Vec<News<'_>> = news.collect();
        let rolled_back = news.iter().filter(|news| news.kind == NewsKind::RolledBack);
        self.rolled_back = rolled_back.map(|news| news.endpoint.to_owned()).collect();
        self.tell(about, &news);
        self.changed(about, format!("rollout={line} endpoint={}", named.as_deref().unwrap_or("all")))
    }

    fn change_rollout(
        &mut self,
        about: &About,
        endpoint: &AboutEndpoint,
        is_rehearsal: bool,
        change: &dyn Fn(&mut Progress, &About) -> ProgressChange,
    ) -> Result<ProgressChange> {
        let now = self.world.now;
        Ok(update(self.world.store, &self.keys.of(&endpoint.name), |kept: &mut Progress| {
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

    /// The status of an endpoint as far as its rollout and its counts go; the other fields have their defaults.
    pub(super) fn rollout_status(&mut self, about: &About, endpoint: &AboutEndpoint) -> Result<answers::EndpointView> {
        let (now, plan) = (self.world.now, &about.plan);
        let kept = read::<Progress>(self.world.store, &self.keys.of(&endpoint.name))?;
        let progress = Progress::under(kept, plan, now);
        let has_phases = !plan.phases.is_empty();
        let rolled_back = progress.rolled_back.as_ref();
        let rollout = answers::RolloutView {
            percent: progress.percent(plan, now.wall).as_f64(),
            state: progress.stage(plan, now.wall).label().into(),
            phase: has_phases.then_some(u64::from(progress.phase) + 1),
            phases: has_phases.then_some(plan.phases.len() as u64),
            phase_since: has_phases.then_some(progress.since),
            phase_until: progress.end(plan),
            breached: progress.breached.map(|trigger| trigger.label().into()),
            reason: rolled_back.map(|rolled_back| rolled_back.trigger.label().into()),
            detail: rolled_back.map(|rolled_back| rolled_back.detail.clone()),
            since: rolled_back.map(|rolled_back| rolled_back.at),
        };
        let guard::FleetCounts { ring, opens_elsewhere, gateways } =
            guard::count_fleet(self.world.store, self.keys, &endpoint.name, about.window, now.mono)?;
        Ok(answers::EndpointView {
            rollout,
            breaker_opens_24h: progress.opens(now.mono).saturating_add(opens_elsewhere).into(),
            counters: counters(&ring.totals),
            last_attempt_at: ring.totals.last_attempt,
            window: window(about, &ring.total(now.mono, Instant::default()), gateways),
            series: ring.series(now.mono).iter().map(part).collect(),
            ..answers::EndpointView::default()
        })
    }

    /// The counts of the process.
    pub(super) fn process_counters(&mut self, about: &About) -> Result<Counters> {
        Ok(counters(&guard::count_all(self.world.store, self.keys, PROCESS, about.window)?.totals))
    }
}

fn counters(totals: &Totals) -> Counters {
    let Totals { accepted, attempts, delivered, failed, expired, .. } = *totals;
    Counters { accepted, attempts, delivered, failed, expired }
}

fn window(about: &About, counts: &Counts, gateways: u32) -> WindowView {
    // In hundredths of a percent, rounded down: the unit of all shares. In whole numbers, for 57 of 100 is 57 %.
    let (delivered, ended) = (u64::from(counts.delivered), u64::from(counts.delivered) + u64::from(counts.failed));
    let success = (delivered * 10_000).checked_div(ended).map(|share| Percent(share as u32));
    WindowView {
        seconds: about.window.as_secs(),
        delivered: counts.delivered.into(),
        failed: counts.failed.into(),
        attempts: counts.attempts.into(),
        unauthorized: counts.unauthorized.into(),
        success_percent: success.map(Percent::as_f64),
        p50_ms: millis(counts, 0.5),
        p95_ms: millis(counts, 0.95),
        gateways: gateways.into(),
    }
}

fn part(counts: &Counts) -> Part {
    Part { delivered: counts.delivered.into(), failed: counts.failed.into(), p95_ms: millis(counts, 0.95) }
}

/// The percentile of the attempts' durations, in milliseconds, for a `share` such as 0.95; `None`: there were no
/// attempts.
pub(super) fn millis(counts: &Counts, share: f64) -> Option<u64> {
    counts.percentile(share).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
