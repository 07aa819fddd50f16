//! The programs in `envoy/verifiers`, each with the libraries that its lock file names, installed into `target/verifiers`.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gatepost_e2e::tool;
use gatepost_kit::workspace;

/// What the programs are written in.
#[derive(Clone, Copy, Debug)]
pub enum LibraryLanguage {
    Python,
    Node,
    Rust,
}

pub const LANGUAGES: [LibraryLanguage; 3] = [LibraryLanguage::Python, LibraryLanguage::Node, LibraryLanguage::Rust];

impl LibraryLanguage {
    /// How to start its program; `None`, said on stderr, when what it needs is not on this machine. Where `CI` is set it
    /// must be.
    pub fn command(self) -> Result<Option<Command>> {
        let needs: &[_] = match self {
            Self::Python => &[("python3", "--version", "python3 and python3-pip")],
            Self::Node => &[("node", "--version", "nodejs"), ("npm", "--version", "npm")],
            Self::Rust => &[],
        };
        for (program, version, packages) in needs {
            if !tool::is_here(program, version, packages)? {
                return Ok(None);
            }
        }
        let target = target()?;
        fs::create_dir_all(&target)?;
        // One process installs while the others wait.
        let lock = File::create(target.join("lock"))?;
        lock.lock().context("locking target/verifiers/lock")?;
        Ok(Some(match self {
            Self::Python => python()?,
            Self::Node => node()?,
            Self::Rust => rust()?,
        }))
    }
}

fn python() -> Result<Command> {
    let requirements = source("python/requirements.txt")?;
    // Some of it is compiled for one version of Python.
    let wanted = format!("{}{}", output(Command::new("python3").arg("--version"))?, read(&requirements)?);
    let libraries = install("python", &wanted, |directory| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]);
        // Nothing is built, and nothing comes that is not in the lock file.
        pip.args(["--only-binary", ":all:", "--require-hashes", "--root-user-action", "ignore", "-r"]);
        output(pip.arg(&requirements).arg("--target").arg(directory)).map(drop)
    })?;
    let mut command = Command::new("python3");
    command.arg(source("python/verifier.py")?).env("PYTHONPATH", libraries);
    Ok(command)
}

fn node() -> Result<Command> {
    let lock = "package-lock.json";
    let wanted =
        format!("{}{}", output(Command::new("node").arg("--version"))?, read(&source(&format!("node/{lock}"))?)?);
    let directory = install("node", &wanted, |directory| {
        for file in ["package.json", lock] {
            fs::copy(source(&format!("node/{file}"))?, directory.join(file))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        output(npm.current_dir(directory)).map(drop)
    })?;
    // Node.js looks for libraries where the program is. Others may be starting theirs: they never see half of it.
    let (scratch, program) = (directory.join("scratch"), directory.join("verifier.mjs"));
    fs::copy(source("node/verifier.mjs")?, &scratch)?;
    fs::rename(scratch, &program)?;
    let mut command = Command::new("node");
    command.arg(program);
    Ok(command)
}

fn rust() -> Result<Command> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = target()?.join("rust");
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(source("rust/Cargo.toml")?);
    output(build.arg("--target-dir").arg(&target))?;
    Ok(Command::new(target.join("debug/webhook-verifier")))
}

/// A directory with what is wanted, made unless it is there. One that was begun and not ended looks like none.
fn install(name: &str, wanted: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = target()?.join(name);
    let stamp = directory.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(directory);
    }
    eprintln!("Installing the libraries of envoy/verifiers/{name} (once)");
    let scratch = tempfile::tempdir_in(target()?)?;
    make(scratch.path()).with_context(|| format!("the libraries of envoy/verifiers/{name}"))?;
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::rename(scratch.keep(), &directory)?;
    fs::write(stamp, wanted)?;
    Ok(directory)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    ensure!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn source(path: &str) -> Result<PathBuf> {
    Ok(workspace::root()?.join("envoy/verifiers").join(path))
}

fn target() -> Result<PathBuf> {
    Ok(workspace::root()?.join("target/verifiers"))
}
