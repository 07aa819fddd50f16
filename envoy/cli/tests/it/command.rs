//! The binary, as a user runs it.

use std::process::{Command, Output};

/// What it says with these arguments and variables.
pub fn gatepost(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(arguments).envs(env.iter().copied()).output().unwrap()
}
