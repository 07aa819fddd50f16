//! The verdict, for a person.

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use jiff::Timestamp;

use super::candidate::Candidate;
use super::capture::Captured;
use super::verdict::Verification;
use crate::terminal::{Line, say, say_line};

/// Prints what was checked, what matched, and each finding.
pub(super) fn verdict(verdict: &Verification, request: &Captured, secrets: &[Candidate], expected: bool) -> Result<()> {
    let headers = request.headers().count();
    say!("request    {headers} headers, {} bytes of body, {}", request.body.len(), verdict.scheme.title())?;
    if let Some(at) = verdict.timestamp_ms.and_then(|at| Timestamp::from_millisecond(at).ok()) {
        let age = verdict.age_ms.unwrap_or_default();
        let when = if age < 0 { "ahead" } else { "old" };
        say!("timestamp  {at}, {} s {when}", age.unsigned_abs() as f64 / 1000.0)?;
    }
    match (verdict.secret.and_then(|number| secrets.get(number - 1)), &verdict.header) {
        (Some(secret), Some(header)) => {
            say!("signature  {header} matches {} of {}", secret.name, secrets.len())?;
        }
        _ => say!("signature  matches no secret of {} given", secrets.len())?,
    }
    if expected {
        for expected in &verdict.expected {
            say!("expected   {}: {}   (secret {})", expected.header, expected.value, expected.secret)?;
        }
        if verdict.expected.is_empty() {
            say!("expected   cannot be told: a part of what is signed is missing, or the key is public")?;
        }
    }
    if verdict.verified {
        return say_line(&Line::default().and(GOOD, "verified"));
    }
    say_line(&Line::default().and(BAD, "not verified"))?;
    for finding in &verdict.findings {
        say_line(&Line::plain("  ").and(BOLD, finding.code.name()))?;
        say!("    {}", finding.says)?;
    }
    Ok(())
}

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();
