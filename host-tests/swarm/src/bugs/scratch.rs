//! A copy of what the filter is built of, to break.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bug, Edit};

/// The only packages of the workspace that the filter needs.
const MEMBERS: &str = r#"members = ["plugin", "plugin/core"]"#;

/// What in them is not needed: a workspace of its own.
const LEFT_OUT: &str = "fuzz";

/// The copy.
pub struct Scratch {
    root: PathBuf,
}

impl Scratch {
    /// Copies the sources of this workspace to its `target/bugs`. What was built there before is used again.
    ///
    /// # Errors
    /// The file system's, or the manifest is another than expected.
    pub fn new(workspace: &Path) -> Result<Self, Box<dyn Error>> {
        let root = workspace.join("target/bugs");
        copy(&workspace.join("plugin"), &root.join("plugin"))?;
        for file in ["Cargo.lock", "rust-toolchain.toml"] {
            write(&root.join(file), &fs::read_to_string(workspace.join(file))?)?;
        }
        let manifest = fs::read_to_string(workspace.join("Cargo.toml"))?;
        let members = manifest.lines().find(|line| line.starts_with("members = ["));
        let members = members.ok_or("Cargo.toml: no line `members = [...]`, which the copy has to change")?;
        // A profile of a package that is not there is a warning at each build.
        let manifest = manifest.replace(members, MEMBERS);
        write(&root.join("Cargo.toml"), &manifest)?;
        Ok(Self { root })
    }

    /// Does something while a bug is in the copy.
    ///
    /// # Errors
    /// The text that the bug changes does not stand in its file exactly once; the file system's; or what is done fails.
    pub fn with<T>(&self, bug: &Bug, act: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
        let mut before: Vec<(PathBuf, String)> = Vec::new();
        let applied = bug.edits.iter().try_for_each(|Edit { file, find, replace }| {
            let path = self.root.join(file);
            let text = fs::read_to_string(&path)?;
            let count = text.matches(find).count();
            if count != 1 {
                return Err(format!("{file} has the text {count} times, not once: {find}").into());
            }
            write(&path, &text.replace(find, replace))?;
            before.push((path, text));
            Ok(())
        });
        let result = applied.and_then(|()| act());
        // The last first: two edits may be in one file.
        let restored = before.iter().rev().try_for_each(|(path, text)| write(path, text));
        restored.and(result)
    }

    /// Builds the filter; quick rather than small. Where its wasm is.
    ///
    /// # Errors
    /// It does not build.
    pub fn build(&self) -> Result<PathBuf, Box<dyn Error>> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--target", gatepost_cli::artifact::TARGET, "--package", "gatepost"])
            .args(["--profile", "trap", "--target-dir"])
            .arg(self.root.join("target"))
            .envs([
                ("CARGO_INCREMENTAL", "1"),
                ("CARGO_PROFILE_TRAP_LTO", "off"),
                ("CARGO_PROFILE_TRAP_OPT_LEVEL", "1"),
                // What a bug leaves unused is no news.
                ("CARGO_BUILD_WARNINGS", "allow"),
            ])
            .current_dir(&self.root)
            .output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let from = text.find("error").unwrap_or_default();
            return Err(format!("it does not build: {}", text.get(from..).unwrap_or_default()).into());
        }
        Ok(self.root.join("target").join(gatepost_cli::artifact::TARGET).join("trap/gatepost.wasm"))
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() && name != LEFT_OUT && name != "target" {
            copy(&entry.path(), &to.join(name))?;
        } else if kind.is_file() {
            // Test vectors among them; all are text.
            write(&to.join(name), &fs::read_to_string(entry.path())?)?;
        }
    }
    Ok(())
}

/// Writes a file unless it has this text: Cargo goes by the time it was written.
fn write(path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    Ok(fs::write(path, text)?)
}
