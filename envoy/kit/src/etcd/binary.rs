//! The etcd to run: `$ETCD`, else the one on the PATH.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The etcd to run.
///
/// # Errors
/// When `$ETCD` does not run, there is none on the PATH, or it is older than 3.4, whose API has other paths. The message
/// says how to come by one.
pub fn find() -> Result<PathBuf> {
    let (path, said) = match env::var_os("ETCD").filter(|value| !value.is_empty()) {
        Some(path) => (PathBuf::from(&path), format!("$ETCD is {}", path.display())),
        None => ("etcd".into(), "etcd on the PATH".to_owned()),
    };
    version(&path).with_context(|| {
        format!(
            "{said}: no etcd to run; expected etcd 3.4 or later on the PATH (Debian's and Ubuntu's package etcd-server: \
             `apt-get install etcd-server`), or in ETCD the path of one (https://github.com/etcd-io/etcd/releases)"
        )
    })?;
    Ok(path)
}

/// The version an etcd says it is, such as `3.4.23`.
fn version(etcd: &Path) -> Result<String> {
    let output = Command::new(etcd).arg("--version").output().context("it does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "etcd Version: 3.4.23", then lines about how it was built.
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    let version = version.with_context(|| format!("it does not say its version: {text:?}"))?.trim();
    ensure!(is_served(version), "it is {version}, and what is asked of it came with 3.4");
    Ok(version.to_owned())
}

/// Is it 3.4 or later?
fn is_served(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next(), numbers.next()) >= (Some(3), Some(4))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_from_3_4_on_are_taken() {
        assert!(["3.4.23", "3.5.0", "3.10.1", "4.0.0"].iter().all(|version| is_served(version)));
        assert!(["3.3.25", "2.9.9", "", "three"].iter().all(|version| !is_served(version)));
    }

    /// What is no etcd, an old one, and none at all are each told as what they are.
    #[test]
    fn what_cannot_be_run_is_told_with_its_reason() {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("etcd");
        for (says, reason) in [("etcd Version: 3.3.25", "it is 3.3.25"), ("hello", "does not say its version")] {
            fs::write(&program, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            let error = format!("{:#}", version(&program).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
        let error = format!("{:#}", version(Path::new("/nonexistent/etcd")).unwrap_err());
        assert!(error.starts_with("it does not start: No such file"), "{error}");
    }
}
