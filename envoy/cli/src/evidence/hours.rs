//! Hours: what a gateway remembers of each, laid over the hours that were asked for, so that none is missing in silence.

use gatepost_core::time::WallTime;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::gateway::{HourView, Outcomes};

/// A time, to the minute.
pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// An endpoint of a gateway, hour by hour.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Series {
    pub gateway: String,
    pub endpoint: String,
    /// Oldest first, every hour that was asked for.
    pub rows: Vec<Row>,
}

/// One hour.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// When it began.
    pub hour: Timestamp,
    /// `whole`, `from_start` (the process began in it), `not_over` or `lost` (it ended before the process began).
    pub coverage: Coverage,
    /// What was counted; `None`: nobody knows.
    pub figures: Option<HourView>,
}

/// How much of an hour the gateway can tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Coverage {
    Whole,
    FromStart,
    NotOver,
    Lost,
}

/// What hours have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    pub accepted: u64,
    pub attempts: u64,
    pub retries: u64,
    pub delivered: u64,
    pub failed: u64,
    pub expired: u64,
    pub unauthorized: u64,
    pub breaker_opens: u64,
    /// Of the slowest hour: what the quantile of all hours is cannot be told from those of each.
    pub worst_p95_ms: Option<u64>,
}

/// The hours that a stretch of time touches, oldest first, at most as many as a gateway remembers.
pub(super) fn grid(from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let first = from.as_second().div_euclid(HOUR_SECONDS);
    let last = until.as_second().div_euclid(HOUR_SECONDS);
    let first = first.max(last - (HOURS_MAX - 1));
    (first..=last).filter_map(|hour| Timestamp::from_second(hour * HOUR_SECONDS).ok()).collect()
}

/// Lays what a process that began at `started` told over the hours of the grid.
pub(super) fn lay(grid: &[Timestamp], hours: &[HourView], started: Timestamp, until: Timestamp) -> Vec<Row> {
    grid.iter()
        .map(|hour| {
            let end = *hour + SignedDuration::from_secs(HOUR_SECONDS);
            let coverage = match () {
                () if end <= started => Coverage::Lost,
                () if *hour < started => Coverage::FromStart,
                () if end > until => Coverage::NotOver,
                () => Coverage::Whole,
            };
            let told = hours.iter().find(|told| Timestamp::from(told.hour) == *hour).cloned();
            // A gateway leaves out the hours in which nothing happened.
            let figures = told.or_else(|| (coverage != Coverage::Lost).then(|| nothing(*hour)));
            Row { hour: *hour, coverage, figures }
        })
        .collect()
}

fn nothing(hour: Timestamp) -> HourView {
    let millis = u64::try_from(hour.as_millisecond()).unwrap_or_default();
    HourView { hour: WallTime::from_millis(millis), ..HourView::default() }
}

/// What rows have in common.
pub(super) fn totals<'a>(rows: impl Iterator<Item = &'a Row>) -> Totals {
    rows.filter_map(|row| row.figures.as_ref()).fold(Totals::default(), |sum, hour| Totals {
        accepted: sum.accepted + hour.accepted,
        attempts: sum.attempts + attempts(hour),
        retries: sum.retries + hour.retries,
        delivered: sum.delivered + hour.delivered,
        failed: sum.failed + hour.failed,
        expired: sum.expired + hour.expired,
        unauthorized: sum.unauthorized + hour.unauthorized,
        breaker_opens: sum.breaker_opens + hour.breaker_opens,
        worst_p95_ms: sum.worst_p95_ms.max(hour.p95_ms),
    })
}

/// The attempts of an hour: what Envoy refused to send is none.
pub(super) fn attempts(hour: &HourView) -> u64 {
    let Outcomes { success, redirection, client_error, server_error, timeout, reset, connect, rejected: _ } =
        hour.attempts;
    success + redirection + client_error + server_error + timeout + reset + connect
}

/// The most opens of a breaker within 24 hours that follow on each other.
pub(super) fn most_opens_a_day(rows: &[Row]) -> u64 {
    let opens: Vec<u64> =
        rows.iter().map(|row| row.figures.as_ref().map_or(0, |figures| figures.breaker_opens)).collect();
    let days = opens.windows(DAY_HOURS.min(opens.len()).max(1));
    days.map(|day| day.iter().sum()).max().unwrap_or_default()
}

const HOUR_SECONDS: i64 = 3600;
const DAY_HOURS: usize = 24;
/// What a gateway remembers.
pub(super) const HOURS_MAX: i64 = 168;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// An hour of a gateway's answer.
    pub fn hour(start: &str, delivered: u64, failed: u64, opens: u64, p95: Option<u64>) -> HourView {
        serde_json::from_value(json!({
            "hour": start, "accepted": delivered + failed,
            "attempts": {"2xx": delivered, "3xx": 0, "4xx": 0, "5xx": failed * 3, "timeout": 0, "reset": 0,
                         "connect": 0, "rejected": 9},
            "unauthorized": 0, "retries": failed * 2, "delivered": delivered, "failed": failed, "expired": 0,
            "breaker_opens": opens, "p50_ms": p95.map(|p95| p95 / 2), "p95_ms": p95,
        }))
        .unwrap()
    }

    /// The grid holds every hour that the stretch touches and no more than a week.
    #[test]
    fn hour_grid_covers_the_period_up_to_one_week() {
        let until = at("2026-11-25T12:41:00Z");
        assert_eq!(grid(at("2026-11-25T12:31:00Z"), until), [at("2026-11-25T12:00:00Z")]);
        assert_eq!(grid(at("2026-11-24T12:41:00Z"), until).len(), 25);
        assert_eq!(grid(at("2026-01-01T00:00:00Z"), until).len(), 168);
    }

    /// Hours before the process are lost and hours without events are nought.
    #[test]
    fn hours_before_start_are_lost_and_idle_hours_are_zero() {
        let (until, started) = (at("2026-11-25T12:30:00Z"), at("2026-11-25T09:59:00Z"));
        let grid = grid(at("2026-11-25T08:00:00Z"), until);
        let told = [hour("2026-11-25T09:00:00Z", 5, 0, 0, None), hour("2026-11-25T12:00:00Z", 7, 1, 0, None)];
        let rows = lay(&grid, &told, started, until);
        let seen: Vec<_> =
            rows.iter().map(|row| (row.coverage, row.figures.as_ref().map(|hour| hour.delivered))).collect();
        let expected = [
            (Coverage::Lost, None),
            (Coverage::FromStart, Some(5)),
            (Coverage::Whole, Some(0)),
            (Coverage::Whole, Some(0)),
            (Coverage::NotOver, Some(7)),
        ];
        assert_eq!(seen, expected);
    }

    /// What Envoy refused to send is no attempt and the p95 is that of the slowest hour.
    #[test]
    fn refused_send_is_no_attempt_and_p95_is_the_slowest_hours() {
        let told = [
            hour("2026-11-25T10:00:00Z", 10, 1, 1, Some(120)),
            hour("2026-11-25T11:00:00Z", 10, 0, 2, Some(900)),
            hour("2026-11-25T12:00:00Z", 0, 0, 0, None),
        ];
        let until = at("2026-11-25T12:30:00Z");
        let rows = lay(&grid(at("2026-11-25T10:00:00Z"), until), &told, at("2026-11-25T01:00:00Z"), until);
        let totals = totals(rows.iter());
        assert_eq!((totals.attempts, totals.retries, totals.breaker_opens), (23, 2, 3));
        assert_eq!(totals.worst_p95_ms, Some(900));
    }

    /// Opens are counted over the worst 24 hours and not over the whole week.
    #[test]
    fn breaker_opens_are_counted_over_the_worst_24_hours() {
        let until = at("2026-11-25T12:30:00Z");
        let grid = grid(at("2026-11-22T12:00:00Z"), until);
        let told: Vec<HourView> = grid.iter().map(|start| hour(&start.to_string(), 0, 0, 0, None)).collect();
        let mut rows = lay(&grid, &told, grid[0], until);
        // 23 hours apart: one day; 24 hours apart: two.
        for (place, opens) in [(0, 2), (23, 1), (47, 3)] {
            rows[place].figures.as_mut().unwrap().breaker_opens = opens;
        }
        assert_eq!(most_opens_a_day(&rows), 3);
        assert_eq!(most_opens_a_day(&rows[..1]), 2);
        assert_eq!(most_opens_a_day(&[]), 0);
    }
}
