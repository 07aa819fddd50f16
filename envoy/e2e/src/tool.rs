//! Programs of other people's that a test needs, and a machine may lack.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

/// Does this program start here? `version` is how it is asked for its version, `packages` are those of Debian that bring
/// it. Says on stderr when it is not here, and that what needs it is skipped.
///
/// # Errors
/// When it is not, where `CI` is set: there it must be.
pub fn is_here(program: &str, version: &str, packages: &str) -> Result<bool> {
    let ran = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match ran {
        Ok(status) => {
            ensure!(status.success(), "{program} {version} ended with {status}");
            Ok(true)
        }
        Err(error) if env::var("CI").is_ok_and(|value| value == "true") => {
            bail!("{program} does not start ({error}); install {packages}")
        }
        Err(error) => {
            eprintln!("SKIPPED: what needs {program}, which does not start ({error}); install {packages}");
            Ok(false)
        }
    }
}
