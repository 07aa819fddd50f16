//! `rollout`: the share of the events that is sent, and the phases it grows in.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use serde_json::{Value, json};
use ureq::http::Method;

use super::common::{Common, all_confirmed};
use super::report::{Standing, Switch};
use crate::gateway::{EndpointView, RolloutView, Status, query};

/// The arguments of `gatepost rollout`.
#[derive(clap::Args)]
pub struct Options {
    /// A share in percent such as 25, or one of promote, hold, resume, rollback
    #[arg(value_name = "PERCENT|promote|hold|resume|rollback")]
    step: Step,
    /// Only this endpoint; else all
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// What is to become of the rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Percent(f64),
    Promote,
    Hold,
    Resume,
    Rollback,
}

impl FromStr for Step {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "promote" => Ok(Self::Promote),
            "hold" => Ok(Self::Hold),
            "resume" => Ok(Self::Resume),
            "rollback" => Ok(Self::Rollback),
            share => match share.trim_end_matches('%').trim_end().parse::<f64>() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err("expected a share from 0 to 100, or promote, hold, resume or rollback"),
            },
        }
    }
}

impl Step {
    fn request(self) -> (Method, &'static str, Option<Value>) {
        match self {
            Self::Percent(percent) => (Method::PUT, "rollout", Some(json!({"percent": percent}))),
            Self::Promote => (Method::POST, "rollout/promote", None),
            Self::Hold => (Method::POST, "rollout/hold", None),
            Self::Resume => (Method::POST, "rollout/resume", None),
            Self::Rollback => (Method::POST, "rollout/rollback", None),
        }
    }

    /// What is wrong with how an endpoint stands after it.
    fn objection(self, was: &RolloutView, now: &RolloutView) -> Option<&'static str> {
        let is_rolled_back = now.state == "rolled_back";
        let is_done = match self {
            Self::Percent(_) | Self::Hold if is_rolled_back => {
                return Some("is rolled back, so nothing is sent: resume it");
            }
            Self::Percent(percent) => now.state == "overridden" && now.percent == percent,
            Self::Promote => now.phase > was.phase,
            // Under an operator's share, before the first phase and in the last one a hold does not show.
            Self::Hold => matches!(&*now.state, "held" | "overridden" | "scheduled" | "complete"),
            // A threshold that is breached holds it all the same.
            Self::Resume => !is_rolled_back && (now.state != "held" || now.breached.is_some()),
            Self::Rollback => is_rolled_back && now.percent == 0.0,
        };
        (!is_done).then_some("does not stand as it was told to")
    }
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let Options { step, endpoint, common } = options;
    let is_meant = |one: &&EndpointView| endpoint.as_ref().is_none_or(|name| one.name == *name);
    let (method, path, body) = step.request();
    let path = query(path, &[("endpoint", endpoint.as_deref())]);
    let switch = Switch {
        act: &|gateway| gateway.command(method.clone(), &path, body.as_ref()),
        view: &|status| {
            let meant = status.endpoints.iter().filter(is_meant);
            meant.map(|endpoint| (endpoint.name.clone(), Standing::from(&endpoint.rollout))).collect()
        },
        objection: &|was, now| objection(*step, was, now, &is_meant),
    };
    let question = match step {
        Step::Rollback => {
            Some("Nothing more is sent to these endpoints until they are resumed; what is selected is held.")
        }
        _ => None,
    };
    common.carry_out(question, |gateway| switch.carry_out(gateway), all_confirmed)
}

fn objection(step: Step, was: &Status, now: &Status, is_meant: &dyn Fn(&&EndpointView) -> bool) -> Option<String> {
    was.endpoints.iter().filter(|endpoint| is_meant(endpoint)).find_map(|was| match now.endpoint(&was.name) {
        Some(now) => step.objection(&was.rollout, &now.rollout).map(|what| format!("endpoint {} {what}", now.name)),
        None => Some(format!("endpoint {} is gone from the config", was.name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(percent: f64, state: &str, phase: Option<u64>) -> RolloutView {
        RolloutView { percent, state: state.to_owned().into(), phase, ..RolloutView::default() }
    }

    #[test]
    fn a_step_is_a_share_or_a_word() {
        for (text, step) in [("25", Step::Percent(25.0)), ("12.5%", Step::Percent(12.5)), ("hold", Step::Hold)] {
            assert_eq!(text.parse(), Ok(step));
        }
        for wrong in ["", "101", "-1", "NaN", "promoted", "ten"] {
            assert!(wrong.parse::<Step>().is_err(), "{wrong}");
        }
    }

    /// A share is confirmed only as that share and not while it is rolled back.
    #[test]
    fn rollout_share_is_confirmed_only_if_equal_and_in_effect() {
        let was = rollout(100.0, "fixed", None);
        assert_eq!(Step::Percent(25.0).objection(&was, &rollout(25.0, "overridden", None)), None);
        assert!(Step::Percent(25.0).objection(&was, &rollout(100.0, "fixed", None)).is_some());
        let objection = Step::Percent(25.0).objection(&was, &rollout(0.0, "rolled_back", None));
        assert!(objection.unwrap().contains("resume"));
    }

    #[test]
    fn a_promotion_is_confirmed_by_a_later_phase() {
        let was = rollout(5.0, "waiting", Some(1));
        assert_eq!(Step::Promote.objection(&was, &rollout(25.0, "running", Some(2))), None);
        assert!(Step::Promote.objection(&was, &was).is_some());
    }
}
