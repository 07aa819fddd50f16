//! The table of hours of one endpoint.

use crate::evidence::hours::{Coverage, Row, Series, minute, totals};
use crate::gateway::HourView;

/// A column of counts.
struct Column {
    head: &'static str,
    /// Is it shown also where all of it is 0?
    always: bool,
    of: fn(&HourView) -> u64,
}

const fn column(head: &'static str, always: bool, of: fn(&HourView) -> u64) -> Column {
    Column { head, always, of }
}

const COLUMNS: [Column; 15] = [
    column("accepted", true, |hour| hour.accepted),
    column("delivered", true, |hour| hour.delivered),
    column("failed", true, |hour| hour.failed),
    column("expired", false, |hour| hour.expired),
    column("2xx", true, |hour| hour.attempts.success),
    column("3xx", false, |hour| hour.attempts.redirection),
    column("4xx", false, |hour| hour.attempts.client_error),
    column("of them 401/403", false, |hour| hour.unauthorized),
    column("5xx", false, |hour| hour.attempts.server_error),
    column("timeout", false, |hour| hour.attempts.timeout),
    column("reset", false, |hour| hour.attempts.reset),
    column("connect", false, |hour| hour.attempts.connect),
    column("rejected", false, |hour| hour.attempts.rejected),
    column("retries", true, |hour| hour.retries),
    column("breaker opens", true, |hour| hour.breaker_opens),
];

/// The table of an endpoint, without the columns in which nothing was ever counted.
pub(super) struct Table {
    /// Of the counts.
    pub heads: Vec<&'static str>,
    pub lines: Vec<TableRow>,
    pub sums: Vec<String>,
    pub worst_p95: String,
}

/// An hour, or several in which nothing happened.
pub(super) struct TableRow {
    pub hours: String,
    pub counts: Vec<String>,
    pub p50: String,
    pub p95: String,
    pub note: &'static str,
}

impl Table {
    pub fn of(series: &Series) -> Self {
        let told = || series.rows.iter().filter_map(|row| row.figures.as_ref());
        let sum = |column: &Column| -> u64 { told().map(column.of).sum() };
        let columns: Vec<&Column> = COLUMNS.iter().filter(|column| column.always || sum(column) > 0).collect();
        // A night without events is one line, and so is a day before the process began.
        let alike = |one: &Row, next: &Row| is_empty(one) && is_empty(next) && one.coverage == next.coverage;
        let worst = totals(series.rows.iter()).worst_p95_ms;
        Self {
            heads: columns.iter().map(|column| column.head).collect(),
            lines: series.rows.chunk_by(alike).filter_map(|rows| TableRow::of(rows, &columns)).collect(),
            sums: columns.iter().map(|column| sum(column).to_string()).collect(),
            worst_p95: worst.map_or_else(|| "-".to_owned(), |millis| format!("≤ {millis}")),
        }
    }
}

impl TableRow {
    fn of(rows: &[Row], columns: &[&Column]) -> Option<Self> {
        let (row, last) = (rows.first()?, rows.last()?);
        let is_one = row.hour == last.hour;
        let millis = |of: fn(&HourView) -> Option<u64>| {
            let figures = row.figures.as_ref();
            figures.map(|hour| of(hour).map_or_else(|| "-".to_owned(), |ms| ms.to_string())).unwrap_or_default()
        };
        let count = |column: &&Column| row.figures.as_ref().map(|hour| (column.of)(hour).to_string());
        Some(Self {
            hours: if is_one { minute(row.hour) } else { format!("{} … {}", minute(row.hour), minute(last.hour)) },
            counts: columns.iter().map(|column| count(column).unwrap_or_default()).collect(),
            p50: millis(|hour| hour.p50_ms),
            p95: millis(|hour| hour.p95_ms),
            note: match row.coverage {
                Coverage::Whole if is_one => "",
                Coverage::Whole => "nothing happened",
                Coverage::FromStart => "the process began in it",
                Coverage::NotOver => "not over",
                Coverage::Lost => "**lost to a restart**",
            },
        })
    }
}

/// Does a whole hour have nothing to tell?
fn is_empty(row: &Row) -> bool {
    let has_nothing = |hour: &HourView| COLUMNS.iter().all(|column| (column.of)(hour) == 0);
    match row.coverage {
        Coverage::Lost => true,
        Coverage::Whole => row.figures.as_ref().is_some_and(has_nothing),
        Coverage::FromStart | Coverage::NotOver => false,
    }
}
