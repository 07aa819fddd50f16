//! A command on a terminal of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::site::Site;

/// What happened on the terminal.
#[derive(Debug, Deserialize)]
pub struct Session {
    pub code: i32,
    /// The terminal is in the mode it was found in.
    pub restored: bool,
    pub written: String,
}

/// Runs a command, waits until the terminal shows something, types, and waits for the end.
pub fn session(site: &Site, arguments: &[&str], size: (u16, u16), wanted: &str, typed: &str) -> Result<Session> {
    session_with(site, arguments, size, wanted, typed, &[])
}

/// The same with more variables in its environment.
pub fn session_with(
    site: &Site,
    arguments: &[&str],
    size: (u16, u16),
    wanted: &str,
    typed: &str,
    variables: &[(&str, &str)],
) -> Result<Session> {
    let command = site.command(arguments)?;
    let mut python = Command::new("python3");
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/terminal.py"));
    python.args([size.0.to_string().as_str(), size.1.to_string().as_str(), wanted, typed]);
    python.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        python.env(name, value.context("a variable")?);
    }
    let output =
        python.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(variables.iter().copied()).output()?;
    serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
