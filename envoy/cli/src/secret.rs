//! `gatepost secret`: makes a secret or a pair of keys, and lets two sides compare one without showing it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use gatepost_core::secret::{PrivateKey, PublicKey};
use gatepost_core::signature::standard::{PRIVATE, PUBLIC, SHARED};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::given::{self, of_variable, unusable, without_line_end};
use crate::terminal::{say, tell};

/// The arguments of `gatepost secret`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Options {
    #[command(subcommand)]
    command: Option<SecretCommand>,
    /// How the 256 bits are written
    #[arg(long, value_enum, default_value_t = Format::Hex)]
    format: Format,
}

#[derive(Subcommand)]
enum SecretCommand {
    /// Print what two sides can compare to know that they have the same secret
    #[command(after_help = FINGERPRINT)]
    Fingerprint(SecretSource),
    /// Print the public key that belongs to a private one, for whoever verifies
    #[command(after_help = OF_PUBLIC)]
    Public(SecretSource),
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// 64 lower-case hex digits
    Hex,
    /// As Standard Webhooks has them: `whsec_` and base64
    Whsec,
    /// A private key of Ed25519, as Standard Webhooks has them: `whsk_` and base64; `gatepost secret public` has the
    /// other half
    Whsk,
}

#[derive(Args)]
#[group(multiple = false)]
struct SecretSource {
    /// The environment variable that holds the secret
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// The file that holds it; without --env and --file it is read from stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Prints a new secret, or what may be known of one.
///
/// # Errors
/// When the system gives no random bytes, or there is no secret to be read.
pub fn run(options: &Options) -> Result<ExitCode> {
    let told = match &options.command {
        None => {
            let mut bits = Zeroizing::new([0u8; 32]);
            getrandom::fill(bits.as_mut()).context("the system gives no random bytes")?;
            say!("{}", *written(options.format, &bits).context("no key")?)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(SecretCommand::Fingerprint(source)) => read(source).map(|secret| fingerprint(&secret)),
        Some(SecretCommand::Public(source)) => read(source).and_then(|secret| public(&secret)),
    };
    say!("{}", told.map_err(unusable)?)?;
    Ok(ExitCode::SUCCESS)
}

fn written(format: Format, bits: &[u8; 32]) -> Option<Zeroizing<String>> {
    Some(Zeroizing::new(match format {
        Format::Hex => hex::encode(bits),
        Format::Whsec => format!("{SHARED}{}", STANDARD.encode(bits)),
        Format::Whsk => {
            let public = PrivateKey::new(bits)?.public();
            // Both halves: some libraries take nothing less, and the filter takes either.
            let both = Zeroizing::new([bits.as_slice(), public.as_bytes()].concat());
            format!("{PRIVATE}{}", STANDARD.encode(&*both))
        }
    }))
}

/// The public key of a private one; of what is none, nothing is shown.
fn public(secret: &[u8]) -> Result<String> {
    let base64 = secret.strip_prefix(PRIVATE.as_bytes());
    let base64 = base64.with_context(|| format!("it does not begin with {PRIVATE}: expected a private key"))?;
    let bytes = STANDARD.decode(base64).map(Zeroizing::new).ok();
    let key = bytes.and_then(|bytes| PrivateKey::new(&bytes));
    let key = key.with_context(|| format!("it is no private key: expected {PRIVATE}<base64 of 32 or 64 bytes>"))?;
    Ok(shown(&key.public()))
}

fn shown(key: &PublicKey) -> String {
    format!("{PUBLIC}{}", STANDARD.encode(key.as_bytes()))
}

/// The first 64 bits of a hash: enough to tell secrets apart, and with 256 random bits behind it nothing to guess from.
fn fingerprint(secret: &[u8]) -> String {
    let hash = Sha256::new().chain_update(DOMAIN).chain_update(secret).finalize();
    hex::encode(hash.get(..8).unwrap_or_default())
}

/// So that it is no other hash of the secret that is around somewhere.
const DOMAIN: &str = "gatepost secret fingerprint v1\n";

fn read(source: &SecretSource) -> Result<Zeroizing<Vec<u8>>> {
    let (source, given) = match (&source.env, &source.file) {
        (Some(variable), _) => return of_variable("--env", variable),
        (None, Some(path)) => (path.display().to_string(), Zeroizing::new(given::file("--file", path)?)),
        (None, None) => {
            let says = "stdin is a terminal, which shows what is typed: expected a pipe, --env NAME or --file FILE";
            ensure!(!io::stdin().is_terminal(), says);
            ("stdin".to_owned(), Zeroizing::new(given::stdin()?))
        }
    };
    let secret = without_line_end(&given);
    given::check(&source, secret)?;
    if secret.len() < given.len() {
        tell!("note: the newline at the end was not counted; a receiver that does has another key");
    }
    Ok(Zeroizing::new(secret.to_vec()))
}

const EXAMPLES: &str = "\
Examples:
  gatepost secret > billing.secret                     # 64 hex digits: the secret is this text
  aws secretsmanager create-secret --name billing --secret-string file://<(gatepost secret | tr -d '\\n')
  gatepost secret --format whsec                       # for a receiver that speaks Standard Webhooks
  gatepost secret --format whsk > billing.key          # for one that is to hold only a public key …
  gatepost secret public --file billing.key            # … which is this one
  gatepost secret fingerprint --env BILLING_WEBHOOK_SECRET

A secret is read from the environment, a file or stdin, never from an argument: those are in the process list.";

const FINGERPRINT: &str = r#"Examples:
  gatepost secret fingerprint --env BILLING_WEBHOOK_SECRET
  gatepost secret fingerprint --file billing.secret
  kubectl get secret billing -o jsonpath='{.data.secret}' | base64 -d | gatepost secret fingerprint

It is the first 16 hex digits of SHA-256 over "gatepost secret fingerprint v1", a newline, and the bytes of the secret
(without one newline at its end). The same without gatepost:
  { printf 'gatepost secret fingerprint v1\n'; printf %s "$SECRET"; } | sha256sum | cut -c1-16
  { printf 'gatepost secret fingerprint v1\n'; printf %s "$SECRET"; } | openssl dgst -sha256 -r | cut -c1-16

Exit codes: 0, or 2 when the secret cannot be read. Compare fingerprints of random secrets only: a short password could
be guessed from its own."#;

const OF_PUBLIC: &str = "\
Examples:
  gatepost secret public --env BILLING_WEBHOOK_KEY
  kubectl get secret billing -o jsonpath='{.data.key}' | base64 -d | gatepost secret public

Whoever has it can verify what the private key (`gatepost secret --format whsk`) signs in scheme standard, and sign
nothing: it is no secret. Exit codes: 0, or 2 when there is no private key to be read.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_as_its_format_says() {
        let bits = [0xab; 32];
        assert_eq!(*written(Format::Hex, &bits).unwrap(), "ab".repeat(32));
        let standard = written(Format::Whsec, &bits).unwrap();
        assert_eq!(STANDARD.decode(standard.strip_prefix("whsec_").unwrap()).unwrap(), bits);
    }

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn public_key_is_derived_from_full_or_seed_private_key() {
        let bits = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let due = format!("whpk_{}", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        let whole = written(Format::Whsk, &bits.clone().try_into().unwrap()).unwrap();
        assert_eq!(public(whole.as_bytes()).unwrap(), due);
        let half = format!("whsk_{}", STANDARD.encode(&bits));
        assert_eq!(public(half.as_bytes()).unwrap(), due);
    }
}
