//! Signatures in each of the filter's schemes, with keys as its config names them: they are read by its own parser, and
//! made and verified by its own code.

use std::borrow::Cow;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use axum::http::HeaderName;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gatepost_core::config::{Config, ConfigProblem, parse};
use gatepost_core::egress::attempt::attempt_headers;
use gatepost_core::egress::endpoint::Endpoint;
use gatepost_core::ids::EventId;
use gatepost_core::signature::{Attempt, Scheme, Signature};
use gatepost_core::time::WallTime;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::given::{Unusable, of_file, of_variable, text};

/// Reads the name of a scheme on the command line.
pub fn scheme() -> impl TypedValueParser<Value = Scheme> {
    // It is one of those: the parser before has seen to it.
    PossibleValuesParser::new(Scheme::ALL.map(|(name, _)| name)).try_map(|name| of_name(&name).context("no scheme"))
}

fn of_name(name: &str) -> Option<Scheme> {
    Scheme::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, scheme)| scheme)
}

/// Reads the beginning of header names on the command line.
///
/// # Errors
/// When no header can begin so.
pub(crate) fn header_prefix(text: &str) -> Result<String, String> {
    let is_one = HeaderName::try_from(text).is_ok();
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("expected the beginning of a header name, such as X-Webhook-".to_owned())
    }
}

/// What the config calls a scheme.
pub fn name(scheme: Scheme) -> &'static str {
    Scheme::ALL.into_iter().find(|(_, known)| *known == scheme).map(|(name, _)| name).unwrap_or_default()
}

/// Secrets as they were given, the first of which is the current one.
pub type Secrets = Vec<Zeroizing<String>>;

/// The secrets in these environment variables and files; one line end at the end of a file is not part of it.
///
/// # Errors
/// When one cannot be read, or is no text.
pub fn secrets(variables: &[String], files: &[PathBuf]) -> Result<Secrets> {
    let of_variables = variables.iter().map(|name| text("--secret-env", &of_variable("--secret-env", name)?));
    let of_files =
        files.iter().map(|path| text(&format!("--secret-file {}", path.display()), &of_file("--secret-file", path)?));
    of_variables.chain(of_files).collect()
}

/// An endpoint that signs so: what the gateway would send to it is what a command sends.
///
/// # Errors
/// When a secret is none of the scheme's.
pub fn endpoint(scheme: Scheme, header_prefix: &str, secrets: &Secrets) -> Result<Endpoint> {
    let (signature, named) = signed(scheme, header_prefix, secrets);
    let entry = json!({
        "name": "here", "cluster": "here", "url": "http://localhost/", "signature": signature, "secrets": named,
    });
    let route = json!({"name": "here", "match": {"path": "/"}, "event": "any"});
    let config = read(&json!({"routes": [route], "endpoints": [entry]}), secrets)?;
    config.endpoints.into_iter().next().context("no endpoint")
}

/// The signature that an inbound rule with these keys verifies.
///
/// # Errors
/// When a secret is none of the scheme's.
pub fn verifier(scheme: Scheme, header_prefix: &str, secrets: &Secrets) -> Result<Signature> {
    let (signature, named) = signed(scheme, header_prefix, secrets);
    let entry = json!({"name": "here", "match": {"path": "/"}, "signature": signature, "secrets": named});
    let config = read(&json!({"inbound": [entry]}), secrets)?;
    let rule = config.inbound.into_vec().into_iter().next().context("no rule")?;
    rule.signatures.into_iter().next().context("no signature")
}

/// What the commands that send call themselves.
pub const USER_AGENT: &str = concat!("Gatepost/", env!("CARGO_PKG_VERSION"));

/// A first attempt of an event that no gateway has seen.
pub fn attempt<'a>(
    id: EventId,
    at: WallTime,
    event_type: &'a str,
    content_type: Option<&'a [u8]>,
    body: &'a [u8],
) -> Attempt<'a> {
    let (content_encoding, traceparent, tracestate) = (None, None, None);
    Attempt { id, number: 1, at, event_type, content_type, content_encoding, traceparent, tracestate, body }
}

/// The headers with which an endpoint is sent an attempt, but for those that say where it goes.
pub fn headers<'a>(endpoint: &'a Endpoint, attempt: &Attempt<'a>) -> impl Iterator<Item = (&'a str, Cow<'a, [u8]>)> {
    attempt_headers(endpoint, USER_AGENT, attempt).into_iter().filter(|(name, _)| !name.starts_with(':'))
}

/// The keys `signature` and `secrets`, which endpoints and inbound rules have in common.
fn signed(scheme: Scheme, header_prefix: &str, secrets: &Secrets) -> (Value, Vec<Value>) {
    let name = name(scheme);
    let signature = match scheme {
        Scheme::Timestamped => json!({"scheme": name, "header_prefix": header_prefix}),
        _ => json!({"scheme": name}),
    };
    (signature, (0..secrets.len()).map(|number| json!({"env": number.to_string()})).collect())
}

/// Secrets go in as the environment does, so that none is ever in a text that could be shown.
fn read(config: &Value, secrets: &Secrets) -> Result<Config> {
    let lookup = |number: &str| secrets.get(number.parse::<usize>().ok()?).map(|secret| secret.to_string());
    parse(config.to_string().as_bytes(), &lookup).map_err(|problems| {
        let said: Vec<String> = problems.iter().map(said).collect();
        anyhow!(Unusable(said.join("; ")))
    })
}

/// What is wrong, without the path in a config that nobody has written.
fn said(problem: &ConfigProblem) -> String {
    let number = problem.path.split_once("secrets[").and_then(|(_, rest)| rest.split_once(']'));
    let number = number.and_then(|(number, _)| number.parse::<usize>().ok());
    let what = number.map_or_else(|| "the secret".to_owned(), |number| format!("secret {}", number + 1));
    format!("{what} {}; expected {}", problem.what, problem.expected)
}

#[cfg(test)]
mod tests {
    use gatepost_core::secret::Key;

    use super::*;

    fn given(secret: &str) -> Secrets {
        vec![Zeroizing::new(secret.to_owned())]
    }

    #[test]
    fn each_scheme_signs_and_verifies_with_the_keys_it_is_given() {
        for (_, scheme) in Scheme::ALL {
            let secret = given("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
            assert_eq!(endpoint(scheme, "X-Webhook-", &secret).unwrap().signatures[0].scheme, scheme);
            assert!(matches!(verifier(scheme, "X-Webhook-", &secret).unwrap().keys[0].key, Key::Shared(_)));
        }
    }

    /// A key that is none of the schemes is told by its number and not shown.
    #[test]
    fn wrong_kind_of_key_is_named_by_index_and_not_shown() {
        let error = |result: Result<Signature>| result.unwrap_err().to_string();
        let mut two = given("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        two.extend(given("hunter-2"));
        let said = error(verifier(Scheme::Standard, "X-Webhook-", &two));
        assert!(said.starts_with("secret 2 is no key of scheme standard; expected whsec_<base64>"), "{said}");
        let said = error(verifier(Scheme::Standard, "X-Webhook-", &given("whsk_AAAA")));
        assert!(said.starts_with("secret 1 is a private key, where one verifies"), "{said}");
        let said = error(verifier(Scheme::Slack, "X-Webhook-", &given(" ")));
        assert!(said.starts_with("secret 1 gives an empty secret"), "{said}");
    }
}
