//! The objectives, and whether the figures meet them.

use serde::Serialize;

use crate::gateway::HourView;

use super::attainment::Attainment;
use super::hours::{Series, minute, most_opens_a_day, totals};
use super::personal::PersonalData;

/// An objective against its figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Objective {
    /// What must be so.
    pub objective: &'static str,
    /// Of which endpoint; `None`: of all that was looked at.
    pub endpoint: Option<String>,
    /// What was seen.
    pub figure: String,
    pub verdict: Attainment,
    /// Where the figure comes from.
    pub source: String,
}

/// The objectives of each endpoint, over all gateways, and the one about personal data.
pub(super) fn judge(series: &[Series], personal: &PersonalData) -> Vec<Objective> {
    let mut endpoints: Vec<&str> = Vec::new();
    for one in series {
        if !endpoints.contains(&one.endpoint.as_str()) {
            endpoints.push(&one.endpoint);
        }
    }
    let of_endpoints = endpoints.into_iter().flat_map(|endpoint| {
        let mine: Vec<&Series> = series.iter().filter(|one| one.endpoint == endpoint).collect();
        [success(endpoint, &mine), latency(endpoint, &mine), opens(endpoint, &mine)]
    });
    of_endpoints.chain([personal_data(personal)]).collect()
}

fn success(endpoint: &str, mine: &[&Series]) -> Objective {
    let totals = totals(mine.iter().flat_map(|one| &one.rows));
    let ended = totals.delivered + totals.failed + totals.expired;
    let (figure, verdict) = match ended {
        0 => ("no delivery ended".to_owned(), Attainment::NoData),
        few @ 1..LEAST => (format!("{} of {few} deliveries: too few to judge", totals.delivered), Attainment::NoData),
        _ => {
            let share = 100.0 * totals.delivered as f64 / ended as f64;
            let figure = format!("{share:.2} % ({} of {ended} deliveries)", totals.delivered);
            (figure, Attainment::of(totals.delivered * 100 >= ended * SUCCESS_PERCENT))
        }
    };
    let source = "hourly counters of the gateway: delivered of delivered, failed and expired".to_owned();
    Objective { objective: SUCCESS, endpoint: Some(endpoint.to_owned()), figure, verdict, source }
}

fn latency(endpoint: &str, mine: &[&Series]) -> Objective {
    let rows = mine.iter().flat_map(|one| &one.rows);
    let worst = rows.filter_map(|row| Some((row.figures.as_ref().filter(|hour| is_enough(hour))?.p95_ms?, row.hour)));
    let (figure, verdict) = match worst.max() {
        None => (format!("no hour with {LEAST} deliveries"), Attainment::NoData),
        Some((p95, hour)) => {
            (format!("{p95} ms (in the slowest hour, {})", minute(hour)), Attainment::of(p95 < P95_MS))
        }
    };
    let source = "hourly histograms of the gateway, timeouts included; the slowest hour of any gateway".to_owned();
    Objective { objective: P95, endpoint: Some(endpoint.to_owned()), figure, verdict, source }
}

/// Did enough end in this hour to say how long it takes?
fn is_enough(hour: &HourView) -> bool {
    hour.delivered + hour.failed + hour.expired >= LEAST
}

fn opens(endpoint: &str, mine: &[&Series]) -> Objective {
    let is_known = mine.iter().flat_map(|one| &one.rows).any(|row| row.figures.is_some());
    let most = mine.iter().map(|one| most_opens_a_day(&one.rows)).max().unwrap_or_default();
    let (figure, verdict) = if is_known {
        (format!("{most} in the worst 24 h"), Attainment::of(most < OPENS_A_DAY))
    } else {
        ("no hour is known".to_owned(), Attainment::NoData)
    };
    let source = "hourly counters of the gateway; the worst gateway, each has a breaker of its own".to_owned();
    Objective { objective: BREAKER_OPENS, endpoint: Some(endpoint.to_owned()), figure, verdict, source }
}

fn personal_data(personal: &PersonalData) -> Objective {
    let (figure, verdict, source) = personal.verdict();
    Objective { objective: PERSONAL_DATA, endpoint: None, figure, verdict, source }
}

/// The share of the deliveries that ended which arrived.
pub(super) const SUCCESS: &str = "success ≥ 95 %";
/// How long attempts take.
pub(super) const P95: &str = "p95 of attempts < 2 s";
/// How often a breaker opens.
pub(super) const BREAKER_OPENS: &str = "breaker opens < 5 a day";
/// Payloads and logs.
pub(super) const PERSONAL_DATA: &str = "no personal data";
/// Fewer deliveries are no verdict, as to the alerts and the filter's guard.
const LEAST: u64 = 20;
const SUCCESS_PERCENT: u64 = 95;
const P95_MS: u64 = 2000;
const OPENS_A_DAY: u64 = 5;

#[cfg(test)]
mod tests {
    use super::super::hours::tests::{at, hour};
    use super::super::hours::{grid, lay};
    use super::*;

    fn series(gateway: &str, delivered: u64, failed: u64, opens: u64, p95: Option<u64>) -> Series {
        let (from, until) = (at("2026-11-25T11:00:00Z"), at("2026-11-25T12:30:00Z"));
        let told = [hour("2026-11-25T12:00:00Z", delivered, failed, opens, p95)];
        let rows = lay(&grid(from, until), &told, from, until);
        Series { gateway: gateway.to_owned(), endpoint: "billing".to_owned(), rows }
    }

    fn verdicts(series: &[Series]) -> Vec<Attainment> {
        judge(series, &PersonalData::default()).into_iter().map(|one| one.verdict).collect()
    }

    #[test]
    fn an_objective_is_met_to_the_last_delivery_and_missed_by_one() {
        use Attainment::{Met, Missed, NoData};
        assert_eq!(verdicts(&[series("a", 95, 5, 4, Some(1999))]), [Met, Met, Met, NoData]);
        assert_eq!(verdicts(&[series("a", 94, 5, 5, Some(2000))]), [Missed, Missed, Missed, NoData]);
    }

    /// Where nothing or little was delivered there is no verdict on success or latency.
    #[test]
    fn too_few_deliveries_give_no_success_or_latency_verdict() {
        use Attainment::{Met, NoData};
        assert_eq!(verdicts(&[series("a", 0, 0, 0, None)]), [NoData, NoData, Met, NoData]);
        assert_eq!(verdicts(&[series("a", 10, 9, 0, Some(9000))]), [NoData, NoData, Met, NoData], "too few");
    }

    /// Success is of all gateways together and opens are of the worst.
    #[test]
    fn success_is_over_all_gateways_and_opens_of_the_worst() {
        let judged =
            judge(&[series("a", 100, 0, 4, Some(10)), series("b", 18, 2, 3, Some(20))], &PersonalData::default());
        assert_eq!(judged[0].figure, "98.33 % (118 of 120 deliveries)");
        assert_eq!(judged[2].figure, "4 in the worst 24 h");
        assert!(judged[1].figure.starts_with("20 ms (in the slowest hour, 2026-11-25 12:00"), "{}", judged[1].figure);
    }
}
