//! The filter as wasm: built from the source each time, so that nothing ever runs a stale one.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::workspace;

/// The target of every filter.
pub const TARGET: &str = "wasm32-wasip1";

/// The wasm of a package of the workspace (`gatepost`, `gatepost-noop`, `gatepost-floor`), built in release mode: once
/// in the life of this process, however many threads ask.
///
/// # Errors
/// When it does not build, or the target is missing and rustup cannot add it.
pub fn wasm(package: &str) -> Result<PathBuf> {
    built(package, &["--release", "--package", package])
}

/// The filter with a defect: a request with the header `x-gatepost-trap` makes its VM trap. Under a profile of its own,
/// so that it never stands where the good one does.
///
/// # Errors
/// As for [`wasm`].
pub fn wasm_that_traps() -> Result<PathBuf> {
    built("gatepost", &["--profile", "trap", "--package", "gatepost", "--features", "trap"])
}

fn built(package: &str, arguments: &[&str]) -> Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut guard = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = guard.get_or_insert_default();
    let key = arguments.join(" ");
    if let Some(path) = built.get(&key) {
        return Ok(path.clone());
    }
    install_target()?;
    let path = build(package, arguments).with_context(|| format!("building {package} for {TARGET}"))?;
    built.insert(key, path.clone());
    Ok(path)
}

/// Adds the target through rustup, when this toolchain lacks its standard library.
fn install_target() -> Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace::root()?)
        .output()
        .context("rustc does not start")?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    eprintln!("Installing the target {TARGET}");
    let status = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(workspace::root()?)
        .status()
        .with_context(|| format!("the target {TARGET} is missing and there is no rustup to add it"))?;
    ensure!(status.success(), "`rustup target add {TARGET}` failed; without a network, install it by hand");
    Ok(())
}

fn build(package: &str, arguments: &[&str]) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--target", TARGET])
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace::root()?)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    ensure!(output.status.success(), "cargo build failed, see above");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Message = serde_json::from_str(line).context("a message of cargo")?;
        let is_ours = message.target.is_some_and(|target| target.name.replace('_', "-") == package);
        let wasm = message.filenames.into_iter().find(|path| path.extension().is_some_and(|end| end == "wasm"));
        if let (true, Some(wasm)) = (is_ours, wasm) {
            return Ok(wasm);
        }
    }
    bail!("cargo built no wasm file: is {package} a cdylib?")
}

/// What we read of cargo's messages.
#[derive(Deserialize)]
struct Message {
    target: Option<CargoTarget>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct CargoTarget {
    name: String,
}
