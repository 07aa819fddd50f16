//! What a verb did to each gateway: how it stood, how it stands now, and whether that is what was asked.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use gatepost_kit::wait;
use serde::Serialize;

use crate::gateway::{Failure, Gateway, IN_FORCE, RolloutView, Status, ask_all};
use crate::terminal::{self, Line};

/// What came of a verb at one gateway.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Its URL.
    pub gateway: String,
    /// The Envoy process; `None`: it could not be asked.
    pub instance: Option<String>,
    /// It stands as it was asked to.
    pub confirmed: bool,
    /// Why not, or what there is to know besides.
    pub note: Option<String>,
    /// What was changed.
    pub changes: Vec<Change>,
}

/// How something stood, and how it stands now.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    /// `state`, `pending`, the name of an endpoint, ….
    pub of: String,
    /// Before.
    pub was: Standing,
    /// As the gateway says after it; `None`: it could not be asked any more.
    pub now: Option<Standing>,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Standing {
    /// A word.
    Word(String),
    /// How many there are.
    Count(u64),
    /// A rollout.
    Rollout { percent: f64, state: String, phase: Option<u64>, phases: Option<u64> },
}

impl From<&RolloutView> for Standing {
    fn from(rollout: &RolloutView) -> Self {
        let RolloutView { percent, phase, phases, .. } = *rollout;
        Self::Rollout { percent, state: rollout.state.to_string(), phase, phases }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Count(count) => write!(f, "{count}"),
            Self::Rollout { percent, state, phase, phases } => {
                write!(f, "{percent} % {}", state.replace('_', " "))?;
                match phase.zip(*phases) {
                    Some((phase, phases)) => write!(f, " (phase {phase} of {phases})"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Report {
    /// Nothing could be done.
    pub fn failed(gateway: &Gateway, instance: Option<String>, failure: &Failure) -> Self {
        let note = Some(failure.sentence.clone());
        Self { gateway: gateway.url().to_owned(), instance, confirmed: false, note, changes: Vec::new() }
    }
}

/// A change of how a gateway stands, confirmed by the gateway.
pub(super) struct Switch<'a> {
    /// Tells it.
    pub act: &'a (dyn Fn(&Gateway) -> Result<(), Failure> + Sync),
    /// What is looked at before and after it: names and how they stand.
    pub view: &'a (dyn Fn(&Status) -> Vec<(String, Standing)> + Sync),
    /// What is wrong with how it stands after it; `None`: it is as it was asked to be.
    pub objection: &'a (dyn Fn(&Status, &Status) -> Option<String> + Sync),
}

impl Switch<'_> {
    /// Changes it, and reads back until it is as it was asked to be.
    pub fn carry_out(&self, gateway: &Gateway) -> Report {
        let before = match gateway.status() {
            Ok(status) => status,
            Err(failure) => return Report::failed(gateway, None, &failure),
        };
        let instance = Some(before.process.instance.clone());
        if let Err(failure) = (self.act)(gateway) {
            return Report::failed(gateway, instance, &failure);
        }
        let told = Instant::now();
        let mut read = Err(Failure::new("it was not asked"));
        let mut note = None;
        // What is asked for is in shared data when the answer leaves; a moment is given all the same.
        let confirmed = wait::until("the gateway confirms", CONFIRMED, || {
            read = gateway.status();
            note = match &read {
                Ok(now) if now.process.instance != before.process.instance => {
                    Some("it was restarted meanwhile, and what operators said ended with the process".to_owned())
                }
                Ok(now) => (self.objection)(&before, now),
                Err(failure) => Some(format!("it took the command, and then {failure}")),
            };
            Ok(note.is_none().then_some(()))
        })
        .is_ok();
        if confirmed {
            // What its workers do cannot be asked; who goes on after this command may rely on it.
            thread::sleep(IN_FORCE.saturating_sub(told.elapsed()));
        }
        let now = read.as_ref().map(self.view).unwrap_or_default();
        let changes = (self.view)(&before).into_iter().map(|(of, was)| {
            let now = now.iter().find(|(name, _)| *name == of).map(|(_, now)| now.clone());
            Change { of, was, now }
        });
        Report { gateway: gateway.url().to_owned(), instance, confirmed, note, changes: changes.collect() }
    }
}

/// Does it at every gateway at the same time.
pub(super) fn of_all(gateways: &[Gateway], act: impl Fn(&Gateway) -> Report + Sync) -> Vec<Report> {
    let reports = ask_all(gateways, |gateway| Ok(act(gateway)));
    let reports = gateways.iter().zip(reports);
    reports.map(|(gateway, report)| report.unwrap_or_else(|failure| Report::failed(gateway, None, &failure))).collect()
}

/// Prints them, for a person or a script.
pub(super) fn print(reports: &[Report], json: bool) -> Result<()> {
    if json {
        return terminal::say_pretty_json(&reports);
    }
    reports.iter().flat_map(lines).try_for_each(|line| terminal::say_line(&line))
}

fn lines(report: &Report) -> Vec<Line> {
    let (style, verdict) = match report.confirmed {
        true => (AnsiColor::Green.on_default(), "confirmed"),
        false => (AnsiColor::Red.on_default().bold(), "NOT CONFIRMED"),
    };
    let bold = Style::new().bold();
    let instance = report.instance.as_deref().map(|instance| format!("  instance {instance}")).unwrap_or_default();
    let head = Line::default().and(bold, &report.gateway).and(Style::new(), format!("{instance}  "));
    let mut lines = vec![head.and(style, verdict)];
    let width = report.changes.iter().map(|change| change.of.chars().count()).max().unwrap_or_default();
    for Change { of, was, now } in &report.changes {
        let now = now.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        lines.push(Line::plain(format!("  {of:width$}  {was} -> {now}")));
    }
    lines.extend(report.note.iter().map(|note| Line::plain(format!("  {note}"))));
    lines
}

/// How long a gateway may take until it stands as it was told to.
const CONFIRMED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// A report names the gateway its process and both sides of the change.
    #[test]
    fn report_names_gateway_process_and_old_and_new_value() {
        let report = Report {
            gateway: "http://a/gatepost".to_owned(),
            instance: Some("7f0c".to_owned()),
            confirmed: true,
            note: None,
            changes: vec![Change {
                of: "billing".to_owned(),
                was: Standing::Rollout { percent: 5.0, state: "waiting".to_owned(), phase: Some(1), phases: Some(3) },
                now: Some(Standing::Rollout {
                    percent: 12.5,
                    state: "running".to_owned(),
                    phase: Some(2),
                    phases: Some(3),
                }),
            }],
        };
        let shown: String = lines(&report).iter().map(|line| format!("{line}\n")).collect();
        let expected = "http://a/gatepost  instance 7f0c  confirmed\n  \
                        billing  5 % waiting (phase 1 of 3) -> 12.5 % running (phase 2 of 3)\n";
        assert_eq!(shown, expected);
    }
}
