//! What is given to a command: files, and secrets in environment variables or files, never as arguments, for those are in
//! the process list.
//!
//! What cannot be used is [`Unusable`], in every command: it ends with code 2, as with wrong arguments.
//!
//! A secret or token has no white space at its ends, as in the filter's config: it is refused with the name of where it
//! is from. Of a file or stdin, one line end (LF or CRLF) at the end is not part of it: that is how editors and `echo`
//! end a file.

use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::{env, error, fmt, fs, io};

use anyhow::{Context, Error, Result, anyhow, ensure};
use gatepost_core::secret::Secret;
use zeroize::Zeroizing;

/// Why something that was given cannot be used, or of which option that is said. The command ends with [`Unusable::CODE`].
#[derive(Debug)]
pub struct Unusable(pub String);

impl Unusable {
    /// The exit code, that of wrong arguments.
    pub const CODE: u8 = 2;

    /// Whether this is why a command ended.
    pub fn is_in(error: &Error) -> bool {
        error.downcast_ref::<Self>().is_some()
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Unusable {}

/// An error as one of what was given, whatever it says.
pub fn unusable(error: Error) -> Error {
    if Unusable::is_in(&error) { error } else { anyhow!(Unusable(format!("{error:#}"))) }
}

/// The name of an option and of the file it was given.
pub fn named(option: &str, path: &Path) -> Unusable {
    Unusable(format!("{option} {}", path.display()).trim_start().to_owned())
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn file(option: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| named(option, path))
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read or is no UTF-8.
pub fn text_file(option: &str, path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| named(option, path))
}

/// The bytes of stdin.
///
/// # Errors
/// When it cannot be read.
pub fn stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).context(Unusable("stdin".to_owned()))?;
    Ok(bytes)
}

/// The bytes of a secret in an environment variable. What a person gave in place of its name may be the secret: it is
/// never shown again.
///
/// # Errors
/// When that is no name of a variable, or none of this environment, or the value is empty or has white space at an end.
pub fn of_variable(option: &str, variable: &str) -> Result<Zeroizing<Vec<u8>>> {
    let is_name = !variable.is_empty() && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    ensure!(is_name, Unusable(format!("{option} takes the name of an environment variable, not a secret")));
    let value = env::var_os(variable)
        .with_context(|| Unusable(format!("{option}: the environment has no variable of that name")));
    let value = Zeroizing::new(value?.into_vec());
    check(&format!("${variable}"), &value)?;
    Ok(value)
}

/// The bytes of a secret in a file, without one line end at its end.
///
/// # Errors
/// When it cannot be read, or is empty or has white space at an end.
pub fn of_file(option: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = Zeroizing::new(file(option, path)?);
    let secret = without_line_end(&bytes);
    check(&path.display().to_string(), secret)?;
    Ok(Zeroizing::new(secret.to_vec()))
}

/// A secret out of the environment.
///
/// # Errors
/// As for [`of_variable`].
pub fn secret_of_variable(option: &str, variable: &str) -> Result<Secret> {
    secret(&format!("${variable}"), &of_variable(option, variable)?)
}

/// A secret out of a file.
///
/// # Errors
/// As for [`of_file`].
pub fn secret_of_file(option: &str, path: &Path) -> Result<Secret> {
    secret(&path.display().to_string(), &of_file(option, path)?)
}

fn secret(source: &str, bytes: &[u8]) -> Result<Secret> {
    Secret::new(bytes.to_vec()).with_context(|| Unusable(format!("the secret in {source} is empty")))
}

/// The text of a secret or token.
///
/// # Errors
/// When it is no UTF-8.
pub fn text(source: &str, bytes: &[u8]) -> Result<Zeroizing<String>> {
    let text = str::from_utf8(bytes).map_err(|_| anyhow!(Unusable(format!("{source}: the secret is no text"))))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Without the one line end that an editor or `echo` puts at the end.
pub fn without_line_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(bytes)
}

/// Sees that a secret is not empty and has no white space at its ends, which a person does not see and the other side
/// does not have.
///
/// # Errors
/// When it is not so; the secret is not shown.
pub fn check(source: &str, secret: &[u8]) -> Result<()> {
    let trimmed = str::from_utf8(secret).map_or_else(|_| secret.trim_ascii(), |text| text.trim().as_bytes());
    ensure!(!trimmed.is_empty(), Unusable(format!("the secret in {source} is empty")));
    let says = format!("the secret in {source} begins or ends with white space; expected the value without it");
    ensure!(trimmed.len() == secret.len(), Unusable(says));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_secret_in_place_of_a_name_is_not_shown() {
        for given in ["whsec_c2VjcmV0==", "hunter2", ""] {
            let error = of_variable("--env", given).unwrap_err();
            let said = format!("{error:#}");
            assert!(given.is_empty() || !said.contains(given), "{said}");
            assert!(Unusable::is_in(&error));
        }
    }

    #[test]
    fn one_line_end_of_a_file_is_not_a_part_of_the_secret() {
        let read = |content: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content).unwrap();
            of_file("--secret-file", file.path()).map(|bytes| bytes.to_vec()).map_err(|error| {
                assert!(Unusable::is_in(&error));
                let said = format!("{error:#}");
                assert!(said.contains(&file.path().display().to_string()) && !said.contains("s3cret"), "{said}");
                said
            })
        };
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(read(content.as_bytes()).unwrap(), b"s3cret");
        }
        for content in ["s3cret\n\n", "s3cret\r", "s3cret \n", " s3cret", "\ts3cret\n", "s3cret\u{a0}\n", "\ns3cret"] {
            assert!(read(content.as_bytes()).unwrap_err().contains("begins or ends with white space"), "{content:?}");
        }
        for content in ["", "\n", " \n", "\r\n"] {
            assert!(read(content.as_bytes()).unwrap_err().contains("is empty"), "{content:?}");
        }
        assert_eq!(read(b"\xff\x00s\n").unwrap(), b"\xff\x00s");
    }

    /// However much is said around it.
    #[test]
    fn what_is_unusable_is_recognised_in_any_chain() {
        let missing = file("--config", Path::new("/nonexistent/a")).context("one").context("two").unwrap_err();
        assert!(Unusable::is_in(&missing));
        assert_eq!(format!("{missing:#}"), "two: one: --config /nonexistent/a: No such file or directory (os error 2)");
        assert!(!Unusable::is_in(&anyhow!("else")));
    }
}
