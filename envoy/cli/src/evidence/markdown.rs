//! The bundle as a person of a change board reads it: what is met first, then each figure with where it comes from.

mod table;

use std::fmt::Write;

use jiff::Timestamp;

use super::bundle::Bundle;
use super::hours::totals;
use super::objectives::Verdict;
use super::records::Headers;
use super::retries::Example;
use crate::gateway::Endpoint;

/// The whole text.
pub(super) fn text(bundle: &Bundle) -> String {
    let mut out = String::new();
    head(&mut out, bundle);
    objectives(&mut out, bundle);
    standing(&mut out, bundle);
    hours(&mut out, bundle);
    headers(&mut out, bundle.headers.as_ref());
    retries(&mut out, bundle);
    timeline(&mut out, bundle);
    personal_data(&mut out, bundle);
    versions(&mut out, bundle);
    out
}

fn head(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("# Webhook delivery: evidence\n"));
    let (from, until) = (minute(bundle.from), minute(bundle.until));
    say(out, format_args!("{from} to {until} UTC. Made by gatepost {} at {until} UTC.\n", bundle.gatepost_cli));
    let count = |verdict| bundle.objectives.iter().filter(|objective| objective.verdict == verdict).count();
    let [met, missed, open] = [Verdict::Met, Verdict::Missed, Verdict::NoData].map(count);
    say(out, format_args!("**Objectives: {met} met, {missed} missed, {open} without data.**\n"));
    for problem in bundle.problems() {
        say(out, format_args!("- **Not asked:** {problem}. Nothing below is about it."));
    }
    for (gateway, hours) in bundle.lost_hours() {
        let what = match hours.as_slice() {
            [one] => format!("1 hour is lost** at {gateway}, that of {}", minute(*one)),
            [first, .., last] => {
                format!("{} hours are lost** at {gateway}, from {} to {}", hours.len(), minute(*first), minute(*last))
            }
            [] => continue,
        };
        say(
            out,
            format_args!(
                "- **{what}: counters end with the Envoy process, and this one began later. The figures are of the rest."
            ),
        );
    }
    out.push('\n');
}

fn objectives(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("## Objectives\n"));
    say(out, format_args!("| objective | endpoint | figure | | where the figure comes from |\n|---|---|---|---|---|"));
    for one in &bundle.objectives {
        let endpoint = one.endpoint.as_deref().map_or_else(|| "all".to_owned(), cell);
        let verdict = match one.verdict {
            Verdict::Missed => "**MISSED**",
            other => other.word(),
        };
        say(out, format_args!("| {} | {endpoint} | {} | {verdict} | {} |", one.objective, one.figure, one.source));
    }
    out.push('\n');
}

fn standing(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("## How it stands at the end\n"));
    say(
        out,
        format_args!("From the gateways' status. Dead letters are kept until somebody redelivers or discards them.\n"),
    );
    say(
        out,
        format_args!("| gateway | endpoint | breaker | rollout | pending | dead letters |\n|---|---|---|---|--:|--:|"),
    );
    for facts in &bundle.gateways {
        for Endpoint { name, breaker, rollout, pending, dead_letters, disabled, .. } in &facts.endpoints {
            let breaker = if *disabled { "disabled".to_owned() } else { breaker.state.replace('_', " ") };
            let phase = rollout.phase.zip(rollout.phases).map(|(phase, phases)| format!(", phase {phase} of {phases}"));
            let (state, phase) = (rollout.state.replace('_', " "), phase.unwrap_or_default());
            say(
                out,
                format_args!(
                    "| {} | {} | {breaker} | {} %, {state}{phase} | {pending} | {dead_letters} |",
                    facts.gateway,
                    cell(name),
                    rollout.percent
                ),
            );
        }
    }
    out.push('\n');
}

fn hours(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("## Hour by hour\n"));
    say(
        out,
        format_args!(
            "From the gateways' hourly counters (`GET …/hours`): whole hours, UTC. Accepted, delivered, failed and \
             expired are deliveries; 2xx to connect are attempts by what came of them; rejected is what Envoy would not \
             send, which is no attempt. Columns of noughts are left out. Percentiles are of attempts, in milliseconds.\n"
        ),
    );
    if !bundle.hours.is_empty() {
        say(out, format_args!("![Deliveries and latency by hour](chart.svg)\n"));
    }
    bundle.hours.iter().for_each(|series| table::write(out, series));
}

fn headers(out: &mut String, headers: Option<&Headers>) {
    say(out, format_args!("## What the receiver got\n"));
    let Some(headers) = headers else {
        say(out, format_args!("No data: no receiver's records were given (--records).\n"));
        return;
    };
    say(out, format_args!("From the receiver's own records; bodies are not shown.\n"));
    let known = headers.attempts - headers.unknown;
    say(
        out,
        format_args!(
            "- Attempts with all four headers of scheme timestamped (signature, timestamp, id, event): **{} of {known}**{}",
            headers.with_all_four,
            if headers.unknown > 0 {
                format!("; {} were recorded without headers", headers.unknown)
            } else {
                String::new()
            }
        ),
    );
    say(
        out,
        format_args!("- Verified by the receiver itself: {} of {}", headers.verified_by_receiver, headers.attempts),
    );
    let checked = headers.verified_here + headers.mismatched_here;
    match checked {
        0 => {
            say(out, format_args!("- Recomputed here: none (needs --secret-env, and records with headers and bodies)"))
        }
        _ => say(
            out,
            format_args!(
                "- Recomputed here, HMAC-SHA256 over timestamp, a dot and the body: {} of {checked} match",
                headers.verified_here
            ),
        ),
    }
    out.push('\n');
    let Some(sample) = &headers.sample else { return };
    let verdict = match sample.signature_matches {
        Some(true) => "its signature was recomputed and **matches**",
        Some(false) => "its signature was recomputed and **does not match**",
        None => "its signature was not recomputed: no secret was given",
    };
    say(out, format_args!("The last attempt with headers; {verdict}:\n\n```"));
    sample.headers.iter().for_each(|(name, value)| say(out, format_args!("{name}: {value}")));
    say(out, format_args!("\n({} bytes, SHA-256 {})\n```\n", sample.body_bytes, sample.body_sha256));
}

fn retries(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("## Retries\n"));
    let counted = totals(bundle.hours.iter().flat_map(|series| &series.rows)).retries;
    say(
        out,
        format_args!(
            "{counted} by the hourly counters. Examples are from what the gateways remember (`GET …/deliveries`: the last \
             {} of this time), with waits from the end of one attempt to the beginning of the next, and from the \
             receiver's records, with waits from one arrival to the next.\n",
            bundle.retries.looked_at
        ),
    );
    if bundle.retries.examples.is_empty() {
        say(out, format_args!("There is no example of one in them.\n"));
        return;
    }
    say(out, format_args!("| from | endpoint | event | id | attempts | ended |\n|---|---|---|---|---|---|"));
    for Example { source, endpoint, id, event, status, attempts } in &bundle.retries.examples {
        let steps: Vec<String> = attempts
            .iter()
            .map(|attempt| {
                let wait = attempt.waited_seconds.map(|wait| format!("+{wait:.1} s ")).unwrap_or_default();
                let what = attempt.response_status.map_or_else(|| attempt.outcome.clone(), |status| status.to_string());
                let took = attempt.ms.map(|ms| format!(" ({ms} ms)")).unwrap_or_default();
                wait + &what + &took
            })
            .collect();
        let [source, endpoint, event] = [source, endpoint, event].map(|text| cell(text));
        say(out, format_args!("| {source} | {endpoint} | {event} | {id} | {} | {status} |", steps.join(", ")));
    }
    out.push('\n');
}

fn timeline(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("## Breakers, rollouts and switches\n"));
    let moments = &bundle.timeline.moments;
    say(out, format_args!("From {}.\n", bundle.timeline.source));
    if moments.is_empty() {
        say(out, format_args!("Nothing of the kind happened.\n"));
        return;
    }
    say(out, format_args!("| at (UTC) | endpoint | what | | from |\n|---|---|---|---|---|"));
    for moment in moments.iter().take(MOMENTS_SHOWN) {
        let endpoint = moment.endpoint.as_deref().map_or_else(|| "-".to_owned(), cell);
        let at = moment.at.strftime("%Y-%m-%d %H:%M:%S");
        let (event, source) = (moment.event.replace('_', " "), cell(&moment.source));
        say(out, format_args!("| {at} | {endpoint} | {event} | {} | {source} |", cell(&moment.detail)));
    }
    if let Some(more) = moments.len().checked_sub(MOMENTS_SHOWN + 1) {
        say(out, format_args!("\n{} more are in evidence.json.", more + 1));
    }
    out.push('\n');
}

fn personal_data(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("## Personal data\n"));
    let personal = &bundle.personal_data;
    match (&personal.counted, personal.guard) {
        (Some(_), Some(false)) => {
            say(out, format_args!("- Payloads: not looked at, the config has no `payload_guard`"));
        }
        (Some(counted), _) => {
            let kinds: Vec<String> = counted.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            say(
                out,
                format_args!(
                    "- Payloads, found by the guard since the process began (`gatepost_payload_findings_total`): {}",
                    kinds.join(", ")
                ),
            );
        }
        (None, _) => {
            say(out, format_args!("- Payloads: no data, no metrics were given (--envoy-admin or --stats-url)"))
        }
    }
    match &personal.logs {
        None => say(out, format_args!("- Logs: no data, none were given (--logs)")),
        Some(scan) => {
            say(out, format_args!("- Logs: {} findings in {} lines that mention gatepost", scan.total, scan.lines));
            for finding in &scan.findings {
                say(out, format_args!("  - {} line {}: {}", cell(&finding.file), finding.line, finding.kind));
            }
        }
    }
    out.push('\n');
}

fn versions(out: &mut String, bundle: &Bundle) {
    say(out, format_args!("## Versions and config\n"));
    say(out, format_args!("| gateway | filter | state | process | since |\n|---|---|---|---|---|"));
    for facts in &bundle.gateways {
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let since = facts.started_at.map_or_else(|| "-".to_owned(), minute);
        let (version, state, instance) = (word(&facts.version), word(&facts.state), word(&facts.instance));
        say(out, format_args!("| {} | {version} | {state} | {instance} | {since} |", facts.gateway));
    }
    out.push('\n');
    for facts in &bundle.envoys {
        let version = facts.version.as_deref().unwrap_or("not known");
        say(out, format_args!("- Envoy at {}: {version}", facts.admin));
    }
    match &bundle.config {
        None => say(out, format_args!("- Config: none was given (--config)")),
        Some(config) => say(
            out,
            format_args!(
                "- Config `{}`: SHA-256 `{}` of its canonical JSON, without {} values that may be secrets",
                cell(&config.file),
                config.sha256,
                config.taken_out
            ),
        ),
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn say(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
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
        let text = text(&bundle());
        let head: Vec<&str> = text.lines().take(9).collect();
        assert_eq!(head[0], "# Webhook delivery: evidence");
        assert_eq!(head[4], "**Objectives: 3 met, 0 missed, 1 without data.**");
        assert!(head[6].contains("http://b/gatepost: cannot be reached: it is down"), "{head:#?}");
        let lost = "- **2 hours are lost** at http://a/gatepost, from 2026-11-25 02:00 to 2026-11-25 03:00: ";
        assert!(head[7].starts_with(lost), "{head:#?}");
    }

    #[test]
    fn every_row_of_the_table_of_hours_has_as_many_cells_as_its_head() {
        let text = text(&bundle());
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

    #[test]
    fn without_logs_the_timeline_names_the_hours_in_which_a_breaker_opened() {
        let text = text(&bundle());
        assert!(text.contains("From hourly counters; for moments give --logs."), "{text}");
        assert!(text.contains("| 2026-11-25 11:00:00 | billing | breaker opened | 1 times within this hour"), "{text}");
    }
}
