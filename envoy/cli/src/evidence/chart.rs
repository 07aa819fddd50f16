//! The hours as a picture: deliveries as bars, the p95 as a line over them, breaker opens and lost hours marked.
//!
//! The picture is `templates/chart.svg`; what depends on figures is worked out here.

use askama::Template;

use super::hours::{Coverage, Row, Series};

/// An SVG with a panel for each endpoint of each gateway, one below the other.
///
/// # Errors
/// When a figure cannot be written.
pub(super) fn svg(series: &[Series]) -> askama::Result<String> {
    Chart { height: HEAD + PANEL * series.len(), panels: series.iter().map(Panel::of).collect() }.render()
}

/// How the template writes text of others.
mod filters {
    use askama::{Result, Values, filter_fn};

    use crate::evidence::escape;

    /// Text, before it is escaped as XML.
    #[filter_fn]
    pub fn shown(text: &str, _: &dyn Values) -> Result<String> {
        Ok(escape::svg(text).into_owned())
    }
}

#[derive(Template)]
#[template(path = "chart.svg")]
struct Chart<'a> {
    height: usize,
    panels: Vec<Panel<'a>>,
}

/// The hours of an endpoint. All coordinates are pixels within the panel.
struct Panel<'a> {
    series: &'a Series,
    /// The ends of both scales.
    count_max: u64,
    millis_max: u64,
    objective_y: f64,
    hours: Vec<Hour<'a>>,
}

/// What an hour looks like.
struct Hour<'a> {
    row: &'a Row,
    x: f64,
    width: f64,
    middle: f64,
    bar_width: f64,
    delivered: u64,
    failed: u64,
    breaker_opens: u64,
    /// From the bottom up: top, height and colour.
    bars: [(f64, f64, &'static str); 2],
    /// Where the line of the p95 passes; `None`: there is no figure.
    p95_y: Option<f64>,
    /// Below the bar, where there is room.
    label: Option<String>,
}

impl<'a> Panel<'a> {
    fn of(series: &'a Series) -> Self {
        let rows = &series.rows;
        let count_max = nice(rows.iter().map(|row| ended(row).0 + ended(row).1).max().unwrap_or_default());
        let slowest = rows.iter().filter_map(p95).max().unwrap_or_default();
        // The objective is always to be seen.
        let millis_max = nice(slowest.max(OBJECTIVE_MS + OBJECTIVE_MS / 4));
        let count_height = |count: u64| count as f64 * PLOT / count_max as f64;
        let millis_y = |millis: u64| BOTTOM - millis as f64 * PLOT / millis_max as f64;
        let width = WIDTH / rows.len().max(1) as f64;
        let (every, format) = (rows.len().div_ceil(LABELS).max(1), if rows.len() > 48 { "%d %Hh" } else { "%H:%M" });
        let hour = |(number, row): (usize, &'a Row)| {
            let (delivered, failed) = ended(row);
            let [well, ill] = [delivered, failed].map(count_height);
            let x = LEFT + width * number as f64;
            Hour {
                row,
                x,
                width,
                middle: x + width / 2.0,
                bar_width: (width * 0.8).min(BAR_MAX),
                delivered,
                failed,
                breaker_opens: row.figures.as_ref().map_or(0, |figures| figures.breaker_opens),
                bars: [(BOTTOM - well, well, DELIVERED), (BOTTOM - well - ill, ill, FAILED)],
                p95_y: p95(row).map(millis_y),
                label: number.is_multiple_of(every).then(|| row.hour.strftime(format).to_string()),
            }
        };
        let hours = rows.iter().enumerate().map(hour).collect();
        Self { series, count_max, millis_max, objective_y: millis_y(OBJECTIVE_MS), hours }
    }

    /// The points of the line of the p95. It ends where there is no figure: it would tell of hours that nobody knows.
    fn lines(&self) -> Vec<Vec<(f64, f64)>> {
        let points = |hours: &[Hour<'_>]| hours.iter().filter_map(|hour| Some((hour.middle, hour.p95_y?))).collect();
        self.hours.split(|hour| hour.p95_y.is_none()).filter(|hours| !hours.is_empty()).map(points).collect()
    }
}

/// Delivered, and not.
fn ended(row: &Row) -> (u64, u64) {
    row.figures.as_ref().map_or((0, 0), |figures| (figures.delivered, figures.failed + figures.expired))
}

fn p95(row: &Row) -> Option<u64> {
    row.figures.as_ref()?.p95_ms
}

/// The next number that begins with 1, 2 or 5.
fn nice(most: u64) -> u64 {
    let mut step = 1_u64;
    while step < most {
        let next = [2, 5, 10].map(|factor| step.saturating_mul(factor));
        if let Some(fits) = next.into_iter().find(|next| *next >= most) {
            return fits;
        }
        step = step.saturating_mul(10);
    }
    step
}

/// Where each entry begins, its colour, and what it says.
const LEGEND: [(u32, &str, &str); 5] = [
    (60, DELIVERED, "delivered"),
    (155, FAILED, "failed or expired"),
    (304, "#1565c0", "p95 of attempts (dashed: objective 2 s)"),
    (597, "#ef6c00", "breaker opened"),
    (725, "url(#lost)", "lost to a restart"),
];
const DELIVERED: &str = "#2e7d32";
const FAILED: &str = "#c62828";
/// The heights of the legend and of a panel.
const HEAD: usize = 40;
const PANEL: usize = 200;
/// Of the plot in its panel, as the template draws its frame.
const LEFT: f64 = 60.0;
const WIDTH: f64 = 830.0;
const BOTTOM: f64 = 166.0;
const PLOT: f64 = 140.0;
const BAR_MAX: f64 = 40.0;
const LABELS: usize = 14;
const OBJECTIVE_MS: u64 = 2000;

#[cfg(test)]
mod tests {
    use super::super::hours::tests::{at, hour};
    use super::super::hours::{grid, lay};
    use super::*;

    /// A picture has a bar for each hour and marks what was lost and where the breaker opened.
    #[test]
    fn chart_has_hourly_bars_and_marks_gaps_and_breaker_opens() {
        let (from, until) = (at("2026-11-25T08:00:00Z"), at("2026-11-25T12:30:00Z"));
        let told = [hour("2026-11-25T11:00:00Z", 40, 2, 1, Some(120)), hour("2026-11-25T12:00:00Z", 7, 0, 0, Some(90))];
        let rows = lay(&grid(from, until), &told, at("2026-11-25T10:00:00Z"), until);
        let (gateway, endpoint) = ("http://a/gatepost".to_owned(), "b<ill\u{1b}ing".to_owned());
        let svg = svg(&[Series { gateway, endpoint, rows }]).unwrap();
        assert!(svg.contains("b&#60;ill\\u{1b}ing at http://a/gatepost"));
        assert!(svg.contains("2026-11-25 11:00 UTC: 40 delivered, 2 failed"));
        assert!(svg.contains("breaker opens: 1"));
        // Two hours, and the legend.
        assert_eq!(svg.matches("fill=\"url(#lost)\"").count(), 3);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn scales_end_at_numbers_that_can_be_read() {
        assert_eq!([0, 1, 2, 3, 7, 42, 100, 101, 2500].map(nice), [1, 1, 2, 5, 10, 50, 100, 200, 5000]);
    }
}
