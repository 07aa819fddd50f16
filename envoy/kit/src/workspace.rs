//! The workspace: Gatepost's source, whose files some commands and all tests work on.
//!
//! It is looked for at run time. A path that is compiled in would be that of the machine that built the binary.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The root of the workspace: `$GATEPOST_WORKSPACE`, else the closest directory that is one, from the current directory
/// upwards.
///
/// # Errors
/// When there is none.
pub fn root() -> Result<PathBuf> {
    if let Some(root) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let root = PathBuf::from(root);
        ensure!(is_root(&root), "${VARIABLE} is {}, which is not the source of Gatepost: no {MARK}", root.display());
        // Cargo and Envoy are started in other directories.
        return root.canonicalize().with_context(|| root.display().to_string());
    }
    let current = env::current_dir().context("there is no current directory")?;
    above(&current).map(Path::to_owned).with_context(|| {
        format!(
            "this needs the source of Gatepost, and neither {} nor a directory above it holds it; run it within a clone, \
             or set {VARIABLE} to one",
            current.display()
        )
    })
}

fn above(start: &Path) -> Option<&Path> {
    start.ancestors().find(|directory| is_root(directory))
}

fn is_root(directory: &Path) -> bool {
    directory.join(MARK).is_file()
}

/// The variable that names the workspace.
const VARIABLE: &str = "GATEPOST_WORKSPACE";
/// A file that is in every clone of Gatepost and nowhere else: the manifest of this crate.
const MARK: &str = "envoy/kit/Cargo.toml";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// From any subdirectory, and not from beside it.
    #[test]
    fn found_from_below() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("gatepost");
        fs::create_dir_all(root.join("envoy/kit/src")).unwrap();
        fs::write(root.join(MARK), "").unwrap();
        assert_eq!(above(&root), Some(&*root));
        assert_eq!(above(&root.join("envoy/kit/src")), Some(&*root));
        assert_eq!(above(scratch.path()), None);
    }

    /// The tests themselves run in the workspace.
    #[test]
    fn found_from_here() {
        assert!(root().unwrap().join("envoy/envoy.yaml").is_file());
    }
}
