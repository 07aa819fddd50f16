//! Everything that a command prints: a line at a time, printable whatever it tells.
//!
//! What gateways, receivers, payloads, logs and files hold is text of others. A line that a command prints is escaped as a
//! whole ([`gatepost_core::printable`]), so that none of it commands the terminal, forges a line or turns one around; the
//! codes of colours are added behind that, from a [`Line`]'s styles. Nothing else here writes to stdout or stderr: clippy
//! refuses it (`.clippy.toml` of this crate).
//!
//! A reader that has enough, such as `head`, closes the pipe. That is no failure: the rest is not written, and a command
//! does what it was asked to and ends with the code that this deserves. Those that run until they are stopped ask
//! [`is_read`].

#![expect(clippy::disallowed_methods, reason = "this is where stdout and stderr are written")]

use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::Style;
use anyhow::Result;
use gatepost_core::printable::{printable, printable_json};
use serde::Serialize;

/// Prints a line to stdout: `say!("{count} events")?`.
macro_rules! say {
    ($($part:tt)*) => { $crate::terminal::say_text(&format!($($part)*)) };
}

/// Prints a line to stderr: `tell!("asking {url}")`.
macro_rules! tell {
    ($($part:tt)*) => { $crate::terminal::tell_text(&format!($($part)*)) };
}

pub(crate) use {say, tell};

/// Prints a line to stdout. One that nobody reads any more is no failure, see [`is_read`].
///
/// # Errors
/// When it cannot be written, such as to a full disk.
pub fn say_text(text: &str) -> Result<()> {
    write_out(&printable(text))
}

/// Prints a line to stderr. Where that cannot be written, nobody can be told.
pub fn tell_text(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

/// Prints why a command did not do what it was asked, to stderr. Of an error of several lines, such as one that shows a
/// process's last words, all but the first are indented.
pub fn tell_error(error: &anyhow::Error) {
    let text = format!("error: {error:#}");
    let mut lines = text.lines();
    tell_text(lines.next().unwrap_or_default());
    lines.for_each(|line| tell!("  {line}"));
}

/// Asks a question on stderr, and leaves the cursor behind it.
///
/// # Errors
/// When it cannot be written.
pub fn ask(question: &str) -> Result<()> {
    let mut out = io::stderr().lock();
    write!(out, "{} ", printable(question))?;
    Ok(out.flush()?)
}

/// Prints a line of parts to stdout, in colours where they can be seen.
///
/// # Errors
/// As for [`say_text`].
pub fn say_line(line: &Line) -> Result<()> {
    let has_colours = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    write_out(&if has_colours { line.styled(usize::MAX) } else { line.text(usize::MAX) })
}

/// Prints a value as JSON in one line.
///
/// # Errors
/// As for [`say_text`].
pub fn say_json(value: &impl Serialize) -> Result<()> {
    write_out(&printable_json(&serde_json::to_string(value)?))
}

/// Prints a value as JSON in lines that a person reads.
///
/// # Errors
/// As for [`say_text`].
pub fn say_pretty_json(value: &impl Serialize) -> Result<()> {
    write_out(&pretty_json(value)?)
}

/// A value as JSON in lines that a person reads. What is not printable in it is escaped as JSON does.
///
/// # Errors
/// When it is no JSON.
pub fn pretty_json(value: &impl Serialize) -> Result<String> {
    Ok(printable_json(&serde_json::to_string_pretty(value)?).into_owned())
}

/// Whether there still is a reader of stdout. Once it is gone, nothing more is written.
pub fn is_read() -> bool {
    !CLOSED.load(Ordering::Relaxed)
}

/// Whether stdout is a terminal.
pub fn is_shown() -> bool {
    io::stdout().is_terminal()
}

/// Whether stderr is a terminal: somebody can be asked.
pub fn is_asked() -> bool {
    io::stderr().is_terminal()
}

/// Stdout itself, for the view that draws on a terminal ([`crate::watch`]): what it draws is made of [`Line`]s.
pub(crate) fn screen() -> Stdout {
    io::stdout()
}

static CLOSED: AtomicBool = AtomicBool::new(false);

fn write_out(line: &str) -> Result<()> {
    if !is_read() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => CLOSED.store(true, Ordering::Relaxed),
        written => written?,
    }
    Ok(())
}

/// A line in parts of one style each; the text of each is printable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line(Vec<(Style, String)>);

impl Line {
    /// A line that begins with text without a style.
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self::default().and(Style::new(), text)
    }

    /// The line with a further part.
    #[must_use]
    pub fn and(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.0.push((style, printable(text.as_ref()).into_owned()));
        self
    }

    /// Its text, at most so many characters.
    pub fn text(&self, width: usize) -> String {
        self.0.iter().flat_map(|(_, text)| text.chars()).take(width).collect()
    }

    /// The same with the codes of its styles.
    pub fn styled(&self, width: usize) -> String {
        let (mut out, mut left) = (String::new(), width);
        for (style, text) in &self.0 {
            let part: String = text.chars().take(left).collect();
            left -= part.chars().count();
            // Writing to a string does not fail.
            let _ = write!(out, "{style}{part}{style:#}");
        }
        out
    }
}

/// Its text, without styles.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(_, text)| f.write_str(text))
    }
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    #[test]
    fn a_lines_styles_are_the_only_codes_in_it() {
        let hostile = "a\u{1b}[31mb\u{9b}2J\nc\u{202e}";
        let line = Line::plain(hostile).and(AnsiColor::Green.on_default(), hostile);
        assert_eq!(line.text(4), "a\\u{");
        let styled = line.styled(usize::MAX);
        assert_eq!(styled.matches('\u{1b}').count(), 2, "{styled:?}");
        let text = anstream::adapter::strip_str(&styled).to_string();
        assert_eq!(text, line.to_string());
        assert!(text.chars().all(gatepost_core::printable::is_printable), "{text:?}");
    }
}
