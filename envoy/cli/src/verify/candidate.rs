//! The secrets a request may be signed with.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use gatepost_core::signature::standard::{PRIVATE, PUBLIC};
use zeroize::Zeroizing;

use super::scheme::{Key, Scheme};
use crate::given::{of_file, of_variable};

/// A secret that a request may be signed with.
pub(super) struct Candidate {
    /// From 1.
    pub(super) number: usize,
    /// Where it is from, for a person.
    pub(super) name: String,
    /// The variable it is from.
    pub(super) variable: Option<String>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Candidate {
    /// What it is to a scheme.
    pub(super) fn key(&self, scheme: Scheme) -> Key {
        let public = scheme.public(&self.bytes).map(Key::Public);
        public.unwrap_or_else(|| Key::Shared(Zeroizing::new(scheme.key(&self.bytes))))
    }
}

/// The secrets in these environment variables and files.
///
/// # Errors
/// When one is not there, is empty, or is no key.
pub(super) fn read(variables: &[String], files: &[PathBuf]) -> Result<Vec<Candidate>> {
    let mut secrets = Vec::new();
    let mut add = |source: String, variable: Option<String>, bytes: Zeroizing<Vec<u8>>| {
        ensure!(!bytes.is_empty(), "{source}: the secret is empty");
        let is_pair = [PUBLIC, PRIVATE].iter().any(|mark| bytes.starts_with(mark.as_bytes()));
        let is_broken = is_pair && Scheme::Standard.public(&bytes).is_none();
        ensure!(!is_broken, "{source}: it is no key of Ed25519: expected {PUBLIC}<base64 of 32 bytes>");
        let number = secrets.len() + 1;
        secrets.push(Candidate { number, name: format!("secret {number} ({source})"), variable, bytes });
        Ok(())
    };
    for variable in variables {
        let source = format!("env {variable}");
        add(source, Some(variable.clone()), of_variable("--secret-env", variable)?)?;
    }
    for path in files {
        add(format!("file {}", path.display()), None, of_file("--secret-file", path)?)?;
    }
    Ok(secrets)
}
