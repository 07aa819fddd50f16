//! Starts the receivers of the guide, each as a user would.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatepost_e2e::tool;
use gatepost_kit::process::Process;
use gatepost_kit::{wait, workspace};
use tempfile::TempDir;

/// What the receivers of the guide are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    Node,
    Go,
    Rust,
}

pub const LANGUAGES: [Language; 4] = [Language::Python, Language::Node, Language::Go, Language::Rust];

/// A running receiver with a directory of its own; both end when this is dropped.
pub struct Running {
    pub language: Language,
    pub address: String,
    process: Process,
    said: Arc<Mutex<Vec<String>>>,
    /// Its inbox, and what it logs.
    directory: Arc<TempDir>,
}

impl Running {
    /// Starts one that accepts this secret and perhaps a next one; `None` when its language is not on this machine.
    pub fn start(language: Language, secret: &str, next: Option<&str>) -> Result<Option<Self>> {
        Self::start_in(language, secret, next, Arc::new(tempfile::tempdir()?))
    }

    fn start_in(language: Language, secret: &str, next: Option<&str>, directory: Arc<TempDir>) -> Result<Option<Self>> {
        let Some(mut command) = language.command()? else { return Ok(None) };
        command.env("PORT", "0").env("INBOX", directory.path().join("inbox")).env("WEBHOOK_SECRET", secret);
        command.env_remove("HOST").env_remove("WEBHOOK_SECRET_NEXT");
        if let Some(next) = next {
            command.env("WEBHOOK_SECRET_NEXT", next);
        }
        let log = File::options().create(true).append(true).open(directory.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let process = Process::spawn(&mut command)?;
        let said = Arc::new(Mutex::new(Vec::new()));
        collect(process.stdout().context("a receiver has a stdout")?, Arc::clone(&said));
        let first = wait::until(&format!("{language:?} says where it listens"), PATIENCE, || {
            let first = said.lock().unwrap().first().cloned();
            ensure!(first.is_some() || process.exited()?.is_none(), "it ended: {}", log_in(&directory));
            Ok(first)
        })?;
        let address = first.strip_prefix("listening on http://").with_context(|| format!("{language:?}: {first:?}"))?;
        Ok(Some(Self { language, address: address.to_owned(), process, said, directory }))
    }

    /// Kills it without a warning, and starts it again with what was on its disk.
    pub fn kill_and_restart(self, secret: &str) -> Result<Self> {
        let (language, directory) = (self.language, Arc::clone(&self.directory));
        drop(self);
        Self::start_in(language, secret, None, directory)?.context("it was there before")
    }

    /// Asks it to end, and gives back its exit code once it has.
    pub fn terminate(&self) -> Result<Option<i32>> {
        let killed = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status()?;
        ensure!(killed.success(), "kill: {killed}");
        wait::until(&format!("{:?} ends", self.language), PATIENCE, || self.process.exited()).map(|end| end.code())
    }

    /// The lines `processed <id> <event>`, so far.
    pub fn processed(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        said.iter().filter_map(|line| line.strip_prefix("processed ")).map(str::to_owned).collect()
    }

    /// Waits until no event waits for its work any more, and so many had it: one that was worked on twice shows.
    pub fn wait_for(&self, events: usize) -> Result<Vec<String>> {
        wait::until(&format!("{:?} processes {events} events", self.language), PATIENCE, || {
            let waiting = fs::read_dir(self.inbox().join("new"))?.count();
            Ok(Some(self.processed()).filter(|processed| waiting == 0 && processed.len() >= events))
        })
    }

    /// Waits until it has logged so many lines, and gives back all of them.
    pub fn wait_for_log(&self, lines: usize) -> Result<String> {
        wait::until(&format!("{:?} logs {lines} lines", self.language), PATIENCE, || {
            Ok(Some(self.log()).filter(|log| log.lines().count() >= lines))
        })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        log_in(&self.directory)
    }

    /// Its directory.
    pub fn inbox(&self) -> PathBuf {
        self.directory.path().join("inbox")
    }
}

fn log_in(directory: &TempDir) -> String {
    fs::read_to_string(directory.path().join("log")).unwrap_or_default()
}

/// Gathers the lines of an output until it ends.
fn collect(output: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
}

impl Language {
    /// How to start it; `None`, said on stderr, when what it needs is not on this machine. Where `CI` is set it must be.
    fn command(self) -> Result<Option<Command>> {
        let directory = workspace::root()?.join("envoy/receivers");
        let (tool, version, packages) = match self {
            Self::Python => ("python3", "--version", "python3"),
            Self::Node => ("node", "--version", "nodejs"),
            Self::Go => ("go", "version", "golang-go"),
            Self::Rust => return Ok(Some(Command::new(built_with_cargo(&directory.join("rust"))?))),
        };
        if !tool::is_here(tool, version, packages)? {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::Python => with_argument(tool, &directory.join("python/receiver.py")),
            Self::Node => with_argument(tool, &directory.join("node/receiver.mjs")),
            _ => Command::new(built_with_go(&directory.join("go"))?),
        }))
    }
}

fn with_argument(tool: &str, argument: &Path) -> Command {
    let mut command = Command::new(tool);
    command.arg(argument);
    command
}

/// Both builds look at what they have already; the lock keeps tests from doing that at once.
static BUILDING: Mutex<()> = Mutex::new(());

fn built_with_go(directory: &Path) -> Result<PathBuf> {
    let _alone = BUILDING.lock().unwrap();
    let binary = target()?.join("receiver-go");
    let mut command = Command::new("go");
    // No toolchain of another version and no module comes from the network.
    command.args(["build", "-buildvcs=false", "-o"]).arg(&binary).arg(".").current_dir(directory);
    let status = command.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "").status()?;
    ensure!(status.success(), "the receiver in Go does not build, see above");
    Ok(binary)
}

fn built_with_cargo(directory: &Path) -> Result<PathBuf> {
    let _alone = BUILDING.lock().unwrap();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(directory.join("Cargo.toml"));
    let status = command.arg("--target-dir").arg(target()?).status()?;
    ensure!(status.success(), "the receiver in Rust does not build, see above");
    Ok(target()?.join("debug/webhook-receiver"))
}

/// Beside what the workspace builds, for the crate is none of it.
fn target() -> Result<PathBuf> {
    Ok(workspace::root()?.join("target/receivers"))
}

const PATIENCE: Duration = Duration::from_secs(30);
