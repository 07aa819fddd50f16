//! Personal data: what the payload guard counted, and what the filter's own detectors find in the logs.

use std::collections::BTreeMap;

use gatepost_core::ingress::payload::detect::{DataKinds, places};
use gatepost_core::ingress::payload::{DataKind, REDACTED};
use serde::Serialize;

use super::attainment::Attainment;

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PersonalData {
    /// Is there a `payload_guard` in the config that was given? `None`: none was given.
    pub guard: Option<bool>,
    /// Findings that the guards counted since their processes began, by kind; `None`: no metrics were given.
    pub counted: Option<BTreeMap<String, u64>>,
    /// What the logs hold; `None`: none were given.
    pub logs: Option<Scan>,
}

/// What was found in text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Scan {
    /// Lines that were looked at.
    pub lines: u64,
    /// Where something was found, without what: the first of them.
    pub findings: Vec<Sighting>,
    /// All of them.
    pub total: u64,
}

/// Where something was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sighting {
    pub file: String,
    /// Counted from 1.
    pub line: u64,
    pub kind: &'static str,
}

impl Scan {
    /// Looks through a line. What the filter writes may hold none of it; in Envoy's own lines addresses are ordinary.
    pub fn look(&mut self, file: &str, line: u64, text: &str, is_of_filter: bool) {
        self.lines += 1;
        let wanted = if is_of_filter { all() } else { all().without(DataKind::Ipv4).without(DataKind::Ipv6) };
        for (kind, _) in places(text.as_bytes(), wanted) {
            self.total += 1;
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(Sighting { file: file.to_owned(), line, kind: kind.label() });
            }
        }
    }
}

/// Text without what would be found in it: what a log should not hold must not stand in the bundle either.
pub(super) fn redacted(text: &str) -> String {
    let (mut out, mut from) = (Vec::new(), 0);
    for (_, place) in places(text.as_bytes(), all()) {
        out.extend_from_slice(text.as_bytes().get(from..place.start).unwrap_or_default());
        out.extend_from_slice(REDACTED.as_bytes());
        from = place.end;
    }
    out.extend_from_slice(text.as_bytes().get(from..).unwrap_or_default());
    String::from_utf8_lossy(&out).into_owned()
}

/// What is looked for in text.
fn all() -> DataKinds {
    [DataKind::Email, DataKind::Ipv4, DataKind::Ipv6, DataKind::Phone, DataKind::Card]
        .into_iter()
        .fold(DataKinds::NONE, DataKinds::with)
}

impl PersonalData {
    /// What the objective is to be told: the figure, the verdict, and where it comes from.
    pub fn verdict(&self) -> (String, Attainment, String) {
        // A body that cannot be read was refused: nobody knows of personal data in it.
        let kinds = self.counted.iter().flatten().filter(|(kind, _)| *kind != DataKind::Unreadable.label());
        let counted: u64 = kinds.map(|(_, count)| count).sum();
        let mut sources = Vec::new();
        // Without a guard the metric stands at 0 whatever is sent.
        let has_counted = self.counted.is_some() && (self.guard == Some(true) || counted > 0);
        if has_counted {
            sources.push("gatepost_payload_findings_total since the process began");
        }
        // A log without a line of the filter's is another's, or empty.
        if self.logs.as_ref().is_some_and(|scan| scan.lines > 0) {
            sources.push("the logs, read with the filter's detectors");
        }
        let in_logs = self.logs.as_ref().map_or(0, |scan| scan.total);
        let figure = match (has_counted, &self.logs) {
            (true, Some(scan)) => format!("{counted} in payloads, {in_logs} in {} lines of the logs", scan.lines),
            (true, None) => format!("{counted} in payloads; no log was given"),
            (false, Some(scan)) => {
                format!("{in_logs} in {} lines of the logs; payloads: {}", scan.lines, self.why_not())
            }
            (false, None) => self.why_not().to_owned(),
        };
        let verdict = match counted + in_logs {
            0 if sources.is_empty() => Attainment::NoData,
            0 => Attainment::Met,
            _ => Attainment::Missed,
        };
        (figure, verdict, if sources.is_empty() { "-".to_owned() } else { sources.join("; ") })
    }

    fn why_not(&self) -> &'static str {
        match (&self.counted, self.guard) {
            (_, Some(false)) => "the config has no payload_guard, so nothing counts them",
            (Some(_), _) => "0 counted, which says nothing unless there is a payload_guard (--config)",
            (None, _) => "no metrics were given (--envoy-admin or --stats-url)",
        }
    }
}

/// The findings in `/stats/prometheus`, by kind. `None`: there is no such metric.
pub(super) fn counted(prometheus: &str) -> Option<BTreeMap<String, u64>> {
    let lines = prometheus.lines().filter_map(|line| line.strip_prefix("gatepost_payload_findings_total{"));
    let parsed = lines.filter_map(|line| {
        let (labels, value) = line.split_once("} ")?;
        let kind = labels.split(',').find_map(|label| label.strip_prefix("kind=\"")?.strip_suffix('"'))?;
        Some((kind.to_owned(), value.trim().parse().ok()?))
    });
    let found: BTreeMap<String, u64> = parsed.collect();
    (!found.is_empty()).then_some(found)
}

const FINDINGS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_and_of_which_kind_and_never_what() {
        let mut scan = Scan::default();
        scan.look("envoy.log", 7, "event=admin reason=\"for maria.rossi@example.com\"", true);
        scan.look("envoy.log", 8, "event=dead_letter endpoint=billing id=7f0c9d7e-3b1f-4c58-9d3a-0d5c1f6f2b11", true);
        let finding = Sighting { file: "envoy.log".to_owned(), line: 7, kind: "email" };
        assert_eq!(scan, Scan { lines: 2, findings: vec![finding], total: 1 });
        assert!(!format!("{scan:?}").contains("maria"));
    }

    #[test]
    fn what_is_found_does_not_stand_in_a_timeline() {
        assert_eq!(redacted("for maria.rossi@example.com, then 10.0.0.1"), "for [redacted], then [redacted]");
        assert_eq!(redacted("state: paused, reason: größer"), "state: paused, reason: größer");
    }

    /// Addresses are ordinary in Envoy's own lines and not in the filters.
    #[test]
    fn ip_addresses_are_findings_only_in_filter_log_lines() {
        let mut scan = Scan::default();
        scan.look("log", 1, "listening on 10.0.0.1", false);
        assert_eq!(scan.total, 0);
        scan.look("log", 2, "event=admin reason=10.0.0.1", true);
        assert_eq!(scan.total, 1);
    }

    #[test]
    fn the_metric_is_read_by_kind_whatever_other_labels_it_has() {
        let text = "# TYPE gatepost_payload_findings_total counter\n\
                    gatepost_payload_findings_total{kind=\"card\"} 0\n\
                    gatepost_payload_findings_total{envoy_wasm=\"x\",kind=\"email\"} 3\n";
        let expected = BTreeMap::from([("card".to_owned(), 0), ("email".to_owned(), 3)]);
        assert_eq!(counted(text), Some(expected));
        assert_eq!(counted("envoy_server_live 1\n"), None);
    }

    #[test]
    fn without_a_guard_a_metric_at_nought_is_no_data() {
        let counted = Some(BTreeMap::from([("email".to_owned(), 0)]));
        let none = PersonalData { guard: Some(false), counted: counted.clone(), logs: None };
        assert_eq!(none.verdict().1, Attainment::NoData);
        assert!(none.verdict().0.contains("no payload_guard"));
        let unknown = PersonalData { guard: None, counted: counted.clone(), logs: None };
        assert_eq!(unknown.verdict().1, Attainment::NoData);
        let found = Some(BTreeMap::from([("email".to_owned(), 2)]));
        assert_eq!(PersonalData { guard: None, counted: found, logs: None }.verdict().1, Attainment::Missed);
        let met = PersonalData { guard: Some(true), counted, logs: Some(Scan::default()) };
        assert_eq!(met.verdict().1, Attainment::Met);
    }
}
