//! The hours as a picture: deliveries as bars, the p95 as a line over them, breaker opens and lost hours marked.

use std::fmt::Write;

use super::hours::{Coverage, Row, Series};

/// An SVG with a panel for each endpoint of each gateway, one below the other.
pub(super) fn svg(series: &[Series]) -> String {
    let height = HEAD + PANEL * series.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">\n\
         <title>Deliveries and latency by hour</title>\n\
         <defs><pattern id=\"lost\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"2\" height=\"6\" fill=\"#bbb\"/></pattern></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    legend(&mut out);
    for (number, one) in series.iter().enumerate() {
        panel(&mut out, one, HEAD + PANEL * number as f64);
    }
    out + "</svg>\n"
}

fn legend(out: &mut String) {
    let entries = [
        ("#2e7d32", "delivered"),
        ("#c62828", "failed or expired"),
        ("#1565c0", "p95 of attempts (dashed: objective 2 s)"),
        ("#ef6c00", "breaker opened"),
        ("url(#lost)", "lost to a restart"),
    ];
    let mut x = LEFT;
    for (colour, text) in entries {
        line(out, format_args!("<rect x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"));
        line(out, format_args!("<text x=\"{}\" y=\"24\">{text}</text>", x + 17.0));
        x += 36.0 + 6.6 * text.chars().count() as f64;
    }
}

/// The scales of a panel: pixels for each delivery and each millisecond.
struct Scales {
    top: f64,
    count: f64,
    millis: f64,
}

fn panel(out: &mut String, series: &Series, top: f64) {
    let title = format!("{} at {}", escaped(&series.endpoint), escaped(&series.gateway));
    line(out, format_args!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top + 16.0));
    let top = top + 26.0;
    let count_max = nice(series.rows.iter().map(|row| ended(row).0 + ended(row).1).max().unwrap_or_default());
    let millis_max = series.rows.iter().filter_map(p95).max().unwrap_or_default();
    // The objective is always to be seen.
    let millis_max = nice(millis_max.max(OBJECTIVE_MS + OBJECTIVE_MS / 4));
    let scales = Scales { top, count: PLOT / count_max as f64, millis: PLOT / millis_max as f64 };
    frame(out, &scales, count_max, millis_max);
    let width = (WIDTH - LEFT - RIGHT) / series.rows.len().max(1) as f64;
    let mut points = Vec::new();
    for (number, row) in series.rows.iter().enumerate() {
        let x = LEFT + width * number as f64;
        bar(out, row, &scales, x, width);
        label(out, row, number, series.rows.len(), top + PLOT + 14.0, x);
        points.extend(p95(row).map(|p95| (x + width / 2.0, top + PLOT - p95 as f64 * scales.millis)));
    }
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let path = path.join(" ");
    line(out, format_args!("<polyline points=\"{path}\" fill=\"none\" stroke=\"#1565c0\" stroke-width=\"1.5\"/>"));
    for (x, y) in points {
        line(out, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"#1565c0\"/>"));
    }
}

fn frame(out: &mut String, scales: &Scales, count_max: u64, millis_max: u64) {
    let (right, top) = (WIDTH - RIGHT, scales.top);
    for quarter in 0..=4 {
        let y = top + PLOT * f64::from(quarter) / 4.0;
        line(out, format_args!("<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\" stroke=\"#e0e0e0\"/>"));
    }
    for (y, count, millis) in [(top + 4.0, count_max, millis_max), (top + PLOT + 4.0, 0, 0)] {
        line(out, format_args!("<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{count}</text>", LEFT - 6.0));
        let x = right + 6.0;
        line(out, format_args!("<text x=\"{x}\" y=\"{y}\" fill=\"#1565c0\">{millis} ms</text>"));
    }
    let y = top + PLOT - OBJECTIVE_MS as f64 * scales.millis;
    let dashed = "stroke=\"#1565c0\" stroke-dasharray=\"4 4\"";
    line(out, format_args!("<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" {dashed}/>"));
}

fn bar(out: &mut String, row: &Row, scales: &Scales, x: f64, width: f64) {
    let (top, bottom) = (scales.top, scales.top + PLOT);
    if row.coverage == Coverage::Lost {
        line(
            out,
            format_args!("<rect x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{PLOT}\" fill=\"url(#lost)\"/>"),
        );
        return;
    }
    let (delivered, failed) = ended(row);
    let (middle, width) = (x + width / 2.0, (width * 0.8).min(BAR_MAX));
    let inset = middle - width / 2.0;
    let mut y = bottom;
    for (count, colour) in [(delivered, "#2e7d32"), (failed, "#c62828")] {
        let height = count as f64 * scales.count;
        y -= height;
        line(
            out,
            format_args!(
                "<rect x=\"{inset:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\">\
             <title>{} UTC: {delivered} delivered, {failed} failed</title></rect>",
                row.hour.strftime("%Y-%m-%d %H:%M")
            ),
        );
    }
    let opens = row.figures.as_ref().map_or(0, |figures| figures.breaker_opens);
    if opens > 0 {
        let tip = top + 2.0;
        line(
            out,
            format_args!(
                "<path d=\"M {:.1} {tip:.1} h 10 l -5 9 z\" fill=\"#ef6c00\">\
                 <title>breaker opens: {opens}</title></path>",
                middle - 5.0
            ),
        );
    }
}

/// The hour below its bar, as many as have room.
fn label(out: &mut String, row: &Row, number: usize, rows: usize, y: f64, x: f64) {
    let every = rows.div_ceil(LABELS).max(1);
    if number.is_multiple_of(every) {
        let text = row.hour.strftime(if rows > 48 { "%d %Hh" } else { "%H:%M" });
        line(out, format_args!("<text x=\"{x:.1}\" y=\"{y}\" fill=\"#555\">{text}</text>"));
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

const WIDTH: f64 = 960.0;
const HEAD: f64 = 40.0;
const PANEL: f64 = 200.0;
const PLOT: f64 = 140.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 70.0;
const BAR_MAX: f64 = 40.0;
const LABELS: usize = 14;
const OBJECTIVE_MS: u64 = 2000;

#[cfg(test)]
mod tests {
    use super::super::hours::tests::{at, hour};
    use super::super::hours::{grid, lay};
    use super::*;

    #[test]
    fn a_picture_has_a_bar_for_each_hour_and_marks_what_was_lost_and_where_the_breaker_opened() {
        let (from, until) = (at("2026-11-25T08:00:00Z"), at("2026-11-25T12:30:00Z"));
        let told = [hour("2026-11-25T11:00:00Z", 40, 2, 1, Some(120)), hour("2026-11-25T12:00:00Z", 7, 0, 0, Some(90))];
        let rows = lay(&grid(from, until), &told, at("2026-11-25T10:00:00Z"), until);
        let (gateway, endpoint) = ("http://a/gatepost".to_owned(), "b<illing".to_owned());
        let svg = svg(&[Series { gateway, endpoint, rows }]);
        assert!(svg.contains("b&lt;illing at http://a/gatepost"));
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
