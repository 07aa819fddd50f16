//! The bundle as a person of a change board reads it: what is met first, then each figure with where it comes from.
//!
//! The text is `templates/evidence.md`.

mod table;

use askama::Template;

use super::attainment::Attainment;
use super::bundle::Bundle;
use super::hours::totals;
use table::Table;

/// The whole text.
///
/// # Errors
/// When a figure cannot be written.
pub(super) fn text(bundle: &Bundle) -> askama::Result<String> {
    MarkdownReport { bundle }.render()
}

#[derive(Template)]
#[template(path = "evidence.md")]
struct MarkdownReport<'a> {
    bundle: &'a Bundle,
}

impl MarkdownReport<'_> {
    fn count(&self, verdict: Attainment) -> usize {
        self.bundle.objectives.iter().filter(|objective| objective.verdict == verdict).count()
    }

    fn retries(&self) -> u64 {
        totals(self.bundle.hours.iter().flat_map(|series| &series.rows)).retries
    }
}

/// How the template writes what is not text.
mod filters {
    use std::fmt::Display;

    use askama::filters::Safe;
    use askama::{Result, Values, filter_fn};
    use jiff::Timestamp;

    use crate::evidence::{escape, hours};

    /// A time, to the minute.
    #[filter_fn]
    pub fn minute(at: &Timestamp, _: &dyn Values) -> Result<String> {
        Ok(hours::minute(*at))
    }

    /// A code span.
    #[filter_fn]
    pub fn code(text: impl Display, _: &dyn Values) -> Result<Safe<String>> {
        Ok(Safe(escape::code_span(&text.to_string())))
    }

    /// Text in a line of a fenced block.
    #[filter_fn]
    pub fn block(text: impl Display, _: &dyn Values) -> Result<Safe<String>> {
        Ok(Safe(escape::block_line(&text.to_string()).into_owned()))
    }

    /// A name of the admin surface, as people write it.
    #[filter_fn]
    pub fn words(name: impl Display, _: &dyn Values) -> Result<String> {
        Ok(name.to_string().replace('_', " "))
    }

    /// What is not known is a dash.
    #[filter_fn]
    pub fn or_dash(text: &Option<String>, _: &dyn Values) -> Result<String> {
        Ok(text.clone().unwrap_or_else(|| "-".to_owned()))
    }
}

const MOMENTS_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::bundle::{GatewayFacts, Retries, Timeline};
    use super::super::hours::tests::{at, hour};
    use super::super::hours::{Series, grid, lay};
    use super::super::objectives::judge;
    use super::super::personal::PersonalData;
    use super::*;

    fn bundle() -> Bundle {
        let (from, until) = (at("2026-11-25T02:30:00Z"), at("2026-11-25T12:30:00Z"));
        let told = [hour("2026-11-25T11:00:00Z", 40, 2, 1, Some(120)), hour("2026-11-25T12:00:00Z", 7, 0, 0, Some(90))];
        let rows = lay(&grid(from, until), &told, at("2026-11-25T04:20:00Z"), until);
        let hours = vec![Series { gateway: "http://a/gatepost".to_owned(), endpoint: "billing".to_owned(), rows }];
        let personal_data = PersonalData::default();
        Bundle {
            made_at: until,
            from,
            until,
            gatepost_cli: "0.1.0",
            gateways: vec![GatewayFacts::unknown("http://b/gatepost", "cannot be reached: it is down".to_owned())],
            envoys: Vec::new(),
            objectives: judge(&hours, &personal_data),
            headers: None,
            retries: Retries::default(),
            timeline: Timeline::of(None, Vec::new(), &hours),
            personal_data,
            config: None,
            hours,
        }
    }

    #[test]
    fn what_is_missing_is_said_where_a_reader_begins() {
        let text = text(&bundle()).unwrap();
        let head: Vec<&str> = text.lines().take(9).collect();
        assert_eq!(head[0], "# Webhook delivery: evidence");
        assert_eq!(head[4], "**Objectives: 3 met, 0 missed, 1 without data.**");
        assert!(head[6].contains("http://b/gatepost: cannot be reached: it is down"), "{head:#?}");
        let lost = "- **2 hours are lost** at http://a/gatepost, from 2026-11-25 02:00 to 2026-11-25 03:00: ";
        assert!(head[7].starts_with(lost), "{head:#?}");
    }

    /// Every row of the table of hours has as many cells as its head.
    #[test]
    fn hours_table_rows_have_as_many_cells_as_the_header() {
        let text = text(&bundle()).unwrap();
        let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("### billing")).skip(2).collect();
        let table: Vec<&str> = table.into_iter().take_while(|line| line.starts_with('|')).collect();
        assert!(table.iter().all(|row| row.matches('|').count() == table[0].matches('|').count()), "{table:#?}");
        assert!(!table[0].contains("timeout"), "a column of noughts is left out");
        assert!(table.iter().any(|row| row.contains("02:00 … 2026-11-25 03:00") && row.contains("lost to a restart")));
        assert!(
            table
                .iter()
                .any(|row| row.contains("2026-11-25 05:00 … 2026-11-25 10:00") && row.contains("nothing happened"))
        );
        assert!(
            table.last().is_some_and(|row| row.starts_with("| **all** | 49 | 47 | 2 | 47 | 6 | 18 | 4 | 1 |")),
            "{table:#?}"
        );
    }

    /// Without logs the timeline names the hours in which a breaker opened.
    #[test]
    fn timeline_without_logs_names_hours_of_breaker_opens() {
        let text = text(&bundle()).unwrap();
        assert!(text.contains("From hourly counters; for moments give --logs."), "{text}");
        assert!(text.contains("| 2026-11-25 11:00:00 | billing | breaker opened | 1 times within this hour"), "{text}");
    }
}
