//! `redeliver`: dead letters are delivered again.

use std::process::ExitCode;

use anyhow::Result;
use jiff::Timestamp;

use super::common::{Common, all_confirmed};
use super::report::{Change, Report, Standing};
use crate::gateway::{Failure, Gateway, Letters, query, since};

/// The arguments of `gatepost redeliver`.
#[derive(clap::Args)]
pub struct Options {
    /// Only those of this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only those that died since then: a time such as 2026-11-25T09:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = clap::builder::ValueParser::new(since))]
    since: Option<Timestamp>,
    /// Only this delivery, as the list of dead letters and the log name it
    #[arg(long, value_name = "ID", conflicts_with_all = ["endpoint", "since"])]
    delivery: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    match &options.delivery {
        // It lies at one gateway; that the others do not have it is as it should be.
        Some(delivery) => options.common.carry_out(
            None,
            |gateway| one(gateway, delivery),
            |reports| {
                let is_absent = |report: &Report| report.note.as_deref() == Some(NOT_HERE);
                let others_lack_it = reports.iter().all(|report| report.confirmed || is_absent(report));
                others_lack_it && reports.iter().any(|report| report.confirmed)
            },
        ),
        None => options.common.carry_out(None, |gateway| all(gateway, options), all_confirmed),
    }
}

fn one(gateway: &Gateway, delivery: &str) -> Report {
    let path = format!("dead-letters/{}/redeliver", crate::gateway::encoded(delivery));
    match gateway.redeliver(&path) {
        Ok(answer) => Report {
            gateway: gateway.url().to_owned(),
            instance: Some(answer.process.instance),
            confirmed: answer.redelivered == 1,
            note: Some(format!("{} redelivered", answer.redelivered)),
            changes: Vec::new(),
        },
        Err(failure) => {
            let instance = failure.problem.process.as_ref().map(|process| process.instance.clone());
            let is_absent = failure.status == Some(404) && instance.is_some();
            Report::failed(gateway, instance, &if is_absent { Failure::new(NOT_HERE) } else { failure })
        }
    }
}

/// Redelivers all that are meant. A gateway that cannot keep all of them at once redelivers some and answers 503: then it
/// is asked again, for as long as there become fewer.
fn all(gateway: &Gateway, options: &Options) -> Report {
    let since = options.since.map(|since| since.to_string());
    let filter = [("endpoint", options.endpoint.as_deref()), ("since", since.as_deref())];
    let letters = query("dead-letters", &[&filter[..], &[("limit", Some("1"))]].concat());
    let before = match gateway.get::<Letters>(&letters) {
        Ok(before) => before,
        Err(failure) => return Report::failed(gateway, None, &failure),
    };
    let path = query("dead-letters/redeliver", &filter);
    let mut left = before.total;
    let outcome = loop {
        let answer = gateway.redeliver(&path);
        let fewer = match &answer {
            Err(failure) if failure.status == Some(503) => gateway.get::<Letters>(&letters).map(|now| now.total),
            _ => break answer,
        };
        match fewer {
            Ok(now) if now < left => left = now,
            _ => break answer,
        }
    };
    let after = gateway.get::<Letters>(&letters);
    let now = after.as_ref().ok().map(|after| Standing::Count(after.total));
    let changes = vec![Change { of: "dead letters".to_owned(), was: Standing::Count(before.total), now }];
    let (confirmed, note) = match outcome {
        _ if after.as_ref().is_ok_and(|after| after.process.instance != before.process.instance) => {
            (false, "it was restarted meanwhile, and its dead letters are gone".to_owned())
        }
        Ok(answer) => (true, done(before.total - left + answer.redelivered, answer.skipped)),
        Err(failure) => (false, format!("{} redelivered, and then {failure}", before.total - left)),
    };
    let (gateway, instance) = (gateway.url().to_owned(), Some(before.process.instance));
    Report { gateway, instance, confirmed, note: Some(note), changes }
}

fn done(redelivered: u64, skipped: u64) -> String {
    match skipped {
        0 => format!("{redelivered} redelivered"),
        _ => format!("{redelivered} redelivered; {skipped} stay: their endpoints are gone from the config"),
    }
}

const NOT_HERE: &str = "has no such dead letter";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::tests::scripted;
    use clap::Parser;
    use serde_json::{Value, json};

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        Arguments::parse_from([&["redeliver"], arguments].concat()).options
    }

    fn letters(total: u64) -> (u16, Value) {
        (200, json!({"instance": "i", "dead_letters": [], "total": total}))
    }

    fn full() -> (u16, Value) {
        (503, json!({"detail": "shared data did not do what was asked", "instance": "i"}))
    }

    /// A gateway that takes a part is asked until all are redelivered.
    #[test]
    fn partial_redelivery_is_repeated_until_all_are_done() {
        let done = (200, json!({"instance": "i", "redelivered": 20, "skipped": 2}));
        let answers = vec![letters(1022), full(), letters(422), full(), letters(22), done, letters(2)];
        let (gateway, asked) = scripted(answers);
        let report = all(&gateway, &options(&["--endpoint", "a b"]));
        assert!(report.confirmed, "{report:?}");
        let note = "1020 redelivered; 2 stay: their endpoints are gone from the config";
        assert_eq!(report.note.as_deref(), Some(note));
        let asked = asked.join().unwrap();
        assert_eq!(asked[0], "GET /gatepost/dead-letters?endpoint=a%20b&limit=1");
        assert_eq!(asked[1], "POST /gatepost/dead-letters/redeliver?endpoint=a%20b");
    }

    #[test]
    fn a_gateway_that_takes_none_is_asked_no_more() {
        let (gateway, asked) = scripted(vec![letters(10), full(), letters(4), full(), letters(4), letters(4)]);
        let report = all(&gateway, &options(&[]));
        assert!(!report.confirmed);
        assert!(report.note.is_some_and(|note| note.starts_with("6 redelivered, and then 503: shared data")));
        assert_eq!(asked.join().unwrap().len(), 6);
    }
}
