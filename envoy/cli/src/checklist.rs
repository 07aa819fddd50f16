//! What was checked and what came of it: a table for a person, JSON for a script.

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde::Serialize;

use crate::terminal::{self, Line};

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it must be.
    Pass,
    /// Works, and yet somebody should look at it.
    Warn,
    /// Not as it must be.
    Fail,
    /// Not looked at: something before it failed.
    Skip,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

impl Check {
    /// A check with this result.
    pub fn new(verdict: Verdict, name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { name: name.into(), verdict, seen: seen.into(), advice: None, seconds: None }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// All checks of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Checklist {
    /// In the order they were made.
    pub checks: Vec<Check>,
}

impl Checklist {
    /// Adds one.
    pub fn push(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Did none fail, and was each looked at?
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| matches!(check.verdict, Verdict::Pass | Verdict::Warn))
    }

    /// Prints it: a table, or with `json` one object that also says what was checked.
    ///
    /// # Errors
    /// When stdout takes no more.
    pub fn print(&self, subject: &str, json: bool) -> Result<()> {
        if json {
            let whole = serde_json::json!({"subject": subject, "passed": self.passed(), "checks": self.checks});
            return terminal::say_pretty_json(&whole);
        }
        self.lines().iter().try_for_each(terminal::say_line)
    }

    /// The table, and a line that counts.
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
        for Check { name, verdict, seen, advice, seconds } in &self.checks {
            let (style, word) = shown(*verdict);
            let seconds = seconds.map(|seconds| format!("  ({seconds:.1} s)")).unwrap_or_default();
            let told = format!("  {name:<width$}  {seen}{seconds}");
            lines.push(Line::default().and(style, word).and(Style::new(), told));
            lines.extend(advice.iter().map(|advice| Line::plain(format!("{:4}  {:width$}  > {advice}", "", ""))));
        }
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let counts = [(Verdict::Pass, "passed"), (Verdict::Warn, "to look at"), (Verdict::Fail, "failed")]
            .into_iter()
            .chain([(Verdict::Skip, "not looked at")])
            .map(|(verdict, word)| (count(verdict), word))
            .filter(|(count, word)| *count > 0 || *word == "passed")
            .map(|(count, word)| format!("{count} {word}"));
        lines.extend([Line::default(), Line::plain(counts.collect::<Vec<_>>().join(", "))]);
        lines
    }
}

fn shown(verdict: Verdict) -> (Style, &'static str) {
    let color = |color: AnsiColor| Style::new().bold().fg_color(Some(color.into()));
    match verdict {
        Verdict::Pass => (color(AnsiColor::Green), "pass"),
        Verdict::Warn => (color(AnsiColor::Yellow), "warn"),
        Verdict::Fail => (color(AnsiColor::Red), "FAIL"),
        Verdict::Skip => (Style::new().dimmed(), "skip"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(verdicts: &[Verdict]) -> Checklist {
        Checklist { checks: verdicts.iter().map(|verdict| Check::new(*verdict, "a", "seen")).collect() }
    }

    #[test]
    fn a_warning_passes_and_what_was_not_looked_at_does_not() {
        assert!(list(&[Verdict::Pass, Verdict::Warn]).passed());
        assert!(!list(&[Verdict::Pass, Verdict::Fail]).passed());
        assert!(!list(&[Verdict::Pass, Verdict::Skip]).passed());
    }

    #[test]
    fn the_table_says_what_was_seen_and_what_to_do() {
        let mut list = list(&[Verdict::Pass]);
        list.push(Check {
            seconds: Some(6.12),
            ..Check::new(Verdict::Fail, "longer", "no answer").advising("start it")
        });
        let table: String = list.lines().iter().map(|line| format!("{line}\n")).collect();
        let expected =
            "pass  a       seen\nFAIL  longer  no answer  (6.1 s)\n              > start it\n\n1 passed, 1 failed\n";
        assert_eq!(table, expected);
    }
}
