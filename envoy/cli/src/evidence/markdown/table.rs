//! The table of hours of one endpoint.

use super::super::hours::{Coverage, Row, Series, totals};
use super::{cell, clock, minute, say};
use crate::gateway::Hour;

/// A column of counts.
struct Column {
    head: &'static str,
    /// Is it shown also where all of it is 0?
    always: bool,
    of: fn(&Hour) -> u64,
}

const fn column(head: &'static str, always: bool, of: fn(&Hour) -> u64) -> Column {
    Column { head, always, of }
}

const COLUMNS: [Column; 15] = [
    column("accepted", true, |hour| hour.accepted),
    column("delivered", true, |hour| hour.delivered),
    column("failed", true, |hour| hour.failed),
    column("expired", false, |hour| hour.expired),
    column("2xx", true, |hour| outcome(hour, "2xx")),
    column("3xx", false, |hour| outcome(hour, "3xx")),
    column("4xx", false, |hour| outcome(hour, "4xx")),
    column("of them 401/403", false, |hour| hour.unauthorized),
    column("5xx", false, |hour| outcome(hour, "5xx")),
    column("timeout", false, |hour| outcome(hour, "timeout")),
    column("reset", false, |hour| outcome(hour, "reset")),
    column("connect", false, |hour| outcome(hour, "connect")),
    column("rejected", false, |hour| outcome(hour, "rejected")),
    column("retries", true, |hour| hour.retries),
    column("breaker opens", true, |hour| hour.breaker_opens),
];

fn outcome(hour: &Hour, outcome: &str) -> u64 {
    hour.attempts.get(outcome).copied().unwrap_or_default()
}

/// Writes it; columns in which nothing was ever counted are left out.
pub(super) fn write(out: &mut String, series: &Series) {
    let told = || series.rows.iter().filter_map(|row| row.figures.as_ref());
    let sum = |column: &Column| -> u64 { told().map(column.of).sum() };
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| column.always || sum(column) > 0).collect();
    say(out, format_args!("### {} at {}\n", cell(&series.endpoint), series.gateway));
    let heads: Vec<&str> = columns.iter().map(|column| column.head).collect();
    say(out, format_args!("| hour | {} | p50 | p95 | |", heads.join(" | ")));
    say(out, format_args!("|---|{}--:|--:|---|", "--:|".repeat(columns.len())));
    // A night without events is one line.
    let mut rows = series.rows.iter().peekable();
    while let Some(row) = rows.next() {
        let mut last = row;
        while let Some(next) = rows.next_if(|next| is_idle(row) && is_idle(next)) {
            last = next;
        }
        line(out, row, last, &columns);
    }
    let sums: Vec<String> = columns.iter().map(|column| sum(column).to_string()).collect();
    let worst = totals(series.rows.iter()).worst_p95_ms.map_or_else(|| "-".to_owned(), |millis| format!("≤ {millis}"));
    say(out, format_args!("| **all** | {} | | {worst} | |\n", sums.join(" | ")));
}

/// An hour, or several in which nothing happened.
fn line(out: &mut String, row: &Row, last: &Row, columns: &[&Column]) {
    let is_one = row.hour == last.hour;
    let hours = if is_one { minute(row.hour) } else { format!("{} … {}", minute(row.hour), clock(last.hour)) };
    let note = match row.coverage {
        Coverage::Whole if is_one => "",
        Coverage::Whole => "nothing happened",
        Coverage::FromStart => "the process began in it",
        Coverage::NotOver => "not over",
        Coverage::Lost => "**lost to a restart**",
    };
    let count = |column: &&Column| row.figures.as_ref().map_or_else(String::new, |hour| (column.of)(hour).to_string());
    let counts: Vec<String> = columns.iter().map(count).collect();
    let millis = |of: fn(&Hour) -> Option<u64>| {
        let millis =
            row.figures.as_ref().map(|hour| of(hour).map_or_else(|| "-".to_owned(), |millis| millis.to_string()));
        millis.unwrap_or_default()
    };
    let (p50, p95) = (millis(|hour| hour.p50_ms), millis(|hour| hour.p95_ms));
    say(out, format_args!("| {hours} | {} | {p50} | {p95} | {note} |", counts.join(" | ")));
}

fn is_idle(row: &Row) -> bool {
    let is_empty = |hour: &Hour| COLUMNS.iter().all(|column| (column.of)(hour) == 0);
    row.coverage == Coverage::Whole && row.figures.as_ref().is_some_and(is_empty)
}
