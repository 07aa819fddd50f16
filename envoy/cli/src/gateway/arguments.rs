//! Which gateways are meant, and the token they are asked with.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use jiff::{SignedDuration, Timestamp};

use super::client::Gateway;
use crate::given;

/// The arguments of every command that talks to gateways.
#[derive(clap::Args, Clone, Debug)]
pub struct Gateways {
    /// The admin surface of a gateway; once for each of them
    #[arg(
        long = "gateway",
        value_name = "URL",
        env = "GATEPOST_GATEWAYS",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:10001/gatepost",
        value_parser = ValueParser::new(surface)
    )]
    urls: Vec<String>,
    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME", default_value = "GATEPOST_ADMIN_TOKEN")]
    token_env: String,
    /// A file that holds the token, instead of a variable
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// How long a gateway may take to answer
    #[arg(long = "answer-within", value_name = "TIME", default_value = "5s", value_parser = ValueParser::new(duration))]
    answer_within: Duration,
}

impl Gateways {
    /// The gateways, each once. Without a token this is wrong usage, and ends the process as that does.
    pub fn resolve(&self) -> Vec<Gateway> {
        let (token, source) = self.token().unwrap_or_else(|message| usage(&message));
        let mut gateways = Vec::<Gateway>::new();
        for url in &self.urls {
            if gateways.iter().all(|known| known.url() != url) {
                gateways.push(Gateway::new(url, &token, &source, self.answer_within));
            }
        }
        gateways
    }

    /// The token, and where it is from.
    fn token(&self) -> Result<(String, String), String> {
        let (bytes, source) = match &self.token_file {
            Some(path) => (given::of_file("--token-file", path), path.display().to_string()),
            None => {
                let name = &self.token_env;
                if env::var_os(name).is_none() {
                    // It may be the token itself that was given in place of a name.
                    let named =
                        if name == "GATEPOST_ADMIN_TOKEN" { "$GATEPOST_ADMIN_TOKEN" } else { "what --token-env names" };
                    return Err(format!(
                        "no token: {named} is not set; name another variable with --token-env, or give --token-file"
                    ));
                }
                (given::of_variable("--token-env", name), format!("${name}"))
            }
        };
        let bytes = bytes.map_err(|error| format!("{error:#}"))?;
        let token = String::from_utf8(bytes.to_vec()).unwrap_or_default();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("the token in {source} holds what no token may: expected ASCII without white space"));
        }
        Ok((token, source))
    }
}

/// Ends the process as wrong arguments do: a message, and code 2.
fn usage(message: &str) -> ! {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n\nFor more information, try '--help'.\n")).exit()
}

/// A duration as people write it: `500ms`, `24h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a time such as 500ms, 90s, 24h or 7d";
    // To jiff days are no fixed time; here they are 24 hours.
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        return Ok(Duration::from_secs(u64::from(days) * 86_400));
    }
    let parsed: SignedDuration = text.parse().map_err(|_| EXPECTED)?;
    Duration::try_from(parsed).map_err(|_| EXPECTED.to_owned())
}

/// A moment: as RFC 3339 writes it, or how long ago it was.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let ago = duration(text).ok().and_then(|ago| SignedDuration::try_from(ago).ok());
    ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok())
        .ok_or_else(|| "expected a time such as 2026-11-25T09:00:00Z, or how long ago, such as 2h".to_owned())
}

/// The base URL of a surface, without a slash at its end.
fn surface(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "expected the URL of an admin surface, such as http://127.0.0.1:10001/gatepost";
    let url = text.trim().trim_end_matches('/');
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).ok_or(EXPECTED)?;
    let (authority, path) = rest.split_once('/').ok_or(EXPECTED)?;
    if authority.is_empty() || path.is_empty() || url.contains(['?', '#']) || url.contains(char::is_whitespace) {
        return Err(EXPECTED.to_owned());
    }
    if authority.contains('@') {
        // It would stand in every table and in the shell's history.
        return Err("it holds a user or a token; the token comes from --token-env or --token-file".to_owned());
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surface_is_a_url_with_a_path_and_no_token_in_it() {
        assert_eq!(surface("http://10.0.0.1:10001/gatepost/").unwrap(), "http://10.0.0.1:10001/gatepost");
        assert_eq!(surface("https://a.example/ops/gatepost").unwrap(), "https://a.example/ops/gatepost");
        for wrong in ["", "gateway", "127.0.0.1:10001/gatepost", "http://a", "http://a/", "http:///g", "http://a/g?x=1"]
        {
            assert!(surface(wrong).unwrap_err().starts_with("expected the URL of an admin surface"), "{wrong}");
        }
        assert!(surface("http://op:token@a/gatepost").unwrap_err().contains("--token-env"));
    }

    #[test]
    fn a_time_is_written_as_people_do() {
        for (text, seconds) in [("90s", 90.0), ("500ms", 0.5), ("24h", 86_400.0), ("7d", 604_800.0), ("1h 30m", 5400.0)]
        {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for wrong in ["", "5", "-1s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
