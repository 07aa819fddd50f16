//! The verdict, for a person.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use jiff::Timestamp;

use super::candidate::Candidate;
use super::capture::Captured;
use super::verdict::Verification;

/// Prints what was checked, what matched, and each finding.
pub(super) fn verdict(verdict: &Verification, request: &Captured, secrets: &[Candidate], expected: bool) -> Result<()> {
    let mut out = anstream::stdout().lock();
    let headers = request.headers().count();
    writeln!(out, "request    {headers} headers, {} bytes of body, {}", request.body.len(), verdict.scheme.title())?;
    if let Some(at) = verdict.timestamp_ms.and_then(|at| Timestamp::from_millisecond(at).ok()) {
        let age = verdict.age_ms.unwrap_or_default();
        let when = if age < 0 { "ahead" } else { "old" };
        writeln!(out, "timestamp  {at}, {} s {when}", age.unsigned_abs() as f64 / 1000.0)?;
    }
    match (verdict.secret.and_then(|number| secrets.get(number - 1)), &verdict.header) {
        (Some(secret), Some(header)) => {
            writeln!(out, "signature  {header} matches {} of {}", secret.name, secrets.len())?;
        }
        _ => writeln!(out, "signature  matches no secret of {} given", secrets.len())?,
    }
    if expected {
        for expected in &verdict.expected {
            writeln!(out, "expected   {}: {}   (secret {})", expected.header, expected.value, expected.secret)?;
        }
        if verdict.expected.is_empty() {
            writeln!(out, "expected   cannot be told: a part of what is signed is missing, or the key is public")?;
        }
    }
    if verdict.verified {
        let (style, reset) = (GOOD, GOOD.render_reset());
        writeln!(out, "{style}verified{reset}")?;
        return Ok(());
    }
    writeln!(out, "{BAD}not verified{}", BAD.render_reset())?;
    for finding in &verdict.findings {
        writeln!(out, "  {BOLD}{}{}\n    {}", finding.code.name(), BOLD.render_reset(), finding.says)?;
    }
    Ok(())
}

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const BOLD: Style = Style::new().bold();
