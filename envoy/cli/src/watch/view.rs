//! What is known of each gateway: its last status, the rates of the last seconds, and whether it is another process now.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::trouble::{Level, Trouble, troubles};
use crate::gateway::{Counters, Failure, Result, Status};

/// All gateways that are watched.
pub(super) struct View {
    pub gateways: Vec<Watched>,
}

/// A gateway that is watched.
pub(super) struct Watched {
    pub url: String,
    /// The last status it answered with, kept while it is down.
    last: Option<Status>,
    /// What the same process had counted before, oldest first: as far back as rates look.
    before: VecDeque<CounterReading>,
    /// Why it cannot be reached now, and since when.
    down: Option<(Instant, Failure)>,
    /// It was not asked yet.
    is_new: bool,
    /// When another process was seen first.
    restarted: Option<Instant>,
    /// Of the gateway, and of each endpoint.
    rates: Option<(Rates, BTreeMap<String, Rates>)>,
}

/// What was counted of the gateway and of each endpoint, and when that was read.
struct CounterReading {
    at: Instant,
    counters: Counters,
    endpoints: BTreeMap<String, Counters>,
}

/// How often something happened, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    pub accepted: f64,
    pub delivered: f64,
    /// Those that grew too old too.
    pub failed: f64,
}

impl Rates {
    fn between(before: &Counters, now: &Counters, elapsed: Duration) -> Self {
        let per_second = |before: u64, now: u64| now.saturating_sub(before) as f64 / elapsed.as_secs_f64();
        Self {
            accepted: per_second(before.accepted, now.accepted),
            delivered: per_second(before.delivered, now.delivered),
            failed: per_second(before.failed + before.expired, now.failed + now.expired),
        }
    }
}

impl View {
    pub fn new<'a>(urls: impl Iterator<Item = &'a str>) -> Self {
        let watched = |url: &str| Watched {
            url: url.to_owned(),
            last: None,
            before: VecDeque::new(),
            down: None,
            is_new: true,
            restarted: None,
            rates: None,
        };
        Self { gateways: urls.map(watched).collect() }
    }

    /// Takes what a gateway answered.
    pub fn take(&mut self, number: usize, at: Instant, reading: Result<Status>) {
        if let Some(watched) = self.gateways.get_mut(number) {
            watched.take(at, reading);
        }
    }

    /// Does every gateway answer?
    pub fn all_reached(&self) -> bool {
        self.gateways.iter().all(|watched| watched.down.is_none() && watched.last.is_some())
    }

    /// What there is to know, for a script.
    pub fn report(&self, at: Timestamp) -> Snapshot<'_> {
        let now = Instant::now();
        let gateways = self.gateways.iter().map(|watched| Entry {
            gateway: &watched.url,
            reached: watched.status().is_some(),
            restarted: watched.restarted_ago(now).is_some(),
            rates: watched.rates.as_ref().map(|(rates, _)| *rates),
            endpoint_rates: watched.rates.as_ref().map(|(_, endpoints)| endpoints),
            troubles: watched.troubles(now),
            status: watched.status(),
        });
        Snapshot { at, gateways: gateways.collect() }
    }
}

impl Watched {
    fn take(&mut self, at: Instant, reading: Result<Status>) {
        self.is_new = false;
        let status = match reading {
            Ok(status) => status,
            Err(failure) => {
                let since = self.down.take().map_or(at, |(since, _)| since);
                (self.down, self.rates) = (Some((since, failure)), None);
                return;
            }
        };
        self.down = None;
        if self.last.as_ref().is_some_and(|last| last.process.instance != status.process.instance) {
            self.restarted = Some(at);
            self.before.clear();
        }
        let counted = status.endpoints.iter().map(|endpoint| (endpoint.name.clone(), endpoint.counters));
        let now = CounterReading { at, counters: status.counters, endpoints: counted.collect() };
        self.rates = self.rates_until(&now);
        self.before.push_back(now);
        self.last = Some(status);
    }

    fn rates_until(&mut self, now: &CounterReading) -> Option<(Rates, BTreeMap<String, Rates>)> {
        // One is kept however old it is.
        while self.before.len() > 1 && self.before.front().is_some_and(|first| now.at - first.at > RATES_WINDOW) {
            self.before.pop_front();
        }
        let first = self.before.front().filter(|first| first.at < now.at)?;
        let elapsed = now.at - first.at;
        let endpoints = now.endpoints.iter().filter_map(|(name, counters)| {
            Some((name.clone(), Rates::between(first.endpoints.get(name)?, counters, elapsed)))
        });
        Some((Rates::between(&first.counters, &now.counters, elapsed), endpoints.collect()))
    }

    /// How it stands, if it answers.
    pub fn status(&self) -> Option<&Status> {
        if self.down.is_some() { None } else { self.last.as_ref() }
    }

    /// Why it does not, and since when.
    pub fn down(&self) -> Option<&(Instant, Failure)> {
        self.down.as_ref()
    }

    pub fn is_new(&self) -> bool {
        self.is_new
    }

    pub fn rates(&self) -> Option<Rates> {
        self.rates.as_ref().map(|(rates, _)| *rates)
    }

    pub fn endpoint_rates(&self, name: &str) -> Option<Rates> {
        self.rates.as_ref()?.1.get(name).copied()
    }

    /// How long ago another process was seen, if that is still news.
    pub fn restarted_ago(&self, now: Instant) -> Option<Duration> {
        let ago = now.saturating_duration_since(self.restarted?);
        (ago < RESTART_IS_NEWS).then_some(ago)
    }

    /// All that is wrong with it.
    pub fn troubles(&self, now: Instant) -> Vec<Trouble> {
        if let Some((_, failure)) = &self.down {
            return vec![Trouble::of_gateway(Level::Failure, failure.sentence.clone())];
        }
        let restarted = self.restarted_ago(now).map(|ago| {
            let what = "restarted %s ago: what was pending, dead letters and overrides ended with the process";
            Trouble::of_gateway(Level::Warning, what.replace('%', &ago.as_secs().to_string()))
        });
        let standing = self.status().map(troubles).unwrap_or_default();
        restarted.into_iter().chain(standing).collect()
    }
}

/// A reading, for a script.
#[derive(Serialize)]
pub(super) struct Snapshot<'a> {
    at: Timestamp,
    gateways: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    gateway: &'a str,
    reached: bool,
    /// Within the last minutes it became another process.
    restarted: bool,
    /// A second; `null`: there are no two readings of this process.
    rates: Option<Rates>,
    endpoint_rates: Option<&'a BTreeMap<String, Rates>>,
    troubles: Vec<Trouble>,
    status: Option<&'a Status>,
}

/// Each worker writes its counters once a second, all of that second at once: over less than a few of them a rate jumps.
const RATES_WINDOW: Duration = Duration::from_secs(10);
/// For so long a restart is shown.
const RESTART_IS_NEWS: Duration = Duration::from_secs(300);

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A healthy gateway with one endpoint.
    pub fn status() -> Status {
        serde_json::from_value(json!({
            "instance": "one", "started_at": "2026-11-25T10:00:00.000Z", "version": "0.1.0",
            "now": "2026-11-25T12:00:00.000Z", "role": "operate", "state": "enabled", "draining": false, "workers": 2,
            "pending": 4, "oldest_pending_seconds": 1, "dead_letters": 0,
            "counters": {"accepted": 100, "attempts": 90, "delivered": 80, "failed": 3, "expired": 1},
            "endpoints": [{
                "name": "billing", "disabled": false, "breaker": {"state": "closed"},
                "rollout": {"percent": 100, "state": "fixed"}, "breaker_opens_24h": 0,
                "counters": {"accepted": 100, "attempts": 90, "delivered": 80, "failed": 3, "expired": 1},
                "last_attempt_at": null, "pending": 4, "dead_letters": 0, "series": [],
                "window": {"seconds": 300, "success_percent": 99.5, "p50_ms": 12, "p95_ms": 340},
            }],
        }))
        .unwrap()
    }

    fn view() -> (View, Instant) {
        (View::new(["http://a/gatepost", "http://b/gatepost"].into_iter()), Instant::now())
    }

    /// Rates are what was counted between two readings of the same process.
    #[test]
    fn rates_are_between_two_readings_of_the_same_process() {
        let (mut view, start) = view();
        view.take(0, start, Ok(status()));
        assert_eq!(view.gateways[0].rates(), None);
        let mut later = status();
        let counters = Counters { accepted: 120, attempts: 110, delivered: 90, failed: 4, expired: 2 };
        (later.counters, later.endpoints[0].counters) = (counters, counters);
        view.take(0, start + Duration::from_secs(2), Ok(later));
        let expected = Some(Rates { accepted: 10.0, delivered: 5.0, failed: 1.0 });
        assert_eq!(view.gateways[0].rates(), expected);
        assert_eq!(view.gateways[0].endpoint_rates("billing"), expected);
    }

    /// Rates look ten seconds back and always as far as the reading before.
    #[test]
    fn rates_span_ten_seconds_or_at_least_the_last_reading() {
        let (mut view, start) = view();
        let reading = |accepted| {
            let mut status = status();
            status.counters.accepted = accepted;
            Ok(status)
        };
        for second in 0..=20 {
            // Ten every other second.
            view.take(0, start + Duration::from_secs(second), reading(second / 2 * 10));
        }
        assert_eq!(view.gateways[0].rates().map(|rates| rates.accepted), Some(5.0));
        view.take(0, start + Duration::from_secs(80), reading(160));
        assert_eq!(view.gateways[0].rates().map(|rates| rates.accepted), Some(1.0));
    }

    /// Another process has no rates at first and is shown as restarted also after it was down.
    #[test]
    fn new_process_has_no_rates_and_is_shown_as_restarted() {
        let (mut view, start) = view();
        view.take(0, start, Ok(status()));
        let later = start + Duration::from_secs(1);
        view.take(0, later, Err(Failure::new("cannot be reached: it is down")));
        assert!(view.gateways[0].status().is_none());
        assert_eq!(view.gateways[0].troubles(later)[0].what, "cannot be reached: it is down");
        let again = start + Duration::from_secs(2);
        let mut another = status();
        another.process.instance = "two".to_owned();
        view.take(0, again, Ok(another));
        assert_eq!(view.gateways[0].rates(), None);
        let what = &view.gateways[0].troubles(again + Duration::from_secs(7))[0].what;
        assert!(what.starts_with("restarted 7s ago"), "{what}");
        assert_eq!(view.gateways[0].troubles(again + RESTART_IS_NEWS), []);
    }

    /// A gateway that was not asked yet is neither reached nor down.
    #[test]
    fn gateway_not_yet_asked_is_neither_reached_nor_down() {
        let (mut view, start) = view();
        view.take(0, start, Ok(status()));
        assert!(view.gateways[1].is_new() && view.gateways[1].down().is_none());
        assert!(!view.all_reached());
        view.take(1, start, Ok(status()));
        assert!(view.all_reached());
    }
}
