//! Secrets as they are given to a command: in an environment variable or in a file, never as an argument, for those are in
//! the process list.

use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use gatepost_core::secret::Secret;
use zeroize::Zeroizing;

/// The bytes of an environment variable. What a person gave in place of its name may be the secret: it is never shown
/// again.
///
/// # Errors
/// When that is no name of a variable, or none of this environment.
pub fn of_variable(option: &str, variable: &str) -> Result<Zeroizing<Vec<u8>>> {
    let is_name = !variable.is_empty() && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    ensure!(is_name, "{option} takes the name of an environment variable, not a secret");
    let value = env::var_os(variable);
    let value = value.with_context(|| format!("{option}: the environment has no variable of that name"))?;
    Ok(Zeroizing::new(value.into_vec()))
}

/// A secret out of the environment.
///
/// # Errors
/// When there is no such variable, or it is empty.
pub fn secret_of_variable(option: &str, variable: &str) -> Result<Secret> {
    let bytes = of_variable(option, variable)?.to_vec();
    Secret::new(bytes).with_context(|| format!("the secret in ${variable} is empty"))
}

/// A secret out of a file.
///
/// # Errors
/// When there is no such file, or it is empty.
pub fn secret_of_file(path: &Path) -> Result<Secret> {
    Secret::new(of_file(path)?).with_context(|| format!("the secret in {} is empty", path.display()))
}

/// The bytes of a file, without a line end at its end.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = fs::read(path).with_context(|| format!("the secret in {}", path.display()))?;
    for end in [b'\n', b'\r'] {
        bytes.pop_if(|byte| *byte == end);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_place_of_a_name_is_not_shown() {
        for given in ["whsec_c2VjcmV0==", "hunter2", ""] {
            let error = format!("{:#}", of_variable("--env", given).unwrap_err());
            assert!(given.is_empty() || !error.contains(given), "{error}");
        }
    }
}
