//! `redeliver`: dead letters are delivered again.

use std::process::ExitCode;

use anyhow::Result;
use jiff::Timestamp;
use serde::Deserialize;
use ureq::http::Method;

use super::report::{Change, Report, Standing};
use super::{Common, all_confirmed};
use crate::gateway::{Failure, Gateway, query, since};

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
    match gateway.command(Method::POST, &path, None).and_then(read::<Redelivered>) {
        Ok(answer) => Report {
            gateway: gateway.url().to_owned(),
            instance: Some(answer.instance),
            confirmed: answer.redelivered == 1,
            note: Some(format!("{} redelivered", answer.redelivered)),
            changes: Vec::new(),
        },
        Err(failure) => {
            let instance = failure.members.get("instance").and_then(|id| id.as_str()).map(str::to_owned);
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
        let answer = gateway.command(Method::POST, &path, None).and_then(read::<Redelivered>);
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
        _ if after.as_ref().is_ok_and(|after| after.instance != before.instance) => {
            (false, "it was restarted meanwhile, and its dead letters are gone".to_owned())
        }
        Ok(answer) => (true, done(before.total - left + answer.redelivered, answer.skipped)),
        Err(failure) => (false, format!("{} redelivered, and then {failure}", before.total - left)),
    };
    let (gateway, instance) = (gateway.url().to_owned(), Some(before.instance));
    Report { gateway, instance, confirmed, note: Some(note), changes }
}

fn done(redelivered: u64, skipped: u64) -> String {
    match skipped {
        0 => format!("{redelivered} redelivered"),
        _ => format!("{redelivered} redelivered; {skipped} stay: their endpoints are gone from the config"),
    }
}

fn read<T: for<'a> Deserialize<'a>>(answer: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| Failure::new(format!("does not answer as a gateway does: {error}")))
}

/// The answer to a redelivery.
#[derive(Deserialize)]
struct Redelivered {
    instance: String,
    redelivered: u64,
    #[serde(default)]
    skipped: u64,
}

/// The list of dead letters, as far as it is read here.
#[derive(Deserialize)]
struct Letters {
    instance: String,
    total: u64,
}

const NOT_HERE: &str = "has no such dead letter";
